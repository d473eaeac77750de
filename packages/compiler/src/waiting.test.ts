import { expect, test } from "vitest";
import type { BufferInfo, Step, View } from "./program.ts";
import { postponeWaiting } from "./waiting.ts";

const buffers = Array.from({ length: 10 }, (_, id): BufferInfo => ({
  id,
  bytes: 100,
  kind: "temporary",
  position: -1,
  threadBytes: 0,
}));
const at = (id: number): View => ({ buffer: buffers[id], offset: 0, steps: [] });
const copy = (from: number, to: number): Step => ({ kind: "copy", from: at(from), to: at(to), bytes: 100 });
const host = (from: number, to: number, meets: boolean): Step => ({
  kind: "host",
  step: 0,
  reads: [at(from)],
  writes: [at(to)],
  meets,
});
const meet = (from: number, to: number): Step => host(from, to, true);
const loop = (...body: Step[]): Step => ({ kind: "loop", loop: 0, trips: 3, condition: [], predicate: null, body, swaps: [] });

test("what needs a meeting comes after all that does not, and so on with the meetings among it", () => {
  const [first, sum, again, update] = [meet(0, 1), copy(1, 2), meet(2, 3), copy(3, 4)];
  const [other, second, next] = [copy(5, 6), meet(6, 7), copy(7, 8)];
  const rounds = [[first, other, second], [sum, again, next], [update]];
  expect(postponeWaiting([first, sum, again, update, other, second, next])).toEqual(rounds.flat());
});

test("what a meeting reads, or what waits for one reads or writes, is not written before", () => {
  const [met, uses, overwrites, third] = [meet(0, 1), copy(1, 2), copy(3, 2), copy(2, 4)];
  expect(postponeWaiting([met, uses, overwrites, third])).toEqual([met, uses, overwrites, third]);
  expect(postponeWaiting([met, copy(1, 2), copy(5, 0), copy(6, 7)])).toEqual([met, copy(6, 7), copy(1, 2), copy(5, 0)]);
});

test("functions of users are called in their order", () => {
  const [met, late, call] = [meet(0, 1), host(1, 2, false), host(3, 4, false)];
  expect(postponeWaiting([met, late, call, copy(5, 6)])).toEqual([met, copy(5, 6), late, call]);
  expect(postponeWaiting([met, loop(late), loop(call)])).toEqual([met, loop(late), loop(call)]);
});

test("loops do the same inside, and where nobody meets all stays as it is", () => {
  expect(postponeWaiting([loop(meet(0, 1), copy(1, 2), copy(3, 4))])).toEqual([loop(meet(0, 1), copy(3, 4), copy(1, 2))]);
  const steps = [copy(0, 1), host(1, 2, false), copy(2, 3), copy(4, 5)];
  expect(postponeWaiting(steps)).toEqual(steps);
});
