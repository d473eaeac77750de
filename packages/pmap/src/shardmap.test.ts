import {
  AxisError,
  BackendError,
  checkJaxpr,
  ConcreteArray,
  config,
  debugNans,
  devicePut,
  FloatingPointError,
  fromTyped,
  NamedSharding,
  type NDArray,
  printJaxpr,
  setDefaultBackend,
  ShapeError,
  TransformError,
  TreeError,
} from "@traceform/core";
import { cpu } from "@traceform/backend-cpu";
import { grad, jacrev, jvp, vjp } from "@traceform/grad";
import { jet } from "@traceform/grad/jet";
import { jit, makeJaxpr } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { vmap } from "@traceform/vmap";
import { afterAll, expect, test } from "vitest";
import { makeMesh, PartitionSpec as P, shardMap } from "./index.ts";

const backend = setDefaultBackend(cpu({ devices: 4 }));
afterAll(() => backend[Symbol.dispose]());
const line = makeMesh([4], ["i"]);
const grid = makeMesh([2, 2], ["a", "b"]);
const { add, mul, psum, sin } = lax;
const counted = (...shape: number[]): NDArray =>
  fromTyped(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i),
    shape,
    "float32",
  );
const sum = (x: NDArray): NDArray =>
  lax.reduceSum(
    x,
    x.shape.map((_, i) => i),
  );
const total = shardMap((x: NDArray) => psum(sum(x), "i"), { mesh: line, inSpecs: P("i"), outSpecs: P() });

test("its jaxpr is one equation that holds the program of a shard, whose values know along which axes they vary", () => {
  const f = shardMap((w: NDArray, x: NDArray) => psum(mul(w, sin(x)), "i"), { mesh: line, inSpecs: [P(), P("i")], outSpecs: P() });
  const { jaxpr } = makeJaxpr(f)(counted(2), counted(8));
  checkJaxpr(jaxpr);
  expect(printJaxpr(jaxpr)).toMatchInlineSnapshot(`
    "{ lambda ; a:float32[2] b:float32[8]. let
        c:float32[2] = shard_map[
          check_vma=True
          in_specs=(P(), P('i'))
          jaxpr={ lambda ; a:float32[2] b:float32[2]{V:i}. let
                c:float32[2]{V:i} = sin b
                d:float32[2]{V:i} = mul a c
                e:float32[2] = psum[axes=(i,)] d
              in (e,) }
          mesh=Mesh('i': 4)
          out_specs=(P(),)
        ] a b
      in (c,) }"
  `);
});

test("it stays one equation under differentiation, partial evaluation and batching", () => {
  const f = shardMap((w: NDArray, x: NDArray) => psum(sum(sin(mul(w, x))), "i"), {
    mesh: line,
    inSpecs: [P(), P("i")],
    outSpecs: P(),
  });
  const { jaxpr } = makeJaxpr(vmap(grad(f), { inAxes: [0, null] }))(counted(3), counted(8));
  checkJaxpr(jaxpr);
  expect(jaxpr.eqns.map((e) => e.primitive.name).filter((n) => n === "shard_map")).toHaveLength(2);
  expect(jaxpr.eqns.map((e) => e.primitive.name)).not.toContain("psum");
});

test("results are laid out as outSpecs say, and stay so", () => {
  const double = shardMap((x: NDArray) => mul(x, 2), { mesh: grid, inSpecs: P("a", "b"), outSpecs: P("a", "b") });
  for (const f of [double, jit(double)]) {
    const y = f(counted(4, 4));
    expect(y.sharding.key).toBe(new NamedSharding(grid, P("a", "b")).key);
    expect(y.addressableShards[3].data.jsSync()).toEqual([
      [20, 22],
      [28, 30],
    ]);
    expect(f(y).jsSync()).toEqual((counted(4, 4).jsSync() as number[][]).map((r) => r.map((v) => 4 * v)));
  }
});

test("arrays that the function closes over reach every shard, and have gradients", () => {
  const x = counted(8);
  const f = (w: NDArray): NDArray =>
    shardMap((y: NDArray) => psum(sum(mul(w, y)), "i"), { mesh: line, inSpecs: P("i"), outSpecs: P() })(x);
  expect(f(fromTyped(Float32Array.of(2), [], "float32")).itemSync()).toBe(56);
  expect(grad(f)(1).itemSync()).toBe(28);
  expect(jit(grad(f))(1).itemSync()).toBe(28);
  expect(vmap(grad(f))(counted(3)).jsSync()).toEqual([28, 28, 28]);
});

