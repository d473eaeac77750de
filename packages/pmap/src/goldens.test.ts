import { readFileSync } from "node:fs";
import { fromTyped, type Mesh, type NDArray, setDefaultBackend, treeLeaves } from "@traceform/core";
import { checkpoint, customVjp, grad, jvp } from "@traceform/grad";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { close, numbers } from "@traceform/testing/derivatives";
import { vmap } from "@traceform/vmap";
import { describe, expect, test } from "vitest";
import { makeMesh, PartitionSpec as P, pmap, shardMap } from "./index.ts";

setDefaultBackend(referenceBackend({ devices: 4 }));

interface Recorded {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}
interface Values {
  readonly value: readonly Recorded[];
  readonly jvp: readonly Recorded[] | null;
  readonly grads: readonly Recorded[] | null;
}
interface Goldens {
  readonly shardMap: Record<string, { args: Recorded[]; checked: Values | null; unchecked: Values | null }>;
  readonly pmap: Record<string, { args: Recorded[]; mapped: Values | null }>;
}
const goldens = JSON.parse(readFileSync(new URL("../../testing/goldens/shardmap.json", import.meta.url), "utf8")) as Goldens;

type F = (...args: NDArray[]) => NDArray | NDArray[];
const { sin, mul, add, psum } = lax;
const f64 = ({ shape, data }: Recorded): NDArray => fromTyped(Float64Array.from(data), shape, "float64");
const float = (x: NDArray): NDArray => lax.convertElementType(x, "float64");
const square = (x: NDArray): NDArray => mul(x, x);
const sum = (x: NDArray): NDArray =>
  lax.reduceSum(
    x,
    x.shape.map((_, i) => i),
  );
const matmul = (x: NDArray, y: NDArray): NDArray =>
  lax.dotGeneral(x, y, [
    [[1], [0]],
    [[], []],
  ]);
/** `x` times something that lacks its leading axes. */
const times = (x: NDArray, y: NDArray): NDArray =>
  mul(
    x,
    lax.broadcastInDim(
      y,
      x.shape,
      y.shape.map((_, i) => x.ndim - y.ndim + i),
    ),
  );
const ring = (x: NDArray): NDArray =>
  lax.ppermute(
    x,
    "i",
    [0, 1, 2, 3].map((k) => [k, (k + 1) % 4] as const),
  );
const loss = (w: NDArray, x: NDArray): NDArray => sum(sin(mul(w, x)));
const doubled = customVjp((y: NDArray) => sin(y));
doubled.defvjp(
  (y: NDArray) => [sin(y), y],
  (y: NDArray, ct: NDArray) => [mul(mul(ct, 2), lax.cos(y))],
);

const one = makeMesh([4], ["i"]);
const two = makeMesh([2, 2], ["a", "b"]);

