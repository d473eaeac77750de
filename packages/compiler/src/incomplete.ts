import type { StandardDType } from "@traceform/core";
import { BlockBuilder, type TensorType, type Value } from "./graph.ts";

/** Series and continued fractions end by themselves long before this, unless the parameters are beyond 10^7. */
const mostTerms = 10_000;
/** What depends on the precision. */
interface Precision {
  readonly dtype: "float32" | "float64";
  /** A step of a continued fraction this close to one has converged: two roundings. */
  readonly converged: number;
  /** A term of a series this small beside the sum ends it. */
  readonly nothing: number;
  /** Stands for zero where something is divided by it. */
  readonly least: number;
}
const double: Precision = { dtype: "float64", converged: 4.5e-16, nothing: 1e-17, least: 1e-300 };
const single: Precision = { dtype: "float32", converged: 2.4e-7, nothing: 1e-8, least: 1e-30 };

type Rule = (m: Floats, args: readonly Value[]) => Value;

const rules: Readonly<Record<string, Rule>> = {
  igamma: (m, [a, x]) => gamma(m, a, x, false),
  igammac: (m, [a, x]) => gamma(m, a, x, true),
  regularized_incomplete_beta: (m, [a, b, x]) => beta(m, a, b, x),
};

/** The incomplete gamma and beta functions, which are iterations over whole arrays: names of primitives. */
export const incompleteFunctions: ReadonlySet<string> = new Set(Object.keys(rules));

/** Expands an incomplete function into elementwise operations and a `while`, in double precision where there is one. */
export function incompleteFunction(g: BlockBuilder, name: string, ins: readonly Value[], out: TensorType): Value {
  const m = new Floats(g, out.shape, g.float64 ? double : single);
  const y = rules[name](
    m,
    ins.map((v) => m.full(m.convert(v, m.precision.dtype))),
  );
  return m.convert(y, out.dtype);
}

/** Arithmetic on float arrays of one shape, and scalars. */
class Floats {
  readonly g: BlockBuilder;
  readonly shape: readonly number[];
  readonly precision: Precision;
  constructor(g: BlockBuilder, shape: readonly number[], precision: Precision) {
    this.g = g;
    this.shape = shape;
    this.precision = precision;
  }
  number(x: number): Value {
    return this.g.literal(x, this.precision.dtype);
  }
  op(name: string, ...xs: (Value | number)[]): Value {
    return this.g.map(
      name,
      xs.map((x) => (typeof x === "number" ? this.number(x) : x)),
      this.precision.dtype,
    );
  }
  test(name: string, a: Value, b: Value | number): Value {
    return this.g.map(name, [a, typeof b === "number" ? this.number(b) : b], "bool");
  }
  or(a: Value, b: Value): Value {
    return this.g.map("or", [a, b], "bool");
  }
  and(a: Value, b: Value): Value {
    return this.g.map("and", [a, b], "bool");
  }
  add(a: Value | number, b: Value | number): Value {
    return this.op("add", a, b);
  }
  sub(a: Value | number, b: Value | number): Value {
    return this.op("sub", a, b);
  }
  mul(a: Value | number, b: Value | number): Value {
    return this.op("mul", a, b);
  }
  div(a: Value | number, b: Value | number): Value {
    return this.op("div", a, b);
  }
  where(c: Value, a: Value | number, b: Value | number): Value {
    return this.op("select_n", c, b, a);
  }
  convert(x: Value, to: StandardDType): Value {
    return x.dtype === to ? x : this.g.map("convert_element_type", [x], to, { newDtype: to, weakType: false });
  }
  /** A scalar spread over the shape. */
  full(x: Value): Value {
    if (x.shape.length === this.shape.length && x.literal === null) return x;
    return this.g.add("broadcast_in_dim", [x], [{ shape: this.shape, dtype: x.dtype }], {
      shape: this.shape,
      broadcastDimensions: [],
    })[0];
  }
  /** One over x, or over the smallest number in place of a zero, as Lentz' method wants it. */
  inverse(x: Value): Value {
    return this.div(1, this.where(this.test("eq", x, 0), this.precision.least, x));
  }

