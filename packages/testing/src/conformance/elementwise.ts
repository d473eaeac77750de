import type { NDArray, StandardDType } from "@traceform/core";
import * as lax from "@traceform/lax";
import { type ConformanceCase, complexes, every, floats, integers, ints, numbers, type Operand, wide } from "./case.ts";

type Unary = (x: NDArray) => NDArray;
type Binary = (x: NDArray, y: NDArray) => NDArray;

interface UnarySpec {
  readonly fn: Unary;
  readonly dtypes: readonly StandardDType[];
  /** Units in the last place; 0 for what IEEE defines exactly. */
  readonly ulps: number;
  readonly range?: readonly [number, number];
}

const exact = (fn: Unary, dtypes = floats): UnarySpec => ({ fn, dtypes, ulps: 0 });
const about = (fn: Unary, range?: readonly [number, number], ulps = 4): UnarySpec => ({ fn, dtypes: floats, ulps, range });

const unary: Record<string, UnarySpec> = {
  neg: exact(lax.neg, numbers),
  sign: exact(lax.sign, numbers),
  abs: exact(lax.abs, numbers),
  square: exact(lax.square, numbers),
  floor: exact(lax.floor),
  ceil: exact(lax.ceil),
  "round away": exact((x) => lax.round(x, "AWAY_FROM_ZERO")),
  "round even": exact((x) => lax.round(x, "TO_NEAREST_EVEN")),
  isFinite: exact(lax.isFinite),
  sqrt: exact(lax.sqrt, wide),
  exp: about(lax.exp, [-80, 80]),
  exp2: about(lax.exp2, [-100, 100]),
  expm1: about(lax.expm1, [-5, 5]),
  log: about(lax.log, [0, 100]),
  log1p: about(lax.log1p, [-1, 10]),
  rsqrt: about(lax.rsqrt, [0, 100]),
  cbrt: about(lax.cbrt, [-100, 100]),
  sin: about(lax.sin, [-50, 50]),
  cos: about(lax.cos, [-50, 50]),
  tan: about(lax.tan, [-50, 50]),
  asin: about(lax.asin, [-1, 1]),
  acos: about(lax.acos, [-1, 1]),
  atan: about(lax.atan, [-20, 20]),
  sinh: about(lax.sinh, [-10, 10]),
  cosh: about(lax.cosh, [-10, 10]),
  tanh: about(lax.tanh, [-10, 10]),
  asinh: about(lax.asinh, [-50, 50]),
  acosh: about(lax.acosh, [1, 50]),
  atanh: about(lax.atanh, [-1, 1]),
  logistic: about(lax.logistic, [-30, 30]),
  erf: about(lax.erf, [-5, 5]),
  erfc: about(lax.erfc, [-5, 8], 8),
  erfInv: about(lax.erfInv, [-1, 1], 8),
  lgamma: about(lax.lgamma, [0.1, 30], 32),
  digamma: about(lax.digamma, [2, 30], 32),
  besselI0e: about(lax.besselI0e, [-20, 20], 16),
  besselI1e: about(lax.besselI1e, [-20, 20], 16),
  bitwiseNot: exact(lax.bitwiseNot, [...integers, "bool"]),
  populationCount: exact(lax.populationCount, integers),
  clz: exact(lax.clz, integers),
  "integerPow 3": { fn: (x) => lax.integerPow(x, 3), dtypes: numbers, ulps: 2 },
  "integerPow -2": { fn: (x) => lax.integerPow(x, -2), dtypes: floats, ulps: 3 },
  reducePrecision: exact((x) => lax.reducePrecision(x, 5, 10), ["float32"]),
};

interface BinarySpec {
  readonly fn: Binary;
  readonly dtypes: readonly StandardDType[];
  readonly ulps?: number;
  readonly ranges?: readonly [Operand["range"], Operand["range"]];
}

const bits: readonly StandardDType[] = [...integers, "bool"];

