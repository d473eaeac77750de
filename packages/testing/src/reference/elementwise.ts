import { type DType, dtypeKind, isComplex, itemsize, type StandardDType } from "@traceform/core";
import * as c from "./complex.ts";
import * as special from "./special.ts";
import { type Complex, convertElement, decode, type Element, encode, type RefArray, rounder, sizeOf } from "./values.ts";

type Fn = (...xs: never[]) => Element;

/** What a primitive computes for each kind of element; a missing kind means the primitive does not take it. */
interface Kinds {
  readonly real?: (...xs: number[]) => number;
  readonly int?: (bits: number, signed: boolean) => (...xs: number[]) => number;
  readonly big?: (signed: boolean) => (...xs: bigint[]) => bigint;
  readonly complex?: (...xs: Complex[]) => Complex | number;
}

/** Functions of floats and complex numbers. */
const inexact = (real: (x: number) => number, complex?: (x: Complex) => Complex | number): Kinds =>
  complex === undefined ? { real } : { real, complex };

/** IEEE remainder towards zero and friends are exact in double for 32-bit integers; bit patterns need wrapping. */
const same = (
  real: (...xs: number[]) => number,
  big: (...xs: bigint[]) => bigint,
  complex?: (...xs: Complex[]) => Complex,
): Kinds => ({
  real,
  int: () => real,
  big: () => big,
  complex,
});

function roundHalfEven(x: number): number {
  if (!Number.isFinite(x) || Math.abs(x) >= 2 ** 52) return x;
  const floor = Math.floor(x);
  const rest = x - floor;
  const rounded = rest < 0.5 ? floor : rest > 0.5 ? floor + 1 : floor % 2 === 0 ? floor : floor + 1;
  return rounded === 0 && (x < 0 || Object.is(x, -0)) ? -0 : rounded;
}

function roundAway(x: number): number {
  const rounded = Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
  // 0.49999999999999994 + 0.5 rounds up to 1.
  return Math.abs(rounded - x) > 0.5 ? rounded - Math.sign(x) : rounded === 0 && x < 0 ? -0 : rounded;
}

const max = (a: number, b: number): number => (Number.isNaN(a) || Number.isNaN(b) ? NaN : Math.max(a, b));
const min = (a: number, b: number): number => (Number.isNaN(a) || Number.isNaN(b) ? NaN : Math.min(a, b));
const bigMax = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const bigMin = (a: bigint, b: bigint): bigint => (a < b ? a : b);
/** Complex numbers are ordered by real part, then imaginary part. */
const lexicographic = (a: Complex, b: Complex): boolean => a.re < b.re || (a.re === b.re && a.im < b.im);

/** Integer division truncates; by zero it is all ones, and the remainder the dividend. */
const intDiv =
  (_bits: number, _signed: boolean) =>
  (a: number, b: number): number =>
    b === 0 ? -1 : Math.trunc(a / b);
const intRem =
  () =>
  (a: number, b: number): number =>
    b === 0 ? a : a % b;

/** A shift by the width or more gives 0, or the sign for arithmetic shifts. */
const shifts: Record<string, Kinds> = {
  shift_left: {
    int: (bits) => (a, s) => (s >>> 0 >= bits ? 0 : Math.imul(a, 2 ** s)),
    big: () => (a, s) => (s < 0n || s >= 64n ? 0n : a << s),
  },
  shift_right_logical: {
    int: (bits) => (a, s) => (s >>> 0 >= bits ? 0 : (bits === 32 ? a >>> 0 : a & (2 ** bits - 1)) >>> s),
    big: () => (a, s) => (s < 0n || s >= 64n ? 0n : BigInt.asUintN(64, a) >> s),
  },
  shift_right_arithmetic: {
    int: (bits) => (a, s) => {
      const signed = bits === 32 ? a | 0 : (a << (32 - bits)) >> (32 - bits);
      return signed >> Math.min(s >>> 0 >= bits ? bits - 1 : s, 31);
    },
    big: () => (a, s) => BigInt.asIntN(64, a) >> (s < 0n || s >= 64n ? 63n : s),
  },
};

const bitwise = (int: (a: number, b: number) => number, big: (a: bigint, b: bigint) => bigint): Kinds => ({
  int: () => int,
  big: () => big,
});

