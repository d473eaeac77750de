import { expect, test } from "vitest";
import { pressureToken, returnToken } from "./memory.ts";

const mebibyte = 1 << 20;

test("a loop that ends its handles' lives makes no new tokens", () => {
  const first = pressureToken(3 * mebibyte);
  returnToken(first, 3 * mebibyte);
  for (let i = 0; i < 1000; i++) {
    const next = pressureToken(3 * mebibyte);
    expect(next).toBe(first);
    returnToken(next, 3 * mebibyte);
  }
});

test("no two handles have one token of a mebibyte or more", () => {
  const tokens = Array.from({ length: 5 }, () => pressureToken(2 * mebibyte));
  expect(new Set(tokens).size).toBe(5);
  tokens.forEach((t) => returnToken(t, 2 * mebibyte));
  const again = Array.from({ length: 6 }, () => pressureToken(2 * mebibyte));
  expect(new Set(again).size).toBe(6);
  expect(again.filter((t) => tokens.includes(t))).toHaveLength(5);
});

test("small handles that come and go share one token", () => {
  const first = pressureToken(mebibyte / 2);
  returnToken(first, mebibyte / 2);
  for (let i = 0; i < 100; i++) {
    const next = pressureToken(mebibyte / 2);
    expect(next).toBe(first);
    returnToken(next, mebibyte / 2);
  }
});

test("tokens that wait for a handle of their size are bounded", () => {
  const size = 64 * mebibyte;
  const many = Array.from({ length: 8 }, (_, i) => pressureToken(size + i * mebibyte));
  many.forEach((t, i) => returnToken(t, size + i * mebibyte));
  const kept = many.filter((t, i) => pressureToken(size + i * mebibyte) === t);
  expect(kept.length).toBeGreaterThan(0);
  expect(kept.length).toBeLessThanOrEqual(4);
});
