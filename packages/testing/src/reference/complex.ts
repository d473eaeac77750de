import type { Complex } from "./values.ts";

/** Complex arithmetic in double precision. Branch cuts are NumPy's. */
export const cx = (re: number, im: number): Complex => ({ re, im });

export const add = (a: Complex, b: Complex): Complex => cx(a.re + b.re, a.im + b.im);
export const sub = (a: Complex, b: Complex): Complex => cx(a.re - b.re, a.im - b.im);
export const mul = (a: Complex, b: Complex): Complex => cx(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re);
export const scale = (a: Complex, s: number): Complex => cx(a.re * s, a.im * s);
export const abs = (a: Complex): number => Math.hypot(a.re, a.im);

/** Smith's division, which does not overflow when the quotient does not. */
export function div(a: Complex, b: Complex): Complex {
  if (Math.abs(b.re) >= Math.abs(b.im)) {
    const r = b.im / b.re;
    const d = b.re + b.im * r;
    return cx((a.re + a.im * r) / d, (a.im - a.re * r) / d);
  }
  const r = b.re / b.im;
  const d = b.re * r + b.im;
  return cx((a.re * r + a.im) / d, (a.im * r - a.re) / d);
}

export const exp = (a: Complex): Complex =>
  cx(Math.exp(a.re) * Math.cos(a.im), a.im === 0 ? a.im : Math.exp(a.re) * Math.sin(a.im));
export const log = (a: Complex): Complex => cx(Math.log(abs(a)), Math.atan2(a.im, a.re));

export function sqrt(a: Complex): Complex {
  const r = abs(a);
  if (r === 0) return cx(0, a.im);
  const t = Math.sqrt((r + Math.abs(a.re)) / 2);
  if (a.re >= 0) return cx(t, a.im / (2 * t));
  return cx(Math.abs(a.im) / (2 * t), a.im < 0 || Object.is(a.im, -0) ? -t : t);
}

export const pow = (a: Complex, b: Complex): Complex => {
  if (b.re === 0 && b.im === 0) return cx(1, 0);
  return a.re === 0 && a.im === 0 ? cx(0, 0) : exp(mul(b, log(a)));
};
export const sin = (a: Complex): Complex => cx(Math.sin(a.re) * Math.cosh(a.im), Math.cos(a.re) * Math.sinh(a.im));
export const cos = (a: Complex): Complex => cx(Math.cos(a.re) * Math.cosh(a.im), -Math.sin(a.re) * Math.sinh(a.im));
export const sinh = (a: Complex): Complex => cx(Math.sinh(a.re) * Math.cos(a.im), Math.cosh(a.re) * Math.sin(a.im));
export const cosh = (a: Complex): Complex => cx(Math.cosh(a.re) * Math.cos(a.im), Math.sinh(a.re) * Math.sin(a.im));
export const tan = (a: Complex): Complex => div(sin(a), cos(a));

export function tanh(a: Complex): Complex {
  if (Math.abs(a.re) > 20) return cx(Math.sign(a.re), 4 * Math.sin(a.im) * Math.cos(a.im) * Math.exp(-2 * Math.abs(a.re)));
  return div(sinh(a), cosh(a));
}

const i = cx(0, 1);
const one = cx(1, 0);
const timesI = (a: Complex): Complex => cx(-a.im, a.re);
const overI = (a: Complex): Complex => cx(a.im, -a.re);

export const asinh = (a: Complex): Complex => (a.re < 0 ? scale(asinh(scale(a, -1)), -1) : log(add(a, sqrt(add(mul(a, a), one)))));
export const asin = (a: Complex): Complex => overI(asinh(timesI(a)));
export const acos = (a: Complex): Complex => sub(cx(Math.PI / 2, 0), asin(a));
export const acosh = (a: Complex): Complex => log(add(a, mul(sqrt(add(a, one)), sqrt(sub(a, one)))));
export const atanh = (a: Complex): Complex => scale(sub(log(add(one, a)), log(sub(one, a))), 0.5);
export const atan = (a: Complex): Complex => overI(atanh(mul(i, a)));

export function expm1(a: Complex): Complex {
  const s = Math.sin(a.im / 2);
  return cx(Math.expm1(a.re) * Math.cos(a.im) - 2 * s * s, Math.exp(a.re) * Math.sin(a.im));
}
export const log1p = (a: Complex): Complex =>
  cx(
    Math.abs(a.re) < 0.5 ? 0.5 * Math.log1p(a.re * (2 + a.re) + a.im * a.im) : Math.log(Math.hypot(1 + a.re, a.im)),
    Math.atan2(a.im, 1 + a.re),
  );