export function threefry2x32(k1: number, k2: number, x1: number, x2: number): [number, number] {
  const rotations = [
    [13, 15, 26, 6],
    [17, 29, 16, 24],
  ];
  const ks = [k1, k2, k1 ^ k2 ^ 0x1bd11bda];
  let a = (x1 + ks[0]) | 0;
  let b = (x2 + ks[1]) | 0;
  for (let round = 0; round < 5; round++) {
    for (const r of rotations[round % 2]) {
      a = (a + b) | 0;
      b = (b << r) | (b >>> (32 - r));
      b ^= a;
    }
    a = (a + ks[(round + 1) % 3]) | 0;
    b = (b + ks[(round + 2) % 3] + round + 1) | 0;
  }
  return [a >>> 0, b >>> 0];
}

function nextafter(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return NaN;
  if (a === b) return b;
  const view = new DataView(new ArrayBuffer(8));
  if (a === 0) return b > 0 ? Number.MIN_VALUE : -Number.MIN_VALUE;
  view.setFloat64(0, a);
  view.setBigInt64(0, view.getBigInt64(0) + (b > a === a > 0 ? 1n : -1n));
  return view.getFloat64(0);
}

function nextafter32(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return NaN;
  if (a === b) return b;
  if (a === 0) return b > 0 ? 2 ** -149 : -(2 ** -149);
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, a);
  view.setInt32(0, view.getInt32(0) + (b > a === a > 0 ? 1 : -1));
  return view.getFloat32(0);
}

/** x^y as IEEE and NumPy have it: 1^anything and (-1)^±inf are 1, where JavaScript says NaN. */
function pow(x: number, y: number): number {
  if (x === 1 || (x === -1 && !Number.isFinite(y) && !Number.isNaN(y))) return 1;
  return x ** y;
}

const integerPow = (y: number): Kinds => ({
  real: (x) => x ** y,
  int: () => (x) => {
    let result = 1;
    for (let i = 0; i < y; i++) result = Math.imul(result, x);
    return result;
  },
  big: () => (x) => x ** BigInt(y),
  complex: (x) => {
    let result = c.cx(1, 0);
    for (let i = 0; i < Math.abs(y); i++) result = c.mul(result, x);
    return y < 0 ? c.div(c.cx(1, 0), result) : result;
  },
});

