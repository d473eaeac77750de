import {
  bind1,
  checkJaxpr,
  constvarsToInvars,
  definePrimitive,
  dceJaxpr,
  type Eqn,
  fromTyped,
  innerJaxprs,
  isFloat,
  type Jaxpr,
  jvpRule,
  makeAval,
  type NDArray,
  provideVmap,
  setDefaultBackend,
  traceToJaxpr,
  treeFlatten,
} from "@traceform/core";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { close, dotProduct, numbers } from "@traceform/testing/derivatives";
import { mulberry32 } from "@traceform/testing/primitivecases";
import { vmap } from "@traceform/vmap";
import { describe, expect, test } from "vitest";
import { grad, jvp, linearize, partialEvalJaxpr, vjp } from "./index.ts";

setDefaultBackend(referenceBackend());
provideVmap(vmap);

const random = mulberry32(4711);
const array = (...shape: number[]): NDArray =>
  fromTyped(
    Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random() * 2 - 1),
    shape,
    "float64",
  );
const ints = (...xs: number[]): NDArray => fromTyped(Int32Array.from(xs), [xs.length], "int32");
const row = (x: NDArray, i: number): NDArray => lax.reshape(lax.sliceInDim(x, i, i + 1, 1, 0), x.shape.slice(1));
const stack = (xs: readonly NDArray[]): NDArray =>
  lax.concatenate(
    xs.map((x) => lax.reshape(x, [1, ...x.shape])),
    0,
  );
const zero = (): NDArray => fromTyped(Float64Array.of(0), [], "float64");
const asFloat = (x: NDArray): NDArray => lax.convertElementType(x, "float64");

/** A loop or branch of the library, and the same in JavaScript. */
interface Case {
  readonly name: string;
  readonly args: readonly NDArray[];
  readonly loop: (...xs: NDArray[]) => unknown;
  readonly plain: (...xs: NDArray[]) => unknown;
  readonly forwardOnly?: boolean;
}

const step = (c: NDArray, x: NDArray, w: NDArray): NDArray => lax.tanh(lax.add(lax.mul(c, w), x));

function forward(n: number, order: readonly number[], c: NDArray, xs: NDArray, w: NDArray): unknown {
  const ys: NDArray[] = new Array(n);
  for (const i of order) {
    c = step(c, row(xs, i), w);
    ys[i] = lax.mul(c, c);
  }
  return [c, stack(ys)];
}
const scanned =
  (options: lax.ScanOptions) =>
  (c: NDArray, xs: NDArray, w: NDArray): unknown =>
    lax.scan(
      (s: NDArray, x: NDArray) => {
        const next = step(s, x, w);
        return [next, lax.mul(next, next)];
      },
      c,
      xs,
      options,
    );

