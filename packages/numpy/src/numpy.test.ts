import {
  AxisError,
  DTypeError,
  makeAval,
  type NDArray,
  setDefaultBackend,
  ShapeError,
  traceToJaxpr,
  TracerError,
  ValueError,
} from "@traceform/core";
import { referenceBackend } from "@traceform/testing";
import { describe, expect, test } from "vitest";
import * as np from "./index.ts";
import { contractionPath } from "./path.ts";

setDefaultBackend(referenceBackend());
const traced = (fn: (x: NDArray) => unknown, shape: readonly number[] = [3]): void => {
  traceToJaxpr((x) => [fn(x)].flat() as NDArray[], [makeAval(shape, "float32")], "test");
};
const type = (x: NDArray): string => `${x.aval}${x.weakType ? " weak" : ""}`;

describe("JavaScript numbers", () => {
  test("arrays of numbers are float32, of bigints int32, of booleans bool, typed arrays what they are", () => {
    expect(type(np.array([1, 2]))).toBe("float32[2]");
    expect(type(np.array([1n, 2n]))).toBe("int32[2]");
    expect(type(np.array([true]))).toBe("bool[1]");
    expect(type(np.array(new Uint8Array(2)))).toBe("uint8[2]");
    expect(type(np.array(3))).toBe("float32[] weak");
    expect(type(np.array([1, 2], { dtype: "int8" }))).toBe("int8[2]");
    expect(type(np.array([1, 2], np.int8))).toBe("int8[2]");
    expect(type(np.array(new Float32Array(6), { shape: [2, 3] }))).toBe("float32[2,3]");
  });
  test("an integral number beside integers adopts their dtype, any other makes float32", () => {
    const i = np.arange(3);
    expect(type(np.add(i, 2))).toBe("int32[3]");
    expect(type(np.add(i, 2.5))).toBe("float32[3] weak");
    expect(type(np.multiply(np.ones([2], "float16"), 2.5))).toBe("float16[2]");
    expect(type(np.add(np.array([true]), 1))).toBe("float32[1] weak");
    expect(type(np.add(np.ones([2], "uint8"), 3n))).toBe("uint8[2]");
  });
  test("64-bit values keep their digits", () => {
    expect(np.array([2n ** 53n + 1n], { dtype: "int64" }).jsSync()).toEqual([2n ** 53n + 1n]);
    expect(np.add(np.array([0.1], { dtype: "float64" }), 0.2).jsSync()).toEqual([0.1 + 0.2]);
    expect(np.array([0.1], { dtype: "complex128" }).jsSync()).toEqual([[0.1, 0]]);
    expect(np.linspace(0.1, 1, 2, { dtype: "float64" }).jsSync()).toEqual([0.1, 1]);
  });
  test("nested lists may hold arrays and tracers", () => {
    expect(
      np
        .array([
          [np.array(1), 2],
          [3, np.array(4)],
        ])
        .jsSync(),
    ).toEqual([
      [1, 2],
      [3, 4],
    ]);
    traced((x) => np.array([x, [1, 2, 3]]));
  });
});

describe("calls that users of jax-js write", () => {
  const x = np.array([
    [3, 1, 2],
    [6, 5, 4],
  ]);
  test("work as they are", () => {
    expect(np.linspace(0, 1, 3, true, { dtype: np.float32 }).jsSync()).toEqual([0, 0.5, 1]);
    expect(np.eye(2, 2, { dtype: np.int32 }).jsSync()).toEqual([
      [1, 0],
      [0, 1],
    ]);
    expect(np.meshgrid([np.array([1, 2]), np.array([3])], { indexing: "ij" }).map((g) => g.jsSync())).toEqual([
      [[1], [2]],
      [[3], [3]],
    ]);
    expect(np.allclose([1, 2], [1, 2.0001], { rtol: 1e-2 }).itemSync()).toBe(true);
    expect(np.std(x, 0, { correction: 1 }).shape).toEqual([3]);
    expect(np.vander(np.array([2, 3]), { n: 2, increasing: true }).jsSync()).toEqual([
      [1, 2],
      [1, 3],
    ]);
    expect(np.diff(x, 1, 1, { prepend: 0 }).jsSync()).toEqual([
      [3, -2, 1],
      [6, -1, -1],
    ]);
    expect(np.arrayEqual(np.array([NaN]), np.array([NaN]), { equalNaN: true }).itemSync()).toBe(true);
    expect(np.einsum(x, [0, 1], x, [0, 1], []).itemSync()).toBe(91);
    expect(np.split(x, 3, 1).length).toBe(3);
    expect(np.pad(np.array([[1]]), { 1: [1, 2] }).jsSync()).toEqual([[0, 1, 0, 0]]);
    expect(np.topK(x, 2)[1].jsSync()).toEqual([
      [0, 2],
      [0, 1],
    ]);
  });
});