  /**
   * Repeats `step` of (the number of the step, constants, state) on the elements that are active, until none is. It
   * returns the next state and which elements go on.
   */
  iterate(
    constants: readonly Value[],
    start: readonly Value[],
    active: Value,
    step: (m: Floats, n: Value, constants: readonly Value[], state: readonly Value[]) => readonly [readonly Value[], Value],
  ): readonly Value[] {
    const { dtype } = this.precision;
    const state0: TensorType = { shape: this.shape, dtype };
    const carries: readonly TensorType[] = [
      { shape: [], dtype: "bool" },
      { shape: [], dtype },
      { shape: this.shape, dtype: "bool" },
      ...start.map(() => state0),
    ];
    const condition = new BlockBuilder(this.g.float64);
    const params = carries.map((t) => condition.param(t));
    const body = new BlockBuilder(this.g.float64);
    const m = new Floats(body, this.shape, this.precision);
    const given = constants.map(() => body.param(state0));
    const [, n, mask, ...state] = carries.map((t) => body.param(t));
    const [next, more] = step(m, n, given, state);
    const stays = m.and(mask, more);
    const any =
      this.shape.length === 0
        ? stays
        : body.add("reduce_or", [stays], [{ shape: [], dtype: "bool" }], { axes: this.shape.map((_, i) => i) })[0];
    const go = m.and(any, m.test("lt", n, mostTerms));
    const blocks = [
      condition.finish([params[0]]),
      body.finish([go, m.add(n, 1), stays, ...next.map((x, i) => m.where(mask, x, state[i]))]),
    ];
    const inits = [this.g.literal(true, "bool"), this.number(1), active, ...start.map((x) => this.full(x))];
    return this.g
      .add("while", [...constants, ...inits], carries, { condNconsts: 0, bodyNconsts: constants.length }, blocks)
      .slice(3);
  }
}

/**
 * The regularised incomplete gamma functions: below x = a + 1 the lower one by its series, above the upper one by its
 * continued fraction in Lentz' form. @see Press et al., Numerical Recipes, section 6.2
 */
function gamma(m: Floats, a: Value, x: Value, upper: boolean): Value {
  const outside = m.or(m.or(m.test("ne", a, a), m.test("ne", x, x)), m.or(m.test("lt", x, 0), m.test("le", a, 0)));
  const series = m.test("lt", x, m.add(a, 1));
  const active = m.and(m.test("gt", x, 0), m.test("lt", x, Infinity));
  // State: the last term and the sum of the series; or the fraction's d and value. Its c is used by the fraction alone.
  const start = m.where(series, m.div(1, a), m.inverse(m.sub(m.add(x, 1), a)));
  const [, sum] = m.iterate([a, x], [start, start, m.number(1 / m.precision.least)], active, (s, n, [a1, x1], [u, v, c]) => {
    const below = s.test("lt", x1, s.add(a1, 1));
    const term = s.mul(u, s.div(x1, s.add(a1, n)));
    const numerator = s.mul(n, s.sub(a1, n));
    const b = s.add(s.sub(s.add(x1, 1), a1), s.mul(n, 2));
    const d = s.inverse(s.add(s.mul(numerator, u), b));
    const c1 = s.add(b, s.div(numerator, c));
    const delta = s.mul(d, c1);
    const more = s.where(
      below,
      s.sub(term, s.mul(v, s.precision.nothing)),
      s.sub(s.op("abs", s.sub(delta, 1)), s.precision.converged),
    );
    return [[s.where(below, term, d), s.where(below, s.add(v, term), s.mul(v, delta)), c1], s.test("gt", more, 0)];
  });
  const part = m.mul(
    sum,
    m.precision === single ? gammaFront(m, a, x) : m.op("exp", m.sub(m.sub(m.mul(a, m.op("log", x)), x), m.op("lgamma", a))),
  );
  const rest = m.sub(1, part);
  const inner = upper ? m.where(series, rest, part) : m.where(series, part, rest);
  const ends = m.where(m.test("eq", x, 0), upper ? 1 : 0, m.where(m.test("eq", x, Infinity), upper ? 0 : 1, inner));
  return m.where(outside, NaN, ends);
}

/**
 * The regularised incomplete beta function by its continued fraction, of the complement where x is beyond the mean.
 *
 * @see Press et al., Numerical Recipes, section 6.4
 */
