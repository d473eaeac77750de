import { cpu } from "@traceform/backend-cpu";
import { fromTyped, type NDArray, OutOfMemoryError, setDefaultBackend } from "@traceform/core";
import { add } from "@traceform/lax";
import { expect, test } from "vitest";

const mebibyte = 1 << 20;

test("a synchronous loop takes 10 GB in arrays of 8 MB through a heap of 512 MB, and arrays that are still held keep their values", () => {
  const backend = setDefaultBackend(cpu({ maxMemoryBytes: 512 * mebibyte }));
  const ones = fromTyped(new Float32Array(2 * mebibyte).fill(1), [2 * mebibyte], "float32");
  const kept: [number, NDArray][] = [];
  for (let i = 0; i < 1280; i++) {
    const y = add(ones, i);
    if (i % 160 === 0) kept.push([i, y]);
  }
  const [device] = backend.devices;
  expect(device.memoryStats().bytesInUse).toBeLessThanOrEqual(512 * mebibyte);
  expect(device.memoryStats().bytesSpilled).toBeGreaterThan(9 * 1024 * mebibyte);
  for (const [i, y] of kept) {
    const data = y.dataSync();
    expect([data[0], data[mebibyte], data[data.length - 1]]).toEqual([i + 1, i + 1, i + 1]);
  }
}, 120_000);

test("one array that does not fit is an error that names what is large and what to do", () => {
  setDefaultBackend(cpu({ maxMemoryBytes: 64 * mebibyte }));
  const x = fromTyped(new Float32Array(12 * mebibyte), [12 * mebibyte], "float32");
  expect(() => add(x, 1)).toThrow(OutOfMemoryError);
  expect(() => add(x, 1)).toThrow(/float32\[12582912\][\s\S]*fix:/);
}, 60_000);
