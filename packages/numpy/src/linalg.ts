export {
  cholesky,
  type CholeskyOptions,
  eig,
  eigh,
  type EighOptions,
  eigvals,
  eigvalsh,
  qr,
  type QrMode,
  svd,
  type SvdOptions,
  svdvals,
} from "./linalg/factor.ts";
export { det, slogdet } from "./linalg/det.ts";
export { cond, matrixNorm, matrixRank, norm, type NormOptions, type NormOrder, vectorNorm } from "./linalg/norms.ts";
export * from "./linalg/products.ts";
export { inv, lstsq, type LstsqOptions, pinv, type PinvOptions, solve, tensorinv, tensorsolve } from "./linalg/solve.ts";