const binary: Record<string, BinarySpec> = {
  add: { fn: lax.add, dtypes: numbers },
  sub: { fn: lax.sub, dtypes: numbers },
  mul: { fn: lax.mul, dtypes: numbers },
  div: { fn: lax.div, dtypes: numbers },
  rem: { fn: lax.rem, dtypes: [...wide, ...integers] },
  max: { fn: lax.max, dtypes: every },
  min: { fn: lax.min, dtypes: every },
  pow: {
    fn: lax.pow,
    dtypes: floats,
    ulps: 8,
    ranges: [
      [0, 5],
      [-4, 4],
    ],
  },
  atan2: { fn: lax.atan2, dtypes: floats, ulps: 4 },
  nextafter: { fn: lax.nextafter, dtypes: wide },
  bitwiseAnd: { fn: lax.bitwiseAnd, dtypes: bits },
  bitwiseOr: { fn: lax.bitwiseOr, dtypes: bits },
  bitwiseXor: { fn: lax.bitwiseXor, dtypes: bits },
  shiftLeft: { fn: lax.shiftLeft, dtypes: integers, ranges: [undefined, [0, 70]] },
  shiftRightLogical: { fn: lax.shiftRightLogical, dtypes: integers, ranges: [undefined, [0, 70]] },
  shiftRightArithmetic: { fn: lax.shiftRightArithmetic, dtypes: integers, ranges: [undefined, [0, 70]] },
  eq: { fn: lax.eq, dtypes: every },
  ne: { fn: lax.ne, dtypes: every },
  lt: { fn: lax.lt, dtypes: every },
  le: { fn: lax.le, dtypes: every },
  gt: { fn: lax.gt, dtypes: every },
  ge: { fn: lax.ge, dtypes: every },
};

/** What the ulp bound of float32 becomes for a dtype: 16-bit results are rounded from 32 bits once. */
const scaled = (ulps: number, dtype: StandardDType): number =>
  ulps === 0 ? 0 : dtype === "float16" || dtype === "bfloat16" ? 1 : ulps;

function* unaryCases(): Generator<ConformanceCase> {
  for (const [name, { fn, dtypes, ulps, range }] of Object.entries(unary)) {
    for (const dtype of dtypes) {
      const make = (what: string, operand: Operand): ConformanceCase => ({
        name: `${name}: ${what}`,
        dtypes: [dtype],
        operands: [operand],
        run: fn,
        ulps: scaled(ulps, dtype),
      });
      yield make("values", { shape: [5, 37], range });
      yield make("special values", { shape: [60], special: true, range });
      yield make("scalar", { shape: [], range });
      yield make("empty", { shape: [0, 3], range });
    }
  }
}

function* binaryCases(): Generator<ConformanceCase> {
  for (const [name, { fn, dtypes, ulps = 0, ranges }] of Object.entries(binary)) {
    for (const dtype of dtypes) {
      const shapes: [string, readonly number[], readonly number[]][] = [
        ["values", [5, 37], [5, 37]],
        ["scalar on the left", [], [11]],
        ["scalar on the right", [3, 7], []],
        ["empty", [0], [0]],
      ];
      for (const [what, left, right] of shapes) {
        const operands = [
          { shape: left, range: ranges?.[0] },
          { shape: right, range: ranges?.[1] },
        ];
        yield { name: `${name}: ${what}`, dtypes: [dtype], operands, run: fn, ulps: scaled(ulps, dtype) };
      }
      const special = ranges?.[1] === undefined || name === "pow";
      yield {
        name: `${name}: special values`,
        dtypes: [dtype],
        operands: [
          { shape: [120], special: true },
          { shape: [120], special, range: ranges?.[1] },
        ],
        run: fn,
        ulps: scaled(ulps, dtype),
      };
    }
  }
}

const conversions: readonly StandardDType[] = [...every];

function* conversionCases(): Generator<ConformanceCase> {
  for (const from of conversions) {
    for (const to of conversions) {
      if (from === to) continue;
      yield {
        name: `convert: ${from} to ${to}`,
        dtypes: [from],
        operands: [{ shape: [70], special: true, range: from.startsWith("u") || from === "bool" ? [0, 200] : [-300, 300] }],
        run: (x) => lax.convertElementType(x, to),
      };
    }
  }
  const same: [StandardDType, StandardDType][] = [
    ["float32", "int32"],
    ["uint32", "float32"],
    ["float64", "int64"],
    ["float16", "uint16"],
    ["int8", "uint8"],
  ];
  for (const [from, to] of same) {
    yield {
      name: `bitcast: ${from} to ${to}`,
      dtypes: [from],
      operands: [{ shape: [9] }],
      run: (x) => lax.bitcastConvertType(x, to),
    };
  }
}