const cases: readonly Case[] = [
  {
    name: "scan",
    args: [array(2), array(5, 2), array(2)],
    loop: scanned({}),
    plain: (c, xs, w) => forward(5, [0, 1, 2, 3, 4], c, xs, w),
  },
  {
    name: "scan in reverse",
    args: [array(2), array(5, 2), array(2)],
    loop: scanned({ reverse: true }),
    plain: (c, xs, w) => forward(5, [4, 3, 2, 1, 0], c, xs, w),
  },
  ...([2, 7, true] as const).map((unroll) => ({
    name: `scan with unroll ${unroll}`,
    args: [array(2), array(5, 2), array(2)],
    loop: scanned({ unroll }),
    plain: (c: NDArray, xs: NDArray, w: NDArray) => forward(5, [0, 1, 2, 3, 4], c, xs, w),
  })),
  {
    name: "scan with a length only",
    args: [array(2), array(2)],
    loop: (c, w) => lax.scan((s: NDArray, _: null) => [lax.sin(lax.mul(s, w)), s], c, null, { length: 3 }),
    plain: (c, w) => {
      const ys: NDArray[] = [];
      for (let i = 0; i < 3; i++) {
        ys.push(c);
        c = lax.sin(lax.mul(c, w));
      }
      return [c, stack(ys)];
    },
  },
  {
    name: "scan over pytrees, with an integer in the carry and integers among xs",
    args: [array(), array(4), array(4, 2)],
    loop: (c, a, b) =>
      lax.scan(
        (s: { x: NDArray; count: NDArray }, { a: u, more: [v, k] }: { a: NDArray; more: readonly [NDArray, NDArray] }) => {
          const x = lax.add(lax.sin(lax.mul(s.x, u)), lax.reduceSum(lax.mul(v, asFloat(lax.add(s.count, k)))));
          return [
            { x, count: lax.add(s.count, 1) },
            { doubled: lax.mul(x, 2), count: s.count },
          ];
        },
        { x: c, count: lax.reshape(ints(3), []) },
        { a, more: [b, ints(1, -1, 2, 0)] as const },
      ),
    plain: (c, a, b) => {
      const ks = [1, -1, 2, 0];
      const ys: NDArray[] = [];
      for (let i = 0; i < 4; i++) {
        c = lax.add(lax.sin(lax.mul(c, row(a, i))), lax.reduceSum(lax.mul(row(b, i), 3 + i + ks[i])));
        ys.push(c);
      }
      return [
        { x: c, count: lax.reshape(ints(7), []) },
        { doubled: lax.mul(stack(ys), 2), count: ints(3, 4, 5, 6) },
      ];
    },
  },
  {
    name: "a carry that passes through, one that is not read, and one that becomes differentiated late",
    args: [array(2), array(2)],
    loop: (x, y) =>
      lax.scan(
        ([a, b, c, d]: [NDArray, NDArray, NDArray, NDArray], _: null): [[NDArray, NDArray, NDArray, NDArray], null] => [
          [a, lax.mul(b, 0.5), lax.add(c, lax.mul(d, a)), lax.sin(lax.add(d, b))],
          null,
        ],
        [x, y, lax.mul(x, 0), lax.mul(lax.stopGradient(x), 2)] as [NDArray, NDArray, NDArray, NDArray],
        null,
        { length: 3 },
      )[0],
    plain: (x, y) => {
      let [b, c, d] = [y, lax.mul(x, 0), lax.mul(lax.stopGradient(x), 2)];
      for (let i = 0; i < 3; i++) [b, c, d] = [lax.mul(b, 0.5), lax.add(c, lax.mul(d, x)), lax.sin(lax.add(d, b))];
      return [x, b, c, d];
    },
  },
  {
    name: "a scan in a scan, with values of both around",
    args: [array(2), array(3, 2), array(2)],
    loop: (c, xs, w) =>
      lax.scan(
        (outer: NDArray, x: NDArray) => {
          const [inner, ys] = lax.scan(
            (s: NDArray, y: NDArray) => [lax.sin(lax.add(lax.mul(s, w), lax.mul(x, y))), lax.mul(s, outer)],
            outer,
            xs,
          );
          return [inner, lax.reduceSum(ys, [0])];
        },
        c,
        xs,
      ),
    plain: (c, xs, w) => {
      const all: NDArray[] = [];
      for (let i = 0; i < 3; i++) {
        let s = c;
        let sum = lax.mul(c, 0);
        for (let k = 0; k < 3; k++) {
          sum = lax.add(sum, lax.mul(s, c));
          s = lax.sin(lax.add(lax.mul(s, w), lax.mul(row(xs, i), row(xs, k))));
        }
        all.push(sum);
        c = s;
      }
      return [c, stack(all)];
    },
  },
  {
    name: "a loop without iterations",
    args: [array(2), array(0, 2), array(2)],
    loop: scanned({}),
    plain: (c) => [c, fromTyped(new Float64Array(0), [0, 2], "float64")],
  },
  {
    name: "map, one by one and in batches",
    args: [array(5, 2), array(2)],
    loop: (xs, w) => [1, 2, 0].map((batchSize) => lax.map((x: NDArray) => lax.sin(lax.mul(x, w)), xs, { batchSize })),
    plain: (xs, w) => {
      const y = stack([0, 1, 2, 3, 4].map((i) => lax.sin(lax.mul(row(xs, i), w))));
      return [y, y, y];
    },
  },
  {
    name: "foriLoop with static bounds and a pytree",
    args: [array(2), array(2)],
    loop: (x, w) =>
      lax.foriLoop(2, 5, (i, { v }: { v: NDArray }) => ({ v: lax.sin(lax.add(lax.mul(v, w), asFloat(i))) }), { v: x }),
    plain: (x, w) => {
      for (let i = 2; i < 5; i++) x = lax.sin(lax.add(lax.mul(x, w), i));
      return { v: x };
    },
  },
  {
    name: "foriLoop with an empty range",
    args: [array(2)],
    loop: (x) => lax.foriLoop(3, 1, (_, v: NDArray) => lax.sin(v), x),
    plain: (x) => x,
  },
  {
    name: "foriLoop with a traced bound",
    args: [array(2), array(2)],
    loop: (x, w) => lax.foriLoop(0, lax.reshape(ints(4), []), (_, v: NDArray) => lax.sin(lax.add(lax.mul(v, w), x)), x),
    plain: (x, w) => {
      let v = x;
      for (let i = 0; i < 4; i++) v = lax.sin(lax.add(lax.mul(v, w), x));
      return v;
    },
    forwardOnly: true,
  },
  {
    name: "whileLoop whose number of rounds depends on the values",
    args: [array(2), array(2)],
    loop: (x, w) =>
      lax.whileLoop(
        ([, n]: [NDArray, NDArray]) => lax.lt(n, 6),
        ([v, n]: [NDArray, NDArray]): [NDArray, NDArray] => [
          lax.sin(lax.add(lax.mul(v, w), x)),
          lax.add(n, lax.add(lax.convertElementType(lax.gt(lax.reduceSum(v), 0), "int32"), 1)),
        ],
        [x, lax.reshape(ints(0), [])] as [NDArray, NDArray],
      ),
    plain: (x, w) => {
      let v = x;
      let n = 0;
      while (n < 6) {
        n += 1 + (numbers(lax.stopGradient(v)).reduce((a, b) => a + b, 0) > 0 ? 1 : 0);
        v = lax.sin(lax.add(lax.mul(v, w), x));
      }
      return [v, lax.reshape(ints(n), [])];
    },
    forwardOnly: true,
  },
  ...([0.4, -0.4] as const).map((at) => ({
    name: `cond at ${at}, with branches that use different operands`,
    args: [fromTyped(Float64Array.of(at), [], "float64"), array(2), array(2)],
    loop: (p: NDArray, x: NDArray, y: NDArray) =>
      lax.cond(
        lax.gt(p, 0),
        ({ u }: { u: NDArray; v: NDArray }) => [lax.sin(lax.mul(u, p)), ints(1)] as [NDArray, NDArray],
        ({ v }: { u: NDArray; v: NDArray }) => [lax.mul(v, 3), ints(2)] as [NDArray, NDArray],
        { u: x, v: y },
      ),
    plain: (p: NDArray, x: NDArray, y: NDArray) => (at > 0 ? [lax.sin(lax.mul(x, p)), ints(1)] : [lax.mul(y, 3), ints(2)]),
  })),
  ...([-3, 0, 1, 9] as const).map((index) => ({
    name: `switch_ at ${index}, clamped`,
    args: [array(2)],
    loop: (x: NDArray) =>
      lax.switch_(
        lax.reshape(ints(index), []),
        [(v: NDArray) => lax.sin(v), (v: NDArray) => lax.mul(v, v), (v: NDArray) => lax.mul(lax.stopGradient(v), 2)],
        x,
      ),
    plain: (x: NDArray) => (index < 1 ? lax.sin(x) : index === 1 ? lax.mul(x, x) : lax.mul(lax.stopGradient(x), 2)),
  })),
  ...([1, 2, 5, 8] as const).flatMap((n) =>
    [false, true].map((reverse) => ({
      name: `associativeScan of ${n} affine maps${reverse ? ", in reverse" : ""}`,
      args: [array(2, n), array(2, n)],
      loop: (a: NDArray, b: NDArray) =>
        lax.associativeScan(
          (f: { a: NDArray; b: NDArray }, g: { a: NDArray; b: NDArray }) => ({
            a: lax.mul(f.a, g.a),
            b: lax.add(lax.mul(f.b, g.a), g.b),
          }),
          { a, b },
          { axis: -1, reverse },
        ),
      plain: (a: NDArray, b: NDArray) => {
        const [as, bs] = [a, b].map((x) => Array.from({ length: n }, (_, i) => lax.sliceInDim(x, i, i + 1, 1, 1)));
        for (let k = 1; k < n; k++) {
          const [i, j] = reverse ? [n - 1 - k, n - k] : [k, k - 1];
          bs[i] = lax.add(lax.mul(bs[j], as[i]), bs[i]);
          as[i] = lax.mul(as[j], as[i]);
        }
        return { a: lax.concatenate(as, 1), b: lax.concatenate(bs, 1) };
      },
    })),
  ),
];