/** The functions of `record_shardmap.py`, by name. */
const cases: Record<string, readonly [f: F, mesh: Mesh, inSpecs: readonly P[], outSpecs: P | readonly P[]]> = {
  identity: [square, one, [P("i")], P("i")],
  psum: [(x) => psum(square(x), "i"), one, [P("i")], P()],
  "psum used": [(x) => mul(psum(sin(x), "i"), x), one, [P("i")], P("i")],
  "psum of a shared value": [(x) => psum(sin(x), "i"), one, [P()], P()],
  "psum twice": [(x) => psum(mul(sin(psum(x, "i")), x), "i"), one, [P("i")], P()],
  pmean: [(x) => mul(lax.pmean(square(x), "i"), x), one, [P("i")], P("i")],
  pmax: [(x) => lax.pmax(x, "i"), one, [P("i")], P()],
  axisIndex: [(x) => mul(x, float(lax.axisIndex("i"))), one, [P("i")], P("i")],
  "a shared weight": [(w, x) => sin(mul(w, x)), one, [P(), P("i")], P("i")],
  "a shared weight used twice": [(w, x) => psum(mul(w, sin(mul(w, x))), "i"), one, [P(), P("i")], P()],
  "mean loss": [(w, x) => lax.pmean(loss(w, x), "i"), one, [P(), P("i")], P()],
  allGather: [(x) => times(lax.allGather(square(x), "i"), x), one, [P("i")], P("i")],
  "allGather tiled": [(x) => lax.allGather(sin(x), "i", { tiled: true }), one, [P("i")], P("i")],
  "allGather of a shared value": [(x) => lax.allGather(sin(x), "i"), one, [P()], P("i")],
  psumScatter: [(x) => lax.psumScatter(square(x), "i", { tiled: true }), one, [P(null, "i")], P("i")],
  "psumScatter of a shared value": [(x) => lax.psumScatter(square(x), "i", { tiled: true }), one, [P()], P("i")],
  allToAll: [(x) => lax.allToAll(sin(x), "i", 1, 0, { tiled: true }), one, [P("i")], P(null, "i")],
  ppermute: [(x) => mul(ring(square(x)), x), one, [P("i")], P("i")],
  "ppermute of a shared value": [(x) => ring(square(x)), one, [P()], P("i")],
  "two axes": [(x) => psum(sin(x), ["a", "b"]), two, [P("a", "b")], P()],
  "one of two axes": [(x) => mul(psum(sin(x), "b"), 2), two, [P("a", "b")], P("a")],
  "one axis over two": [(x) => mul(sin(x), add(1, float(lax.axisIndex(["a", "b"])))), two, [P(["a", "b"])], P(["a", "b"])],
  "one axis over two, reversed": [
    (x) => mul(sin(x), add(1, float(lax.axisIndex(["a", "b"])))),
    two,
    [P(["b", "a"])],
    P(["b", "a"]),
  ],
  product: [(x, y) => psum(matmul(x, y), "b"), two, [P("a", "b"), P("b")], P("a")],
  "two layers": [(x, v, w) => psum(matmul(lax.tanh(matmul(x, v)), w), "b"), two, [P("a"), P(null, "b"), P("b")], P("a")],
  "replicated over one": [square, two, [P("a")], P("a")],
  "several results": [(x) => [psum(x, "i"), sin(x)], one, [P("i")], [P(), P("i")]],
  scan: [
    (x) =>
      psum(
        lax.scan(
          (c: NDArray, y: NDArray) => [add(c, psum(sin(mul(c, y)), "i")), c] as const,
          float(lax.full([], 1)),
          psum(x, "i"),
        )[0],
        "i",
      ),
    one,
    [P("i")],
    P(),
  ],
  cond: [(x) => lax.cond(lax.gt(lax.axisIndex("i"), 1), square, sin, x), one, [P("i")], P("i")],
  "cond of a shared predicate": [
    (x) =>
      lax.cond(
        lax.gt(psum(sum(x), "i"), 0),
        (y) => psum(square(y), "i"),
        (y) => psum(y, "i"),
        x,
      ),
    one,
    [P("i")],
    P(),
  ],
  while: [
    (x) =>
      lax.whileLoop(
        (c) => lax.lt(lax.pmax(sum(c), "i"), 9),
        (c) => add(mul(c, 1.5), 0.1),
        add(x, 1),
      ),
    one,
    [P("i")],
    P("i"),
  ],
  customVjp: [(x) => psum(mul(doubled(x), x), "i"), one, [P("i")], P()],
  checkpoint: [(x) => psum(mul(checkpoint((y: NDArray) => sin(sin(y)))(x), x), "i"), one, [P("i")], P()],
  "jit inside": [(w, x) => jit((v: NDArray, y: NDArray) => psum(sin(mul(v, y)), "i"))(w, x), one, [P(), P("i")], P()],
  "vmap inside": [(w, x) => vmap((y: NDArray) => psum(mul(w, y), "i"))(x), one, [P(), P("i")], P()],
  "grad inside of a shared weight": [(w, x) => grad(loss)(w, x), one, [P(), P("i")], P()],
  "grad inside of the shard": [(w, x) => grad(loss, { argnums: 1 })(w, x), one, [P(), P("i")], P("i")],
  "grad inside through psum": [(w, x) => grad((v: NDArray) => sum(square(psum(sin(mul(v, x)), "i"))))(w), one, [P(), P("i")], P()],
  "grad inside through psum of the shard": [(x) => grad((y: NDArray) => sum(square(psum(sin(y), "i"))))(x), one, [P("i")], P("i")],
};

