import { add, neg } from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { beforeEach, describe, expect, test } from "vitest";
import {
  arrayScope,
  asArray,
  BackendError,
  type ConcreteArray,
  DisposedError,
  fromTyped,
  makeAval,
  scalar,
  setDefaultBackend,
  ShapeError,
  TracerError,
  ValueError,
} from "./index.ts";

beforeEach(() => {
  setDefaultBackend(referenceBackend());
});

test("JavaScript values become arrays of JAX's dtypes", () => {
  expect(String(asArray(3).aval)).toBe("float32[]");
  expect(asArray(3).weakType).toBe(true);
  expect(String(asArray(3n).aval)).toBe("int32[]");
  expect(String(asArray(true).aval)).toBe("bool[]");
  expect(
    String(
      asArray([
        [1, 2],
        [3, 4],
      ]).aval,
    ),
  ).toBe("float32[2,2]");
  expect(String(asArray([true, false]).aval)).toBe("bool[2]");
  expect(String(asArray(new Int16Array(3)).aval)).toBe("int16[3]");
  expect(String(asArray([]).aval)).toBe("float32[0]");
});

test("what goes in comes out", async () => {
  expect(
    asArray([
      [1.5, 2],
      [3, 4],
    ]).jsSync(),
  ).toEqual([
    [1.5, 2],
    [3, 4],
  ]);
  expect(await asArray([true, false]).js()).toEqual([true, false]);
  expect(await fromTyped(BigInt64Array.of(5n, -7n), [2], "int64").data()).toEqual(BigInt64Array.of(5n, -7n));
  expect(await asArray(7).item()).toBe(7);
});

test("half-precision values come out as floats", () => {
  const x = asArray([1.5, -2.25, 65504, 1e-7], { dtype: "float16" });
  expect([...x.dataSync()].map(Number)).toEqual([1.5, -2.25, 65504, 1.1920928955078125e-7]);
  expect([...asArray([1, 3.140625], { dtype: "bfloat16" }).dataSync()]).toEqual([1, 3.140625]);
});

test("a typed array is copied: changing it later changes nothing", () => {
  const data = Float32Array.of(1, 2);
  const x = asArray(data);
  data[0] = 9;
  expect(x.jsSync()).toEqual([1, 2]);
});

test("float to integer saturates, integers wrap, NaN is 0", () => {
  expect([...asArray([256, -1, NaN, 3.9], { dtype: "uint8" }).dataSync()]).toEqual([0, 255, 0, 3]);
  expect([...asArray([1e10, -1e10, 0.5], { dtype: "int32" }).dataSync()]).toEqual([1410065408, -1410065408, 0]);
});

test("ragged arrays and things that are no arrays are refused", () => {
  expect(() => asArray([[1, 2], [3]])).toThrow(ShapeError);
  expect(() => asArray(null as never)).toThrow(ValueError);
  expect(() => fromTyped(new Float32Array(5), [2, 3], "float32")).toThrow(/5 elements/);
});

test("arrays have no operators: the error names the function to use", () => {
  const x = asArray([1, 2]);
  expect(() => (x as never as number) * 2).toThrow(TracerError);
  expect(() => `${+(x as never as number)}`).toThrow(/use the functions instead/);
  expect(Number(asArray(3)) + 1).toBe(4);
  expect(`${asArray(3)}`).toBe("Array<float32[]> 3");
});

test("without a backend the error says how to get one", () => {
  setDefaultBackend(null);
  expect(() => neg(asArray([1, 2]))).toThrow(BackendError);
  expect(() => neg(asArray([1, 2]))).toThrow(/setDefaultBackend/);
});

describe("lifetime", () => {
  test("use after dispose throws and says where the array was disposed of", () => {
    const x = neg(asArray([1, 2]));
    x.dispose();
    x.dispose();
    expect(() => x.jsSync()).toThrow(DisposedError);
    expect(() => add(x, 1)).toThrow(/was disposed of at arrays\.test\.ts:\d+/);
  });

  test("disposing of an array frees its buffer", () => {
    const backend = setDefaultBackend(referenceBackend());
    const [device] = backend.devices;
    const x = neg(asArray([1, 2]));
    const live = device.memoryStats().liveBuffers;
    x.dispose();
    expect(device.memoryStats().liveBuffers).toBe(live - 1);
  });

  test("a scope disposes of what was made inside it, except what is kept", () => {
    const scope = arrayScope();
    const dropped = neg(asArray([1]));
    const kept = scope.keep({ y: neg(asArray([2])) });
    scope[Symbol.dispose]();
    expect(() => dropped.jsSync()).toThrow(DisposedError);
    expect(kept.y.jsSync()).toEqual([-2]);
  });

  test("scalar constants are shared and outlive a dispose", () => {
    const x = scalar(2, "float32");
    x.dispose();
    expect(x.itemSync()).toBe(2);
  });
});

test("equal avals are the same object", () => {
  expect(makeAval([2, 3], "float32")).toBe(makeAval([2, 3], "float32"));
  expect(makeAval([2, 3], "float32")).not.toBe(makeAval([2, 3], "float32", { weakType: true }));
  expect(makeAval([2], "float32", { varying: ["x"] })).not.toBe(makeAval([2], "float32"));
});

test("where a shared constant was used before does not decide where an operation runs", () => {
  const two = scalar(2, "float32");
  neg(two);
  const [device] = setDefaultBackend(referenceBackend()).devices;
  const three = add(two, scalar(1, "float32"));
  expect((three as ConcreteArray).device).toBe(device);
  expect(three.jsSync()).toBe(3);
});
