import type { DType } from "@traceform/core";
import { type Ex, type Exprs, type ScalarType } from "./expr.ts";
import { convertElement } from "./convert.ts";
import { copySign } from "./math/common.ts";
import { atan2Float, elementFunction, elementFunctions, polygammaFloat, powFloat, remFloat, zetaFloat } from "./math/functions.ts";
import { constantOf, roundToDType, type ScalarInfo, scalarInfo } from "./scalars.ts";

/** What a rule knows beside its operands: dtypes of the operands and the result, and the parameters. */
export interface ElementContext {
  readonly dtypes: readonly DType[];
  readonly out: DType;
  readonly params: Readonly<Record<string, unknown>>;
}

/** One elementwise primitive as scalar expressions. */
export type ElementRule = (e: Exprs, args: readonly Ex[], c: ElementContext) => Ex;

const info = (c: ElementContext): ScalarInfo => scalarInfo(c.dtypes[0]!);
const isFloat = (x: Ex): boolean => x.type === "f32" || x.type === "f64";

/** Integer arithmetic wraps at the width of the dtype. */
const wrapped =
  (rule: ElementRule): ElementRule =>
  (e, args, c) => {
    const y = rule(e, args, c);
    return info(c).kind === "float" ? y : roundToDType(e, c.out, y);
  };

/**
 * Integer division without traps: by zero all ones (or the dividend, for the remainder), and the smallest integer
 * divided by -1 is itself.
 */
function integerDivision(e: Exprs, args: readonly Ex[], c: ElementContext, remainder: boolean): Ex {
  const [a, b] = args as [Ex, Ex];
  const { kind, bits } = info(c);
  const int = (v: number | bigint): Ex => e.constant(a.type, v);
  const zero = e.eq(b, int(0));
  let safe = e.select(zero, int(1), b);
  if (kind === "uint") {
    const q = e.op(remainder ? "rem_u" : "div_u", a.type, [a, safe]);
    return e.select(zero, remainder ? a : roundToDType(e, c.out, int(-1)), q);
  }
  const least = bits === 64 ? -(1n << 63n) : -(2 ** (bits - 1));
  const overflow = e.and(e.eq(a, int(least)), e.eq(b, int(-1)));
  safe = e.select(overflow, int(1), safe);
  const q = e.op(remainder ? "rem_s" : "div_s", a.type, [a, safe]);
  if (!remainder) return e.select(zero, int(-1), q);
  return e.select(zero, a, e.select(overflow, int(0), q));
}

/** Shifts past the width fill with zeros, or with the sign. Negative amounts count as too large. */
function shift(op: "shl" | "shr_u" | "shr_s"): ElementRule {
  return (e, args, c) => {
    const [a, n] = args as [Ex, Ex];
    const { bits, kind } = info(c);
    const int = (v: number): Ex => e.constant(a.type, v);
    const inside = e.compare("lt_u", n, int(bits));
    if (op === "shr_s") return e.op("shr_s", a.type, [signed(e, a, c), e.select(inside, n, int(bits - 1))]);
    // The bits of a small signed integer above its width are copies of the sign.
    const source = op === "shr_u" && kind === "int" && bits < 32 ? e.and(a, int(2 ** bits - 1)) : a;
    return e.select(inside, e.op(op, a.type, [source, n]), int(0));
  };
}
/** The operand read as a signed integer of its width. */
function signed(e: Exprs, a: Ex, c: ElementContext): Ex {
  const { bits, kind } = info(c);
  if (kind !== "uint" || bits >= 32) return a;
  return e.shrS(e.shl(a, 32 - bits), 32 - bits);
}

/** Comparison by the kind of the dtype. Booleans order as 0 < 1. */
function compare(op: "lt" | "le" | "gt" | "ge"): ElementRule {
  return (e, [a, b], c) => {
    const { kind } = info(c);
    if (kind === "bool") return e.compare(op, asInt(e, a!), asInt(e, b!));
    return e.compare(kind === "uint" ? `${op}_u` : op, a!, b!);
  };
}
function asInt(e: Exprs, a: Ex): Ex {
  return e.convert("from_bool", "i32", a);
}