/** The sum of results weighted with cos(0), cos(1), …. */
const weights = (x: NDArray, from: number): NDArray =>
  f64({ shape: x.shape, data: Array.from({ length: x.size }, (_, i) => Math.cos(i + from)) });
const weighted =
  (f: F) =>
  (...args: NDArray[]): NDArray =>
    treeLeaves(f(...args) as never)
      .map((y) => sum(mul(y as NDArray, weights(y as NDArray, 0))))
      .reduce((x, y) => add(x, y));

function same(got: readonly NDArray[], expected: readonly Recorded[]): void {
  expect(got.map((x) => [...x.shape])).toEqual(expected.map((e) => e.shape));
  got.forEach((x, i) => {
    if (!close(numbers(x), expected[i].data, 1e-12)) expect(numbers(x)).toEqual(expected[i].data);
  });
}

function compare(f: F, args: readonly NDArray[], golden: Values): void {
  for (const way of [f, jit(f)] as F[]) {
    same(treeLeaves(way(...args) as never) as NDArray[], golden.value);
    if (golden.jvp !== null) {
      const tangents = args.map((x) => weights(x, 1));
      same(treeLeaves(jvp(way, [...args], tangents)[1] as never) as NDArray[], golden.jvp);
    }
    if (golden.grads !== null) {
      const argnums = args.map((_, i) => i);
      same((grad(weighted(way), { argnums } as never) as unknown as (...xs: NDArray[]) => NDArray[])(...args), golden.grads);
    }
  }
}

describe("shardMap gives what JAX gives", () => {
  test("every recorded case has its function", () => {
    expect(Object.keys(cases).sort()).toEqual(Object.keys(goldens.shardMap).sort());
  });
  for (const [name, [f, mesh, inSpecs, outSpecs]] of Object.entries(cases)) {
    const golden = goldens.shardMap[name];
    for (const checkVma of [true, false]) {
      const values = checkVma ? golden.checked : golden.unchecked;
      test(`${name}${checkVma ? "" : ", unchecked"}`, () => {
        const args = golden.args.map(f64);
        const mapped = shardMap(f, { mesh, inSpecs: inSpecs as never, outSpecs: outSpecs as never, checkVma }) as F;
        if (values === null) throw new Error("JAX refuses it");
        compare(mapped, args, values);
      });
    }
  }
});

/** The functions of `record_shardmap.py` under pmap, by name. */
const mappedCases: Record<string, readonly [f: F, inAxes: unknown, outAxes: unknown]> = {
  square: [square, 0, 0],
  psum: [(x) => psum(square(x), "i"), 0, 0],
  "psum, one result": [(x) => psum(square(x), "i"), 0, null],
  axes: [(x, y) => mul(x, y), [1, null], 1],
  "a shared weight": [(w, x) => sin(mul(w, x)), [null, 0], 0],
  "grad inside": [(w, x) => lax.pmean(grad(loss)(w, x), "i"), [null, 0], null],
  "grad inside through psum": [(w, x) => grad((v: NDArray) => sum(square(psum(sin(mul(v, x)), "i"))))(w), [null, 0], 0],
  "vmap inside": [(x) => vmap((y: NDArray) => mul(psum(y, "i"), y))(x), 0, 0],
};

describe("pmap gives what JAX gives", () => {
  test("every recorded case has its function", () => {
    expect(Object.keys(mappedCases).sort()).toEqual(Object.keys(goldens.pmap).sort());
  });
  for (const [name, [f, inAxes, outAxes]] of Object.entries(mappedCases)) {
    const golden = goldens.pmap[name];
    test(name, () => {
      const mapped = pmap(f, { axisName: "i", inAxes: inAxes as never, outAxes: outAxes as never });
      compare(mapped as F, golden.args.map(f64), golden.mapped!);
    });
  }
});
