import {
  BackendError,
  type ConcreteArray,
  devices,
  DisposedError,
  fromTyped,
  NamedSharding,
  type NDArray,
  setDefaultBackend,
  TransformError,
} from "@traceform/core";
import { cpu } from "@traceform/backend-cpu";
import { grad, valueAndGrad } from "@traceform/grad";
import { jit, traceCount } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { vmap } from "@traceform/vmap";
import { afterAll, expect, test } from "vitest";
import { pmap } from "./index.ts";

const backend = setDefaultBackend(cpu({ devices: 4 }));
afterAll(() => backend[Symbol.dispose]());
const { add, div, mul, pmean, psum, sin } = lax;
const counted = (...shape: number[]): NDArray =>
  fromTyped(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i),
    shape,
    "float32",
  );
const sum = (x: NDArray): NDArray =>
  lax.reduceSum(
    x,
    x.shape.map((_, i) => i),
  );
const normalise = (x: NDArray): NDArray => div(x, psum(sum(x), "i"));

test("it runs once on each device, and the results stay there", () => {
  const x = counted(4, 2);
  const y = pmap(normalise, { axisName: "i" })(x);
  expect(y.jsSync()).toEqual((x.jsSync() as number[][]).map((r) => r.map((v) => Math.fround(v / 28))));
  expect(y.sharding).toBeInstanceOf(NamedSharding);
  expect(y.addressableShards.map((s) => s.device.id)).toEqual([0, 1, 2, 3]);
  expect(y.addressableShards[1].data.shape).toEqual([1, 2]);
  expect(pmap((z: NDArray) => mul(z, 2))(y).addressableShards).toHaveLength(4);
});

test("a second call of the same signature traces nothing, and static arguments are constants", () => {
  const f = pmap((n: number, x: NDArray) => (n === 2 ? mul(x, x) : mul(x, n)), { staticBroadcastedArgnums: 0, inAxes: [null, 0] });
  expect(f(2, counted(4)).jsSync()).toEqual([0, 1, 4, 9]);
  const before = traceCount();
  f(2, counted(4));
  expect(traceCount()).toBe(before);
  expect(f(3, counted(4)).jsSync()).toEqual([0, 3, 6, 9]);
  expect(traceCount()).toBe(before + 1);
});

test("axes of arguments and results, trees, and values that all devices get whole", () => {
  const f = pmap((p: { w: NDArray; b: NDArray }, x: NDArray) => [mul(p.w, x), add(p.b, sum(x))] as [NDArray, NDArray], {
    inAxes: [{ w: 1, b: null }, 0],
    outAxes: [1, 0],
  });
  const [y, z] = f({ w: counted(2, 3), b: counted(2) }, counted(3, 2));
  expect(y.jsSync()).toEqual([
    [0, 2, 8],
    [3, 12, 25],
  ]);
  expect(z.jsSync()).toEqual([
    [1, 2],
    [5, 6],
    [9, 10],
  ]);
});

test("fewer devices than there are, and chosen ones", () => {
  const [, d1, d2] = devices();
  const y = pmap((x: NDArray) => psum(x, "i"), { axisName: "i", devices: [d2, d1] })(counted(2));
  expect(y.jsSync()).toEqual([1, 1]);
  expect(y.addressableShards.map((s) => s.device.id)).toEqual([2, 1]);
  expect(pmap(() => lax.axisIndex("i"), { axisName: "i", axisSize: 3 })().jsSync()).toEqual([0, 1, 2]);
});

test("nested with the other transformations, on either side", () => {
  const x = counted(4, 3);
  const rows = x.jsSync() as number[][];
  const f = (v: NDArray): NDArray => mul(v, psum(v, "i"));
  const columns = rows[0].map((_, k) => rows.reduce((s, r) => s + r[k], 0));
  const expected = rows.map((r) => r.map((v, k) => v * columns[k]));
  const mapped = pmap(f, { axisName: "i" });
  expect(mapped(x).jsSync()).toEqual(expected);
  expect(jit(mapped)(x).jsSync()).toEqual(expected);
  expect(pmap(jit(f), { axisName: "i" })(x).jsSync()).toEqual(expected);
  expect(pmap(vmap(f), { axisName: "i" })(x).jsSync()).toEqual(expected);
  expect(vmap(mapped, { inAxes: 1, outAxes: 1 })(x).jsSync()).toEqual(expected);
  const stepped = lax.scan((c: NDArray, _: null) => [mapped(c), null] as const, x, null, { length: 2 })[0];
  expect(stepped.jsSync()).toEqual(mapped(mapped(x)).jsSync());
  // d/dx_k Σ_j x_j S = 2 S
  expect(grad((v: NDArray) => sum(mapped(v)))(x).jsSync()).toEqual(rows.map(() => columns.map((s) => 2 * s)));
  const inside = pmap((v: NDArray) => grad((u: NDArray) => sum(sin(u)))(v), { axisName: "i" });
  expect(inside(x).jsSync()).toEqual(lax.cos(x).jsSync());
});

