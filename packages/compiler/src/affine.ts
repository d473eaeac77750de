import { type Axis, type Ex, type Exprs, type Index, indexKey, type Term } from "./expr.ts";

/** Smallest and largest value that an index takes. */
interface Range {
  readonly min: number;
  readonly max: number;
}

const unknown: Range = { min: -Infinity, max: Infinity };

export function constIndex(c: number): Index {
  return { c, terms: [] };
}

export function axisIndex(e: Exprs, axis: Axis): Index {
  return axis.extent === 1 ? constIndex(0) : { c: 0, terms: [{ atom: e.axisValue(axis), coef: 1 }] };
}

/** An i32 value as an index: affine when it came from one, otherwise an atom. */
export function valueIndex(x: Ex): Index {
  if (x.op === "const") return constIndex(Number(x.value));
  if (x.op === "index") return x.index!;
  return { c: 0, terms: [{ atom: x, coef: 1 }] };
}

export function addIndex(a: Index, b: Index): Index {
  if (b.terms.length === 0) return b.c === 0 ? a : { c: a.c + b.c, terms: a.terms };
  if (a.terms.length === 0) return a.c === 0 ? b : { c: a.c + b.c, terms: b.terms };
  return fromTerms(a.c + b.c, [...a.terms, ...b.terms]);
}

export function offsetIndex(a: Index, c: number): Index {
  return c === 0 ? a : { c: a.c + c, terms: a.terms };
}

export function scaleIndex(a: Index, k: number): Index {
  if (k === 1) return a;
  if (k === 0) return constIndex(0);
  return { c: a.c * k, terms: a.terms.map((t) => ({ atom: t.atom, coef: t.coef * k })) };
}

/** Merges equal atoms and rejoins `n * (x / n) + x % n` to `x`, which makes a reshape back and forth free. */
function fromTerms(c: number, terms: readonly Term[]): Index {
  const sums = new Map<Ex, number>();
  for (const t of terms) sums.set(t.atom, (sums.get(t.atom) ?? 0) + t.coef);
  for (const [atom, coef] of sums) {
    if (atom.op !== "imod" || coef === 0) continue;
    const n = Number(atom.value);
    for (const [other, k] of sums) {
      if (other.op === "idiv" && indexKey(other.index!) === indexKey(atom.index!) && Number(other.value) === n && k === coef * n) {
        const rest: Term[] = [];
        for (const [x, f] of sums) if (x !== atom && x !== other && f !== 0) rest.push({ atom: x, coef: f });
        const whole = scaleIndex(atom.index!, coef);
        return fromTerms(c + whole.c, [...rest, ...whole.terms]);
      }
    }
  }
  const out: Term[] = [];
  for (const [atom, coef] of sums) if (coef !== 0) out.push({ atom, coef });
  out.sort((x, y) => x.atom.id - y.atom.id);
  return { c, terms: out };
}

function atomRange(x: Ex): Range {
  switch (x.op) {
    case "axis":
      return { min: 0, max: Math.max(0, x.axis!.extent - 1) };
    case "imod":
      return { min: 0, max: Number(x.value) - 1 };
    case "idiv": {
      const r = indexRange(x.index!);
      return { min: Math.floor(r.min / Number(x.value)), max: Math.floor(r.max / Number(x.value)) };
    }
    default:
      return unknown;
  }
}

export function indexRange(index: Index): Range {
  let min = index.c;
  let max = index.c;
  for (const { atom, coef } of index.terms) {
    const r = atomRange(atom);
    min += coef * (coef > 0 ? r.min : r.max);
    max += coef * (coef > 0 ? r.max : r.min);
  }
  return { min, max };
}

/** Splits off the summands that `n` divides: index = n * whole + rest. */
function splitMultiples(index: Index, n: number): { whole: Index; rest: Index } {
  const whole: Term[] = [];
  const rest: Term[] = [];
  for (const t of index.terms) (t.coef % n === 0 ? whole : rest).push(t);
  const c = Math.floor(index.c / n);
  return {
    whole: { c, terms: whole.map((t) => ({ atom: t.atom, coef: t.coef / n })) },
    rest: { c: index.c - c * n, terms: rest },
  };
}

function gcd(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return Math.abs(a);
}

/**
 * Writes the index as `g * whole + rest` with `rest` in [0, g) for a divisor g > 1 of n: then only `whole` matters to a
 * division by n. Null when there is none.
 */
function splitDivisor(index: Index, n: number): { g: number; whole: Index; rest: Index } | null {
  const sizes = [...new Set(index.terms.map((t) => Math.abs(t.coef)))].sort((a, b) => b - a);
  let g = n;
  for (const size of sizes) {
    g = gcd(g, size);
    if (g === 1) return null;
    const { whole, rest } = splitMultiples(index, g);
    const r = indexRange(rest);
    if (whole.terms.length > 0 && r.min >= 0 && r.max < g) return { g, whole, rest };
  }
  return null;
}

/** `floor(index / n)`. */
export function divIndex(e: Exprs, index: Index, n: number): Index {
  if (n === 1) return index;
  const { whole, rest } = splitMultiples(index, n);
  const r = indexRange(rest);
  if (r.min >= 0 && r.max < n) return whole;
  const split = splitDivisor(rest, n);
  if (split !== null && split.g < n) return addIndex(whole, divIndex(e, split.whole, n / split.g));
  const atom = e.indexAtom("idiv", rest, n);
  return addIndex(whole, { c: 0, terms: [{ atom, coef: 1 }] });
}

/** `index - n * floor(index / n)`, in `[0, n)`. */
export function modIndex(e: Exprs, index: Index, n: number): Index {
  if (n === 1) return constIndex(0);
  const { rest } = splitMultiples(index, n);
  const r = indexRange(rest);
  if (r.min >= 0 && r.max < n) return rest;
  const split = splitDivisor(rest, n);
  if (split !== null && split.g < n) return addIndex(scaleIndex(modIndex(e, split.whole, n / split.g), split.g), split.rest);
  return { c: 0, terms: [{ atom: e.indexAtom("imod", rest, n), coef: 1 }] };
}

/** Row-major strides in elements. A dimension of size zero has stride zero, so that no address runs away. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length).fill(0);
  let n = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = n;
    n *= shape[i]!;
  }
  return n === 0 ? strides.fill(0) : strides;
}

/** The row-major offset of a position, in elements. */
export function flattenIndex(position: readonly Index[], shape: readonly number[]): Index {
  const strides = stridesOf(shape);
  let out = constIndex(0);
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1) out = addIndex(out, scaleIndex(position[i]!, strides[i]!));
  }
  return out;
}

/** The position in `shape` of a row-major offset. */
export function unflattenIndex(e: Exprs, offset: Index, shape: readonly number[]): Index[] {
  const out = new Array<Index>(shape.length).fill(constIndex(0));
  let q = offset;
  let last = 0;
  while (last < shape.length && shape[last] === 1) last++;
  for (let i = shape.length - 1; i >= 0; i--) {
    const n = shape[i]!;
    if (n === 1) continue;
    if (n === 0) return out;
    // The leading dimension takes what is left: an offset inside the array needs no remainder there.
    out[i] = i === last ? q : modIndex(e, q, n);
    q = divIndex(e, q, n);
  }
  return out;
}