/** Maximum or minimum; NaN wins. */
function extremum(op: "max" | "min"): ElementRule {
  return (e, [a, b], c) => {
    const { kind } = info(c);
    if (kind === "float") return e.op(op, a!.type, [a!, b!]);
    if (kind === "bool") return op === "max" ? e.or(a!, b!) : e.and(a!, b!);
    const less = e.compare(kind === "uint" ? "lt_u" : "lt", a!, b!);
    return op === "max" ? e.select(less, b!, a!) : e.select(less, a!, b!);
  };
}

/** x^n by squaring. A negative power of a float is the reciprocal; of an integer, 0 unless x is 1 or -1. */
function integerPower(e: Exprs, x: Ex, n: number, c: ElementContext): Ex {
  const one = constantOf(e, c.out, 1);
  if (n < 0) {
    const inverse = info(c).kind === "float" ? e.div(one, x) : integerDivision(e, [one, x], c, false);
    if (info(c).kind !== "float") return integerPower(e, inverse, -n, c);
    return e.div(one, integerPower(e, x, -n, c));
  }
  let result: Ex | null = null;
  let square = x;
  for (let k = n; k > 0; k = Math.floor(k / 2)) {
    if (k % 2 === 1) result = result === null ? square : e.mul(result, square);
    if (k > 1) square = e.mul(square, square);
  }
  return result ?? one;
}

/** Powers of integers by a fixed ladder: one step for every bit of the exponent. */
function integerPow(e: Exprs, x: Ex, y: Ex, c: ElementContext): Ex {
  const exponent = scalarInfo(c.dtypes[1]!);
  let result = constantOf(e, c.out, 1);
  let square = x;
  const float = isFloat(x);
  const negative = exponent.kind === "int" ? e.lt(y, e.constant(y.type, 0)) : e.constant("bool", 0);
  const n = e.select(negative, e.sub(e.constant(y.type, 0), y), y);
  for (let bit = 0; bit < exponent.bits; bit++) {
    const set = e.ne(e.and(n, e.shl(e.constant(y.type, 1), bit)), e.constant(y.type, 0));
    result = e.select(set, e.mul(result, square), result);
    square = e.mul(square, square);
  }
  if (float) return e.select(negative, e.div(e.constant(x.type, 1), result), result);
  const one = constantOf(e, c.out, 1);
  return e.select(negative, integerDivision(e, [one, result], c, false), result);
}

function sign(e: Exprs, x: Ex, c: ElementContext): Ex {
  const { kind } = info(c);
  const zero = constantOf(e, c.out, 0);
  const one = constantOf(e, c.out, 1);
  if (kind === "uint") return e.select(e.eq(x, zero), zero, one);
  const y = e.select(e.lt(x, zero), constantOf(e, c.out, -1), one);
  // Zero keeps its sign and NaN stays.
  return kind === "float" ? e.select(e.or(e.eq(x, zero), e.ne(x, x)), x, y) : e.select(e.eq(x, zero), zero, y);
}

function round(e: Exprs, x: Ex, method: unknown): Ex {
  if (method === "TO_NEAREST_EVEN" || method === 1) return e.unary("nearest", x);
  // Away from zero: a half is added to what was cut off only where it is at least a half.
  const t = e.unary("trunc", x);
  const up = e.ge(e.unary("abs", e.sub(x, t)), e.constant(x.type, 0.5));
  const one = copySign(e, e.constant(x.type, 1), x);
  return copySign(e, e.select(up, e.add(t, one), t), x);
}

