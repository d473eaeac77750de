import { type Executable, makeAval, type NDArray, setDefaultBackend, ShapeDtypeStruct, traceToJaxpr } from "@traceform/core";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import { expect, test } from "vitest";
import type { CpuDevice } from "./device.ts";
import { cpu } from "./index.ts";

// Where host steps meet the queue, the workers and the memory of this backend. What callbacks do in general is tested in
// packages/testing.

const scalar = new ShapeDtypeStruct([], "float32");

test("a program that waits in the queue runs its callbacks in its turn, and they may use the library", async () => {
  const backend = setDefaultBackend(cpu());
  const { queue } = backend.devices[0] as CpuDevice;
  const order: unknown[] = [];
  const f = jit((x: NDArray) =>
    lax.ioCallback(
      (v: NDArray) => {
        order.push(v.itemSync());
        return np.add(jit((y: NDArray) => np.sin(y))(v), np.array(Number(np.multiply(v, 2).itemSync())));
      },
      scalar,
      x,
    ),
  );
  const failing = jit((x: NDArray) =>
    lax.ioCallback(
      () => {
        throw new Error("in the queue");
      },
      scalar,
      x,
    ),
  );
  const [one, two] = [np.array(1), np.array(2)];
  f(one);
  order.length = 0;
  let open!: () => void;
  const gate = queue.submit(() => new Promise<void>((resolve) => (open = resolve)));
  const results = [f(one), failing(two), f(two)];
  expect(order).toEqual([]);
  open();
  await gate;
  expect(await results[0].item()).toBeCloseTo(Math.sin(1) + 2, 5);
  await expect(results[1].item()).rejects.toThrow("in the queue");
  expect(await results[2].item()).toBeCloseTo(Math.sin(2) + 4, 5);
  expect(order).toEqual([1, 2]);
  backend[Symbol.dispose]();
});

test("kernels before and after a callback are shared by threads, whatever the callback runs", async () => {
  const backend = setDefaultBackend(cpu({ threads: 3, grain: 64 }));
  const inner = jit((x: NDArray) => np.sum(np.exp(np.negative(np.multiply(x, x)))));
  const f = jit((x: NDArray) => {
    const y = np.cumsum(np.sin(x));
    const z = lax.pureCallback((v: NDArray) => inner(v), scalar, y);
    return np.add(np.sum(np.cos(y)), z);
  });
  const x = np.arange(20_000, { dtype: "float32" });
  const first = f(x).itemSync();
  // Until the workers are there, and after: the same bits.
  for (let i = 0; i < 200 && backend.threads < 3; i++) {
    expect(f(x).itemSync()).toBe(first);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(backend.threads).toBe(3);
  for (let i = 0; i < 20; i++) expect(f(x).itemSync()).toBe(first);
  backend[Symbol.dispose]();
});

test("a program that gets hot while it calls itself is compiled again afterwards", () => {
  const backend = setDefaultBackend(cpu({ warmUp: 1 << 18 }));
  const f: (x: NDArray) => NDArray = jit((x: NDArray) =>
    lax.pureCallback(
      (v: NDArray) => {
        const n = Number(v.itemSync());
        return n === 0 ? 0 : Number(f(np.array(n - 1)).itemSync()) + n;
      },
      scalar,
      np.add(x, 0),
    ),
  );
  for (let i = 0; i < 10; i++) expect(f(np.array(20)).itemSync()).toBe(210);
  backend[Symbol.dispose]();
});

test("a callback may dispose of the program that waits for it", () => {
  const backend = setDefaultBackend(cpu());
  const [device] = backend.devices;
  const before = device.memoryStats();
  let executable: Executable | null = null;
  const { jaxpr } = traceToJaxpr(
    (x) => {
      const y = lax.mul(x, 2);
      lax.debug.callback(() => executable?.[Symbol.dispose](), y);
      return [lax.add(y, 1)];
    },
    [makeAval([3], "float32")],
    "f",
  );
  executable = backend.compile({ jaxpr, consts: [] }, { name: "f" });
  const x = backend.put({ shape: [3], dtype: "float32", bytes: new Uint8Array(Float32Array.of(1, 2, 3).buffer) }, device);
  const [out] = executable.run([x]);
  expect([...new Float32Array(backend.readSync!(out).bytes.buffer)]).toEqual([3, 5, 7]);
  expect(() => executable!.run([x])).toThrow(/was disposed of/);
  x.release();
  out.release();
  expect(device.memoryStats().liveBuffers).toBe(before.liveBuffers);
  backend[Symbol.dispose]();
});

test("what is spilled while a program waits comes back, and what the program uses stays", () => {
  const backend = setDefaultBackend(cpu({ maxMemoryBytes: 4 << 20, threads: 1 }));
  const [device] = backend.devices;
  const n = 1 << 16;
  const other = np.multiply(np.ones([n]), 7);
  const f = jit((x: NDArray) => {
    const y = np.cumsum(x);
    const z = lax.pureCallback(
      (v: NDArray) => {
        // More than there is room for beside what the program holds.
        const many = Array.from({ length: 14 }, (_, i) => np.multiply(np.ones([n]), i));
        const sum = many.reduce((a, b) => np.add(a, b));
        return np.add(v, sum);
      },
      y,
      y,
    );
    return np.subtract(np.subtract(z, y), np.multiply(x, 91));
  });
  const out = f(np.ones([n]));
  expect(device.memoryStats().bytesSpilled).toBeGreaterThan(0);
  expect(np.max(np.abs(out)).itemSync()).toBe(0);
  expect(np.min(other).itemSync()).toBe(7);
  backend[Symbol.dispose]();
});

test("the listing shows host steps between the kernels", () => {
  const backend = setDefaultBackend(cpu());
  const compiled = jit((x: NDArray) => {
    const y = np.sin(x);
    return np.cos(lax.pureCallback((v: NDArray) => v, y, y));
  })
    .lower(np.ones([3]))
    .compileSync();
  expect(compiled.asText()).toMatch(/sin.*\n\s+host pure_callback \(.*-> .*\)\n\s+cos/);
  expect(compiled.inspect().segments.map((s) => s.kind)).toEqual(["device", "host", "device"]);
  backend[Symbol.dispose]();
});