describe("errors teach", () => {
  const x = np.ones([2, 3]);
  test("shapes that do not broadcast or contract", () => {
    expect(() => np.add(x, np.ones([4]))).toThrow(/do not broadcast together[\s\S]*lhs float32\[2,3\], rhs float32\[4\]/);
    expect(() => np.matmul(x, x)).toThrow(/last axis of lhs \(3\)[\s\S]*fix:/);
    expect(() => np.einsum("ij,jk", x, x)).toThrow(/letter "j" stands for axes of size 3 and 2/);
    expect(() => np.reshape(x, [5])).toThrow(ShapeError);
  });
  test("axes that do not exist or are named twice", () => {
    expect(() => np.sum(x, 2)).toThrow(AxisError);
    expect(() => np.sum(x, [0, 0])).toThrow(AxisError);
    expect(() => np.transpose(x, [0])).toThrow(AxisError);
  });
  test("extremes of nothing", () => {
    expect(() => np.max(np.zeros([0]))).toThrow(/give \{ initial \}/);
    expect(() => np.argmax(np.zeros([0]))).toThrow(ShapeError);
  });
  test("indices that are wrong before anything runs", () => {
    expect(() => np.getItem(x, [2])).toThrow(/index 2 is out of bounds for axis 0 of size 2/);
    expect(np.at(x, [2]).set(5, { mode: "drop" }).jsSync()).toEqual(x.jsSync());
    expect(np.getItem(np.array([1, 2]), [5], { mode: "clip" }).itemSync()).toBe(2);
    expect(() => np.getItem(x, [0, 0, 0])).toThrow(/too many indices: 3 for 2 axes/);
    expect(() => np.getItem(x, [0.5])).toThrow(ValueError);
    expect(() => np.getItem(x, [[0, 1, 1, 0]])).toThrow(/a flat list is \[start, stop, step\]/);
    expect(() => np.getItem(x, [np.array([0.5])])).toThrow(DTypeError);
    expect(() => np.getItem(x, [np.array([true, false, true])])).toThrow(/the mask has 3 elements/);
  });
  test("a traced float index names the conversion", () => {
    expect(() => traced((i) => np.take(np.ones([5]), i))).toThrow(/astype\(index, "int32"\)/);
    expect(np.take(np.array([5, 6, 7]), np.array([2, 0])).jsSync()).toEqual([7, 5]);
  });
  test("results whose shape depends on traced values", () => {
    expect(() => traced((v) => np.nonzero(v))).toThrow(TracerError);
    expect(() => traced((v) => np.unique(v))).toThrow(/give \{ size \}/);
    expect(() => traced((v) => np.getItem(v, [np.greater(v, 0)]))).toThrow(/use where\(mask, x, y\)/);
    traced((v) => np.unique(v, { size: 2 }));
  });
  test("a traced mask may be assigned through", () => {
    traced((v) => np.at(v, [np.greater(v, 0)]).set(0));
  });
});

