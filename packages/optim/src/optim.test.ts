import { asArray, type NDArray, scalar, setDefaultBackend, treeMap } from "@traceform/core";
import { jit } from "@traceform/jit";
import { add, mul, sin } from "@traceform/lax";
import { type Golden, goldenDifference, referenceBackend } from "@traceform/testing";
import { describe, expect, test } from "vitest";
import recorded from "../../testing/goldens/libraries.json" with { type: "json" };
import * as optim from "./index.ts";

setDefaultBackend(referenceBackend());

interface Params {
  readonly w: NDArray;
  readonly b: NDArray;
}
const goldens = recorded.optimizers as unknown as Record<string, { w: Golden; b: Golden }[]>;
const initial: Params = {
  w: asArray([
    [1, -2],
    [0.5, 3],
  ]),
  b: asArray([0.1, -0.2]),
};
const gradients = (p: Params): Params => treeMap((a: NDArray) => add(mul(a, 2), sin(a)), p);

const optimizers: Record<string, optim.GradientTransformation> = {
  sgd: optim.sgd(0.1),
  "sgd momentum": optim.sgd(0.1, { momentum: 0.9 }),
  "sgd nesterov": optim.sgd(0.1, { momentum: 0.9, nesterov: true }),
  adam: optim.adam(0.05),
  "adam epsRoot": optim.adam(0.05, { b1: 0.8, b2: 0.99, eps: 1e-6, epsRoot: 1e-8 }),
  adamw: optim.adamw(0.05, { weightDecay: 0.1 }),
  clip: optim.chain(optim.clipByGlobalNorm(1), optim.sgd(0.5)),
  schedule: optim.adam(optim.cosineDecaySchedule(0.1, 4, 0.1)),
};

describe("six steps are Optax's", () => {
  test.each(Object.entries(optimizers))("%s", (name, optimizer) => {
    const step = (p: Params, s: object): [Params, object] => {
      const [updates, next] = optimizer.update(gradients(p), s, p);
      return [optim.applyUpdates(p, updates), next];
    };
    for (const run of [step, jit(step)]) {
      let params = initial;
      let state = optimizer.init(params);
      for (const golden of goldens[name]) {
        [params, state] = run(params, state);
        expect(goldenDifference(params.w, golden.w, { ulps: 16, absolute: 2e-6 })).toBeNull();
        expect(goldenDifference(params.b, golden.b, { ulps: 16, absolute: 2e-6 })).toBeNull();
      }
    }
  });
});

describe("schedules are Optax's", () => {
  const schedules: Record<string, optim.Schedule> = {
    constant: optim.constantSchedule(0.3),
    linear: optim.linearSchedule(1, 0.1, 8, 2),
    polynomial: optim.polynomialSchedule({ initValue: 1, endValue: 0.1, power: 2.5, transitionSteps: 8, transitionBegin: 1 }),
    exponential: optim.exponentialDecay(1, { transitionSteps: 4, decayRate: 0.5 }),
    "exponential staircase": optim.exponentialDecay(1, {
      transitionSteps: 4,
      decayRate: 0.5,
      transitionBegin: 2,
      staircase: true,
      endValue: 0.2,
    }),
    cosine: optim.cosineDecaySchedule(1, 10, 0.1),
    "warmup cosine": optim.warmupCosineDecaySchedule({
      initValue: 0.1,
      peakValue: 1,
      warmupSteps: 4,
      decaySteps: 12,
      endValue: 0.05,
    }),
    piecewise: optim.piecewiseConstantSchedule(1, { 3: 0.5, 8: 0.1 }),
    join: optim.joinSchedules([optim.constantSchedule(0.1), optim.linearSchedule(1, 0, 5)], [4]),
  };
  test.each(Object.entries(schedules))("%s", (name, schedule) => {
    const expected = (recorded.schedules as Record<string, number[]>)[name];
    expected.forEach((value, count) => {
      const actual = Number(asArray(schedule(scalar(count, "int32"))).itemSync());
      expect(Math.abs(actual - value), `count ${count}: ${actual} for ${value}`).toBeLessThanOrEqual(1e-6);
    });
  });
});

test("weight decay without parameters is refused", () => {
  const optimizer = optim.adamw(0.1);
  expect(() => optimizer.update(initial, optimizer.init(initial))).toThrow(/needs the parameters/);
});

test("updates keep the dtype of the parameters", () => {
  const half = { w: asArray([1, 2], { dtype: "bfloat16" }) };
  const optimizer = optim.adam(0.1);
  const [updates] = optimizer.update(half, optimizer.init(half), half);
  expect(optim.applyUpdates(half, updates).w.dtype).toBe("bfloat16");
});
