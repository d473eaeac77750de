import { cpu } from "@traceform/backend-cpu";
import { type Backend, type NDArray, setDefaultBackend, ShapeDtypeStruct } from "@traceform/core";
import { checkpoint, customJvp, customVjp, grad, hessian, jacfwd, jvp, linearize, stopGradient } from "@traceform/grad";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import "@traceform/numpy/methods";
import * as random from "@traceform/random";
import { vmap } from "@traceform/vmap";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { referenceBackend } from "./reference/backend.ts";

// Every kind of callback through every transformation: how often it runs, with which values, and in what order.

const backends: readonly (readonly [string, () => Backend])[] = [
  ["reference", () => referenceBackend()],
  ["cpu, one thread", () => cpu({ threads: 1 })],
  // Small chunks, so that even these programs are shared.
  ["cpu, four threads", () => cpu({ threads: 4, grain: 64 })],
];

const scalar = new ShapeDtypeStruct([], "float32");

/** The values that the callback under test was called with. */
let calls: unknown[] = [];
const record = (x: NDArray): NDArray => {
  calls.push(x.itemSync());
  return np.multiply(x, 2);
};

type Op = (x: NDArray) => NDArray;
interface Kind {
  readonly op: Op;
  /** Whether it may be vectorised, and differentiated. */
  readonly batches: boolean;
  readonly differentiates: boolean;
  /** Whether it runs exactly as often as the program comes by, however the program is rewritten. */
  readonly once: boolean;
}
const after = (x: NDArray): NDArray => np.multiply(x, 2);
const kinds: Record<string, Kind> = {
  pureCallback: {
    op: (x) => lax.pureCallback(record, scalar, x, { vmapMethod: "sequential" }),
    batches: true,
    differentiates: false,
    once: false,
  },
  ioCallback: { op: (x) => lax.ioCallback(record, scalar, x), batches: true, differentiates: false, once: true },
  "ioCallback, ordered": {
    op: (x) => lax.ioCallback(record, scalar, x, { ordered: true }),
    batches: false,
    differentiates: false,
    once: true,
  },
  "ioCallback without results": {
    op: (x) => {
      lax.ioCallback(record, null, x);
      return after(x);
    },
    batches: true,
    differentiates: false,
    once: true,
  },
  debugCallback: {
    op: (x) => {
      lax.debug.callback(record, x);
      return after(x);
    },
    batches: true,
    differentiates: true,
    once: true,
  },
  "debug.print": {
    op: (x) => {
      lax.debug.print("{}", x);
      return after(x);
    },
    batches: true,
    differentiates: true,
    once: true,
  },
  "debug.print, ordered": {
    op: (x) => {
      lax.debug.print("{x}", { x, ordered: true });
      return after(x);
    },
    batches: true,
    differentiates: true,
    once: true,
  },
};

const xs = (): NDArray => np.array([1, 2, 3]);
const onConstant = (op: Op) => (x: NDArray) => np.multiply(op(stopGradient(x)), x);
const inScan = (op: Op) => (w: NDArray) =>
  lax.scan((c: NDArray, x: NDArray) => [np.add(c, np.multiply(w, op(x))), null], 0, xs())[0];
const inWhile = (op: Op) => (x: NDArray) =>
  lax.whileLoop(
    (c: NDArray) => np.less(c, 8),
    (c: NDArray) => op(c),
    x,
  );
const inCond = (op: Op, p: boolean) => (x: NDArray) =>
  lax.cond(np.equal(x, p ? x : np.add(x, 1)), op, (y: NDArray) => np.negative(y), x);