describe("contraction paths", () => {
  const sizes = new Map(Object.entries({ i: 2, j: 100, k: 100, l: 50 }));
  test("the cheapest order is found, whatever the order of the operands", () => {
    // From the left 2·100·100 + 2·100·50 multiplications, from the right 100·100·50 + 2·100·50.
    expect(contractionPath(["ij", "jk", "kl"], "il", sizes)).toEqual([
      [0, 1],
      [0, 1],
    ]);
    expect(contractionPath(["jk", "ij", "kl"], "il", sizes, "optimal").length).toBe(2);
    expect(contractionPath(["ij", "jk", "kl"], "il", sizes, "greedy").length).toBe(2);
  });
  test("an outer product is the last resort", () => {
    const path = contractionPath(["ab", "cd", "bc"], "ad", new Map(Object.entries({ a: 10, b: 10, c: 10, d: 10 })));
    expect(path[0]).not.toEqual([0, 1]);
  });
  test("many operands contract greedily to the same value", () => {
    const m = np.array([
      [1, 2],
      [0, 1],
    ]);
    expect(np.einsum("ab,bc,cd,de,ef,fg,gh->ah", m, m, m, m, m, m, m).jsSync()).toEqual([
      [1, 14],
      [0, 1],
    ]);
  });
});

test("vectorize maps over leading axes by its signature", () => {
  const matvec = np.vectorize((a, v) => np.dot(a, v), { signature: "(m,n),(n)->(m)" });
  expect(matvec(np.ones([4, 2, 3]), np.arange(3)).shape).toEqual([4, 2]);
  const plus = np.vectorize((a, b) => np.add(a, b));
  expect(plus(np.array([[1], [2]]), np.array([10, 20])).jsSync()).toEqual([
    [11, 21],
    [12, 22],
  ]);
  expect(np.applyAlongAxis((v) => np.sum(v), 0, np.ones([2, 3])).jsSync()).toEqual([2, 2, 2]);
});

test("finfo and iinfo give limits, dtypes fall into categories", () => {
  expect(np.finfo("float32").eps).toBe(2 ** -23);
  expect(np.iinfo("int64").max).toBe(2n ** 63n - 1n);
  expect(np.issubdtype("float16", np.floating)).toBe(true);
  expect(np.issubdtype(np.integer, np.number)).toBe(true);
  expect(np.isdtype("int8", "signed integer")).toBe(true);
  expect(np.canCast("int32", "float32")).toBe(false);
  expect(np.canCast("int16", "float32")).toBe(true);
  expect(() => np.finfo("int32")).toThrow(DTypeError);
});

test("constants and dtypes have NumPy's names", () => {
  expect(np.getItem(np.ones([2]), [np.newaxis]).shape).toEqual([1, 2]);
  expect(np.sin(np.pi / 2).itemSync()).toBeCloseTo(1);
  expect(np.eulerGamma).toBeCloseTo(0.5772);
  expect([np.e, np.inf, np.nan]).toEqual([Math.E, Infinity, NaN]);
  expect(np.asarray([1], np.bool_).dtype).toBe(np.bool);
  expect(np.dtype([1])).toBe("float32");
  expect(np.dtype("int8")).toBe("int8");
  expect(() => np.dtype("float31" as never)).toThrow(DTypeError);
  expect(np.ones([1])).toBeInstanceOf(np.ndarray);
  for (const [dtype, category] of [
    ["complex64", np.complexfloating],
    ["int8", np.signedinteger],
    ["uint8", np.unsignedinteger],
    ["bool", np.generic],
    ["float16", np.inexact],
  ] as const) {
    expect(np.issubdtype(dtype, category)).toBe(true);
    expect(np.issubdtype("bool", category)).toBe(category === np.generic);
  }
});

test("arrays come from bytes and from functions of their indices", () => {
  expect(np.frombuffer(new Uint8Array([1, 0, 2, 0, 3, 0]), "uint16", { offset: 2 }).jsSync()).toEqual([2, 3]);
  expect(np.fromfunction((i, j) => np.add(i, np.multiply(10, j)), [2, 2]).jsSync()).toEqual([
    [0, 10],
    [1, 11],
  ]);
  expect(np.ix(np.arange(2), np.arange(3)).map((x) => x.shape)).toEqual([
    [2, 1],
    [1, 3],
  ]);
  expect([np.isscalar(3), np.isscalar(np.array(3)), np.isscalar([3])]).toEqual([true, true, false]);
  expect(np.iscomplexobj(np.ones([1], "complex64"))).toBe(true);
});
