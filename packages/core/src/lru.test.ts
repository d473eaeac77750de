import { expect, test } from "vitest";
import { LruCache } from "./index.ts";

test("the entry that was used longest ago leaves first, and its owner hears of it", () => {
  const evicted: number[] = [];
  const cache = new LruCache<number>(3, (v) => evicted.push(v));
  for (const [k, v] of [
    ["a", 1],
    ["b", 2],
    ["c", 3],
  ] as const)
    cache.set(k, v);
  expect(cache.get("a")).toBe(1);
  cache.set("d", 4);
  expect(evicted).toEqual([2]);
  expect([cache.get("a"), cache.get("b"), cache.size]).toEqual([1, undefined, 3]);
  cache.clear();
  expect(evicted.sort()).toEqual([1, 2, 3, 4]);
});