interface Program {
  readonly run: (op: Op) => NDArray | readonly NDArray[];
  readonly calls: readonly number[];
  readonly result: unknown;
  readonly needs?: "batches" | "differentiates";
}
const programs: Record<string, Program> = {
  eager: { run: (op) => op(np.array(3)), calls: [3], result: 6 },
  jit: { run: (op) => jit(op)(np.array(3)), calls: [3], result: 6 },
  "jit inside jit": { run: (op) => jit((x: NDArray) => np.add(jit(op)(x), 1))(np.array(3)), calls: [3], result: 7 },
  "twice in one program": {
    run: (op) => jit((x: NDArray) => np.add(op(x), op(np.add(x, 1))))(np.array(3)),
    calls: [3, 4],
    result: 14,
  },
  vmap: { run: (op) => vmap(op)(xs()), calls: [1, 2, 3], result: [2, 4, 6], needs: "batches" },
  "jit of vmap": { run: (op) => jit(vmap(op))(xs()), calls: [1, 2, 3], result: [2, 4, 6], needs: "batches" },
  "vmap of jit": { run: (op) => vmap(jit(op))(xs()), calls: [1, 2, 3], result: [2, 4, 6], needs: "batches" },
  "vmap of vmap": {
    run: (op) =>
      vmap(vmap(op))(
        np.array([
          [1, 2],
          [3, 4],
        ]),
      ),
    // As in JAX: the inner batch is the loop, and the outer one is inside it.
    calls: [1, 3, 2, 4],
    result: [
      [2, 4],
      [6, 8],
    ],
    needs: "batches",
  },
  "vmap over what it does not see": {
    run: (op) => vmap((x: NDArray) => np.add(x, op(np.array(5))))(xs()),
    calls: [5],
    result: [11, 12, 13],
  },
  grad: { run: (op) => grad(op)(np.array(3)), calls: [3], result: 2, needs: "differentiates" },
  "jit of grad": { run: (op) => jit(grad(op))(np.array(3)), calls: [3], result: 2, needs: "differentiates" },
  "grad of jit": { run: (op) => grad(jit(op))(np.array(3)), calls: [3], result: 2, needs: "differentiates" },
  "grad of grad": {
    run: (op) => grad(grad((x: NDArray) => np.multiply(op(x), x)))(np.array(3)),
    calls: [3],
    result: 4,
    needs: "differentiates",
  },
  "vmap of grad": { run: (op) => vmap(grad(op))(xs()), calls: [1, 2, 3], result: [2, 2, 2], needs: "differentiates" },
  "grad past it": { run: (op) => grad(onConstant(op))(np.array(3)), calls: [3], result: 6 },
  "jit of grad past it": { run: (op) => jit(grad(onConstant(op)))(np.array(3)), calls: [3], result: 6 },
  scan: { run: (op) => inScan(op)(np.array(1)), calls: [1, 2, 3], result: 12 },
  "jit of scan": { run: (op) => jit(inScan(op))(np.array(1)), calls: [1, 2, 3], result: 12 },
  "scan in reverse": {
    run: (op) => jit((x: NDArray) => lax.scan((c: NDArray, v: NDArray) => [np.add(c, op(v)), c], 0, x, { reverse: true }))(xs()),
    calls: [3, 2, 1],
    result: [12, [10, 6, 0]],
  },
  "scan of a scan": {
    run: (op) =>
      jit(
        (x: NDArray) =>
          lax.scan(
            (c: NDArray, row: NDArray) => [lax.scan((d: NDArray, v: NDArray) => [np.add(d, op(v)), null], c, row)[0], null],
            0,
            x,
          )[0],
      )(
        np.array([
          [1, 2],
          [3, 4],
        ]),
      ),
    calls: [1, 2, 3, 4],
    result: 20,
  },
  "grad of scan": { run: (op) => grad(inScan(op))(np.array(1)), calls: [1, 2, 3], result: 12 },
  "jit of grad of scan": { run: (op) => jit(grad(inScan(op)))(np.array(1)), calls: [1, 2, 3], result: 12 },
  "grad of jit of scan": { run: (op) => grad(jit(inScan(op)))(np.array(1)), calls: [1, 2, 3], result: 12 },
  whileLoop: { run: (op) => inWhile(op)(np.array(1)), calls: [1, 2, 4], result: 8 },
  "jit of whileLoop": { run: (op) => jit(inWhile(op))(np.array(1)), calls: [1, 2, 4], result: 8 },
  "a condition of whileLoop": {
    run: (op) =>
      jit((x: NDArray) =>
        lax.whileLoop(
          (c: NDArray) => np.less(op(c), 8),
          (c: NDArray) => np.add(c, 1),
          x,
        ),
      )(np.array(2)),
    calls: [2, 3, 4],
    result: 4,
  },
  "cond, taken": { run: (op) => jit(inCond(op, true))(np.array(3)), calls: [3], result: 6 },
  "cond, not taken": { run: (op) => jit(inCond(op, false))(np.array(3)), calls: [], result: -3 },
  "eager cond": { run: (op) => inCond(op, true)(np.array(3)), calls: [3], result: 6 },
  "grad of cond": { run: (op) => grad(inCond(op, true))(np.array(3)), calls: [3], result: 2, needs: "differentiates" },
};

