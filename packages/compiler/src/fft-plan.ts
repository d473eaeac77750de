import { smallDft, smallestFactor } from "./fft-butterfly.ts";
import { Exprs } from "./expr.ts";

/** How the transform of one axis is computed. */
export type FftPlan =
  /** Passes of these radices along the axis, each over a dense inner extent. One radix, or none, is one pass. */
  | { readonly kind: "columns"; readonly radices: readonly number[] }
  /** The axis as a matrix: its columns, a transposition, the columns of that. */
  | { readonly kind: "matrix"; readonly first: readonly number[]; readonly second: readonly number[] }
  /** Bluestein's algorithm: a convolution with a chirp in a circle of `size` elements. */
  | { readonly kind: "chirp"; readonly size: number };

/** The largest number of elements that one butterfly takes: beyond it values no longer fit into registers. */
const largestRadix = 16;
/** The largest number of elements that may fall into one set of the nearest cache, both planes of them. */
const smallRadix = 4;
/** Lanes that a pass should have: four floats. */
const lanes = 4;

/**
 * Plans transforms of length `n` with `inner` elements beside each other at every position of the axis.
 *
 * Passes of the Stockham form read and write runs of at least `inner` elements. Where these are too short for vectors the
 * axis is taken as a matrix, whose rows are such runs; this costs one transposition, and a table of n factors.
 *
 * @see Van Loan, "Computational Frameworks for the Fast Fourier Transform" (1992), sections 1.7 and 3.3
 */
export function planFft(n: number, inner: number, collides: (step: number) => boolean): FftPlan {
  if (largestPrime(n) > 13) return { kind: "chirp", size: 2 ** Math.ceil(Math.log2(2 * n - 1)) };
  // The first pass reads, and the last pass writes, arrays that are not padded.
  const edge = (r: number): boolean => r <= smallRadix || !collides((n * inner) / r);
  if (inner >= lanes || n <= largestRadix) return { kind: "columns", radices: radicesOf(n, edge, edge) };
  let best: FftPlan | null = null;
  let least = Infinity;
  for (let a = 2; a < n; a++) {
    if (n % a !== 0) continue;
    const b = n / a;
    const cost = costOf(a) * laneWaste(b * inner) + costOf(b) * laneWaste(a * inner);
    // Of equal ones the squarest: its runs are long in both phases.
    if (cost < least - 1e-9 || (cost < least + 1e-9 && Math.abs(a - b) < Math.abs(squareness(best!)))) {
      least = cost;
      best = { kind: "matrix", first: radicesOf(a, edge, any), second: radicesOf(b, any, edge) };
    }
  }
  return best!;
}

function squareness(plan: FftPlan): number {
  if (plan.kind !== "matrix") return Infinity;
  const size = (radices: readonly number[]): number => radices.reduce((x, r) => x * r, 1);
  return size(plan.first) - size(plan.second);
}

/** How much longer a run takes than if lanes divided its length: the rest goes one by one. */
function laneWaste(run: number): number {
  return (Math.floor(run / lanes) + (run % lanes)) / (run / lanes);
}

interface Factors {
  readonly radices: readonly number[];
  readonly cost: number;
}
const factorMemo = new Map<number, Factors>();

/** The cheapest product of radices for a length whose primes are small. */
function factors(n: number): Factors {
  if (n === 1) return { radices: [], cost: 0 };
  let best = factorMemo.get(n);
  if (best === undefined) {
    best = { radices: [], cost: Infinity };
    for (let r = 2; r <= largestRadix; r++) {
      if (n % r !== 0) continue;
      const rest = factors(n / r);
      const cost = rest.cost + radixCost(r);
      // The larger radix first: its factors are the most.
      if (cost < best.cost) best = { radices: [r, ...rest.radices].sort((a, b) => b - a), cost };
    }
    factorMemo.set(n, best);
  }
  return best;
}
const any = (): boolean => true;
/** The cheapest radices of which the first and the last are fit for their places, where there are such. */
function radicesOf(n: number, first: (r: number) => boolean, last: (r: number) => boolean): readonly number[] {
  const { radices } = factors(n);
  if (radices.length === 0 || (first(radices[0]) && last(radices[radices.length - 1]))) return radices;
  let best: Factors = { radices, cost: Infinity };
  for (const a of first === any ? [1] : edgeRadices(n, first)) {
    for (const b of last === any ? [1] : edgeRadices(n / a, last)) {
      const inner = factors(n / a / b);
      const cost = inner.cost + (a === 1 ? 0 : radixCost(a)) + (b === 1 ? 0 : radixCost(b));
      if (cost < best.cost) best = { radices: [a, ...inner.radices, b].filter((r) => r > 1), cost };
    }
  }
  return best.radices;
}
function edgeRadices(n: number, fits: (r: number) => boolean): number[] {
  const found: number[] = [];
  for (let r = 2; r <= largestRadix; r++) if (n % r === 0 && fits(r)) found.push(r);
  return found;
}
function costOf(n: number): number {
  return factors(n).cost;
}

const radixCosts = new Map<number, number>();
/** What a pass of a radix costs for each element: the operations of its butterfly, and going through memory. */
function radixCost(r: number): number {
  let cost = radixCosts.get(r);
  if (cost === undefined) {
    const e = new Exprs();
    smallDft(
      e,
      Array.from({ length: r }, () => ({ re: e.param("f32"), im: e.param("f32") })),
    );
    radixCosts.set(r, (cost = e.size / r + passCost));
  }
  return cost;
}
/** Loads, stores, addresses and twiddle factors of one element in a pass, in simple operations. */
const passCost = 16;

export function largestPrime(n: number): number {
  let largest = 1;
  while (n > 1) {
    const f = smallestFactor(n);
    largest = Math.max(largest, f);
    n /= f;
  }
  return largest;
}