test("vmap outside batches the whole arrays, mapped along any axis", () => {
  const f = shardMap((w: NDArray, x: NDArray) => lax.allGather(mul(w, x), "i", { tiled: true }), {
    mesh: line,
    inSpecs: [P(), P("i")],
    outSpecs: P(),
    checkVma: false,
  });
  const expected = [0, 1, 2].map((b) => [0, 1, 2, 3].map((i) => (3 * i + b) * 2));
  expect(vmap(f, { inAxes: [null, 1] })(2, counted(4, 3)).jsSync()).toEqual(expected);
  expect(jit(vmap(f, { inAxes: [null, 1] }))(2, counted(4, 3)).jsSync()).toEqual(expected);
});

test("collectives inside reach the batch of a vmap outside by its name", () => {
  const f = shardMap((x: NDArray) => psum(psum(sum(x), "i"), "v"), { mesh: line, inSpecs: P("i"), outSpecs: P() });
  expect(vmap(f, { axisName: "v" })(counted(3, 4)).jsSync()).toEqual([66, 66, 66]);
});

test("spmdAxisName spreads a batch over a mesh axis", () => {
  const f = shardMap((x: NDArray) => add(x, psum(x, "a")), { mesh: grid, inSpecs: P("a"), outSpecs: P("a") });
  const spread = vmap(f, { spmdAxisName: "b" });
  const { jaxpr } = makeJaxpr(spread)(counted(4, 2));
  checkJaxpr(jaxpr);
  expect(printJaxpr(jaxpr)).toContain("in_specs=(P(('b'), 'a'),)");
  expect(spread(counted(4, 2)).jsSync()).toEqual(vmap(f)(counted(4, 2)).jsSync());
  expect(() => vmap(f, { spmdAxisName: "a" })(counted(4, 2))).toThrow(/spmdAxisName names "a"/);
  expect(() => vmap(f, { spmdAxisName: "b" })(counted(3, 2))).toThrow(/cannot be spread over the 2 positions/);
});

test("derivatives of derivatives, and Jacobians", () => {
  const f = (x: NDArray): NDArray => total(mul(mul(x, x), x));
  expect(grad((x: NDArray) => sum(grad(f)(x)))(counted(4)).jsSync()).toEqual([0, 6, 12, 18]);
  expect(jvp(grad(f), [counted(4)], [counted(4)])[1].jsSync()).toEqual([0, 6, 24, 54]);
  const shifted = shardMap(
    (x: NDArray) =>
      lax.ppermute(x, "i", [
        [0, 1],
        [1, 2],
        [2, 3],
        [3, 0],
      ]),
    {
      mesh: line,
      inSpecs: P("i"),
      outSpecs: P("i"),
    },
  );
  expect(jacrev(shifted)(counted(4)).jsSync()).toEqual([
    [0, 0, 0, 1],
    [1, 0, 0, 0],
    [0, 1, 0, 0],
    [0, 0, 1, 0],
  ]);
});

test("a cotangent of a value that all shards share is summed once, however often the value is used", () => {
  const f = shardMap((w: NDArray, x: NDArray) => psum(sum(add(mul(w, x), add(mul(w, sin(x)), mul(x, w)))), "i"), {
    mesh: line,
    inSpecs: [P(), P("i")],
    outSpecs: P(),
  });
  const text = printJaxpr(makeJaxpr((w: NDArray) => vjp(f, w, counted(4))[1](1)[0])(1).jaxpr);
  const backward = text.slice(text.lastIndexOf("shard_map"));
  expect(backward.match(/psum/g)).toHaveLength(1);
});

test("a value that all shards share and each of them returns has the sum of their cotangents", () => {
  const f = shardMap((w: NDArray, x: NDArray) => [add(x, w), lax.pcast(w, "i", { to: "varying" })] as [NDArray, NDArray], {
    mesh: line,
    inSpecs: [P(), P("i")],
    outSpecs: [P("i"), P("i")],
  });
  const g = grad((w: NDArray) => sum(lax.concatenate(f(w, counted(8)), 0)))(counted(2));
  expect(g.jsSync()).toEqual([8, 8]);
});

test("maps of maps: a mesh inside a mesh", () => {
  const inner = (x: NDArray): NDArray =>
    shardMap((y: NDArray) => psum(y, "j"), { mesh: makeMesh([2], ["j"]), inSpecs: P("j"), outSpecs: P() })(x);
  const outer = shardMap((x: NDArray) => psum(inner(x), "i"), { mesh: makeMesh([2], ["i"]), inSpecs: P("i"), outSpecs: P() });
  expect(outer(counted(8)).jsSync()).toEqual([12, 16]);
  expect(grad((x: NDArray) => sum(mul(outer(x), outer(x))))(counted(8)).jsSync()).toEqual([24, 32, 24, 32, 24, 32, 24, 32]);
});

