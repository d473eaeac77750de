import { expect, test } from "vitest";
import {
  broadcastPrefix,
  flattenUpTo,
  pytreeNode,
  registerPytreeNode,
  TreeError,
  treeFlatten,
  treeFlattenWithPath,
  treeLeaves,
  treeMap,
  treeReduce,
  treeStructure,
  treeUnflatten,
} from "./index.ts";

class Point {
  static readonly [pytreeNode] = {
    flatten: (p: Point) => [[p.x, p.y], p.label] as const,
    unflatten: (label: string, [x, y]: readonly unknown[]) => new Point(x as number, y as number, label),
    names: () => ["x", "y"],
  };
  readonly x: number;
  readonly y: number;
  readonly label: string;
  constructor(x: number, y: number, label: string) {
    this.x = x;
    this.y = y;
    this.label = label;
  }
}

test("flattening and unflattening give the same tree", () => {
  const tree = { b: [1, null, { c: 2 }], a: new Point(3, 4, "p"), u: undefined };
  const [leaves, def] = treeFlatten(tree);
  expect(leaves).toEqual([3, 4, 1, 2]);
  const back = treeUnflatten(def, leaves) as typeof tree;
  expect(back).toEqual(tree);
  expect(back.a).toBeInstanceOf(Point);
});

test("equal structures are one object, whatever the order of keys", () => {
  expect(treeStructure({ a: 1, b: [2] })).toBe(treeStructure({ b: [5], a: 7 }));
  expect(treeStructure({ a: 1 })).not.toBe(treeStructure([1]));
  expect(treeStructure(null)).not.toBe(treeStructure(undefined));
});

test("auxiliary data is part of the structure", () => {
  expect(treeStructure(new Point(1, 2, "a"))).toBe(treeStructure(new Point(3, 4, "a")));
  expect(treeStructure(new Point(1, 2, "a"))).not.toBe(treeStructure(new Point(1, 2, "b")));
});

test("classes can be registered once", () => {
  class Box {
    readonly value: unknown;
    constructor(value: unknown) {
      this.value = value;
    }
  }
  const node = { flatten: (b: Box) => [[b.value], null] as const, unflatten: (_: null, [v]: readonly unknown[]) => new Box(v) };
  expect(treeLeaves(new Box(1))).toEqual([new Box(1)]);
  registerPytreeNode(Box, node);
  expect(treeLeaves(new Box([1, 2]))).toEqual([1, 2]);
  expect(() => registerPytreeNode(Box, node)).toThrow(TreeError);
});

test("treeMap keeps the type and takes further trees", () => {
  const sums = treeMap((x: number, y: number) => x + y, { a: 1, b: [2, 3] }, { a: 10, b: [20, 30] });
  expect(sums).toEqual({ a: 11, b: [22, 33] });
  expect(treeReduce((acc: number, x: number) => acc + x, sums, 0)).toBe(66);
});

test("differing trees are an error that names the place", () => {
  expect(() => treeMap((x: number) => x, { a: [1, 2] }, { a: [1] })).toThrow(/\.a/);
  expect(() => flattenUpTo(treeStructure({ a: 1 }), { b: 1 }, "test")).toThrow(TreeError);
  expect(() => treeUnflatten(treeStructure([1, 2]), [1])).toThrow(/2 leaves, but 1/);
});

test("a prefix applies to every leaf below it, and null in it is a value", () => {
  const def = treeStructure([{ a: 1, b: 2 }, 3]);
  expect(broadcastPrefix(0, def, "vmap", "inAxes")).toEqual([0, 0, 0]);
  expect(broadcastPrefix([null, 1], def, "vmap", "inAxes")).toEqual([null, null, 1]);
  expect(broadcastPrefix([{ a: 0, b: null }, 1], def, "vmap", "inAxes")).toEqual([0, null, 1]);
  expect(() => broadcastPrefix([0], def, "vmap", "inAxes")).toThrow(TreeError);
});

test("paths name leaves as a reader would", () => {
  expect(treeFlattenWithPath({ w: [1, { b: 2 }], p: new Point(1, 2, "") }).map(([p]) => p)).toEqual([
    ".p.x",
    ".p.y",
    ".w[0]",
    ".w[1].b",
  ]);
});