function* selectCases(): Generator<ConformanceCase> {
  for (const dtype of every) {
    yield {
      name: "select: by element",
      dtypes: [dtype],
      operands: [{ shape: [4, 9], dtype: "bool" }, { shape: [4, 9] }, { shape: [4, 9] }],
      run: (p, a, b) => lax.select(p, a, b),
    };
    yield {
      name: "select: scalar predicate",
      dtypes: [dtype],
      operands: [{ shape: [], dtype: "bool" }, { shape: [7] }, { shape: [7] }],
      run: (p, a, b) => lax.select(p, a, b),
    };
  }
  yield {
    name: "select: of three",
    dtypes: ["float32", "int64"],
    operands: [{ shape: [12], dtype: "int32", range: [0, 2] }, { shape: [12] }, { shape: [12] }, { shape: [12] }],
    run: (p, a, b, c) => lax.selectN(p, a, b, c),
  };
  yield {
    name: "clamp: scalar bounds",
    dtypes: [...floats, ...ints],
    operands: [{ shape: [], values: [-1] }, { shape: [20] }, { shape: [], values: [1] }],
    run: (l, x, h) => lax.clamp(l, x, h),
  };
  yield {
    name: "clamp: array bounds",
    dtypes: wide,
    operands: [
      { shape: [20], range: [-2, 0] },
      { shape: [20], special: true },
      { shape: [20], range: [0, 2] },
    ],
    run: (l, x, h) => lax.clamp(l, x, h),
  };
}

/** Functions of parameters: series and continued fractions, so a looser bound. */
function* parameterCases(): Generator<ConformanceCase> {
  const positive: Operand = { shape: [40], range: [0.1, 12] };
  const unit: Operand = { shape: [40], range: [0, 1] };
  yield { name: "igamma: values", dtypes: wide, operands: [positive, positive], run: (a, x) => lax.igamma(a, x), relative: 1e-6 };
  yield { name: "igammac: values", dtypes: wide, operands: [positive, positive], run: (a, x) => lax.igammac(a, x), relative: 1e-6 };
  yield {
    name: "betainc: values",
    dtypes: wide,
    operands: [positive, positive, unit],
    run: (a, b, x) => lax.betainc(a, b, x),
    relative: 1e-6,
  };
  yield {
    name: "zeta: values",
    dtypes: wide,
    operands: [{ shape: [40], range: [1.5, 9] }, positive],
    run: (s, q) => lax.zeta(s, q),
    ulps: 64,
  };
  yield {
    name: "polygamma: orders",
    dtypes: wide,
    operands: [
      { shape: [8], values: [0, 1, 2, 3, 4, 0.5, -1, 2] },
      { shape: [8], range: [2, 9] },
    ],
    run: (n, x) => lax.polygamma(n, x),
    ulps: 64,
  };
}

function* complexCases(): Generator<ConformanceCase> {
  const z: Operand = { shape: [4, 5] };
  const functions: Record<string, Unary> = {
    neg: lax.neg,
    abs: lax.abs,
    exp: lax.exp,
    log: lax.log,
    sqrt: lax.sqrt,
    sin: lax.sin,
    cos: lax.cos,
    tanh: lax.tanh,
    real: lax.real,
    imag: lax.imag,
    conj: lax.conj,
    square: lax.square,
  };
  for (const [name, run] of Object.entries(functions))
    yield { name: `complex: ${name}`, dtypes: complexes, operands: [z], run, ulps: 16 };
  const operators: Record<string, Binary> = { add: lax.add, sub: lax.sub, mul: lax.mul, div: lax.div, eq: lax.eq, ne: lax.ne };
  for (const [name, run] of Object.entries(operators))
    yield { name: `complex: ${name}`, dtypes: complexes, operands: [z, z], run, ulps: 8 };
  yield { name: "complex: pow", dtypes: complexes, operands: [z, z], run: lax.pow, ulps: 64 };
  yield { name: "complex: from parts", dtypes: wide, operands: [z, z], run: lax.complex };
}

export function elementwiseCases(): ConformanceCase[] {
  return [...unaryCases(), ...binaryCases(), ...conversionCases(), ...selectCases(), ...parameterCases(), ...complexCases()];
}