function beta(m: Floats, a: Value, b: Value, x: Value): Value {
  const ab = m.add(a, b);
  const inside = m.and(m.and(m.test("ge", x, 0), m.test("le", x, 1)), m.and(m.test("gt", a, 0), m.test("gt", b, 0)));
  const turned = m.test("ge", x, m.div(m.add(a, 1), m.add(ab, 2)));
  const [p, q] = [m.where(turned, b, a), m.where(turned, a, b)];
  const y = m.where(turned, m.sub(1, x), x);
  const d0 = m.inverse(m.sub(1, m.div(m.mul(ab, y), m.add(p, 1))));
  const active = m.and(inside, m.and(m.test("gt", x, 0), m.test("lt", x, 1)));
  const [, , h] = m.iterate([p, q, y], [m.number(1), d0, d0], active, (s, n, [p1, q1, y1], [c, d, h1]) => {
    const twice = s.add(p1, s.mul(n, 2));
    const even = s.div(s.mul(s.mul(n, s.sub(q1, n)), y1), s.mul(s.sub(twice, 1), twice));
    const odd = s.op("neg", s.div(s.mul(s.mul(s.add(p1, n), s.add(s.add(p1, q1), n)), y1), s.mul(twice, s.add(twice, 1))));
    const dEven = s.inverse(s.add(1, s.mul(even, d)));
    const cEven = s.add(1, s.mul(even, s.inverse(c)));
    const dOdd = s.inverse(s.add(1, s.mul(odd, dEven)));
    const cOdd = s.add(1, s.mul(odd, s.inverse(cEven)));
    const delta = s.mul(dOdd, cOdd);
    return [
      [cOdd, dOdd, s.mul(h1, s.mul(s.mul(dEven, cEven), delta))],
      s.test("gt", s.op("abs", s.sub(delta, 1)), s.precision.converged),
    ];
  });
  const front = m.precision === single ? betaFront(m, a, b, x) : betaFrontByLogarithms(m, a, b, x);
  const part = m.div(m.mul(front, h), p);
  const inner = m.where(turned, m.sub(1, part), part);
  return m.where(inside, m.where(m.or(m.test("eq", x, 0), m.test("eq", x, 1)), x, inner), NaN);
}

/** x^a (1 - x)^b / B(a, b) */
function betaFrontByLogarithms(m: Floats, a: Value, b: Value, x: Value): Value {
  const log = m.sub(m.sub(m.op("lgamma", m.add(a, b)), m.op("lgamma", a)), m.op("lgamma", b));
  return m.op("exp", m.add(log, m.add(m.mul(a, m.op("log", x)), m.mul(b, m.op("log1p", m.op("neg", x))))));
}

// In single precision large logarithms would cancel. So Stirling's formula is taken out of them, and what is left are
// logarithms of quotients, which are near one where the functions are large.
// @see Didonato & Morris (1992), "Algorithm 708: Significant digit computation of the incomplete beta function ratios"

/** x^a (1 - x)^b / B(a, b): sqrt(ab / (2 pi (a + b))) (x (a + b) / a)^a (y (a + b) / b)^b exp(rests). */
function betaFront(m: Floats, a: Value, b: Value, x: Value): Value {
  const ab = m.add(a, b);
  const y = m.sub(1, x);
  const gap = m.sub(m.mul(x, b), m.mul(y, a));
  const powers = m.add(m.mul(a, logOfQuotient(m, x, gap, a, ab)), m.mul(b, logOfQuotient(m, y, m.op("neg", gap), b, ab)));
  const rests = m.sub(m.sub(stirlingRest(m, ab), stirlingRest(m, a)), stirlingRest(m, b));
  const root = m.op("sqrt", m.mul(m.div(a, ab), m.mul(b, 1 / (2 * Math.PI))));
  return m.mul(root, m.op("exp", m.add(powers, rests)));
}
/** x^a exp(-x) / gamma(a): sqrt(a / 2 pi) (x / a)^a exp(a - x) exp(-rest). */
function gammaFront(m: Floats, a: Value, x: Value): Value {
  const gap = m.sub(x, a);
  const power = m.sub(m.mul(a, logOfQuotient(m, x, gap, a, m.full(m.number(1)))), gap);
  return m.mul(m.op("sqrt", m.mul(a, 1 / (2 * Math.PI))), m.op("exp", m.sub(power, stirlingRest(m, a))));
}
/** log(x s / a), where x s - a = gap. */
function logOfQuotient(m: Floats, x: Value, gap: Value, a: Value, s: Value): Value {
  const off = m.div(gap, a);
  const far = m.op("log", m.mul(x, m.div(s, a)));
  return m.where(m.test("lt", m.op("abs", off), 0.5), m.op("log1p", off), far);
}
/** log(gamma(z)) - (z - 1/2) log(z) + z - log(2 pi) / 2: Stirling's series from 4 on, and steps of the recurrence up to there. */
function stirlingRest(m: Floats, z: Value): Value {
  let base = z;
  let rest: Value | null = null;
  for (let i = 0; i < 4; i++) {
    const below = m.test("lt", base, 4);
    const step = m.sub(m.mul(m.add(base, 0.5), m.op("log1p", m.div(1, base))), 1);
    const more = m.where(below, step, 0);
    rest = rest === null ? more : m.add(rest, more);
    base = m.where(below, m.add(base, 1), base);
  }
  const square = m.div(m.div(1, base), base);
  const series = m.add(1 / 12, m.mul(square, m.add(-1 / 360, m.mul(square, m.add(1 / 1260, m.mul(square, -1 / 1680))))));
  return m.add(rest!, m.div(series, base));
}
