import { fromTyped, type NDArray, provideVmap, setDefaultBackend, ShapeError, TransformError, TreeError } from "@traceform/core";
import { jit, makeJaxpr } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { close, finiteDifference, numbers } from "@traceform/testing/derivatives";
import { vmap } from "@traceform/vmap";
import { describe, expect, test } from "vitest";
import { checkGrads, checkpoint, customJvp, customVjp, grad, hessian, jacfwd, jacrev, jvp, linearTranspose, vjp } from "./index.ts";

setDefaultBackend(referenceBackend());

const vector = (...xs: number[]): NDArray => fromTyped(Float64Array.from(xs), [xs.length], "float64");
const matrix = (...rows: number[][]): NDArray =>
  fromTyped(Float64Array.from(rows.flat()), [rows.length, rows[0].length], "float64");
const scalar = (x: number): NDArray => lax.reduceSum(vector(x));
const a = (): NDArray => matrix([4, 1, 0.5], [0.2, 3, -0.7], [-0.4, 0.3, 5]);
const b = (): NDArray => vector(1, -2, 0.5);

type Map = (x: NDArray) => NDArray;

/** Richardson's iteration: a loop of unknown length, which reverse mode cannot pass. */
function iterate(matvec: Map, rhs: NDArray): readonly [NDArray, NDArray] {
  const [x, , steps] = lax.whileLoop(
    ([, r, k]: [NDArray, NDArray, NDArray]) => lax.bitwiseAnd(lax.gt(lax.reduceMax(lax.abs(r)), 1e-14), lax.lt(k, 500)),
    ([x, r, k]: [NDArray, NDArray, NDArray]): [NDArray, NDArray, NDArray] => {
      const next = lax.add(x, lax.mul(r, 0.2));
      return [next, lax.sub(rhs, matvec(next)), lax.add(k, 1)];
    },
    [lax.mul(rhs, 0), rhs, lax.convertElementType(scalar(0), "int32")] as [NDArray, NDArray, NDArray],
  );
  return [x, steps];
}
const solve = (matvec: Map, rhs: NDArray): NDArray => iterate(matvec, rhs)[0];

/** A x = b by a solver that nothing can be seen through. */
const solved = (m: NDArray, rhs: NDArray): NDArray =>
  lax.customLinearSolve((x: NDArray) => lax.dot(m, x), rhs, solve, { transposeSolve: solve });
/** The same by what numpy does. */
const direct = (m: NDArray, rhs: NDArray): NDArray => {
  const [factors, , permutation] = lax.linalg.lu(m);
  const y = lax.linalg.triangularSolve(factors, lax.reshape(lax.linalg.takeElements(rhs, permutation), [3, 1]), {
    leftSide: true,
    lower: true,
    unitDiagonal: true,
  });
  return lax.reshape(lax.linalg.triangularSolve(factors, y, { leftSide: true }), [3]);
};
const near = (x: NDArray, y: NDArray, tolerance = 1e-10): void =>
  expect(close(numbers(x), numbers(y), tolerance), `${numbers(x)} against ${numbers(y)}`).toBe(true);

