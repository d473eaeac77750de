import { expect, test } from "vitest";
import { copyBlock, zerosOnHost } from "./copyblock.ts";
import type { HostArray } from "./device.ts";

const counting = (shape: readonly number[]): HostArray => ({
  shape,
  dtype: "int32",
  bytes: new Uint8Array(Int32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i + 1).buffer),
});
const values = ({ bytes }: HostArray): number[] => [...new Int32Array(bytes.buffer)];
const slices = (...pairs: readonly (readonly [number, number])[]): { start: number; stop: number }[] =>
  pairs.map(([start, stop]) => ({ start, stop }));

test("a block goes to another place, row by row", () => {
  const to = zerosOnHost([2, 3], "int32");
  copyBlock(counting([3, 4]), slices([1, 3], [1, 3]), to, slices([0, 2], [1, 3]));
  expect(values(to)).toEqual([0, 6, 7, 0, 10, 11]);
});

test("axes without a slice are taken whole, and rows that follow each other go at once", () => {
  const to = zerosOnHost([2, 2, 2], "int32");
  copyBlock(counting([4, 2, 2]), slices([2, 4]), to, slices([0, 2]));
  expect(values(to)).toEqual([9, 10, 11, 12, 13, 14, 15, 16]);
});

test("scalars, and blocks without elements", () => {
  const scalar = zerosOnHost([], "int32");
  copyBlock(counting([]), [], scalar, []);
  expect(values(scalar)).toEqual([1]);
  const none = zerosOnHost([2], "int32");
  copyBlock(counting([3]), slices([1, 1]), none, slices([0, 0]));
  expect(values(none)).toEqual([0, 0]);
});
