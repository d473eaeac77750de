export { cholesky, choleskyBlockP, type CholeskyOptions, choleskyP } from "./linalg/cholesky.ts";
export {
  eig,
  type EigOptions,
  eigP,
  type EigParams,
  hessenberg,
  hessenbergBlockP,
  hessenbergP,
  schur,
  schurP,
  type SchurParams,
  schurSweepsP,
  triangularEigenvectorsP,
} from "./linalg/eig.ts";
export { eigh, type EighOptions, eighP, type EighParams, eigvalsh, tridiagonalPanelP } from "./linalg/eigh.ts";
export { lu, luP, luPanelP, luPivotsToPermutation, luPivotsToPermutationP, type PivotsParams } from "./linalg/lu.ts";
export { takeColumns, takeElements, takeRows } from "./linalg/permute.ts";
export {
  geqrf,
  geqrfP,
  householderPanelP,
  householderProduct,
  householderProductP,
  qr,
  type QrOptions,
  qrP,
  type QrParams,
} from "./linalg/qr.ts";
export { bidiagonalPanelP, svd, type SvdOptions, svdP, type SvdParams } from "./linalg/svd.ts";
export { applyRotationsP, bidiagonalSweepsP, type SweepParams, tridiagonalSweepsP } from "./linalg/sweeps.ts";
export { tridiagonalSolve } from "./linalg/tridiagonal.ts";
export {
  triangularBlockP,
  triangularSolve,
  type TriangularSolveOptions,
  triangularSolveP,
  type TriangularSolveParams,
} from "./linalg/triangular.ts";
export { choleskyUpdate, symmetricProduct, type SymmetricProductOptions } from "./linalg/update.ts";