describe("customLinearSolve", () => {
  test("solves, eagerly and compiled", () => {
    near(solved(a(), b()), direct(a(), b()));
    near(jit(solved)(a(), b()), direct(a(), b()));
  });

  test("derivatives of both modes are those of the solution", () => {
    const loss = (f: typeof solved) => (m: NDArray, rhs: NDArray) => lax.reduceSum(lax.sin(f(m, rhs)));
    for (const argnums of [0, 1]) {
      const want = grad(loss(direct), { argnums })(a(), b());
      near(grad(loss(solved), { argnums })(a(), b()), want);
      near(jit(grad(loss(solved), { argnums }))(a(), b()), want);
      near(grad(jit(loss(solved)), { argnums })(a(), b()), want);
      near(jacrev(solved, { argnums })(a(), b()), jacrev(direct, { argnums })(a(), b()));
      near(jacfwd(solved, { argnums })(a(), b()), jacrev(direct, { argnums })(a(), b()));
    }
    checkGrads(solved, [a(), b()], { order: 2 });
    const scaled = (s: NDArray): NDArray => loss(solved)(lax.mul(a(), s), b());
    near(hessian(scaled)(scalar(1.1)), hessian((s: NDArray) => loss(direct)(lax.mul(a(), s), b()))(scalar(1.1)));
  });

  test("the transposed map is the transpose, and not the map again", () => {
    const seen: NDArray[] = [];
    const f = (rhs: NDArray): NDArray =>
      lax.customLinearSolve((x: NDArray) => lax.dot(a(), x), rhs, solve, {
        transposeSolve: (vecmat, c) => {
          seen.push(lax.stopGradient(c));
          return lax.dot(lax.transpose(lax.reshape(jacfwd(vecmat)(c), [3, 3]), [1, 0]), lax.mul(c, 0));
        },
      });
    // Whatever transposeSolve returns is the cotangent: zeros here.
    expect(numbers(vjp(f, b())[1](b())[0])).toEqual([0, 0, 0]);
    expect(seen.length).toBeGreaterThan(0);
    const jacobian = (rhs: NDArray): NDArray =>
      lax.customLinearSolve((x: NDArray) => lax.dot(a(), x), rhs, solve, {
        transposeSolve: (vecmat, c) => direct(jacrev(vecmat)(c), c),
      });
    near(grad((r: NDArray) => lax.reduceSum(jacobian(r)))(b()), grad((r: NDArray) => lax.reduceSum(direct(a(), r)))(b()));
  });

  test("vmap over the map, the right-hand side, both; and gradients inside and outside", () => {
    const ms = lax.mul(lax.broadcast(a(), [2]), lax.broadcastInDim(vector(1, 1.2), [2, 3, 3], [0]));
    const bs = matrix([1, -2, 0.5], [0.3, 0.1, 4]);
    const loss = (f: typeof solved) => (m: NDArray, rhs: NDArray) => lax.reduceSum(lax.sin(f(m, rhs)));
    for (const [inAxes, args] of [
      [
        [0, null],
        [ms, b()],
      ],
      [
        [null, 0],
        [a(), bs],
      ],
      [
        [0, 0],
        [ms, bs],
      ],
      [
        [null, 1],
        [a(), lax.transpose(bs, [1, 0])],
      ],
    ] as const) {
      near(vmap(solved, { inAxes })(...args), vmap(direct, { inAxes })(...args));
      for (const argnums of [0, 1]) {
        const each = (f: typeof solved): NDArray => vmap(grad(loss(f), { argnums }), { inAxes })(...args);
        near(each(solved), each(direct));
        const sum = (f: typeof solved): NDArray =>
          grad((m: NDArray, rhs: NDArray) => lax.reduceSum(lax.sin(vmap(f, { inAxes })(m, rhs))), { argnums })(...args);
        near(sum(solved), sum(direct));
      }
    }
    near(jit(vmap(solved))(ms, bs), vmap(direct)(ms, bs));
  });

  test("symmetric maps need one solver; pytrees; auxiliary results", () => {
    const spd = matrix([4, 1, 0.5], [1, 3, -0.7], [0.5, -0.7, 5]);
    type B = { p: NDArray; q: readonly [NDArray] };
    const f = (m: NDArray, rhs: B): readonly [B, { steps: NDArray }] =>
      lax.customLinearSolve(
        ({ p, q }: B): B => ({ p: lax.dot(m, p), q: [lax.mul(q[0], 2)] }),
        rhs,
        (matvec, { p, q }) => {
          const [x, steps] = iterate((v) => matvec({ p: v, q }).p, p);
          return [{ p: x, q: [lax.mul(q[0], 0.5)] }, { steps }] as const;
        },
        { symmetric: true, hasAux: true },
      );
    const rhs: B = { p: b(), q: [scalar(3)] };
    const [x, { steps }] = jit(f)(spd, rhs);
    near(x.p, direct(spd, b()));
    expect(x.q[0].itemSync()).toBe(1.5);
    expect(Number(steps.itemSync())).toBeGreaterThan(3);
    const loss = (m: NDArray, r: B): NDArray => {
      const [y, aux] = f(m, r);
      const used = lax.mul(lax.convertElementType(aux.steps, "float64"), 0);
      return lax.add(lax.add(lax.reduceSum(lax.sin(y.p)), lax.square(y.q[0])), used);
    };
    const [dm, dr] = grad(loss, { argnums: [0, 1] })(spd, rhs);
    near(dm, grad((m: NDArray) => lax.reduceSum(lax.sin(direct(m, b()))))(spd));
    near(dr.p, grad((r: NDArray) => lax.reduceSum(lax.sin(direct(spd, r))))(b()));
    expect(dr.q[0].itemSync()).toBeCloseTo(1.5, 12);
  });

  test("a map that closes over values and loops, and linearTranspose of a solve", () => {
    const w = vector(0.5, 0.2, 0.1);
    const f = (s: NDArray): NDArray =>
      lax.customLinearSolve(
        (x: NDArray) =>
          lax.scan((c: NDArray, u: NDArray) => [lax.add(c, lax.mul(x, lax.mul(u, lax.exp(s)))), null], lax.mul(x, 3), w)[0],
        b(),
        solve,
        { transposeSolve: solve },
      );
    const want = (s: number): number[] => numbers(b()).map((v) => v / (3 + 0.8 * Math.exp(s)));
    expect(close(numbers(f(scalar(0.3))), want(0.3), 1e-12)).toBe(true);
    near(jacrev(f)(scalar(0.3)), vector(...finiteDifference((s) => [f(s)], [scalar(0.3)], [[1]])[0]!), 1e-7);
    near(jacfwd(f)(scalar(0.3)), jacrev(f)(scalar(0.3)));
    const t = linearTranspose((r: NDArray) => solved(a(), r), b());
    near(t(b())[0], direct(lax.transpose(a(), [1, 0]), b()));
  });

  test("is one equation, and its derivative solves once more", () => {
    const names = (f: (r: NDArray) => unknown): string[] => makeJaxpr(f)(b()).jaxpr.eqns.map((e) => e.primitive.name);
    expect(names((r) => solved(a(), r))).toEqual(["custom_linear_solve"]);
    const count = names((r) => jvp((v: NDArray) => solved(a(), v), [r], [r])).filter((n) => n === "custom_linear_solve").length;
    expect(count).toBe(2);
  });

  test("misuse", () => {
    const without = (rhs: NDArray): NDArray => lax.customLinearSolve((x: NDArray) => lax.dot(a(), x), rhs, solve);
    near(jvp(without, [b()], [b()])[1], direct(a(), b()));
    expect(() => grad((r: NDArray) => lax.reduceSum(without(r)))(b())).toThrow(/needs the solution of the transposed equation/);
    const nonlinear = (rhs: NDArray): NDArray =>
      lax.customLinearSolve(
        (x: NDArray) => lax.mul(x, x),
        rhs,
        (_, r) => lax.sqrt(r),
        { transposeSolve: (_, c) => c },
      );
    expect(() => grad((r: NDArray) => lax.reduceSum(nonlinear(r)))(vector(1, 2))).toThrow(TransformError);
    const shapes = jit((rhs: NDArray) =>
      lax.customLinearSolve(
        (x: NDArray) => lax.reduceSum(x),
        rhs,
        (_, r) => r,
      ),
    );
    expect(() => shapes(b())).toThrow(ShapeError);
    const trees = jit((rhs: NDArray) =>
      lax.customLinearSolve(
        (x: NDArray) => x,
        rhs,
        (_, r) => [r] as never,
      ),
    );
    expect(() => trees(b())).toThrow(TreeError);
    expect(() =>
      lax.customLinearSolve(
        (x: NDArray) => x,
        lax.iota("int32", 3),
        (_, r) => r,
      ),
    ).toThrow(/floating-point/);
  });
});

