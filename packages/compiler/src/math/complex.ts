import type { StandardDType } from "@traceform/core";
import type { BlockBuilder, Value } from "../graph.ts";

/** Real and imaginary part. */
export type Complex = readonly [Value, Value];

/** Complex arithmetic as operations of the graph on real arrays. */
export class ComplexMath {
  readonly g: BlockBuilder;
  constructor(g: BlockBuilder) {
    this.g = g;
  }
  op(name: string, ...xs: Value[]): Value {
    return this.g.map(name, xs, xs[0].dtype);
  }
  add(a: Value, b: Value): Value {
    return this.op("add", a, b);
  }
  sub(a: Value, b: Value): Value {
    return this.op("sub", a, b);
  }
  times(a: Value, b: Value): Value {
    return this.op("mul", a, b);
  }
  over(a: Value, b: Value): Value {
    return this.op("div", a, b);
  }
  neg(a: Value): Value {
    return this.op("neg", a);
  }
  constant(like: Value, value: number): Value {
    return this.g.literal(value, like.dtype);
  }
  less(a: Value, b: Value): Value {
    return this.g.map("lt", [a, b], "bool");
  }
  equal(a: Value, b: Value): Value {
    return this.g.map("eq", [a, b], "bool");
  }
  /** Any of the three may be a scalar. */
  where(c: Value, a: Value, b: Value): Value {
    return this.g.map("select_n", [c, b, a], a.dtype);
  }

  /** A scalar spread to a shape; other values as they are. */
  shaped(v: Value, shape: readonly number[]): Value {
    if (v.shape.length === shape.length) return v;
    return this.g.add("broadcast_in_dim", [v], [{ shape, dtype: v.dtype }], { shape, broadcastDimensions: [] })[0];
  }
  zeros(dtype: StandardDType, shape: readonly number[]): Value {
    return this.shaped(this.g.literal(0, dtype), shape);
  }

  mul([a, b]: Complex, [c, d]: Complex): Complex {
    return [this.sub(this.times(a, c), this.times(b, d)), this.add(this.times(a, d), this.times(b, c))];
  }
  scale([a, b]: Complex, s: Value): Complex {
    return [this.times(a, s), this.times(b, s)];
  }
  plus([a, b]: Complex, [c, d]: Complex): Complex {
    return [this.add(a, c), this.add(b, d)];
  }
  minus(x: Complex, y: Complex): Complex {
    return [this.sub(x[0], y[0]), this.sub(x[1], y[1])];
  }
  /** i times x. */
  rotate([a, b]: Complex): Complex {
    return [this.neg(b), a];
  }
  /** -i times x. */
  rotateBack([a, b]: Complex): Complex {
    return [b, this.neg(a)];
  }
  real(x: Value): Complex {
    return [x, this.constant(x, 0)];
  }

  /** Division scaled by the larger part of the divisor. @see Smith (1962), "Algorithm 116: Complex division" */
  div([a, b]: Complex, [c, d]: Complex): Complex {
    const wide = this.g.map("ge", [this.op("abs", c), this.op("abs", d)], "bool");
    const big = this.where(wide, c, d);
    const small = this.where(wide, d, c);
    const zero = this.constant(big, 0);
    const ratio = this.where(this.equal(big, zero), zero, this.over(small, big));
    const den = this.add(big, this.times(small, ratio));
    const p = this.where(wide, a, b);
    const q = this.where(wide, b, a);
    const im = this.sub(q, this.times(p, ratio));
    return [this.over(this.add(p, this.times(q, ratio)), den), this.over(this.where(wide, im, this.neg(im)), den)];
  }

  /** The modulus, without overflow of the squares. */
  abs([a, b]: Complex): Value {
    const x = this.op("abs", a);
    const y = this.op("abs", b);
    const big = this.op("max", x, y);
    const small = this.op("min", x, y);
    const zero = this.constant(x, 0);
    const ratio = this.where(this.equal(big, zero), zero, this.over(small, big));
    const size = this.times(big, this.op("sqrt", this.add(this.times(ratio, ratio), this.constant(x, 1))));
    const inf = this.constant(x, Infinity);
    const infinite = this.g.map("or", [this.equal(x, inf), this.equal(y, inf)], "bool");
    return this.where(infinite, inf, size);
  }

