import type { KernelRule } from "../scope.ts";
import { lowerBidiagonalPanel, lowerTridiagonalPanel } from "./condense.ts";
import { lowerCholeskyBlock, lowerHouseholderPanel, lowerLuPanel, lowerTriangularBlock } from "./factor.ts";
import { lowerHessenbergBlock, lowerSchurSweeps, lowerTriangularEigenvectors } from "./schur.ts";
import { lowerApplyRotations, lowerBidiagonalSweeps, lowerTridiagonalSweeps } from "./sweeps.ts";

/** The leaves of linear algebra: unblocked algorithms as routines. */
export const linalgRules: Readonly<Record<string, KernelRule>> = {
  apply_rotations: lowerApplyRotations,
  bidiagonal_panel: lowerBidiagonalPanel,
  bidiagonal_sweeps: lowerBidiagonalSweeps,
  cholesky_block: lowerCholeskyBlock,
  hessenberg_block: lowerHessenbergBlock,
  householder_panel: lowerHouseholderPanel,
  lu_panel: lowerLuPanel,
  schur_sweeps: lowerSchurSweeps,
  triangular_block: lowerTriangularBlock,
  triangular_eigenvectors: lowerTriangularEigenvectors,
  tridiagonal_panel: lowerTridiagonalPanel,
  tridiagonal_sweeps: lowerTridiagonalSweeps,
};
