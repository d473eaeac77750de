import { expect, test } from "vitest";
import { planMemory } from "./plan.ts";
import type { BufferInfo, Step, View } from "./program.ts";

const buffer = (id: number, bytes = 100): BufferInfo => ({ id, bytes, kind: "temporary", position: -1, threadBytes: 0 });
const at = (b: BufferInfo): View => ({ buffer: b, offset: 0, steps: [] });
const copy = (from: BufferInfo, to: BufferInfo): Step => ({ kind: "copy", from: at(from), to: at(to), bytes: 100 });
const loop = (body: readonly Step[], swaps: readonly (readonly [BufferInfo, BufferInfo])[] = []): Step => ({
  kind: "loop",
  loop: 0,
  trips: 3,
  condition: [],
  predicate: null,
  body,
  swaps,
});

test("buffers whose lives do not meet share memory", () => {
  const [a, b, c, d] = [0, 1, 2, 3].map((i) => buffer(i));
  const { offsets, bytes } = planMemory([copy(a, b), copy(b, c), copy(c, d)], 1);
  expect(offsets.get(0)).toBe(offsets.get(2));
  expect(offsets.get(1)).not.toBe(offsets.get(2));
  expect(bytes).toBe(256);
});

test("what a loop reads from outside lives until the loop ends", () => {
  const [a, b, c, d] = [0, 1, 2, 3].map((i) => buffer(i));
  // `a` is read first in every trip, so `c` and `d` must not take its memory.
  const { offsets } = planMemory([copy(a, b), loop([copy(a, c), copy(c, d)])], 1);
  expect(new Set([0, 2, 3].map((i) => offsets.get(i))).size).toBe(3);
});

test("an array that a loop fills piece by piece lives during all trips", () => {
  const [a, b, stacked, out] = [0, 1, 2, 3].map((i) => buffer(i));
  const piece: View = { buffer: stacked, offset: 0, steps: [{ loop: 0, bytes: 4 }] };
  const { offsets } = planMemory([loop([copy(a, b), { kind: "copy", from: at(b), to: piece, bytes: 4 }]), copy(stacked, out)], 1);
  expect(new Set([0, 1, 2].map((i) => offsets.get(i))).size).toBe(3);
});

test("both halves of a carry live as long as either", () => {
  const [init, a, b, t, out] = [0, 1, 2, 3, 4].map((i) => buffer(i));
  const { offsets } = planMemory([copy(init, a), loop([copy(a, b)], [[a, b]]), copy(t, t), copy(a, out)], 1);
  expect(new Set([1, 2, 3].map((i) => offsets.get(i))).size).toBe(3);
});

test("each thread has its own memory in one place, which the memory of all never overlaps", () => {
  const own = (id: number, bytes: number): BufferInfo => ({ ...buffer(id, 3 * bytes), threadBytes: bytes });
  const [a, b] = [0, 1].map((i) => buffer(i));
  const [c, d, e] = [own(2, 100), own(3, 200), own(4, 50)];
  const steps = [copy(a, c), copy(c, d), copy(a, e), copy(e, b)];
  const plan = planMemory(steps, 3);
  expect(plan).toEqual({
    offsets: new Map([
      [0, 0],
      [1, 0],
      [2, 128],
      [3, 256],
      [4, 128],
    ]),
    threadBytes: 384,
    bytes: 128 + 3 * 384,
  });
  expect(planMemory(steps, 1).threadBytes).toBe(0);
});
