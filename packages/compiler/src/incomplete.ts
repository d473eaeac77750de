import type { StandardDType } from "@traceform/core";
import { BlockBuilder, type TensorType, type Value } from "./graph.ts";

/** Series and continued fractions end by themselves long before this, unless the parameters are beyond 10^7. */
const mostTerms = 10_000;
/** A step of a continued fraction this close to one has converged: two roundings of a double. */
const converged = 4.5e-16;

type Rule = (m: Doubles, args: readonly Value[]) => Value;

const rules: Readonly<Record<string, Rule>> = {
  igamma: (m, [a, x]) => gamma(m, a, x, false),
  igammac: (m, [a, x]) => gamma(m, a, x, true),
  regularized_incomplete_beta: (m, [a, b, x]) => beta(m, a, b, x),
};

/** The incomplete gamma and beta functions, which are iterations over whole arrays: names of primitives. */
export const incompleteFunctions: ReadonlySet<string> = new Set(Object.keys(rules));

/** Expands an incomplete function into elementwise operations and a `while`, in double precision. */
export function incompleteFunction(g: BlockBuilder, name: string, ins: readonly Value[], out: TensorType): Value {
  const m = new Doubles(g, out.shape);
  const y = rules[name](
    m,
    ins.map((v) => m.full(m.convert(v, "float64"))),
  );
  return m.convert(y, out.dtype);
}

/** Arithmetic on float64 arrays of one shape, and scalars. */
class Doubles {
  readonly g: BlockBuilder;
  readonly shape: readonly number[];
  constructor(g: BlockBuilder, shape: readonly number[]) {
    this.g = g;
    this.shape = shape;
  }
  number(x: number): Value {
    return this.g.literal(x, "float64");
  }
  op(name: string, ...xs: (Value | number)[]): Value {
    return this.g.map(
      name,
      xs.map((x) => (typeof x === "number" ? this.number(x) : x)),
      "float64",
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
    return this.div(1, this.where(this.test("eq", x, 0), 1e-300, x));
  }

  /**
   * Repeats `step` of (the number of the step, constants, state) on the elements that are active, until none is. It
   * returns the next state and which elements go on.
   */
  iterate(
    constants: readonly Value[],
    start: readonly Value[],
    active: Value,
    step: (m: Doubles, n: Value, constants: readonly Value[], state: readonly Value[]) => readonly [readonly Value[], Value],
  ): readonly Value[] {
    const double: TensorType = { shape: this.shape, dtype: "float64" };
    const carries: readonly TensorType[] = [
      { shape: [], dtype: "bool" },
      { shape: [], dtype: "float64" },
      { shape: this.shape, dtype: "bool" },
      ...start.map(() => double),
    ];
    const condition = new BlockBuilder();
    const params = carries.map((t) => condition.param(t));
    const body = new BlockBuilder();
    const m = new Doubles(body, this.shape);
    const given = constants.map(() => body.param(double));
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
function gamma(m: Doubles, a: Value, x: Value, upper: boolean): Value {
  const outside = m.or(m.or(m.test("ne", a, a), m.test("ne", x, x)), m.or(m.test("lt", x, 0), m.test("le", a, 0)));
  const series = m.test("lt", x, m.add(a, 1));
  const active = m.and(m.test("gt", x, 0), m.test("lt", x, Infinity));
  // State: the last term and the sum of the series; or the fraction's d and value. Its c is used by the fraction alone.
  const start = m.where(series, m.div(1, a), m.inverse(m.sub(m.add(x, 1), a)));
  const [, sum] = m.iterate([a, x], [start, start, m.number(1e300)], active, (s, n, [a1, x1], [u, v, c]) => {
    const below = s.test("lt", x1, s.add(a1, 1));
    const term = s.mul(u, s.div(x1, s.add(a1, n)));
    const numerator = s.mul(n, s.sub(a1, n));
    const b = s.add(s.sub(s.add(x1, 1), a1), s.mul(n, 2));
    const d = s.inverse(s.add(s.mul(numerator, u), b));
    const c1 = s.add(b, s.div(numerator, c));
    const delta = s.mul(d, c1);
    const more = s.where(below, s.sub(term, s.mul(v, 1e-17)), s.sub(s.op("abs", s.sub(delta, 1)), converged));
    return [[s.where(below, term, d), s.where(below, s.add(v, term), s.mul(v, delta)), c1], s.test("gt", more, 0)];
  });
  const part = m.mul(sum, m.op("exp", m.sub(m.sub(m.mul(a, m.op("log", x)), x), m.op("lgamma", a))));
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
function beta(m: Doubles, a: Value, b: Value, x: Value): Value {
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
    return [[cOdd, dOdd, s.mul(h1, s.mul(s.mul(dEven, cEven), delta))], s.test("gt", s.op("abs", s.sub(delta, 1)), converged)];
  });
  const log = m.sub(m.sub(m.op("lgamma", ab), m.op("lgamma", a)), m.op("lgamma", b));
  const front = m.op("exp", m.add(log, m.add(m.mul(a, m.op("log", x)), m.mul(b, m.op("log1p", m.op("neg", x))))));
  const part = m.div(m.mul(front, h), p);
  const inner = m.where(turned, m.sub(1, part), part);
  return m.where(inside, m.where(m.or(m.test("eq", x, 0), m.test("eq", x, 1)), x, inner), NaN);
}