const table: Record<string, Kinds | ((params: Record<string, unknown>, dtype: DType) => Kinds)> = {
  neg: same(
    (x) => -x,
    (x) => -x,
    (x) => c.scale(x, -1),
  ),
  sign: same(
    (x) => Math.sign(x),
    (x) => (x > 0n ? 1n : x < 0n ? -1n : 0n),
    (x) => (c.abs(x) === 0 ? x : c.scale(x, 1 / c.abs(x))),
  ),
  floor: inexact(Math.floor),
  ceil: inexact(Math.ceil),
  round: (p) => inexact(p["roundingMethod"] === "TO_NEAREST_EVEN" || p["roundingMethod"] === 1 ? roundHalfEven : roundAway),
  exp: inexact(Math.exp, c.exp),
  exp2: inexact(
    (x) => 2 ** x,
    (x) => c.exp(c.scale(x, Math.LN2)),
  ),
  expm1: inexact(Math.expm1, c.expm1),
  log: inexact(Math.log, c.log),
  log1p: inexact(Math.log1p, c.log1p),
  sqrt: inexact(Math.sqrt, c.sqrt),
  rsqrt: inexact(
    (x) => 1 / Math.sqrt(x),
    (x) => c.div(c.cx(1, 0), c.sqrt(x)),
  ),
  cbrt: inexact(Math.cbrt),
  square: { real: (x) => x * x, int: () => (x) => Math.imul(x, x), big: () => (x) => x * x, complex: (x) => c.mul(x, x) },
  sin: inexact(Math.sin, c.sin),
  cos: inexact(Math.cos, c.cos),
  tan: inexact(Math.tan, c.tan),
  asin: inexact(Math.asin, c.asin),
  acos: inexact(Math.acos, c.acos),
  atan: inexact(Math.atan, c.atan),
  sinh: inexact(Math.sinh, c.sinh),
  cosh: inexact(Math.cosh, c.cosh),
  tanh: inexact(Math.tanh, c.tanh),
  asinh: inexact(Math.asinh, c.asinh),
  acosh: inexact(Math.acosh, c.acosh),
  atanh: inexact(Math.atanh, c.atanh),
  logistic: inexact(
    (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x))),
    (x) => c.div(c.cx(1, 0), c.add(c.cx(1, 0), c.exp(c.scale(x, -1)))),
  ),
  erf: inexact(special.erf),
  erfc: inexact(special.erfc),
  erf_inv: inexact(special.erfInv),
  lgamma: inexact(special.lgamma),
  digamma: inexact(special.digamma),
  bessel_i0e: inexact((x) => special.besselIe(0, x)),
  bessel_i1e: inexact((x) => special.besselIe(1, x)),
  igamma: { real: special.igamma },
  igammac: { real: special.igammac },
  polygamma: { real: special.polygamma },
  zeta: { real: special.hurwitzZeta },
  regularized_incomplete_beta: { real: special.betainc },
  abs: { real: Math.abs, int: () => Math.abs, big: () => (x) => (x < 0n ? -x : x), complex: c.abs },
  not: (_p, dtype) => (dtype === "bool" ? { int: () => (x) => 1 - x } : { int: () => (x) => ~x, big: () => (x) => ~x }),
  population_count: {
    int: (bits) => (x) => {
      let n = 0;
      for (let b = 0; b < bits; b++) n += (x >>> b) & 1;
      return n;
    },
    big: () => (x) => BigInt(BigInt.asUintN(64, x).toString(2).replaceAll("0", "").length),
  },
  clz: {
    int: (bits) => (x) => Math.clz32(bits === 32 ? x : x & (2 ** bits - 1)) - (32 - bits),
    big: () => (x) => (x === 0n ? 64n : BigInt(64 - BigInt.asUintN(64, x).toString(2).length)),
  },
  integer_pow: (p) => integerPow(p["y"] as number),
  conj: { real: (x) => x, complex: (x) => c.cx(x.re, -x.im) },
  copy: same(
    (x) => x,
    (x) => x,
    (x) => x,
  ),
  stop_gradient: same(
    (x) => x,
    (x) => x,
    (x) => x,
  ),
  name: same(
    (x) => x,
    (x) => x,
    (x) => x,
  ),
  reduce_precision: (p) => ({ real: (x) => reducePrecision(x, p["exponentBits"] as number, p["mantissaBits"] as number) }),
  add: same(
    (a, b) => a + b,
    (a, b) => a + b,
    c.add,
  ),
  add_any: same(
    (a, b) => a + b,
    (a, b) => a + b,
    c.add,
  ),
  sub: same(
    (a, b) => a - b,
    (a, b) => a - b,
    c.sub,
  ),
  mul: { real: (a, b) => a * b, int: () => Math.imul, big: () => (a, b) => a * b, complex: c.mul },
  div: {
    real: (a, b) => a / b,
    int: intDiv,
    big: () => (a, b) => (b === 0n ? -1n : a / b),
    complex: c.div,
  },
  rem: { real: (a, b) => a % b, int: intRem, big: () => (a, b) => (b === 0n ? a : a % b) },
  pow: { real: pow, complex: c.pow },
  max: { real: max, int: () => max, big: () => bigMax, complex: (a, b) => (lexicographic(a, b) ? b : a) },
  min: { real: min, int: () => min, big: () => bigMin, complex: (a, b) => (lexicographic(b, a) ? b : a) },
  atan2: { real: Math.atan2 },
  nextafter: (_p, dtype) => ({ real: dtype === "float64" ? nextafter : nextafter32 }),
  and: bitwise(
    (a, b) => a & b,
    (a, b) => a & b,
  ),
  or: bitwise(
    (a, b) => a | b,
    (a, b) => a | b,
  ),
  xor: bitwise(
    (a, b) => a ^ b,
    (a, b) => a ^ b,
  ),
  ...shifts,
};

function reducePrecision(x: number, exponentBits: number, mantissaBits: number): number {
  if (!Number.isFinite(x) || x === 0) return x;
  const bias = 2 ** (exponentBits - 1) - 1;
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(x))), 1 - bias);
  const unit = 2 ** (exponent - mantissaBits);
  const rounded = roundHalfEven(x / unit) * unit;
  if (Math.abs(rounded) >= 2 ** (bias + 1)) return Math.sign(x) * Infinity;
  if (Math.abs(rounded) < 2 ** (1 - bias)) return x < 0 ? -0 : 0;
  return rounded;
}

const comparisons: Record<string, (a: number | bigint, b: number | bigint) => boolean> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
};

