import { type Buffer, type Executable, makeAval, type NDArray, traceToJaxpr } from "@traceform/core";
import * as lax from "@traceform/lax";
import { expect, test } from "vitest";
import { cpu } from "./index.ts";

const backend = cpu();
const [device] = backend.devices;
const n = 100_003;
const vector = makeAval([n], "float32");

function compile(
  fn: (...xs: NDArray[]) => readonly NDArray[],
  donate: readonly number[],
  ...avals: ReturnType<typeof makeAval>[]
): Executable {
  return backend.compile(traceToJaxpr(fn, avals, "f"), { name: "f", donate });
}
function put(value: (i: number) => number, length = n): Buffer {
  return backend.put(
    { shape: [length], dtype: "float32", bytes: new Uint8Array(Float32Array.from({ length }, (_, i) => value(i)).buffer) },
    device,
  );
}
const values = (b: Buffer): Float32Array => new Float32Array(backend.readSync!(b).bytes.buffer);

test("an elementwise step with a donated argument runs in its memory", () => {
  const step = compile((x, g) => [lax.sub(x, lax.mul(g, 0.5))], [0], vector, vector);
  const g = put((i) => 2 * i);
  let x = put((i) => 3 * i);
  const { bytesInUse } = device.memoryStats();
  for (let k = 0; k < 3; k++) {
    const [y] = step.run([x, g]);
    x.release();
    expect(device.memoryStats().bytesInUse).toBe(bytesInUse);
    expect(() => backend.readSync!(x)).toThrow(/donated/);
    x = y;
  }
  expect([...values(x)].every((v) => v === 0)).toBe(true);
  x.release();
  g.release();
});

test("an optimizer update with several donated arguments keeps all of them in place", () => {
  const step = compile(
    (p, m, v, g) => {
      const m1 = lax.add(lax.mul(m, 0.5), lax.mul(g, 0.5));
      const v1 = lax.add(lax.mul(v, 0.5), lax.mul(lax.mul(g, g), 0.5));
      return [lax.sub(p, lax.div(m1, lax.add(lax.sqrt(v1), 1))), m1, v1];
    },
    [0, 1, 2],
    vector,
    vector,
    vector,
    vector,
  );
  const plain = [put(() => 1), put(() => 2), put(() => 4)];
  const g = put((i) => i % 7);
  const expected = Array.from({ length: 7 }, (_, i) => [
    1 - (1 + i / 2) / (Math.sqrt(2 + (i * i) / 2) + 1),
    1 + i / 2,
    2 + (i * i) / 2,
  ]);
  const { bytesInUse } = device.memoryStats();
  const outs = step.run([...plain, g]);
  for (const b of plain) b.release();
  expect(device.memoryStats().bytesInUse).toBe(bytesInUse);
  outs.forEach((b, k) => {
    const got = values(b);
    for (const i of [0, 1, 5, n - 1]) expect(got[i]).toBeCloseTo(expected[i % 7][k], 5);
  });
});

test("a buffer that something else holds, or that is passed twice, is not overwritten", () => {
  const step = compile((x, y) => [lax.add(x, lax.mul(y, 10))], [0], vector, vector);
  const x = put((i) => i);
  const y = put(() => 1);
  x.retain();
  const [kept] = step.run([x, y]);
  expect([values(x)[5], values(kept)[5]]).toEqual([5, 15]);
  x.release();
  const [twice] = step.run([x, x]);
  expect([values(x)[5], values(twice)[5]]).toEqual([5, 55]);
});

test("arguments that are read after the result is written keep their memory", () => {
  const cases: readonly ((x: NDArray) => readonly NDArray[])[] = [
    (x) => [lax.rev(x, [0])],
    (x) => [lax.add(x, lax.rev(x, [0]))],
    (x) => [lax.iota("float32", n), lax.mul(x, 2)],
    (x) => [x, lax.add(x, 1)],
    (x) => [lax.cumsum(x)],
    (x) => [lax.sub(x, lax.broadcastInDim(lax.reduceSum(lax.rev(x, [0]), [0]), [n], []))],
    (x) => [lax.foriLoop(0, 3, (_, c: NDArray) => lax.add(c, lax.rev(x, [0])), lax.mul(x, 0))],
  ];
  for (const fn of cases) {
    const given = compile(fn, [0], vector);
    const kept = compile(fn, [], vector);
    const [x, y] = [put((i) => i % 13), put((i) => i % 13)];
    given.run([x]).forEach((b, k) => expect(values(b)).toEqual(values(kept.run([y])[k])));
  }
});

test("an update of a donated array touches only the part that changes", () => {
  const update = compile(
    (x, u, i) => [lax.dynamicUpdateSlice(x, u, [i])],
    [0],
    vector,
    makeAval([2], "float32"),
    makeAval([], "int32"),
  );
  const x = put((i) => i);
  const i = backend.put({ shape: [], dtype: "int32", bytes: new Uint8Array(Int32Array.of(3).buffer) }, device);
  const { bytesInUse } = device.memoryStats();
  const u = put(() => -1, 2);
  const [y] = update.run([x, u, i]);
  x.release();
  u.release();
  expect(device.memoryStats().bytesInUse).toBe(bytesInUse);
  expect([...values(y).subarray(0, 7)]).toEqual([0, 1, 2, -1, -1, 5, 6]);
});

test("a complex product of a donated array is right", () => {
  const c = makeAval([1000], "complex64");
  const square = compile((x) => [lax.mul(x, x)], [0], c);
  const x = backend.put(
    {
      shape: [1000],
      dtype: "complex64",
      bytes: new Uint8Array(Float32Array.from({ length: 2000 }, (_, i) => (i % 2 === 0 ? 1 : i)).buffer),
    },
    device,
  );
  const [y] = square.run([x]);
  expect([...values(y).subarray(2, 4)]).toEqual([-8, 6]);
});

test("programs and reads behind an asynchronous task wait for it", async () => {
  const other = cpu();
  const [d] = other.devices as unknown as { queue: { submit(task: () => Promise<void>): unknown } }[];
  const next = other.compile(
    traceToJaxpr((x) => [lax.add(x, 1)], [makeAval([2], "float32")], "next"),
    {},
  );
  const x = other.put({ shape: [2], dtype: "float32", bytes: new Uint8Array(Float32Array.of(1, 2).buffer) }, other.devices[0]);
  let open!: () => void;
  d.queue.submit(() => new Promise<void>((resolve) => (open = resolve)));
  const [y] = next.run([x]);
  x.release();
  const [z] = next.run([y]);
  expect(() => other.readSync!(z)).toThrow(/await the read/);
  const read = other.read(z);
  open();
  expect([...new Float32Array((await read).bytes.buffer)]).toEqual([3, 4]);
  expect([...new Float32Array(other.readSync!(z).bytes.buffer)]).toEqual([3, 4]);
});