  exp([a, b]: Complex): Complex {
    const r = this.op("exp", a);
    const zero = this.equal(b, this.constant(b, 0));
    return [this.where(zero, r, this.times(r, this.op("cos", b))), this.where(zero, b, this.times(r, this.op("sin", b)))];
  }
  log(x: Complex): Complex {
    return [this.op("log", this.abs(x)), this.op("atan2", x[1], x[0])];
  }
  log1p([a, b]: Complex): Complex {
    const half = this.constant(a, 0.5);
    const grow = this.add(this.times(a, this.add(a, this.constant(a, 2))), this.times(b, b));
    return [this.times(half, this.op("log1p", grow)), this.op("atan2", b, this.add(a, this.constant(a, 1)))];
  }
  sqrt(x: Complex): Complex {
    const [a, b] = x;
    const t = this.op("sqrt", this.times(this.constant(a, 0.5), this.add(this.op("abs", a), this.abs(x))));
    const zero = this.constant(a, 0);
    const half = this.over(this.op("abs", b), this.add(t, t));
    // The sign of the imaginary part, of a zero too.
    const below = this.g.map("or", [this.less(b, zero), this.less(this.over(this.constant(b, 1), b), zero)], "bool");
    const signed = (v: Value): Value => this.where(below, this.neg(v), v);
    const left = this.less(a, zero);
    const re = this.where(left, half, t);
    const im = this.where(left, signed(t), signed(half));
    const none = this.equal(t, zero);
    return [this.where(none, zero, re), this.where(none, b, im)];
  }
  sinh([a, b]: Complex): Complex {
    return [this.times(this.op("sinh", a), this.op("cos", b)), this.times(this.op("cosh", a), this.op("sin", b))];
  }
  cosh([a, b]: Complex): Complex {
    return [this.times(this.op("cosh", a), this.op("cos", b)), this.times(this.op("sinh", a), this.op("sin", b))];
  }
  tanh([a, b]: Complex): Complex {
    const [x, y] = [this.add(a, a), this.add(b, b)];
    const den = this.add(this.op("cosh", x), this.op("cos", y));
    const far = this.less(this.constant(a, 20), this.op("abs", a));
    const re = this.where(far, this.op("sign", a), this.over(this.op("sinh", x), den));
    return [re, this.where(far, this.constant(a, 0), this.over(this.op("sin", y), den))];
  }
  asinh(x: Complex): Complex {
    const one = this.real(this.constant(x[0], 1));
    return this.log(this.plus(x, this.sqrt(this.plus(this.mul(x, x), one))));
  }
  atanh(x: Complex): Complex {
    return this.scale(this.minus(this.log1p(x), this.log1p([this.neg(x[0]), this.neg(x[1])])), this.constant(x[0], 0.5));
  }
  integerPow(x: Complex, n: number): Complex {
    if (n < 0) return this.div(this.real(this.constant(x[0], 1)), this.integerPow(x, -n));
    let result: Complex | null = null;
    let square = x;
    for (let k = n; k > 0; k = Math.floor(k / 2)) {
      if (k % 2 === 1) result = result === null ? square : this.mul(result, square);
      if (k > 1) square = this.mul(square, square);
    }
    return result ?? [this.shaped(this.constant(x[0], 1), x[0].shape), this.zeros(x[0].dtype, x[0].shape)];
  }
}

type Rule = (m: ComplexMath, x: Complex, y: Complex) => Complex;

/** Complex functions by primitive. */
export const complexMath: Readonly<Record<string, Rule>> = {
  mul: (m, x, y) => m.mul(x, y),
  div: (m, x, y) => m.div(x, y),
  square: (m, x) => m.mul(x, x),
  exp: (m, x) => m.exp(x),
  exp2: (m, x) => m.exp(m.scale(x, m.constant(x[0], Math.LN2))),
  expm1: (m, [a, b]) => {
    const s = m.op("sin", m.times(b, m.constant(b, 0.5)));
    const drop = m.times(m.constant(b, -2), m.times(s, s));
    return [m.add(m.times(m.op("expm1", a), m.op("cos", b)), drop), m.times(m.op("exp", a), m.op("sin", b))];
  },
  log: (m, x) => m.log(x),
  log1p: (m, x) => m.log1p(x),
  sqrt: (m, x) => m.sqrt(x),
  rsqrt: (m, x) => m.div(m.real(m.constant(x[0], 1)), m.sqrt(x)),
  sinh: (m, x) => m.sinh(x),
  cosh: (m, x) => m.cosh(x),
  tanh: (m, x) => m.tanh(x),
  sin: (m, x) => m.rotateBack(m.sinh(m.rotate(x))),
  cos: (m, x) => m.cosh(m.rotate(x)),
  tan: (m, x) => m.rotateBack(m.tanh(m.rotate(x))),
  asinh: (m, x) => m.asinh(x),
  asin: (m, x) => m.rotateBack(m.asinh(m.rotate(x))),
  acos: (m, x) => m.minus(m.real(m.constant(x[0], Math.PI / 2)), m.rotateBack(m.asinh(m.rotate(x)))),
  acosh: (m, x) => {
    const one = m.real(m.constant(x[0], 1));
    return m.log(m.plus(x, m.mul(m.sqrt(m.plus(x, one)), m.sqrt(m.minus(x, one)))));
  },
  atanh: (m, x) => m.atanh(x),
  atan: (m, x) => m.rotateBack(m.atanh(m.rotate(x))),
  logistic: (m, [a, b]) => {
    const one = m.real(m.constant(a, 1));
    return m.div(one, m.plus(one, m.exp([m.neg(a), m.neg(b)])));
  },
  pow: (m, x, y) => {
    const zero = m.constant(x[0], 0);
    const [a, b] = m.exp(m.mul(y, m.log(x)));
    const none = m.equal(m.abs(x), zero);
    const unit = m.where(m.equal(m.abs(y), zero), m.constant(x[0], 1), zero);
    return [m.where(none, unit, a), m.where(none, zero, b)];
  },
  sign: (m, x) => {
    const size = m.abs(x);
    const zero = m.equal(size, m.constant(size, 0));
    return [m.where(zero, x[0], m.over(x[0], size)), m.where(zero, x[1], m.over(x[1], size))];
  },
};