test("a scan over shards with a collective in its body is one loop", () => {
  const f = shardMap(
    (x: NDArray) =>
      lax.scan(
        (c: NDArray, _: null) =>
          [
            mul(
              add(
                c,
                lax.ppermute(c, "i", [
                  [0, 1],
                  [1, 0],
                  [2, 3],
                  [3, 2],
                ]),
              ),
              0.5,
            ),
            null,
          ] as const,
        x,
        null,
        { length: 3 },
      )[0],
    { mesh: line, inSpecs: P("i"), outSpecs: P("i") },
  );
  expect(f(counted(4)).jsSync()).toEqual([0.5, 0.5, 2.5, 2.5]);
  const lowered = jit(f).lower(counted(4)).compileSync();
  expect(lowered.inspect().segments.filter((s) => s.kind === "host")).toHaveLength(0);
});

test("a carry that becomes different on each device may start as one value for all", () => {
  const f = shardMap((x: NDArray) => lax.scan((c: NDArray, y: NDArray) => [add(c, y), c] as const, 0, x)[0], {
    mesh: line,
    inSpecs: P("i"),
    outSpecs: P("i"),
  });
  expect(() => f(counted(8))).toThrow(AxisError);
  const g = shardMap(
    (x: NDArray) => lax.reshape(lax.scan((c: NDArray, y: NDArray) => [add(c, mul(y, y)), c] as const, 0, x)[0], [1]),
    {
      mesh: line,
      inSpecs: P("i"),
      outSpecs: P("i"),
    },
  );
  expect(g(counted(8)).jsSync()).toEqual([1, 13, 41, 85]);
  expect(grad((x: NDArray) => sum(g(x)))(counted(8)).jsSync()).toEqual([0, 2, 4, 6, 8, 10, 12, 14]);
});

test("a loop of which devices do different numbers of steps gives values that differ", () => {
  const count = (x: NDArray): NDArray =>
    lax.whileLoop(
      (c) => lax.lt(c, sum(x)),
      (c) => add(c, 1),
      0,
    );
  const spec = { mesh: line, inSpecs: P("i"), outSpecs: P() };
  expect(() => shardMap(count, spec)(counted(4))).toThrow(/may differ: it is float32\[\]\{V:i\}/);
  expect(shardMap((x: NDArray) => lax.reshape(count(x), [1]), { ...spec, outSpecs: P("i") })(counted(4)).jsSync()).toEqual([
    0, 1, 2, 3,
  ]);
});