/** The next representable value after x in the direction of y. */
function nextAfter(e: Exprs, x: Ex, y: Ex): Ex {
  const bits: ScalarType = x.type === "f32" ? "i32" : "i64";
  const int = (v: number | bigint): Ex => e.constant(bits, v);
  const ix = e.bitcast(bits, x);
  const zero = e.constant(x.type, 0);
  const up = e.eq(e.lt(x, y), e.gt(x, zero));
  const moved = e.bitcast(x.type, e.select(up, e.add(ix, int(1)), e.sub(ix, int(1))));
  const tiny = copySign(e, e.bitcast(x.type, int(1)), y);
  const step = e.select(e.eq(x, zero), tiny, moved);
  const same = e.select(e.eq(x, y), y, step);
  return e.select(e.or(e.ne(x, x), e.ne(y, y)), e.add(x, y), same);
}

/** Rounds to fewer exponent and mantissa bits: nearest even, overflow to infinity, underflow to zero. */
function reducePrecision(e: Exprs, x: Ex, exponentBits: number, mantissaBits: number): Ex {
  const bits: ScalarType = x.type === "f32" ? "i32" : "i64";
  const mantissa = x.type === "f32" ? 23 : 52;
  const bias = x.type === "f32" ? 127 : 1023;
  const int = (v: bigint): Ex => e.constant(bits, v);
  let i = e.bitcast(bits, x);
  if (mantissaBits < mantissa) {
    const drop = BigInt(mantissa - mantissaBits);
    const odd = e.and(e.shrU(i, Number(drop)), int(1n));
    i = e.and(e.add(i, e.add(int((1n << (drop - 1n)) - 1n), odd)), int(~((1n << drop) - 1n)));
  }
  let y = e.bitcast(x.type, i);
  const wide = x.type === "f32" ? 8 : 11;
  if (exponentBits < wide) {
    const reduced = 2 ** (exponentBits - 1) - 1;
    const a = e.unary("abs", y);
    const limit = (n: number): Ex => e.bitcast(x.type, int(BigInt(bias + n) << BigInt(mantissa)));
    y = e.select(e.ge(a, limit(reduced + 1)), copySign(e, e.constant(x.type, Infinity), x), y);
    y = e.select(e.lt(a, limit(1 - reduced)), copySign(e, e.constant(x.type, 0), x), y);
  }
  return e.select(e.ne(x, x), x, y);
}

const logical =
  (op: "and" | "or" | "xor"): ElementRule =>
  (e, [a, b]) =>
    e.op(op, a!.type, [a!, b!]);