describe("customRoot", () => {
  /** Newton's method without derivatives of the library: secants. */
  const newton = (f: Map, guess: NDArray): readonly [NDArray, NDArray] => {
    const [x, , k] = lax.whileLoop(
      ([, fx, k]: [NDArray, NDArray, NDArray]) => lax.bitwiseAnd(lax.gt(lax.abs(fx), 1e-14), lax.lt(k, 50)),
      ([x, fx, k]: [NDArray, NDArray, NDArray]): [NDArray, NDArray, NDArray] => {
        const h = 1e-6;
        const slope = lax.div(lax.sub(f(lax.add(x, h)), fx), h);
        const next = lax.sub(x, lax.div(fx, slope));
        return [next, f(next), lax.add(k, 1)];
      },
      [guess, f(guess), lax.convertElementType(scalar(0), "int32")] as [NDArray, NDArray, NDArray],
    );
    return [x, k];
  };
  const scalarSolve = (g: Map, y: NDArray): NDArray => lax.div(y, g(scalar(1)));
  /** The cube root, by f(x) = x³ - s. */
  const cube = (s: NDArray): NDArray =>
    lax.customRoot(
      (x: NDArray) => lax.sub(lax.mul(x, lax.square(x)), s),
      scalar(1),
      (f, g) => newton(f, g)[0],
      scalarSolve,
    );

  test("value and derivatives of every order", () => {
    const s = 2.7;
    expect(cube(scalar(s)).itemSync()).toBeCloseTo(Math.cbrt(s), 12);
    const [d1, d2, d3] = [s ** (-2 / 3) / 3, (-2 / 9) * s ** (-5 / 3), (10 / 27) * s ** (-8 / 3)];
    const first = grad(cube);
    const second = grad(first);
    expect(first(scalar(s)).itemSync()).toBeCloseTo(d1, 10);
    expect(second(scalar(s)).itemSync()).toBeCloseTo(d2, 10);
    expect(grad(second)(scalar(s)).itemSync()).toBeCloseTo(d3, 10);
    expect(jvp(cube, [scalar(s)], [scalar(1)])[1].itemSync()).toBeCloseTo(d1, 10);
    expect(jit(second)(scalar(s)).itemSync()).toBeCloseTo(d2, 10);
    expect(grad(jit(cube))(scalar(s)).itemSync()).toBeCloseTo(d1, 10);
    expect(jvp(grad(cube), [scalar(s)], [scalar(1)])[1].itemSync()).toBeCloseTo(d2, 10);
  });

  test("vmap, inside and outside of the gradient", () => {
    const s = vector(0.5, 2, 9);
    const want = numbers(s).map((v) => v ** (-2 / 3) / 3);
    expect(close(numbers(vmap(cube)(s)), numbers(s).map(Math.cbrt), 1e-12)).toBe(true);
    expect(close(numbers(vmap(grad(cube))(s)), want, 1e-10)).toBe(true);
    expect(close(numbers(grad((v: NDArray) => lax.reduceSum(vmap(cube)(v)))(s)), want, 1e-10)).toBe(true);
    expect(close(numbers(jit(vmap(grad(cube)))(s)), want, 1e-10)).toBe(true);
  });

  test("systems: a tangent solve by the Jacobian, and by customLinearSolve; the guess has no derivative", () => {
    // x = tanh(W x + u), by iteration.
    const w = matrix([0.2, -0.3], [0.4, 0.1]);
    const fixed = (tangentSolve: (g: Map, y: NDArray) => NDArray) => (m: NDArray, u: NDArray, guess: NDArray) =>
      lax.customRoot(
        (x: NDArray) => lax.sub(lax.tanh(lax.add(lax.dot(m, x), u)), x),
        guess,
        (f, start) => {
          const [x] = lax.whileLoop(
            ([, r]: [NDArray, NDArray]) => lax.gt(lax.reduceMax(lax.abs(r)), 1e-15),
            ([x, r]: [NDArray, NDArray]): [NDArray, NDArray] => {
              const next = lax.add(x, r);
              return [next, f(next)];
            },
            [start, f(start)] as [NDArray, NDArray],
          );
          return x;
        },
        tangentSolve,
      );
    const two = (m: NDArray, y: NDArray): NDArray => {
      const [p, q, r, s] = [0, 1, 2, 3].map((i) => lax.reshape(lax.slice(lax.reshape(m, [4]), [i], [i + 1]), []));
      const [y0, y1] = [0, 1].map((i) => lax.reshape(lax.slice(y, [i], [i + 1]), []));
      const det = lax.sub(lax.mul(p, s), lax.mul(q, r));
      const x0 = lax.div(lax.sub(lax.mul(s, y0), lax.mul(q, y1)), det);
      const x1 = lax.div(lax.sub(lax.mul(p, y1), lax.mul(r, y0)), det);
      return lax.concatenate([lax.reshape(x0, [1]), lax.reshape(x1, [1])], 0);
    };
    const byForward = fixed((g, y) => two(jacfwd(g)(y), y));
    const byReverse = fixed((g, y) => two(jacrev(g)(y), y));
    // -(I - J) has its spectrum in the left half-plane: the residual is subtracted.
    const iterated = (g: Map, y: NDArray): NDArray => lax.neg(solve((x) => lax.neg(g(x)), y));
    const byIteration = fixed((g, y) => lax.customLinearSolve(g, y, iterated, { transposeSolve: iterated }));
    const u = vector(0.3, -0.2);
    const unrolled = (m: NDArray, v: NDArray): NDArray =>
      lax.foriLoop(0, 60, (_, x: NDArray) => lax.tanh(lax.add(lax.dot(m, x), v)), lax.mul(v, 0));
    for (const f of [byForward, byReverse, byIteration]) {
      for (const argnums of [0, 1] as const) {
        const loss = (m: NDArray, v: NDArray, g: NDArray): NDArray => lax.reduceSum(lax.sin(f(m, v, g)));
        const want = grad((m: NDArray, v: NDArray) => lax.reduceSum(lax.sin(unrolled(m, v))), { argnums })(w, u);
        near(grad(loss, { argnums })(w, u, u), want);
        near(jit(grad(loss, { argnums }))(w, u, u), want);
        near(grad(jit(loss), { argnums })(w, u, u), want);
      }
      near(jacfwd(f, { argnums: 1 })(w, u, u), jacfwd(unrolled, { argnums: 1 })(w, u));
      expect(numbers(jacrev(f, { argnums: 2 })(w, u, u))).toEqual([0, 0, 0, 0]);
    }
    checkGrads((m: NDArray, v: NDArray) => byForward(m, v, u), [w, u], { order: 2 });
  });

  test("auxiliary results, and misuse", () => {
    const f = (s: NDArray): readonly [NDArray, NDArray] =>
      lax.customRoot((x: NDArray) => lax.sub(lax.square(x), s), scalar(1), newton, scalarSolve, { hasAux: true });
    const [d, steps] = grad((s: NDArray) => f(s), { hasAux: true })(scalar(2));
    expect(d.itemSync()).toBeCloseTo(0.5 / Math.SQRT2, 10);
    expect(Number(steps.itemSync())).toBeGreaterThan(2);
    const bad = jit((s: NDArray) =>
      lax.customRoot(
        (x: NDArray) => [lax.sub(x, s)] as never,
        s,
        (_, g) => g,
        (_, y) => y,
      ),
    );
    expect(() => bad(scalar(1))).toThrow(TreeError);
  });
});

