import type { Ex, Exprs } from "../expr.ts";
import type { ElementFunction } from "./common.ts";
import {
  acosh64,
  asinh64,
  atanh64,
  cbrt64,
  cosh64,
  exp2of64,
  exp64,
  expm1of64,
  log1pOf64,
  log64,
  logistic64,
  pow64,
  powSpecial,
  sinh64,
  tanh64,
} from "./exp64.ts";
import { fast32 } from "./fast32.ts";
import { digamma64, erf64, erfInv64, erfc64, i0e64, i1e64, lgamma64, polygamma64, zeta64 } from "./special64.ts";
import { acos64, asin64, atan2of64, atan64, cos64, sin64, tan64 } from "./trig64.ts";

const double: Readonly<Record<string, ElementFunction>> = {
  exp: exp64,
  exp2: exp2of64,
  expm1: expm1of64,
  log: log64,
  log1p: log1pOf64,
  sinh: sinh64,
  cosh: cosh64,
  tanh: tanh64,
  asinh: asinh64,
  acosh: acosh64,
  atanh: atanh64,
  cbrt: cbrt64,
  sin: sin64,
  cos: cos64,
  tan: tan64,
  asin: asin64,
  acos: acos64,
  atan: atan64,
  erf: erf64,
  erfc: erfc64,
  erf_inv: erfInv64,
  lgamma: lgamma64,
  digamma: digamma64,
  bessel_i0e: i0e64,
  bessel_i1e: i1e64,
  logistic: logistic64,
};

/** The functions that `elementFunction` knows. */
export const elementFunctions: readonly string[] = Object.keys(double);

/** A transcendental function of an f32 or f64 value. f32 goes through f64 unless a faster form exists. */
export function elementFunction(e: Exprs, name: string, x: Ex): Ex {
  if (x.type === "f64") return double[name]!(e, x);
  const quick = fast32[name];
  if (quick !== undefined) return quick(e, x);
  return e.op("demote", "f32", [double[name]!(e, e.op("promote", "f64", [x]))]);
}

/** A function of two floats, through f64. */
function throughDouble(f: (e: Exprs, x: Ex, y: Ex) => Ex): (e: Exprs, x: Ex, y: Ex) => Ex {
  return (e, x, y) =>
    x.type === "f64" ? f(e, x, y) : e.op("demote", "f32", [f(e, e.op("promote", "f64", [x]), e.op("promote", "f64", [y]))]);
}

/**
 * x^y. Single precision needs no logarithm in two parts: double precision has the digits to spare. Only the special
 * values are shared with `pow64`.
 */
export function powFloat(e: Exprs, x: Ex, y: Ex): Ex {
  if (x.type === "f64") return pow64(e, x, y);
  const wide = e.op("promote", "f64", [e.unary("abs", x)]);
  const product = e.mul(e.op("promote", "f64", [y]), log64(e, wide));
  return powSpecial(e, x, y, e.op("demote", "f32", [exp64(e, product)]));
}
export const atan2Float: (e: Exprs, y: Ex, x: Ex) => Ex = throughDouble(atan2of64);
/** The remainder with the dividend's sign, exact for any quotient: a loop that the emitter supplies. */
export const remFloat: (e: Exprs, x: Ex, y: Ex) => Ex = throughDouble((e, x, y) => e.op("fmod", "f64", [x, y]));

export const zetaFloat: (e: Exprs, s: Ex, q: Ex) => Ex = throughDouble(zeta64);
export const polygammaFloat: (e: Exprs, n: Ex, x: Ex) => Ex = throughDouble(polygamma64);