const leaves = (tree: unknown): NDArray[] => treeFlatten(tree)[0] as NDArray[];
function agree(got: unknown, want: unknown, what: string, tolerance = 1e-11): void {
  const [a, b] = [leaves(got), leaves(want)];
  expect(a.length).toBe(b.length);
  a.forEach((x, i) => {
    expect([x.shape, x.dtype], what).toEqual([b[i].shape, b[i].dtype]);
    if (typeof x.dtype === "string")
      expect(close(numbers(x), numbers(b[i]), tolerance), `${what}: ${numbers(x)} against ${numbers(b[i])}`).toBe(true);
  });
}

describe.each(cases.map((c) => [c.name, c] as const))("%s", (_name, { args, loop, plain, forwardOnly }) => {
  const tangents = args.map((x) => array(...x.shape));
  const twice =
    (f: (...xs: NDArray[]) => unknown) =>
    (...xs: NDArray[]) =>
      jvp(jit(f), xs, tangents)[1];

  test("values, eager and jitted", () => {
    agree(loop(...args), plain(...args), "eager");
    agree(jit(loop)(...args), plain(...args), "jit");
  });
  test("forward mode, of first and second order, with zeros among the tangents", () => {
    agree(jvp(loop, [...args], tangents)[1], jvp(plain, [...args], tangents)[1], "jvp");
    agree(jvp(jit(loop), [...args], tangents)[1], jvp(plain, [...args], tangents)[1], "jvp of jit");
    agree(linearize(loop, ...args)[1](...tangents), jvp(plain, [...args], tangents)[1], "linearize");
    args.forEach((_, k) => {
      const alone = tangents.map((t, i) => (i === k ? t : null));
      agree(jvp(loop, [...args], alone)[1], jvp(plain, [...args], alone)[1], `jvp of operand ${k}`);
    });
    const plainTwice = (...xs: NDArray[]): unknown => jvp(plain, xs, tangents)[1];
    const floatsOnly =
      (f: (...xs: NDArray[]) => unknown) =>
      (...xs: NDArray[]) =>
        leaves(f(...xs)).filter((y) => isFloat(y.dtype));
    // A loop whose rounds depend on values cannot be run in JavaScript while those are traced twice.
    if (!forwardOnly) {
      agree(
        jvp(floatsOnly(twice(loop)), [...args], tangents)[1],
        jvp(floatsOnly(plainTwice), [...args], tangents)[1],
        "second order",
        1e-9,
      );
    }
  });
  test("vmap of one operand at a time, and of its derivative", () => {
    args.forEach((x, k) => {
      const batch = stack([x, lax.mul(x, 0.5), lax.mul(x, 0.9)]);
      const inAxes = args.map((_, i) => (i === k ? 0 : null));
      const given = args.map((a, i) => (i === k ? batch : a));
      const each = (f: (...xs: NDArray[]) => unknown): unknown => {
        const members = [0, 1, 2].map((m) => leaves(f(...args.map((a, i) => (i === k ? row(batch, m) : a)))));
        return members[0].map((_, j) => stack(members.map((l) => l[j])));
      };
      const flat = (...xs: NDArray[]): NDArray[] => leaves(loop(...xs));
      agree(vmap(flat, { inAxes } as never)(...given), each(loop), `vmap of operand ${k}`);
      if (forwardOnly) return;
      const g = (...xs: NDArray[]): NDArray =>
        grad(
          (...ys: NDArray[]) =>
            leaves(loop(...ys))
              .filter((y) => isFloat(y.dtype))
              .reduce((s, y) => lax.add(s, lax.reduceSum(lax.sin(y))), zero()),
          { argnums: k },
        )(...xs);
      agree([vmap(g, { inAxes } as never)(...given)], each(g), `vmap of grad of operand ${k}`);
    });
  });

  if (forwardOnly) return;
  test("reverse mode is the transpose of forward mode, also of second order and jitted", () => {
    const floats = (...xs: NDArray[]): NDArray[] => leaves(loop(...xs)).filter((y) => isFloat(y.dtype));
    const [outs, pullback] = vjp(floats, ...args);
    const cts = outs.map((y) => array(...y.shape));
    const grads = pullback(cts) as NDArray[];
    const dots = jvp(floats, [...args], tangents)[1];
    expect(dotProduct(grads.map(numbers), tangents.map(numbers))).toBeCloseTo(dotProduct(cts.map(numbers), dots.map(numbers)), 9);
    agree(jit((...xs: NDArray[]) => vjp(floats, ...xs)[1](cts))(...args), grads, "jit of vjp");
    agree(vjp(jit(floats), ...args)[1](cts), grads, "vjp of jit");
    const plainFloats = (...xs: NDArray[]): NDArray[] => leaves(plain(...xs)).filter((y) => isFloat(y.dtype));
    const loss =
      (f: typeof floats) =>
      (...xs: NDArray[]) =>
        f(...xs).reduce((s, y) => lax.add(s, lax.reduceSum(lax.sin(y))), zero());
    const argnums = args.map((_, i) => i);
    const second = (f: typeof floats): unknown => jvp(grad(loss(f), { argnums }), [...args], tangents)[1];
    agree(second(floats), second(plainFloats), "forward over reverse", 1e-9);
  });
});