const rules: Record<string, ElementRule> = {
  neg: wrapped((e, [x]) => e.neg(x!)),
  sign: (e, [x], c) => sign(e, x!, c),
  floor: (e, [x]) => (isFloat(x!) ? e.unary("floor", x!) : x!),
  ceil: (e, [x]) => (isFloat(x!) ? e.unary("ceil", x!) : x!),
  round: (e, [x], c) => (isFloat(x!) ? round(e, x!, c.params["roundingMethod"]) : x!),
  is_finite: (e, [x]) => (isFloat(x!) ? e.lt(e.unary("abs", x!), e.constant(x!.type, Infinity)) : e.constant("bool", 1)),
  sqrt: (e, [x]) => e.unary("sqrt", x!),
  rsqrt: (e, [x]) => e.div(e.constant(x!.type, 1), e.unary("sqrt", x!)),
  square: wrapped((e, [x]) => e.mul(x!, x!)),
  abs: (e, [x], c) => {
    if (isFloat(x!)) return e.unary("abs", x!);
    if (info(c).kind !== "int") return x!;
    return roundToDType(e, c.out, e.select(e.lt(x!, e.constant(x!.type, 0)), e.neg(x!), x!));
  },
  not: (e, [x], c) => roundToDType(e, c.out, e.not(x!)),
  population_count: (e, [x], c) => e.unary("popcnt", unsignedBits(e, x!, c)),
  clz: (e, [x], c) => {
    const n = e.unary("clz", unsignedBits(e, x!, c));
    return info(c).bits < 32 ? e.sub(n, e.i32(32 - info(c).bits)) : n;
  },
  integer_pow: wrapped((e, [x], c) => integerPower(e, x!, Number(c.params["y"]), c)),
  convert_element_type: (e, [x], c) => convertElement(e, x!, c.dtypes[0]!, c.out),
  reduce_precision: (e, [x], c) => reducePrecision(e, x!, Number(c.params["exponentBits"]), Number(c.params["mantissaBits"])),
  real: (_, [x]) => x!,
  imag: (e, _, c) => constantOf(e, c.out, 0),
  conj: (_, [x]) => x!,

  add: wrapped((e, [a, b], c) => (info(c).kind === "bool" ? e.or(a!, b!) : e.add(a!, b!))),
  sub: wrapped((e, [a, b]) => e.sub(a!, b!)),
  mul: wrapped((e, [a, b], c) => (info(c).kind === "bool" ? e.and(a!, b!) : e.mul(a!, b!))),
  div: wrapped((e, args, c) => (isFloat(args[0]!) ? e.div(args[0]!, args[1]!) : integerDivision(e, args, c, false))),
  rem: wrapped((e, args, c) => (isFloat(args[0]!) ? remFloat(e, args[0]!, args[1]!) : integerDivision(e, args, c, true))),
  pow: wrapped((e, [x, y], c) => {
    if (isFloat(x!) && isFloat(y!)) return powFloat(e, x!, y!);
    return integerPow(e, x!, y!, c);
  }),
  max: extremum("max"),
  min: extremum("min"),
  zeta: (e, [s, q]) => zetaFloat(e, s!, q!),
  polygamma: (e, [n, x]) => polygammaFloat(e, n!, x!),
  atan2: (e, [y, x]) => atan2Float(e, y!, x!),
  nextafter: (e, [x, y]) => nextAfter(e, x!, y!),
  and: logical("and"),
  or: logical("or"),
  xor: logical("xor"),
  shift_left: wrapped(shift("shl")),
  shift_right_logical: wrapped(shift("shr_u")),
  shift_right_arithmetic: wrapped(shift("shr_s")),
  eq: (e, [a, b]) => e.eq(a!, b!),
  ne: (e, [a, b]) => e.ne(a!, b!),
  lt: compare("lt"),
  le: compare("le"),
  gt: compare("gt"),
  ge: compare("ge"),

  select_n: (e, [p, ...cases]) => {
    if (p!.type === "bool") return cases.length === 1 ? cases[0]! : e.select(p!, cases[1]!, cases[0]!);
    let y = cases[cases.length - 1]!;
    for (let i = cases.length - 2; i >= 0; i--) y = e.select(e.le(p!, e.i32(i)), cases[i]!, y);
    return y;
  },
  clamp: (e, [low, x, high], c) => {
    const context = { ...c, dtypes: [c.out, c.out] };
    return extremum("min")(e, [extremum("max")(e, [x!, low!], context), high!], context);
  },
};
for (const name of elementFunctions) rules[name] = (e, [x]) => elementFunction(e, name, x!);

/** The bits of an integer without the sign's copies above its width. */
function unsignedBits(e: Exprs, x: Ex, c: ElementContext): Ex {
  const { bits } = info(c);
  return bits < 32 ? e.and(x, e.i32(2 ** bits - 1)) : x;
}

/** Every primitive whose result at a position depends on the operands at that position alone. */
export const elementRules: Readonly<Record<string, ElementRule>> = rules;

/** Costs of an elementwise primitive in simple operations: what recomputing it would take. */
export function elementCost(op: string): number {
  if (elementFunctions.includes(op)) return 20;
  if (op === "zeta" || op === "polygamma") return 300;
  return op === "pow" || op === "atan2" || op === "rem" ? 40 : op === "div" || op === "sqrt" || op === "rsqrt" ? 4 : 1;
}

/** Whether an operation is one of those that cost analyses count by themselves: exp, log, sin and their like. */
export function isTranscendental(op: string): boolean {
  return elementCost(op) >= 20 && op !== "rem";
}