test("what is known to be the same everywhere may be said to be: allGatherInvariant, pbroadcast, pcast", () => {
  const spec = { mesh: line, inSpecs: P("i"), outSpecs: P() };
  const gathered = shardMap((x: NDArray) => lax.allGatherInvariant(x, "i", { tiled: true }), spec);
  expect(gathered(counted(8)).jsSync()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(grad((x: NDArray) => sum(mul(gathered(x), counted(8))))(counted(8)).jsSync()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(() => shardMap((x: NDArray) => lax.allGather(x, "i", { tiled: true }), spec)(counted(8))).toThrow(TransformError);
  const third = shardMap((x: NDArray) => lax.pbroadcast(x, "i", 2), { ...spec, outSpecs: P("i") });
  expect(third(counted(4)).jsSync()).toEqual([2, 2, 2, 2]);
  // The gradient of a local loss with respect to a shared weight is summed, unless the weight is said to vary.
  const local = (w: NDArray, x: NDArray): NDArray => sum(mul(w, x));
  const each = shardMap((w: NDArray, x: NDArray) => lax.reshape(grad(local)(lax.pcast(w, "i", { to: "varying" }), x), [1]), {
    mesh: line,
    inSpecs: [P(), P("i")],
    outSpecs: P("i"),
  });
  expect(each(1, counted(8)).jsSync()).toEqual([1, 5, 9, 13]);
});

test("groups: collectives among some of the positions, whose results vary", () => {
  const groups = [
    [0, 1],
    [2, 3],
  ];
  const f = shardMap((x: NDArray) => psum(x, "i", { axisIndexGroups: groups }), { mesh: line, inSpecs: P("i"), outSpecs: P("i") });
  expect(f(counted(4)).jsSync()).toEqual([1, 1, 5, 5]);
  expect(grad((x: NDArray) => sum(mul(f(x), counted(4))))(counted(4)).jsSync()).toEqual([1, 1, 5, 5]);
});

test("trees of arguments and results, with a tree of specs", () => {
  const f = shardMap((p: { w: NDArray; b: NDArray }, x: NDArray) => ({ y: add(mul(p.w, x), p.b), s: psum(sum(x), "i") }), {
    mesh: line,
    inSpecs: [{ w: P("i"), b: null }, P("i")],
    outSpecs: { y: P("i"), s: P() },
  });
  const out = f({ w: counted(4), b: counted(1) }, counted(4));
  expect([out.y.jsSync(), out.s.itemSync()]).toEqual([[0, 1, 4, 9], 6]);
});

test("results of a search for NaN name the equation inside", () => {
  const f = shardMap((x: NDArray) => lax.log(lax.sub(x, 2)), { mesh: line, inSpecs: P("i"), outSpecs: P("i") });
  config.update("debugNans", true);
  try {
    expect(() => f(counted(4))).toThrow(FloatingPointError);
    expect(() => f(counted(4))).toThrow(/log/);
  } finally {
    config.update("debugNans", false);
  }
  expect(debugNans).toBeTypeOf("function");
});

test("a program runs on the backend of its mesh, also where another one is the default", () => {
  const other = cpu({ devices: 2, threads: 1 });
  const mesh = makeMesh([2], ["i"], { devices: other.devices });
  const f = shardMap((x: NDArray) => mul(x, 2), { mesh, inSpecs: P("i"), outSpecs: P("i") });
  for (const g of [f, jit(f), jit((x: NDArray) => add(f(x), 1)), grad((x: NDArray) => sum(jit(f)(x)))]) {
    const y = g(counted(4));
    expect((y as ConcreteArray).device).toBe(other.devices[0]);
    expect(other.devices[0].memoryStats().liveBuffers).toBeGreaterThan(0);
    expect(y.addressableShards[1].device).toBe(other.devices[1]);
  }
  expect(jit(f)(counted(4)).jsSync()).toEqual([0, 2, 4, 6]);
  expect((jit(f).lower(counted(4)).compileSync()(counted(4)) as ConcreteArray).device).toBe(other.devices[0]);
  other[Symbol.dispose]();
});

test("a mesh with three axes: products cut along all of their dimensions", () => {
  const eight = cpu({ devices: 8, threads: 1 });
  const cube = makeMesh([2, 2, 2], ["x", "y", "z"], { devices: eight.devices });
  const product = (a: NDArray | number, b: NDArray | number): NDArray =>
    lax.dotGeneral(a, b, [
      [[1], [0]],
      [[], []],
    ]);
  const cut = shardMap((a: NDArray, b: NDArray) => psum(product(a, b), "z"), {
    mesh: cube,
    inSpecs: [P("x", "z"), P("z", "y")],
    outSpecs: P("x", "y"),
  });
  const [a, b] = [counted(4, 6), counted(6, 8)];
  expect(cut(a, b).jsSync()).toEqual(product(a, b).jsSync());
  const weighted = (f: typeof cut) => (u: NDArray, v: NDArray) => sum(mul(f(u, v), counted(4, 8)));
  const gradients = (f: typeof cut): unknown => grad(weighted(f), { argnums: [0, 1] })(a, b).map((g) => g.jsSync());
  expect(gradients(cut)).toEqual(gradients(product));
  // All three at once, the sum in one step and in three.
  const all = (f: (x: NDArray) => NDArray): NDArray =>
    shardMap(f, { mesh: cube, inSpecs: P(["x", "y", "z"]), outSpecs: P() })(counted(16));
  expect(all((x) => psum(x, ["x", "y", "z"])).jsSync()).toEqual([56, 64]);
  expect(all((x) => psum(psum(psum(x, "z"), "x"), "y")).jsSync()).toEqual([56, 64]);
  eight[Symbol.dispose]();
});

test("callbacks run once for each shard", () => {
  const seen: number[][] = [];
  const f = shardMap(
    (x: NDArray) =>
      lax.pureCallback(
        (v: NDArray) => {
          const values = [...v.dataSync()].map(Number);
          seen.push(values);
          return Float32Array.from(values, (y) => y * 10);
        },
        x,
        x,
      ),
    { mesh: line, inSpecs: P("i"), outSpecs: P("i") },
  );
  expect(f(counted(8)).jsSync()).toEqual([0, 10, 20, 30, 40, 50, 60, 70]);
  expect(seen.toSorted((x, y) => x[0] - y[0])).toEqual([
    [0, 1],
    [2, 3],
    [4, 5],
    [6, 7],
  ]);
});

test("Taylor series go through the map", () => {
  const f = shardMap((x: NDArray) => psum(mul(mul(x, x), x), "i"), { mesh: line, inSpecs: P("i"), outSpecs: P() });
  const [, [first, second]] = jet(f, [counted(4)], [[lax.full([4], 1), null]]);
  // The derivatives of Σ (x + t)³ at t = 0 for x = 0, 1, 2, 3.
  expect([first.jsSync(), second.jsSync()]).toEqual([[42], [36]]);
});

const rows = { mesh: line, inSpecs: P("i"), outSpecs: P("i") };
const identity = (x: NDArray): NDArray => x;

test("wrong specs and shapes are refused, with the repair", () => {
  expect(() => shardMap(identity, rows)(counted(6))).toThrow(ShapeError);
  expect(() => shardMap(identity, rows)(counted(6))).toThrow(
    /axis 0 of args\[0\], of size 6, cannot be cut into 4 equal shards along "i"[\s\S]*pad the axis to 8/,
  );
  expect(() => shardMap(identity, { ...rows, inSpecs: P("j") })(counted(4))).toThrow(/names the axis "j"/);
  expect(() => shardMap(identity, { ...rows, inSpecs: "i" as never })(counted(4))).toThrow(/no partition spec/);
  expect(() => shardMap(identity, { ...rows, inSpecs: [P("i"), P("i")] as never })(counted(4))).toThrow(TreeError);
  expect(() => shardMap(identity, { ...rows, outSpecs: P() })(counted(4))).toThrow(
    /says that it is the same along the mesh axis "i", but it may differ: it is float32\[1\]\{V:i\}[\s\S]*psum, pmean, pmax or allGatherInvariant/,
  );
  expect(() => shardMap(sum, rows)(counted(4))).toThrow(/a scalar that differs between shards gets an axis/);
  expect(() => shardMap(async (x: NDArray) => x, rows as never)(counted(4))).toThrow(/async/);
  expect(() => makeMesh([5], ["i"])).toThrow(BackendError);
});

test("an axis name that nothing binds is refused, and the mesh's are gone afterwards", () => {
  expect(() => shardMap((x: NDArray) => psum(x, "k"), rows)(counted(4))).toThrow(/unbound axis name "k"[\s\S]*names in scope: i/);
  expect(() => psum(counted(4), "i")).toThrow(/unbound axis name "i"/);
});

test("a collective under a predicate that differs between devices is refused when traced", () => {
  const branch = (x: NDArray): NDArray =>
    lax.cond(
      lax.gt(lax.axisIndex("i"), 1),
      (y) => mul(psum(y, "i"), 1),
      (y) => mul(y, 2),
      x,
    );
  const loop = (x: NDArray): NDArray =>
    lax.whileLoop(
      (c) => lax.lt(sum(c), 5),
      (c) => add(c, psum(x, "i")),
      x,
    );
  for (const f of [branch, loop]) {
    for (const checkVma of [true, false]) {
      expect(() => jit(shardMap(f, { ...rows, checkVma }))(counted(4))).toThrow(
        /predicate differs between the positions along "i", but a collective inside it needs all of them[\s\S]*pmax/,
      );
    }
  }
  const repaired = shardMap(
    (x: NDArray) =>
      lax.cond(
        lax.pmax(lax.convertElementType(lax.gt(lax.axisIndex("i"), 1), "int32"), "i"),
        (y) => mul(psum(y, "i"), 1),
        (y) => mul(y, 2),
        x,
      ),
    rows,
  );
  expect(repaired(counted(4)).jsSync()).toEqual([6, 6, 6, 6]);
});

test("arguments on one of the devices, or laid out otherwise, are taken as they are", () => {
  const x = devicePut(counted(4, 4), new NamedSharding(grid, P(null, "b")));
  expect(total(devicePut(counted(4), line.devices[2])).itemSync()).toBe(6);
  expect(shardMap((y: NDArray) => psum(y, "a"), { mesh: grid, inSpecs: P("a"), outSpecs: P() })(x).jsSync()).toEqual([
    [8, 10, 12, 14],
    [16, 18, 20, 22],
  ]);
  expect((x as ConcreteArray).sharding.key).toBe(new NamedSharding(grid, P(null, "b")).key);
});
