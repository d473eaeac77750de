import { type Buffer, type HostArray, makeAval, OutOfMemoryError, setDefaultBackend, traceToJaxpr } from "@traceform/core";
import * as lax from "@traceform/lax";
import { expect, test } from "vitest";
import { Allocator } from "./allocator.ts";
import { cpu } from "./index.ts";

const megabytes = (n: number): HostArray => ({ shape: [n << 18], dtype: "float32", bytes: new Uint8Array(n << 20) });

test("a loop that never yields puts 10 GB through a heap of 512 MB", () => {
  const backend = cpu({ maxMemoryBytes: 512 << 20 });
  const [device] = backend.devices;
  const data = megabytes(8);
  for (let i = 0; i < 1280; i++) backend.put(data, device);
  expect(device.memoryStats().bytesSpilled).toBeGreaterThan(9 * 2 ** 30);
  expect(device.memoryStats().bytesInUse).toBeLessThanOrEqual(512 << 20);
}, 120_000);

test("live arrays come back from outside the heap with their values", () => {
  const backend = cpu({ maxMemoryBytes: 64 << 20 });
  setDefaultBackend(backend);
  const [device] = backend.devices;
  const next = backend.compile(
    traceToJaxpr((x) => [lax.add(x, 1)], [makeAval([1 << 18], "float32")], "next"),
    {},
  );
  let x: Buffer = backend.put(megabytes(1), device);
  const kept: Buffer[] = [];
  for (let i = 1; i <= 300; i++) {
    [x] = next.run([x]);
    if (i % 2 === 0) kept.push(x);
  }
  kept.forEach((b, i) => expect(new Float32Array(backend.readSync!(b).bytes.buffer)[7]).toBe(2 * (i + 1)));
  // And as arguments.
  const [y] = next.run([kept[0]]);
  expect(new Float32Array(backend.readSync!(y).bytes.buffer)[0]).toBe(3);
});

test("a program that cannot fit says what holds the memory and what to do", () => {
  const backend = cpu({ maxMemoryBytes: 16 << 20 });
  expect(() => backend.put(megabytes(32), backend.devices[0])).toThrow(OutOfMemoryError);
  expect(() => backend.put(megabytes(32), backend.devices[0])).toThrow(
    /float32\[8388608\].* not even if it were empty\n.*fix: use smaller batches.*maxMemoryBytes/,
  );
});

test("released memory is used again", () => {
  const backend = cpu({ maxMemoryBytes: 16 << 20 });
  const [device] = backend.devices;
  for (let i = 0; i < 100; i++) backend.put(megabytes(4), device).release();
  expect(device.memoryStats()).toMatchObject({ bytesInUse: 0, liveBuffers: 0, bytesSpilled: 0 });
});

test("a finalizer's release by id frees a resident buffer and ignores the rest", () => {
  const backend = cpu();
  const [device] = backend.devices;
  const buffer = backend.put(megabytes(1), device);
  device.releaseById(buffer.id);
  device.releaseById(buffer.id);
  device.releaseById(123456789);
  expect(device.memoryStats().liveBuffers).toBe(0);
});

test("the allocator merges neighbours, so freed ranges can serve a larger one", () => {
  const a = new Allocator(0, 4096, 4096);
  const blocks = Array.from({ length: 64 }, () => a.allocate(64));
  expect(a.allocate(1)).toBe(-1);
  for (const i of [3, 1, 2, 0]) a.release(blocks[i], 64);
  expect(a.allocate(256)).toBe(blocks[0]);
  expect(a.freeBytes).toBe(0);
});

test("random allocations never overlap and all memory comes back", () => {
  const a = new Allocator(0, 1 << 20, 1 << 20);
  const live = new Map<number, number>();
  let seed = 1;
  const random = (n: number): number => (seed = (seed * 48271) % 2147483647) % n;
  for (let i = 0; i < 20000; i++) {
    if (random(2) === 0 || live.size === 0) {
      const bytes = 1 + random(5000);
      const p = a.allocate(bytes);
      if (p < 0) continue;
      for (const [q, n] of live) expect(p + bytes <= q || q + n <= p).toBe(true);
      live.set(p, bytes);
    } else {
      const [p, n] = [...live][random(live.size)];
      live.delete(p);
      a.release(p, n);
    }
    if (live.size > 60) {
      const [p, n] = live.entries().next().value!;
      live.delete(p);
      a.release(p, n);
    }
  }
  for (const [p, n] of live) a.release(p, n);
  expect(a.freeBytes).toBe(1 << 20);
  expect(a.allocate(1 << 20)).toBe(0);
});
