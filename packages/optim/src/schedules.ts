import { type ArrayLike, asArray, type NDArray, scalar } from "@traceform/core";
import { add, convertElementType, cos, floor, ge, lt, max, min, mul, pow, select, sub } from "@traceform/lax";
import type { Schedule } from "./transform.ts";

const float = (x: ArrayLike): NDArray => convertElementType(asArray(x), "float32");
const constant = (x: number): NDArray => scalar(x, "float32");

export function constantSchedule(value: number): Schedule {
  return () => constant(value);
}

/** The part of `steps` that has passed, from 0 to 1. */
function fraction(count: NDArray, begin: number, steps: number): NDArray {
  return min(max(mul(sub(float(count), begin), 1 / steps), 0), 1);
}

export interface PolynomialOptions {
  readonly initValue: number;
  readonly endValue: number;
  readonly power: number;
  readonly transitionSteps: number;
  readonly transitionBegin?: number;
}

/** From `initValue` to `endValue` as (1 - t)^power. */
export function polynomialSchedule(options: PolynomialOptions): Schedule {
  const { initValue, endValue, power, transitionSteps, transitionBegin = 0 } = options;
  return (count) => add(mul(pow(sub(1, fraction(count, transitionBegin, transitionSteps)), power), initValue - endValue), endValue);
}

export function linearSchedule(initValue: number, endValue: number, transitionSteps: number, transitionBegin = 0): Schedule {
  return (count) => add(mul(fraction(count, transitionBegin, transitionSteps), endValue - initValue), initValue);
}

export interface ExponentialDecayOptions {
  readonly transitionSteps: number;
  readonly decayRate: number;
  readonly transitionBegin?: number;
  /** Decay in steps instead of continuously. */
  readonly staircase?: boolean;
  readonly endValue?: number;
}

/** initValue · decayRate^(count / transitionSteps). */
export function exponentialDecay(initValue: number, options: ExponentialDecayOptions): Schedule {
  const { transitionSteps, decayRate, transitionBegin = 0, staircase = false, endValue } = options;
  return (count) => {
    const passed = mul(max(sub(float(count), transitionBegin), 0), 1 / transitionSteps);
    const value = mul(pow(constant(decayRate), staircase ? floor(passed) : passed), initValue);
    if (endValue === undefined) return value;
    return decayRate < 1 ? max(value, endValue) : min(value, endValue);
  };
}

/** Half a cosine from `initValue` to `alpha · initValue`. @see Loshchilov & Hutter (2017), SGDR */
export function cosineDecaySchedule(initValue: number, decaySteps: number, alpha = 0): Schedule {
  return (count) => {
    const decayed = mul(add(cos(mul(fraction(count, 0, decaySteps), Math.PI)), 1), 0.5);
    return mul(add(mul(decayed, 1 - alpha), alpha), initValue);
  };
}

/** Schedules one after the other; `boundaries[i]` is the count at which schedule i + 1 begins, counting anew from 0. */
export function joinSchedules(schedules: readonly Schedule[], boundaries: readonly number[]): Schedule {
  return (count) =>
    boundaries.reduce<NDArray>(
      (value, boundary, i) => select(lt(count, boundary), value, float(schedules[i + 1](sub(count, boundary)))),
      float(schedules[0](count)),
    );
}

export interface WarmupCosineOptions {
  readonly initValue: number;
  readonly peakValue: number;
  readonly warmupSteps: number;
  /** Length of the whole schedule, warm-up included. */
  readonly decaySteps: number;
  readonly endValue?: number;
}

/** A linear warm-up to `peakValue`, then a cosine decay to `endValue`. */
export function warmupCosineDecaySchedule(options: WarmupCosineOptions): Schedule {
  const { initValue, peakValue, warmupSteps, decaySteps, endValue = 0 } = options;
  const decay = cosineDecaySchedule(peakValue, decaySteps - warmupSteps, peakValue === 0 ? 0 : endValue / peakValue);
  return joinSchedules([linearSchedule(initValue, peakValue, warmupSteps), decay], [warmupSteps]);
}

/** Multiplies the value by `factor` at each count of `boundariesAndScales`. */
export function piecewiseConstantSchedule(initValue: number, boundariesAndScales: Readonly<Record<number, number>> = {}): Schedule {
  return (count) =>
    Object.entries(boundariesAndScales).reduce<NDArray>(
      (value, [boundary, factor]) => mul(value, select(ge(count, Number(boundary)), constant(factor), constant(1))),
      constant(initValue),
    );
}