describe("rules that keep loops small", () => {
  const all = (jaxpr: Jaxpr): Eqn[] => jaxpr.eqns.flatMap((e) => [e, ...innerJaxprs(e.params).flatMap(all)]);
  const named = (jaxpr: Jaxpr, name: string): Eqn[] => all(jaxpr).filter((e) => e.primitive.name === name);
  const f64 = (...shape: number[]): ReturnType<typeof makeAval> => makeAval(shape, "float64");
  const stage = (f: (...xs: NDArray[]) => readonly NDArray[], ...avals: ReturnType<typeof makeAval>[]): Jaxpr => {
    const { jaxpr } = traceToJaxpr((...xs) => f(...xs), avals, "f");
    checkJaxpr(jaxpr);
    return jaxpr;
  };

  test("a residual that does not depend on the iteration is computed once and not stacked, nested and jitted too", () => {
    // exp(w) is needed in every backward step; it is the same 64 numbers each time.
    const inner = (c: NDArray, w: NDArray): NDArray => lax.sin(lax.mul(c, lax.exp(w)));
    const run = (body: typeof inner) => (c: NDArray, w: NDArray) =>
      lax.reduceSum(lax.scan((s: NDArray, _: null) => [body(s, w), null], c, null, { length: 100 })[0]);
    const nested = (c: NDArray, w: NDArray): NDArray =>
      lax.scan((s: NDArray, _: null) => [inner(s, w), null], c, null, { length: 10 })[0];
    for (const body of [inner, jit(inner), nested]) {
      const jaxpr = stage((c, w) => grad(run(body as typeof inner), { argnums: [0, 1] })(c, w), f64(64), f64(64));
      const scans = jaxpr.eqns.filter((e) => e.primitive.name === "scan");
      expect(scans.length).toBe(2);
      const stacked = scans[0].outvars.slice(scans[0].params["numCarry"] as number).map((v) => v.aval.shape.join());
      // cos(c exp(w)) and c: what changes. exp(w) is no third one.
      expect(stacked.length).toBe(2);
      expect(named(jaxpr, "exp").length).toBe(2);
      const outside = jaxpr.eqns.flatMap((e) => (e.primitive.name === "scan" ? [] : [e, ...innerJaxprs(e.params).flatMap(all)]));
      expect(outside.filter((e) => e.primitive.name === "exp").length).toBe(1);
    }
  });

  test("results that nobody uses take their carries and their work with them", () => {
    const jaxpr = stage((x) => {
      const [[a], ys] = lax.scan(
        ([p, q]: [NDArray, NDArray], _: null): [[NDArray, NDArray], NDArray] => [[lax.sin(p), lax.exp(q)], lax.log(q)],
        [x, x] as [NDArray, NDArray],
        null,
        { length: 3 },
      );
      const [b] = lax.whileLoop(
        ([p]: [NDArray, NDArray]) => lax.lt(lax.reduceSum(p), 3),
        ([p, q]: [NDArray, NDArray]): [NDArray, NDArray] => [lax.add(p, 1), lax.tan(q)],
        [x, x] as [NDArray, NDArray],
      );
      const [c] = lax.cond(
        lax.gt(lax.reduceSum(x), 0),
        (v: NDArray) => [lax.cosh(v), lax.atan(v)] as [NDArray, NDArray],
        (v: NDArray) => [v, lax.atanh(v)] as [NDArray, NDArray],
        x,
      );
      return [a, b, c, ys];
    }, f64(2));
    const { jaxpr: small } = dceJaxpr(jaxpr, [true, true, true, false]);
    checkJaxpr(small);
    const left = new Set(all(small).map((e) => e.primitive.name));
    for (const gone of ["exp", "log", "tan", "atan", "atanh"]) expect(left.has(gone)).toBe(false);
    for (const kept of ["sin", "add", "cosh"]) expect(left.has(kept)).toBe(true);
  });

  test("what is known of a loop runs in a loop of its own", () => {
    const jaxpr = stage(
      (k, u) => {
        const [[a, b]] = lax.scan(
          ([p, q]: [NDArray, NDArray], _: null): [[NDArray, NDArray], null] => [[lax.sin(p), lax.mul(q, p)], null],
          [k, u] as [NDArray, NDArray],
          null,
          { length: 4 },
        );
        return [a, b];
      },
      f64(2),
      f64(2),
    );
    const { known, unknown, unknownOut } = partialEvalJaxpr(jaxpr, [false, true]);
    expect(unknownOut).toEqual([false, true]);
    expect([named(known, "sin").length, named(known, "mul").length]).toEqual([1, 0]);
    expect([named(unknown, "sin").length, named(unknown, "mul").length]).toEqual([0, 1]);
  });

  test("symbolic zeros stay symbolic: a loop that does not touch a differentiated value has no tangents", () => {
    const jaxpr = stage(
      (x, y) => {
        const f = (v: NDArray): NDArray => {
          const [c] = lax.scan((s: NDArray, u: NDArray) => [lax.sin(lax.mul(s, u)), null], lax.reduceSum(y), y);
          return lax.mul(v, c);
        };
        return [jvp(f, [x], [x])[1]];
      },
      f64(),
      f64(3),
    );
    expect(named(jaxpr, "cos").length).toBe(0);
  });
});

