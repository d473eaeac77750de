import type { Ex, Exprs } from "../expr.ts";
import { acos, asin, atan, atan2 } from "./arc.ts";
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
  sinh64,
  tanh64,
} from "./exp64.ts";
import { acosh32, asinh32, atanh32, cbrt32, cosh32, sinh32 } from "./exp32.ts";
import { fast32 } from "./fast32.ts";
import { pow, powSpecial } from "./power.ts";
import { digamma, erf, erfc, erfInv64, i0e, i1e, lgamma, polygamma, zeta } from "./special.ts";
import { cos32, sin32, tan32 } from "./trig32.ts";
import { cos64, sin64, tan64 } from "./trig64.ts";

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
  asin,
  acos,
  atan,
  erf,
  erfc,
  erf_inv: erfInv64,
  lgamma,
  digamma,
  bessel_i0e: i0e,
  bessel_i1e: i1e,
  logistic: logistic64,
};

/** For devices without double precision. */
const single: Readonly<Record<string, ElementFunction>> = {
  ...fast32,
  sinh: sinh32,
  cosh: cosh32,
  asinh: asinh32,
  acosh: acosh32,
  atanh: atanh32,
  cbrt: cbrt32,
  sin: sin32,
  cos: cos32,
  tan: tan32,
  asin,
  acos,
  atan,
  erf,
  erfc,
  lgamma,
  digamma,
  bessel_i0e: i0e,
  bessel_i1e: i1e,
};

/** The functions that `elementFunction` knows. */
export const elementFunctions: readonly string[] = Object.keys(double);

/**
 * A transcendental function of an f32 or f64 value. f32 goes through f64 unless a faster form exists, or unless there is no f64.
 */
export function elementFunction(e: Exprs, name: string, x: Ex): Ex {
  if (x.type === "f64") return double[name]!(e, x);
  if (!e.float64) return single[name]!(e, x);
  const quick = fast32[name];
  if (quick !== undefined) return quick(e, x);
  return e.op("demote", "f32", [double[name]!(e, e.op("promote", "f64", [x]))]);
}

type BinaryFunction = (e: Exprs, x: Ex, y: Ex) => Ex;

/** A function of two floats, through f64 where there is one. */
function throughDouble(f: BinaryFunction): BinaryFunction {
  return (e, x, y) =>
    x.type === "f64" || !e.float64
      ? f(e, x, y)
      : e.op("demote", "f32", [f(e, e.op("promote", "f64", [x]), e.op("promote", "f64", [y]))]);
}

/**
 * x^y. Single precision needs no logarithm in two parts where double precision has the digits to spare. Only the special
 * values are shared with `pow`.
 */
export function powFloat(e: Exprs, x: Ex, y: Ex): Ex {
  if (x.type === "f64" || !e.float64) return pow(e, x, y);
  const wide = e.op("promote", "f64", [e.unary("abs", x)]);
  const product = e.mul(e.op("promote", "f64", [y]), log64(e, wide));
  return powSpecial(e, x, y, e.op("demote", "f32", [exp64(e, product)]));
}
export const atan2Float: BinaryFunction = throughDouble(atan2);
/** The remainder with the dividend's sign, exact for any quotient: a loop that the emitter supplies. */
export const remFloat: BinaryFunction = throughDouble((e, x, y) => e.op("fmod", x.type, [x, y]));

export const zetaFloat: BinaryFunction = throughDouble(zeta);
export const polygammaFloat: BinaryFunction = throughDouble(polygamma);