describe("linearCall", () => {
  // x / r, with a transpose that is seven times too large, so that it shows.
  const divided = (x: NDArray, r: NDArray): NDArray =>
    lax.add(
      x,
      lax.linearCall(
        (res: { r: NDArray }, v: NDArray) => lax.div(v, res.r),
        (res, ct) => lax.mul(lax.div(ct, res.r), 7),
        { r },
        x,
      ),
    );
  const [x, r] = [scalar(2), scalar(4)];

  // The values of JAX 0.10.
  test("forward mode uses the function, reverse mode its transpose", () => {
    expect(divided(x, r).itemSync()).toBe(2.5);
    expect(jit(divided)(x, r).itemSync()).toBe(2.5);
    expect(jvp((v: NDArray) => divided(v, r), [x], [scalar(1)]).map((t) => t.itemSync())).toEqual([2.5, 1.25]);
    for (const f of [divided, jit(divided)]) {
      expect(grad(f)(x, r).itemSync()).toBe(2.75);
      expect(jit(grad(f))(x, r).itemSync()).toBe(2.75);
    }
  });
  test("the transpose of the transpose is the function", () => {
    const f = (v: NDArray): NDArray =>
      lax.linearCall(
        (_: readonly NDArray[], u: NDArray) => u,
        (_, ct) => lax.mul(ct, 7),
        [],
        v,
      );
    const t = (g: typeof f) => (ct: NDArray) => linearTranspose(g, x)(ct)[0];
    expect([f, t(f), t(t(f)), t(t(t(f)))].map((g) => g(scalar(1)).itemSync())).toEqual([1, 7, 1, 7]);
  });
  test("residuals are differentiated, and vmap goes through both functions", () => {
    expect(grad(divided, { argnums: 1 })(x, r).itemSync()).toBe(-2 / 16);
    const xs = vector(0, 1, 2);
    expect(numbers(vmap(divided, { inAxes: [0, null] })(xs, r))).toEqual([0, 1.25, 2.5]);
    expect(numbers(vmap(grad(divided), { inAxes: [0, null] })(xs, r))).toEqual([2.75, 2.75, 2.75]);
    const sum = (v: NDArray): NDArray => lax.reduceSum(vmap(divided, { inAxes: [0, null] })(v, r));
    expect(numbers(grad(sum)(xs))).toEqual([2.75, 2.75, 2.75]);
    expect(numbers(grad((s: NDArray) => lax.reduceSum(vmap(divided)(xs, s)))(vector(4, 2, 1)))).toEqual([-0, -0.25, -2]);
  });
  test("a transpose of another type is an error", () => {
    const f = jit((v: NDArray) =>
      lax.linearCall(
        (_: null, u: NDArray) => u,
        (_, ct) => lax.reduceSum(ct),
        null,
        v,
      ),
    );
    expect(() => f(vector(1, 2))).toThrow(ShapeError);
  });
});