/** Applies `fn` elementwise; operands of rank 0 broadcast. */
export function mapElements(fn: Fn, args: readonly RefArray[], shape: readonly number[], dtype: DType): RefArray {
  const n = sizeOf(shape);
  const values = new Array<Element>(n);
  for (let i = 0; i < n; i++) values[i] = fn(...(args.map((x) => x.values[x.shape.length === 0 ? 0 : i]) as never[]));
  return { shape, dtype, values };
}

function selectKind(kinds: Kinds, dtype: StandardDType, name: string): Fn {
  const kind = dtypeKind(dtype);
  const found =
    kind === "complex"
      ? kinds.complex
      : kind === "float"
        ? kinds.real
        : dtype === "int64" || dtype === "uint64"
          ? kinds.big?.(dtype === "int64")
          : kinds.int?.(itemsize(dtype) * 8, kind === "int");
  if (found === undefined) throw new Error(`reference: ${name} of ${dtype}`);
  return found as Fn;
}

/** Computes the elementwise primitive `name`, or returns `null` when it is not one. */
export function elementwise(
  name: string,
  args: readonly RefArray[],
  params: Record<string, unknown>,
  outShape: readonly number[],
  outDType: DType,
): RefArray | null {
  const dtype = args[0]?.dtype;
  if (name in comparisons) {
    const compare = comparisons[name];
    const test = isComplex(dtype)
      ? (a: Complex, b: Complex): Element => ((a.re === b.re && a.im === b.im) === (name === "eq") ? 1 : 0)
      : (a: number | bigint, b: number | bigint): Element => (compare(a, b) ? 1 : 0);
    return mapElements(test as Fn, args, outShape, "bool");
  }
  switch (name) {
    case "is_finite":
      return mapElements((x: number) => (Number.isFinite(x) ? 1 : 0), args, outShape, "bool");
    case "real":
      return mapElements((x: Complex) => x.re, args, outShape, outDType);
    case "imag":
      return mapElements((x: Complex) => x.im, args, outShape, outDType);
    case "complex":
      return mapElements((re: number, im: number) => ({ re, im }), args, outShape, outDType);
    case "conj": {
      const conj = (x: Element): Element =>
        typeof x === "object" ? c.cx((x as Complex).re, -(x as Complex).im) : c.cx(Number(x), 0);
      return mapElements(conj as Fn, args, outShape, outDType);
    }
    case "convert_element_type":
      return mapElements((x: Element) => convertElement(x, dtype, outDType), args, outShape, outDType);
    case "bitcast_convert_type": {
      const bytes = encode(dtype as StandardDType, args[0].values);
      return { shape: outShape, dtype: outDType, values: decode(outDType as StandardDType, bytes, sizeOf(outShape)) };
    }
    case "select_n":
      return mapElements((which: number | bigint, ...cases: Element[]) => cases[Number(which)], args, outShape, outDType);
    case "clamp": {
      const [lo, x, hi] = args;
      const below = selectKind(table["max"] as Kinds, x.dtype as StandardDType, "clamp");
      const over = selectKind(table["min"] as Kinds, x.dtype as StandardDType, "clamp");
      return mapElements((l: never, v: never, h: never) => over(below(v, l) as never, h), [lo, x, hi], outShape, outDType);
    }
    case "pow":
      if (args[1].dtype !== dtype && !isComplex(dtype)) {
        const raise = (x: number, y: number | bigint): Element => rounder(outDType)(pow(x, Number(y)));
        return mapElements(raise as Fn, args, outShape, outDType);
      }
      break;
  }
  const entry = table[name];
  if (entry === undefined) return null;
  const kinds = typeof entry === "function" ? entry(params, dtype) : entry;
  // Elements of extended dtypes pass through identities as they are.
  if (typeof dtype !== "string") return { ...args[0], shape: outShape };
  const fn = selectKind(kinds, dtype, name);
  const round = rounder(outDType);
  return mapElements((...xs: never[]) => round(fn(...xs)), args, outShape, outDType);
}

/** The two-operand function of a dtype under the name of a primitive, unrounded: for reductions and scatters. */
export function combiner(name: string, dtype: DType): (a: Element, b: Element) => Element {
  const fn = selectKind(table[name] as Kinds, dtype as StandardDType, name);
  return fn as unknown as (a: Element, b: Element) => Element;
}
