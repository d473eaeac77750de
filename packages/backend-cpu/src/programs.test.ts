import {
  type Aval,
  bind,
  definePrimitive,
  type Executable,
  makeAval,
  type NDArray,
  setDefaultBackend,
  traceToJaxpr,
} from "@traceform/core";
import * as lax from "@traceform/lax";
import { expect, test } from "vitest";
import { cpu } from "./index.ts";

const backend = cpu();
setDefaultBackend(backend);
const [device] = backend.devices;

type Fn = (...xs: NDArray[]) => readonly NDArray[];
const f32 = (...shape: number[]): Aval => makeAval(shape, "float32");
const compile = (fn: Fn, ...avals: Aval[]): Executable => backend.compile(traceToJaxpr(fn, avals, "f"), { name: "f" });
const kernels = (e: Executable): readonly string[] => e.inspect().segments[0].kernels;
function run(e: Executable, ...args: { shape: number[]; values: readonly number[] }[]): number[][] {
  const buffers = args.map(({ shape, values }) =>
    backend.put({ shape, dtype: "float32", bytes: new Uint8Array(Float32Array.from(values).buffer) }, device),
  );
  return e.run(buffers).map((b) => [...new Float32Array(backend.readSync!(b).bytes.buffer)]);
}

const wide = (x: NDArray, rows: number, columns: number): NDArray => lax.broadcastInDim(x, [rows, columns], [0]);
function softmax(x: NDArray): NDArray {
  const [r, c] = x.shape;
  const e = lax.exp(lax.sub(x, wide(lax.reduceMax(x, [1]), r, c)));
  return lax.div(e, wide(lax.reduceSum(e, [1]), r, c));
}

test("a softmax is one kernel", () => {
  expect(kernels(compile((x) => [softmax(x)], f32(64, 256)))).toHaveLength(1);
});

test("a layer norm with its statistics is one kernel", () => {
  const norm: Fn = (x) => {
    const mean = lax.div(lax.reduceSum(x, [1]), 256);
    const c = lax.sub(x, wide(mean, 64, 256));
    const variance = lax.div(lax.reduceSum(lax.mul(c, c), [1]), 256);
    return [lax.mul(c, wide(lax.rsqrt(lax.add(variance, 1e-5)), 64, 256)), mean, variance];
  };
  expect(kernels(compile(norm, f32(64, 256)))).toHaveLength(1);
});

test("an elementwise chain with several results is one kernel", () => {
  const e = compile(
    (x, y) => {
      const z = lax.exp(lax.mul(x, y));
      return [z, lax.add(z, 1), lax.tanh(z)];
    },
    f32(100),
    f32(100),
  );
  expect(kernels(e)).toHaveLength(1);
});

test("views cost nothing: a transposed, reversed, sliced and broadcast operand is read in place", () => {
  const e = compile(
    (x) => [lax.add(lax.broadcastInDim(lax.slice(lax.rev(lax.transpose(x, [1, 0]), [0]), [1, 0], [3, 2]), [4, 2, 2], [1, 2]), 1)],
    f32(2, 4),
  );
  expect(kernels(e)).toHaveLength(1);
  expect(run(e, { shape: [2, 4], values: [0, 1, 2, 3, 4, 5, 6, 7] })[0].slice(0, 4)).toEqual([3, 7, 2, 6]);
});

test("a loop that updates an array does it in place", () => {
  const e = compile(
    (x) => [
      lax.foriLoop(
        0,
        5,
        (i, c: NDArray) => lax.dynamicUpdateSlice(c, lax.add(lax.dynamicSlice(c, [i], [1]), 1), [lax.add(i, 1)]),
        x,
      ),
    ],
    f32(6),
  );
  // One copy before the loop and one after it, none inside.
  expect(e.inspect().text.match(/copy/g)).toHaveLength(2);
  expect(run(e, { shape: [6], values: [10, 0, 0, 0, 0, 0] })).toEqual([[10, 11, 12, 13, 14, 15]]);
});

test("arguments and repeated results are passed on without copies", () => {
  const e = compile((x) => {
    const y = lax.neg(x);
    return [x, y, y, x];
  }, f32(3));
  const x = backend.put({ shape: [3], dtype: "float32", bytes: new Uint8Array(12) }, device);
  const outs = e.run([x]);
  expect(outs.map((b) => b.id)).toEqual([x.id, outs[1].id, outs[1].id, x.id]);
  const before = device.memoryStats().liveBuffers;
  for (const b of outs) b.release();
  x.release();
  expect(device.memoryStats().liveBuffers).toBe(before - 2);
});

test("a fixed loop swaps its carries instead of copying them, for any number of trips", () => {
  for (const length of [0, 1, 2, 3]) {
    const e = compile(
      (a, b) => {
        const [carry] = lax.scan(
          ([p, q]: [NDArray, NDArray], _: null) => [[q, lax.add(p, q)] as [NDArray, NDArray], null],
          [a, b] as [NDArray, NDArray],
          null,
          { length },
        );
        return carry;
      },
      f32(2),
      f32(2),
    );
    const fibonacci = [1, 1, 2, 3, 5, 8];
    const [p, q] = run(e, { shape: [2], values: [1, 1] }, { shape: [2], values: [1, 1] });
    expect([p[0], q[1]]).toEqual([fibonacci[length], fibonacci[length + 1]]);
  }
});

test("logical devices have buffers of their own", () => {
  const many = cpu({ devices: 3 });
  expect(many.devices.map(String)).toEqual(["cpu:0", "cpu:1", "cpu:2"]);
  const x = many.put({ shape: [2], dtype: "float32", bytes: new Uint8Array(Float32Array.of(1, 2).buffer) }, many.devices[2]);
  expect(many.devices.map((d) => d.memoryStats().liveBuffers)).toEqual([0, 0, 1]);
  const e = many.compile(
    traceToJaxpr((y) => [lax.neg(y)], [f32(2)], "neg"),
    {},
  );
  expect(e.run([x])[0].device).toBe(many.devices[2]);
});

test("a long sum of small terms keeps its digits", () => {
  const n = 1 << 20;
  const e = compile((x) => [lax.reduceSum(x, [0])], f32(n));
  const [[sum]] = run(e, { shape: [n], values: new Array<number>(n).fill(0.1) });
  expect(Math.abs(sum / (n * Math.fround(0.1)) - 1)).toBeLessThan(1e-7);
});

test("an unknown primitive is named", () => {
  const unknown = definePrimitive("unheard_of", { abstractEval: ([x]) => [x] });
  expect(() => compile((x) => bind(unknown, [x], {}), f32(3))).toThrow(/unheard_of/);
});

test("a complex array over a complex scalar, as in a batched mean", () => {
  const z = makeAval([2, 2], "complex64");
  const e = backend.compile(
    traceToJaxpr((x) => [lax.div(lax.reduceSum(x, [1]), lax.complex(2, 2)), lax.div(lax.reduceSum(x, [1]), 4)], [z], "mean"),
    {},
  );
  const x = backend.put(
    { shape: [2, 2], dtype: "complex64", bytes: new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8).buffer) },
    device,
  );
  const [y, quarter] = e.run([x]);
  expect([...new Float32Array(backend.readSync!(quarter).bytes.buffer)]).toEqual([1, 1.5, 3, 3.5]);
  // (4 + 6i) / (2 + 2i) and (12 + 14i) / (2 + 2i).
  expect([...new Float32Array(backend.readSync!(y).bytes.buffer)]).toEqual([2.5, 0.5, 6.5, 0.5]);
});