test("complex equations, without conjugation", () => {
  const complex = (values: number[], shape: number[]): NDArray => fromTyped(Float64Array.from(values), shape, "complex128");
  const m = complex([4, 1, 1, 0, 0, 0.5, 0.2, 0, 3, -1, -0.7, 0, 0, -0.4, 0.3, 0, 5, 0], [3, 3]);
  const rhs = complex([1, 0, 0, -2, 0.5, 0], [3]);
  const lu = (c: NDArray, y: NDArray): NDArray => direct(c, y);
  const f = (c: NDArray, y: NDArray): NDArray =>
    lax.reduceSum(
      lax.sin(
        lax.customLinearSolve(
          (v: NDArray) => lax.dot(c, v),
          y,
          (_, u) => lu(c, u),
          {
            transposeSolve: (_, u) => lu(lax.transpose(c, [1, 0]), u),
          },
        ),
      ),
    );
  const [dm, dy] = grad(f, { argnums: [0, 1], holomorphic: true })(m, rhs);
  const parts = (z: NDArray): number[] => [...numbers(lax.real(z)), ...numbers(lax.imag(z))];
  // Recorded from JAX 0.10.
  const want = [0.22165222, 0.24286002, 0.22922995, -0.04395224, 0.13782674, -0.00374304];
  expect(close(parts(dy), want, 1e-7), String(parts(dy))).toBe(true);
  const wantM = [
    -0.05381669, -0.01859387, -0.02040572, -0.04385262, -0.13055697, -0.01237433, -0.05226701, -0.04394117, -0.01886421,
    -0.00804841, 0.14016541, -0.00832004, -0.05097822, 0.11612594, -0.02425844, -0.01777897, 0.13655805, -0.01200054,
  ];
  expect(close(parts(dm), wantM, 1e-7), String(parts(dm))).toBe(true);
});