describe("effects in bodies", () => {
  const effect = { name: "seen", ordered: false };
  const seen = definePrimitive("seen", {
    abstractEval: ([x]) => ({ avals: [x], effects: [effect] }),
    rules: { [jvpRule]: ([x]: NDArray[], [t]: NDArray[]) => [[bind1(seen, [x], {})], [t]] },
  });
  const see = (x: NDArray): NDArray => bind1(seen, [x], {});
  const all = (jaxpr: Jaxpr): Eqn[] => jaxpr.eqns.flatMap((e) => [e, ...innerJaxprs(e.params).flatMap(all)]);
  const count = (f: (x: NDArray) => NDArray): number => {
    const { jaxpr } = traceToJaxpr((x) => [f(x)], [makeAval([], "float64")], "f");
    checkJaxpr(jaxpr);
    return all(jaxpr).filter((e) => e.primitive.name === "seen").length;
  };
  const w = zero();
  const scan = (x: NDArray): NDArray =>
    lax.scan((c: NDArray, _: null) => [lax.sin(lax.mul(see(c), lax.exp(lax.add(w, x)))), null], x, null, { length: 3 })[0];
  const cond = (x: NDArray): NDArray =>
    lax.cond(
      lax.gt(x, 0),
      (v: NDArray) => lax.sin(see(v)),
      (v: NDArray) => v,
      x,
    );
  const loop = (x: NDArray): NDArray =>
    lax.whileLoop(
      (c: NDArray) => lax.lt(c, 3),
      (c: NDArray) => lax.add(lax.mul(see(c), 1.5), lax.sin(x)),
      x,
    );

  test("happen once in a derivative, not in both of its passes", () => {
    expect([count(scan), count(cond), count(loop)]).toEqual([1, 1, 1]);
    expect(count((x) => jvp(scan, [x], [x])[1])).toBe(1);
    expect(count(grad(scan))).toBe(1);
    expect(count(grad(jit(scan)))).toBe(1);
    expect(count(grad(cond))).toBe(1);
    expect(count((x) => jvp(loop, [x], [x])[1])).toBe(1);
    // The number of rounds is not known before, so the pushforward would run the whole loop again.
    expect(() => count((x) => linearize(loop, x)[1](x))).toThrow(/would repeat the effect seen/);
  });
  test("keep a loop whose results nobody uses", () => {
    const unused = (f: (x: NDArray) => NDArray) => (x: NDArray) => {
      f(x);
      return x;
    };
    for (const f of [scan, cond, loop]) {
      const { jaxpr } = traceToJaxpr((x) => [unused(f)(x)], [makeAval([], "float64")], "f");
      expect(all(dceJaxpr(constvarsToInvars(jaxpr), [true]).jaxpr).filter((e) => e.primitive.name === "seen").length).toBe(1);
    }
  });
});
