import {
  asArray,
  ConcretizationTypeError,
  type NDArray,
  NonConcreteBooleanIndexError,
  setDefaultBackend,
  TracerArrayConversionError,
  TracerBoolConversionError,
  TracerError,
  TracerIntegerConversionError,
  UnexpectedTracerError,
} from "@traceform/core";
import { grad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import "@traceform/numpy/methods";
import { vmap } from "@traceform/vmap";
import { describe, expect, test } from "vitest";
import { referenceBackend } from "./index.ts";

setDefaultBackend(referenceBackend());

const x = asArray([1, 2, 3]);
const three = asArray(Int32Array.of(3));

/** What a function that looks at its traced argument throws; as JavaScript code would, without types. */
function thrown(f: (y: never) => unknown, argument: NDArray): Error {
  try {
    jit((y: NDArray) => {
      f(y as never);
      return y;
    })(argument);
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was thrown");
}

describe("a traced size, axis or count is refused wherever an integer is needed", () => {
  const uses: Record<string, (k: never) => unknown> = {
    ones: (k) => np.ones([k]),
    "ones of a number": (k) => np.ones(k),
    full: (k) => lax.full([2, k], 1),
    eye: (k) => np.eye(k),
    arange: (k) => np.arange(k),
    "arange to": (k) => np.arange(0, k),
    linspace: (k) => np.linspace(0, 1, k),
    reshape: (k) => np.reshape(x, [k]),
    broadcastTo: (k) => np.broadcastTo(x, [k, 3]),
    tile: (k) => np.tile(x, [k]),
    iota: (k) => lax.iota("int32", k),
    sum: (k) => np.sum(x, k),
    "sum over several": (k) => np.sum(x, [k]),
    transpose: (k) => np.transpose(x, [k]),
    topK: (k) => lax.topK(x, k),
    integerPow: (k) => lax.integerPow(x, k),
    "scan's length": (k) => lax.scan((c: NDArray, _: null) => [c, null], 0, null, { length: k }),
  };
  test.each(Object.keys(uses))("%s", (name) => {
    const error = thrown((y: never) => uses[name](lax.reshape(y, []) as never), three);
    expect(error).toBeInstanceOf(TracerIntegerConversionError);
    expect(error.message).toMatch(/must be known while tracing, but is a traced int32\[\] inside jit[\s\S]*staticArgnums/);
  });
});

describe("each way to look at a tracer has its error", () => {
  const cases: [string, (y: NDArray) => unknown, typeof TracerError, string][] = [
    ["a comparison", (y) => Number(y) > 0, ConcretizationTypeError, "TRACEFORM_CONCRETIZATION"],
    ["arithmetic", (y) => Math.sin(Number(y)), ConcretizationTypeError, "TRACEFORM_CONCRETIZATION"],
    ["itemSync", (y) => y.itemSync(), ConcretizationTypeError, "TRACEFORM_CONCRETIZATION"],
    ["itemSync of a truth value", (y) => lax.gt(y, 0).itemSync(), TracerBoolConversionError, "TRACEFORM_TRACER_BOOL"],
    ["a truth value as a number", (y) => Number(lax.gt(y, 0)), TracerBoolConversionError, "TRACEFORM_TRACER_BOOL"],
    ["jsSync", (y) => y.jsSync(), TracerArrayConversionError, "TRACEFORM_TRACER_ARRAY"],
    ["dataSync", (y) => y.dataSync(), TracerArrayConversionError, "TRACEFORM_TRACER_ARRAY"],
    ["nonzero", (y) => np.nonzero(lax.reshape(y, [1])), ConcretizationTypeError, "TRACEFORM_CONCRETIZATION"],
    ["unique", (y) => np.unique(y), ConcretizationTypeError, "TRACEFORM_CONCRETIZATION"],
  ];
  test.each(cases)("%s", (_name, look, kind, code) => {
    const error = thrown(look as never, asArray(2));
    expect(error.constructor).toBe(kind);
    expect(error).toBeInstanceOf(TracerError);
    expect((error as TracerError).code).toBe(code);
    expect(error.message).toContain("fix:");
  });
  test("asynchronous reads, too", () => {
    expect(thrown((y: NDArray) => y.data(), x)).toBeInstanceOf(TracerArrayConversionError);
  });
  test("a mask as an index", () => {
    expect(thrown((y: NDArray) => y.slice(np.greater(y, 1)), x)).toBeInstanceOf(NonConcreteBooleanIndexError);
  });
  test("in vmap and in staged derivatives as in jit; under eager grad values are there", () => {
    expect(() => vmap((y: NDArray) => (Number(y) > 0 ? y : lax.neg(y)))(x)).toThrow(ConcretizationTypeError);
    expect(() => jit(grad((y: NDArray) => (Number(y) > 0 ? y : lax.neg(y))))(1)).toThrow(ConcretizationTypeError);
    expect(grad((y: NDArray) => (Number(y) > 0 ? lax.neg(y) : y))(1).itemSync()).toBe(-1);
  });
  test("what outlives its trace, whatever is done with it", () => {
    let kept: NDArray | null = null;
    jit((y: NDArray) => (kept = lax.sin(y)))(1);
    for (const use of [
      () => lax.add(kept!, 1),
      () => kept!.jsSync(),
      () => Number(kept!),
      () => jit((y: NDArray) => lax.add(y, kept!))(1),
    ]) {
      expect(use).toThrow(UnexpectedTracerError);
    }
  });
});