test("data-parallel training: gradients of the parts, averaged, are the gradient of the whole", () => {
  const x = counted(8, 2);
  const y = counted(8);
  const loss = (w: NDArray, a: NDArray, b: NDArray): NDArray => {
    const error = lax.sub(sin(lax.reduceSum(mul(a, lax.broadcastInDim(w, a.shape, [1])), [1])), b);
    return div(sum(mul(error, error)), a.shape[0]);
  };
  const step = pmap(
    (w: NDArray, a: NDArray, b: NDArray): [NDArray, NDArray] => {
      const [value, g] = valueAndGrad(loss)(w, a, b);
      return [pmean(value, "i"), pmean(g, "i")];
    },
    { axisName: "i", inAxes: [null, 0, 0], outAxes: null as never },
  );
  const w = counted(2);
  const [value, g] = step(w, lax.reshape(x, [4, 2, 2]), lax.reshape(y, [4, 2]));
  const [wholeValue, whole] = valueAndGrad(loss)(w, x, y);
  expect(value.itemSync()).toBeCloseTo(Number(wholeValue.itemSync()), 4);
  (g.jsSync() as number[]).forEach((v, i) => expect(v).toBeCloseTo((whole.jsSync() as number[])[i], 3));
});

test("donated arguments end", () => {
  const f = pmap((x: NDArray) => add(x, 1), { donateArgnums: 0 });
  const x = add(counted(4), 1);
  expect(f(x).jsSync()).toEqual([2, 3, 4, 5]);
  expect(() => x.dataSync()).toThrow(DisposedError);
});

test("it compiles ahead of time like a jitted function", async () => {
  const f = pmap(normalise, { axisName: "i" });
  const compiled = await f.lower(counted(4, 2)).compile();
  expect(compiled(counted(4, 2)).jsSync()).toEqual(f(counted(4, 2)).jsSync());
});

test("maps that cannot be are refused, with the repair", () => {
  const f = pmap(normalise, { axisName: "i" });
  expect(() => f(counted(5))).toThrow(BackendError);
  expect(() => f(counted(5))).toThrow(/needs 5 devices, but there are 4[\s\S]*setDefaultBackend\(cpu\(\{ devices: 5 \}\)\)/);
  expect(() => f(lax.full([], 1))).toThrow(/which is a scalar[\s\S]*inAxes: \[0, null\]/);
  expect(() => pmap(add)(counted(4), counted(3))).toThrow(
    /sizes of the mapped axes differ:\s+args\[0\] float32\[4\] has size 4 along axis 0\s+args\[1\]/,
  );
  expect(() => pmap(normalise, { inAxes: null })(counted(4))).toThrow(/axisSize/);
  expect(() => pmap(normalise, { devices: devices().slice(0, 2) })(counted(4))).toThrow(/2 devices were given/);
  expect(() => pmap(add, { inAxes: [0] as never })(counted(4), counted(4))).toThrow(TransformError);
  expect(() => pmap((x: NDArray) => psum(x, "j"), { axisName: "i" })(counted(4))).toThrow(/unbound axis name "j"/);
  expect(() => pmap(async (x: NDArray) => x)(counted(4))).toThrow(/async/);
});

test("arrays of one device and of several meet in one operation", () => {
  const y = pmap((x: NDArray) => mul(x, x))(counted(4));
  expect((y as ConcreteArray).device).toBe(devices()[0]);
  expect(add(y, counted(4)).jsSync()).toEqual([0, 2, 6, 12]);
});