describe.each(backends)("callbacks on %s", (_name, make) => {
  let backend: Backend;
  beforeAll(() => {
    backend = setDefaultBackend(make());
    lax.debug.setPrintSink((text) => calls.push(Number(text)));
  });
  afterAll(() => {
    lax.debug.setPrintSink(null);
    setDefaultBackend(null);
    backend[Symbol.dispose]();
  });
  const js = (x: NDArray | readonly NDArray[]): unknown => (Array.isArray(x) ? x.map(js) : (x as NDArray).jsSync());

  describe.each(Object.entries(kinds))("%s", (_kind, kind) => {
    test.each(Object.entries(programs))("%s", (_program, { run, calls: expected, result, needs }) => {
      calls = [];
      if (needs !== undefined && !kind[needs]) {
        expect(() => run(kind.op)).toThrow(needs === "batches" ? /cannot be vectorised/ : /cannot be differentiated/);
        expect(calls).toEqual([]);
        return;
      }
      // Twice: what is compiled and cached behaves as what is traced.
      for (let round = 0; round < 2; round++) {
        calls = [];
        expect(js(run(kind.op))).toEqual(result);
        expect(calls).toEqual(expected);
      }
    });

    test("checkpoint: what has effects is not run again", () => {
      calls = [];
      expect(js(jit(grad(checkpoint(onConstant(kind.op))))(np.array(3)))).toEqual(6);
      if (kind.once) expect(calls).toEqual([3]);
      else expect(new Set(calls)).toEqual(new Set([3]));
    });

    test("results that nobody needs", () => {
      calls = [];
      const f = jit((x: NDArray) => {
        kind.op(x);
        return np.add(x, 1);
      });
      expect(js(f(np.array(3)))).toBe(4);
      expect(calls).toEqual(kind.once ? [3] : calls.length === 0 ? [] : [3]);
    });
  });

  test("what differentiation computes again has its effects once, or is refused", () => {
    const f = (op: Op) => (x: NDArray) =>
      lax.whileLoop(
        ([i]: [NDArray, NDArray]) => np.less(i, 3),
        ([i, c]: [NDArray, NDArray]) => [np.add(np.multiply(op(i), 0.5), 1), np.multiply(c, 2)] as [NDArray, NDArray],
        [0, x] as [number, NDArray],
      )[1];
    const scanned = (op: Op) => checkpoint(inScan(op));
    for (const { op, once } of Object.values(kinds)) {
      const runs: readonly (readonly [() => unknown, readonly number[]])[] = [
        [() => linearize(f(op), np.array(1))[1](np.array(1)), [0, 1, 2]],
        [() => jacfwd(f(op))(np.array(1)), [0, 1, 2]],
        [() => jit(grad(scanned(op)))(np.array(1)), [1, 2, 3]],
      ];
      for (const [run, expected] of runs) {
        calls = [];
        let refused = false;
        try {
          run();
        } catch (error) {
          expect((error as Error).message).toMatch(/would repeat the effect (IO|OrderedIO) inside/);
          refused = true;
        }
        if (refused) expect(calls).toEqual([]);
        else if (once) expect(calls).toEqual(expected);
        else expect(new Set(calls)).toEqual(new Set(expected));
      }
    }
    calls = [];
    linearize(f(kinds["debugCallback"].op), np.array(1))[1](np.array(1));
    expect(calls).toEqual([0, 1, 2]);
  });

  test("a batched predicate: effects for debugging run in both branches, other ones are refused", () => {
    calls = [];
    const f = (op: Op) => vmap((x: NDArray) => lax.cond(np.greater(x, 2), op, (y: NDArray) => np.negative(y), x));
    expect(js(f(kinds["debugCallback"].op)(xs()))).toEqual([-1, -2, 6]);
    expect(calls).toEqual([1, 2, 3]);
    expect(() => f(kinds["ioCallback"].op)(xs())).toThrow(/runs all branches, but one of them has effects/);
    const w = (op: Op) => vmap(inWhile(op));
    expect(js(w(kinds["debugCallback"].op)(xs()))).toEqual([8, 8, 12]);
    expect(() => w(kinds["ioCallback"].op)(xs())).toThrow(/has effects/);
  });

  test("ordered and unordered effects of several kinds keep the order of the program", () => {
    calls = [];
    const f = jit((x: NDArray) => {
      lax.debug.print("{}", x);
      const y = lax.ioCallback(record, scalar, np.add(x, 1), { ordered: true });
      lax.debug.callback(record, np.add(x, 2), { ordered: true });
      return lax.ioCallback(record, scalar, np.add(x, y), { ordered: true });
    });
    expect(js(f(np.array(1)))).toBe(10);
    expect(calls).toEqual([1, 2, 3, 5]);
  });

  test("vmap methods: what the callback sees", () => {
    const shapes: unknown[] = [];
    const add = (vmapMethod?: lax.VmapMethod) => (x: NDArray, y: NDArray) => {
      const f = (a: NDArray, b: NDArray): NDArray => {
        shapes.push([a.shape, b.shape]);
        return np.add(a, b);
      };
      return vmapMethod === undefined ? lax.pureCallback(f, x, x, y) : lax.pureCallback(f, x, x, y, { vmapMethod });
    };
    const run = (method?: lax.VmapMethod): unknown => {
      shapes.length = 0;
      const eager = js(vmap(add(method), { inAxes: [0, null] })(xs(), np.array(10)));
      expect(js(jit(vmap(add(method), { inAxes: [0, null] }))(xs(), np.array(10)))).toEqual(eager);
      expect(shapes.slice(0, shapes.length / 2)).toEqual(shapes.slice(shapes.length / 2));
      expect(eager).toEqual([11, 12, 13]);
      return shapes.slice(0, shapes.length / 2);
    };
    expect(run("sequential")).toEqual([
      [[], []],
      [[], []],
      [[], []],
    ]);
    expect(run("sequentialUnrolled")).toEqual([
      [[], []],
      [[], []],
      [[], []],
    ]);
    expect(run("expandDims")).toEqual([[[3], [1]]]);
    expect(run("broadcastAll")).toEqual([[[3], [3]]]);
    expect(() => run()).toThrow(/does not say how it is to be vectorised[\s\S]*vmapMethod/);
    expect(js(vmap(add("sequentialUnrolled"), { inAxes: [0, null] })(np.zeros([0]), np.array(1)))).toEqual([]);
  });

  test("derivatives come from customJvp and customVjp around them", () => {
    const sine = (x: NDArray): NDArray =>
      lax.pureCallback((v: NDArray) => Float32Array.from(v.dataSync() as Float32Array, Math.sin), x, x, {
        vmapMethod: "broadcastAll",
      });
    const a = customJvp(sine);
    a.defjvp(([x], [dx]) => [a(x), np.multiply(dx, np.cos(x))]);
    const b = customVjp(sine);
    b.defvjp(
      (x) => [b(x), x],
      (x, ct) => [np.multiply(ct, np.cos(x))],
    );
    for (const f of [grad(a), jit(grad(b)), grad(jit(a))]) expect(js(f(np.array(0.5)))).toBeCloseTo(Math.cos(0.5), 6);
    expect(js(jvp(a, [np.array(0.5)], [np.array(1)]))).toEqual([
      expect.closeTo(Math.sin(0.5), 6),
      expect.closeTo(Math.cos(0.5), 6),
    ]);
    expect(js(vmap(grad(b))(xs()))).toEqual([1, 2, 3].map((x) => expect.closeTo(Math.cos(x), 6)));
    expect(js(hessian(a)(np.array(0.5)))).toBeCloseTo(-Math.sin(0.5), 6);
  });

  test("pytrees, dtypes and shapes cross in both directions", () => {
    const dtypes = [
      "float32",
      "float64",
      "float16",
      "bfloat16",
      "int8",
      "uint32",
      "int64",
      "bool",
      "complex64",
      "complex128",
    ] as const;
    for (const dtype of dtypes) {
      const x = lax.convertElementType(
        np.array([
          [1, 0, 3],
          [4, 5, 0],
        ]),
        dtype,
      );
      const f = jit((y: NDArray) => {
        const out = lax.pureCallback(
          ({ a, b }: { a: NDArray; b: NDArray[] }) => ({ sum: np.add(a, b[0]).astype(dtype), raw: a.dataSync(), same: b[0] }),
          { sum: y, raw: y, same: new ShapeDtypeStruct([2, 3], dtype) },
          { a: y, b: [y] },
        );
        return [out.sum, out.raw, out.same];
      });
      const [sum, raw, same] = f(x);
      expect(js(raw), dtype).toEqual(js(x));
      expect(js(same), dtype).toEqual(js(x));
      expect(js(sum), dtype).toEqual(js(np.add(x, x).astype(dtype)));
    }
    const mixed = jit((n: NDArray) =>
      lax.pureCallback(
        (v: NDArray) =>
          [
            2,
            [
              [1, 2],
              [3, 4],
            ],
            v.shape.length,
            null,
          ] as never,
        [new ShapeDtypeStruct([], "int32"), new ShapeDtypeStruct([2, 2], "float64"), scalar, null],
        n,
      ),
    )(np.zeros([0, 4]));
    expect(mixed.slice(0, 3).map((x) => js(x as NDArray))).toEqual([
      2,
      [
        [1, 2],
        [3, 4],
      ],
      2,
    ]);
    expect((mixed[0] as NDArray).dtype).toBe("int32");
    expect(mixed[3]).toBeNull();
  });

  test("keys, programs without arguments, and backward rules", () => {
    const key = random.key(3);
    const drawn: unknown[] = [];
    const f = (k: NDArray): NDArray => {
      lax.debug.callback((v: NDArray) => drawn.push(random.uniform(v, [2]).jsSync()), k);
      return lax.pureCallback((v: NDArray) => v, k, k, { vmapMethod: "expandDims" });
    };
    const expected = random.uniform(key, [2]).jsSync();
    for (const g of [f, jit(f)]) expect(random.uniform(g(key), [2]).jsSync()).toEqual(expected);
    expect(drawn).toEqual([expected, expected]);
    const keys = random.split(key, 2);
    expect(random.uniform(jit(vmap(f))(keys).slice(1), [2]).jsSync()).toEqual(random.uniform(keys.slice(1), [2]).jsSync());

    let count = 0;
    const counted = (): null => {
      lax.debug.callback(() => count++);
      return null;
    };
    const runs: readonly (readonly [() => unknown, number])[] = [
      [() => counted(), 1],
      [() => lax.foriLoop(0, 3, () => counted(), null), 3],
      [() => lax.scan(() => [counted(), null], null, null, { length: 4 }), 4],
      [() => lax.cond(np.greater(np.array(1), 0), counted, () => null), 1],
    ];
    for (const [run, times] of runs) {
      count = 0;
      jit(() => (run(), 0))();
      expect(count).toBe(times);
      run();
      expect(count).toBe(2 * times);
    }

    const g = customVjp((x: NDArray) => np.sin(x));
    const cotangents: unknown[] = [];
    g.defvjp(
      (x) => [g(x), x],
      (_x, ct) => {
        lax.debug.callback((v: NDArray) => cotangents.push(v.itemSync()), ct);
        return [ct];
      },
    );
    const scaled = (x: NDArray): NDArray => np.multiply(g(x), 3);
    grad(scaled)(np.array(1));
    jit(grad(scaled))(np.array(1));
    expect(cotangents).toEqual([3, 3]);
  });

  test("results of another type are errors that say so", () => {
    const f = (callback: (x: NDArray) => unknown) => () => jit((x: NDArray) => lax.pureCallback(callback as never, x, x))(xs());
    expect(f(() => 1)).toThrow(/result 0 of the callback has the shape \[\], but was described as float32\[3\]/);
    expect(f((x) => x.astype("int32"))).toThrow(/has the dtype int32, but was described as float32\[3\]/);
    expect(f(() => new Float64Array(3))).toThrow(/has the dtype float64/);
    expect(f(() => [1, 2])).toThrow(/the shape \[2\]/);
    expect(f(() => ({ x: 1 }))).toThrow(/returned a object|must return/);
    expect(f(() => "text")).toThrow(/returned a string/);
    expect(f(async () => 1)).toThrow(/the callback is async/);
    expect(() => lax.pureCallback((x: NDArray) => x, "no" as unknown as ShapeDtypeStruct, xs())).toThrow(/describe each result/);
    expect(() => lax.pureCallback((x: NDArray) => x, scalar, xs(), { vmapMethod: "other" as never })).toThrow(/is no vmapMethod/);
  });

  test("a throw surfaces at the caller as it is, and nothing else changes", () => {
    class Mine extends Error {}
    let fail = true;
    const f = jit((x: NDArray) => {
      const y = lax.scan(
        (c: NDArray, v: NDArray) => {
          const seen = lax.ioCallback(
            (t: NDArray) => {
              if (fail && t.itemSync() === 2) throw new Mine("at two");
              return t;
            },
            scalar,
            v,
          );
          return [np.add(c, seen), seen];
        },
        0,
        x,
      );
      return np.add(y[0], np.sum(y[1]));
    });
    const before = backend.devices[0].memoryStats();
    const x = xs();
    const live = backend.devices[0].memoryStats().liveBuffers;
    for (let i = 0; i < 3; i++) {
      expect(() => f(x)).toThrow(Mine);
      expect(() => f(x)).toThrow("at two");
    }
    expect(backend.devices[0].memoryStats().liveBuffers).toBeLessThanOrEqual(Math.max(live, before.liveBuffers) + 1);
    fail = false;
    expect(js(f(x))).toBe(12);
    // The trace is where it was, too: this runs at once.
    expect(js(np.add(x, 1))).toEqual([2, 3, 4]);
    expect(() =>
      vmap((v: NDArray) =>
        lax.debug.callback(() => {
          throw new WebAssembly.RuntimeError("mine");
        }, v),
      )(x),
    ).toThrow(WebAssembly.RuntimeError);
  });

  test("a callback may use the library, the same program included", () => {
    const depth: number[] = [];
    const f: (x: NDArray) => NDArray = jit((x: NDArray) => {
      const below = lax.pureCallback(
        (v: NDArray) => {
          const n = Number(v.itemSync());
          depth.push(n);
          // A program of its own with temporaries, then this one again.
          const noise = jit((k: NDArray) => np.sum(np.matmul(k, k)))(np.ones([20, 20])).itemSync();
          return n === 0 ? 0 : np.add(f(np.array(n - 1)), np.subtract(noise as number, 8000));
        },
        scalar,
        x,
      );
      return np.add(np.multiply(below, 2), x);
    });
    expect(js(f(np.array(4)))).toBe(26); // ((1 * 2 + 2) * 2 + 3) * 2 + 4
    expect(depth).toEqual([4, 3, 2, 1, 0]);
    expect(js(f(np.array(4)))).toBe(26);
  });

  test("the memory may grow while a program waits for its callback", () => {
    const kept: NDArray[] = [];
    const f = jit((x: NDArray) => {
      const y = np.cumsum(np.multiply(x, 2));
      const z = lax.pureCallback(
        (v: NDArray) => {
          for (let i = 0; i < 3; i++) kept.push(np.full([1 << 21], i));
          return np.add(v, kept[2].slice(0));
        },
        y,
        y,
      );
      return np.add(np.add(y, z), x);
    });
    const x = np.arange(1000, { dtype: "float32" });
    expect(js(f(x))).toEqual(Array.from({ length: 1000 }, (_, i) => 2 * (i * (i + 1)) + 2 + i));
    kept.forEach((k) => k.dispose());
  });

  test("arguments are copies: keeping or disposing of them changes nothing", () => {
    const kept: NDArray[] = [];
    const f = jit((x: NDArray) => {
      const y = np.multiply(x, 2);
      lax.debug.callback((v: NDArray) => kept.push(v), y);
      lax.debug.callback((v: NDArray) => v.dispose(), y);
      return np.multiply(y, 3);
    });
    const x = xs();
    expect(js(f(x))).toEqual([6, 12, 18]);
    expect(js(f(np.array([4, 5, 6])))).toEqual([24, 30, 36]);
    expect(kept.map(js)).toEqual([
      [2, 4, 6],
      [8, 10, 12],
    ]);
    lax.debug.callback((v: NDArray) => v.dispose(), x);
    expect(js(x)).toEqual([1, 2, 3]);
  });

  test("donated memory and updates in place wait for the callback that reads them", () => {
    const seen: unknown[] = [];
    const f = jit(
      (x: NDArray) => {
        lax.debug.callback((v: NDArray) => seen.push(v.jsSync()), x);
        return lax.foriLoop(
          0,
          3,
          (i, y: NDArray) => {
            lax.debug.callback((v: NDArray) => seen.push(v.jsSync()), y);
            return lax.dynamicUpdateIndexInDim(y, np.array(9), i, 0);
          },
          x,
        );
      },
      { donateArgnums: 0 },
    );
    expect(js(f(xs()))).toEqual([9, 9, 9]);
    expect(seen).toEqual([
      [1, 2, 3],
      [1, 2, 3],
      [9, 2, 3],
      [9, 9, 3],
    ]);
  });

  test("programs with large kernels around the callback", () => {
    const f = jit((x: NDArray) => {
      const y = np.matmul(np.sin(x), np.cos(x));
      const s = lax.pureCallback((v: NDArray) => jit((k: NDArray) => np.sum(np.matmul(k, k)))(v), scalar, y);
      return np.divide(np.sum(np.matmul(y, y)), s);
    });
    // The oracle would take seconds.
    const n = backend.name === "reference" ? 8 : 96;
    const x = np.reshape(np.arange(n * n, { dtype: "float32" }), [n, n]);
    for (let i = 0; i < 5; i++) expect(js(f(x))).toBeCloseTo(1, 4);
  });
});
