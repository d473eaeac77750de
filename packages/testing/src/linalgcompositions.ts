import type { NDArray } from "@traceform/core";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";

// Functions of decompositions that do not depend on the signs, or phases, that a decomposition is free to choose.

/** V diag(cos w) Vᴴ: the cosine of a Hermitian matrix. */
export function spectral(x: NDArray): NDArray {
  const [w, v] = np.linalg.eigh(x);
  const vh = np.conj(np.linalg.matrixTranspose(v));
  return np.matmul(np.multiply(v, np.expandDims(np.cos(w), -2)), vh);
}

/** Sums of the powers of the eigenvalues of any matrix, whatever their order. */
export function powerSums(x: NDArray): NDArray {
  const w = np.linalg.eigvals(x);
  return np.stack([np.sum(w, -1), np.sum(np.square(w), -1), np.sum(np.exp(w), -1)]);
}

/** V diag(w) V⁻¹, which is the matrix again. */
export function diagonalised(x: NDArray): NDArray {
  const [w, v] = np.linalg.eig(x);
  return np.matmul(np.multiply(v, np.expandDims(w, -2)), np.linalg.inv(v));
}

/** U Vᴴ: the unitary factor of the polar decomposition. */
export function polar(x: NDArray): NDArray {
  const [u, , vh] = lax.linalg.svd(x, { fullMatrices: false });
  return np.matmul(u, vh);
}