test("forward mode of a customVjp function is refused by Jacobians too, with and without vmap", () => {
  const f = customVjp((x: NDArray) => lax.sin(x));
  // The rule's own derivative is taken, so it must not come back to f.
  f.defvjp(
    (x) => [lax.sin(x), x],
    (x, ct) => [lax.mul(ct, lax.cos(x))],
  );
  for (const v of [null, vmap]) {
    provideVmap(v);
    expect(() => jacfwd((x: NDArray) => f(x))(b())).toThrow(/forward-mode differentiation/);
    near(hessian((x: NDArray) => lax.reduceSum(f(x)))(b()), hessian((x: NDArray) => lax.reduceSum(lax.sin(x)))(b()));
  }
  provideVmap(null);
});

describe("a function with a rule that closes over an array", () => {
  const matrix = fromTyped(Float32Array.of(3, 1, 1, 4), [2, 2], "float32");
  const right = fromTyped(Float32Array.of(1, 2), [2], "float32");
  const f = (x: NDArray): NDArray => lax.dot(matrix, lax.sinh(x));
  const own = customJvp(f);
  own.defjvp(([x], [dx]) => [f(x), lax.dot(matrix, lax.mul(lax.cosh(x), dx))]);
  type Solver = (g: (v: NDArray) => NDArray, y: NDArray) => NDArray;
  const step = (g: (v: NDArray) => NDArray, x: NDArray, y: NDArray): NDArray => lax.sub(x, lax.mul(lax.sub(g(x), y), 0.15));
  const zeros = lax.full([2], 0);
  const scanned: Solver = (g, y) => lax.foriLoop(0, 80, (_i, x: NDArray) => step(g, x, y), zeros);
  const solvers: Readonly<Record<string, Solver>> = {
    scan: scanned,
    "while, in its condition too": (g, y) =>
      lax.whileLoop(
        (x: NDArray) => lax.gt(lax.reduceSum(lax.square(lax.sub(g(x), y))), 1e-11),
        (x: NDArray) => step(g, x, y),
        zeros,
      ),
    cond: (g, y) =>
      lax.cond(
        lax.lt(lax.reduceSum(y), 1e9),
        (z: NDArray) => scanned(g, z),
        (z: NDArray) => z,
        y,
      ),
    jit: (g, y) => jit((z: NDArray) => scanned(g, z))(y),
    checkpoint: (g, y) => checkpoint((z: NDArray) => scanned(g, z))(y),
    customLinearSolve: (g, y) => lax.customLinearSolve(g, y, scanned, { transposeSolve: scanned }),
  };
  test.each(Object.entries(solvers))("is differentiated in a solver: %s", (name, solver) => {
    const rootOf =
      (h: typeof f) =>
      (b: NDArray): NDArray =>
        lax.customRoot((x: NDArray) => lax.sub(h(x), b), lax.full([2], 0), scanned, solver);
    const [want, got] = [jacfwd(rootOf(f))(right), jacfwd(rootOf(own))(right)];
    // The inverse of the matrix, divided by cosh(asinh(matrix⁻¹ b)).
    const root = rootOf(f)(right).jsSync() as number[];
    const exact = [4, -1, -1, 3].map((m, i) => m / 11 / Math.cosh(root[i >> 1]));
    expect((got.jsSync() as number[][]).flat()).toEqual(exact.map((x) => expect.closeTo(x, 4)));
    expect(got.jsSync()).toEqual(want.jsSync());
    expect(jit(jacfwd(rootOf(own)))(right).jsSync()).toEqual(got.jsSync());
    if (name !== "customLinearSolve") return;
    // Reverse mode transposes the solution.
    expect((jacrev(rootOf(own))(right).jsSync() as number[][]).flat()).toEqual(exact.map((x) => expect.closeTo(x, 4)));
    expect((jit(hessian((b: NDArray) => lax.reduceSum(rootOf(own)(b))))(right).jsSync() as number[][])[0][0]).toBeCloseTo(
      -0.0257,
      3,
    );
  });
});
