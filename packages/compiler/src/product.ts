import { addIndex, constIndex, offsetIndex, scaleIndex } from "./affine.ts";
import type { Ex, Index } from "./expr.ts";
import type { KernelBuilder } from "./kernels.ts";
import type { Target, View } from "./program.ts";

/** One side of a product. */
export interface Operand {
  /** Whether it is the same for all batches. */
  readonly shared: boolean;
  /** The element in a row of A, or a column of B, at a depth. */
  readonly read: (k: KernelBuilder, batch: Index, at: Index, depth: Index) => Ex;
}

/**
 * A batched product of matrices of f32: `C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n]`. The operands are functions
 * of positions, so views and cheap producers are absorbed when the operands are packed.
 */
export interface Product {
  readonly name: string;
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** The dimensions that k runs over, for packing to walk: their product is k. */
  readonly depthShape: readonly number[];
  readonly a: Operand;
  readonly b: Operand;
  /** Steps of the result in elements; along n it is dense. */
  readonly batchStride: number;
  readonly rowStride: number;
  /**
   * How the axes of the value that is computed group into batches, rows and columns of C, in this order; null if they do not,
   * or if C is laid out in another way than the value.
   */
  readonly groups: readonly [number, number, number] | null;
  /** Where in C the element of the value at a position is; null when C is laid out like the value. */
  readonly linear: ((k: KernelBuilder, position: readonly Index[]) => Index) | null;
}

/** Products smaller than this gain nothing from packing; few rows do not pay for packing the other operand. */
export function worthPacking(p: Pick<Product, "m" | "n" | "k">, { tile }: Target): boolean {
  return tile !== null && p.m >= 12 && p.n >= 8 && p.k >= 8 && p.m * p.n * p.k >= 1 << 17;
}

/** Products of few elements over a long depth are sums of products over parts of it, which threads can share. */
const longDepth = 8192;
const smallResult = 1 << 17;
const mostDepthParts = 16;

/** Into how many parts the depth is cut. */
export function depthParts(p: Pick<Product, "batch" | "m" | "n" | "k" | "depthShape">): number {
  if (p.batch !== 1 || p.k < longDepth || p.m * p.n > smallResult) return 1;
  let parts = 1;
  for (let n = 2; n <= mostDepthParts && p.k / n >= longDepth / 8; n++) if (p.depthShape[0] % n === 0) parts = n;
  return parts;
}

/** The product as a batch of `parts` products, whose results are to be added. */
export function splitDepth(p: Product, parts: number): Product {
  const [first, ...rest] = p.depthShape;
  const depth = p.k / parts;
  const within = (operand: Operand): Operand => ({
    shared: false,
    read: (k, s, at, kk) => operand.read(k, constIndex(0), at, addIndex(scaleIndex(s, depth), kk)),
  });
  return {
    ...p,
    batch: parts,
    k: depth,
    depthShape: [first / parts, ...rest],
    batchStride: p.m * p.n,
    a: within(p.a),
    b: within(p.b),
    groups: null,
  };
}

/** The sum of an element of `parts` results that lie `step` elements apart. */
export function sumOfParts(k: KernelBuilder, from: View, at: Index, parts: number, step: number): Ex {
  const sums = Array.from({ length: parts }, (_, i) => k.e.load(k.slot(from), "f32", offsetIndex(at, i * step)));
  // Pairs, then pairs of pairs: the error grows with the logarithm of their number.
  while (sums.length > 1) sums.push(k.e.add(sums.shift()!, sums.shift()!));
  return sums[0];
}
