import { DTypeError, fromTyped, type NDArray, setDefaultBackend, TracerError, TransformError } from "@traceform/core";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { vmap } from "@traceform/vmap";
import { describe, expect, test } from "vitest";
import { type CustomVjpPrimal, customGradient, customJvp, customVjp, grad, jvp, vjp } from "./index.ts";

setDefaultBackend(referenceBackend());

const vector = (...xs: number[]): NDArray => fromTyped(Float32Array.from(xs), [xs.length], "float32");

// The values of this file are those of JAX 0.10.
describe("symbolic zeros", () => {
  test("customJvp gets null for what is not differentiated, and may return it", () => {
    const seen: boolean[][] = [];
    const f = customJvp((x: NDArray, y: NDArray) => [lax.mul(x, y), y] as [NDArray, NDArray]);
    f.defjvp(
      ([x, y], [dx, dy]) => {
        seen.push([dx === null, dy === null]);
        return [f(x, y), [dx === null ? lax.mul(x, dy!) : lax.mul(dx, y), dy]];
      },
      { symbolicZeros: true },
    );
    const three = vector(3);
    const [, [d, zero]] = jvp((x: NDArray) => f(x, three), [vector(2)], [vector(1)]);
    expect([d.jsSync(), zero.jsSync()]).toEqual([[3], [0]]);
    expect(
      jvp(
        jit((y: NDArray) => f(three, y)),
        [vector(2)],
        [vector(1)],
      )[1][0].jsSync(),
    ).toEqual([3]);
    const each = vmap((x: NDArray) => jvp((y: NDArray) => f(y, three), [x], [x])[1][0]);
    expect(each(lax.reshape(vector(1, 2), [2, 1])).jsSync()).toEqual([[3], [6]]);
    expect(seen).toEqual([
      [false, true],
      [true, false],
      [false, true],
    ]);
  });

  test("without them zeros arrive as arrays, and integers have none", () => {
    const seen: unknown[] = [];
    const f = customJvp((x: NDArray, y: NDArray, n: NDArray) => lax.mul(lax.mul(x, y), lax.convertElementType(n, "float32")));
    f.defjvp(([x, y, n], [dx, dy, dn]) => {
      seen.push(dy.jsSync(), dn);
      return [f(x, y, n), lax.mul(dx, y)];
    });
    const n = fromTyped(Int32Array.of(2), [1], "int32");
    expect(jvp((x: NDArray) => f(x, vector(3), n), [vector(2)], [vector(1)])[1].jsSync()).toEqual([3]);
    expect(seen).toEqual([[0], null]);
  });

  test("customVjp is told what is differentiated, and cotangents that are zero are null", () => {
    const seen: unknown[] = [];
    const f = customVjp(({ x, y }: { x: NDArray; y: NDArray }) => [lax.mul(x, y), lax.add(x, y)] as [NDArray, NDArray]);
    f.defvjp(
      ({ x, y }: { x: CustomVjpPrimal; y: CustomVjpPrimal }) => {
        const outs: [NDArray, NDArray] = [lax.mul(x.value, y.value), lax.add(x.value, y.value)];
        return [outs, { y: y.value, flags: [x.perturbed, y.perturbed] }];
      },
      ({ y, flags }, [product, sum]) => {
        seen.push(flags, sum === null);
        return [{ x: lax.mul(product!, y), y: null }];
      },
      { symbolicZeros: true },
    );
    const y = vector(3, 4);
    const loss = (x: NDArray): NDArray => lax.reduceSum(f({ x, y })[0]);
    expect(grad(loss)(vector(1, 2)).jsSync()).toEqual([3, 4]);
    expect(grad(jit(loss))(vector(1, 2)).jsSync()).toEqual([3, 4]);
    const batch = fromTyped(Float32Array.of(1, 2, 3, 4), [2, 2], "float32");
    expect(vmap(grad(loss))(batch).jsSync()).toEqual([
      [3, 4],
      [3, 4],
    ]);
    // vmap outside of the function that is differentiated, and inside.
    expect(grad((x: NDArray) => lax.reduceSum(vmap(loss)(x)))(batch).jsSync()).toEqual([
      [3, 4],
      [3, 4],
    ]);
    for (let i = 0; i < seen.length; i += 2) expect(seen.slice(i, i + 2)).toEqual([[true, false], true]);
    expect(seen.length).toBe(8);
  });

  test("derivatives of one equation with respect to different arguments do not mix up what they keep", () => {
    const f = customVjp((x: NDArray, y: NDArray) => lax.mul(x, y));
    f.defvjp(
      (x, y) => [
        lax.mul(x.value, y.value),
        [x.perturbed ? { y: y.value } : null, y.perturbed ? { x: x.value } : null] as [
          { y: NDArray } | null,
          { x: NDArray } | null,
        ],
      ],
      ([first, second], ct) => [first === null ? null : lax.mul(ct!, first.y), second === null ? null : lax.mul(ct!, second.x)],
      { symbolicZeros: true },
    );
    const g = jit((x: NDArray, y: NDArray) => f(x, y));
    const [x, y] = [vector(2), vector(5)];
    // Both linearised before either is transposed.
    const [, back1] = vjp((a: NDArray) => g(a, y), x);
    const [, back2] = vjp((b: NDArray) => g(x, b), y);
    expect(back1(vector(1))[0].jsSync()).toEqual([5]);
    expect(back2(vector(1))[0].jsSync()).toEqual([2]);
  });
});

describe("closures", () => {
  const two = vector(2);

  test("a differentiated value that a function with a rule closes over is an error", () => {
    const closing = (y: NDArray): NDArray => {
      const f = customJvp((x: NDArray) => lax.mul(x, y));
      f.defjvp(([x], [dx]) => [f(x), dx]);
      return lax.reduceSum(f(two));
    };
    const closingVjp = (y: NDArray): NDArray => {
      const f = customVjp((x: NDArray) => lax.mul(x, y));
      f.defvjp(
        (x) => [f(x), null],
        (_, ct) => [ct],
      );
      return lax.reduceSum(f(two));
    };
    for (const [f, kind] of [
      [closing, "customJvp"],
      [closingVjp, "customVjp"],
    ] as const) {
      expect(f(vector(3)).itemSync()).toBe(6);
      const message = new RegExp(`the ${kind} function closes over is differentiated`);
      expect(() => grad(f)(vector(3))).toThrow(message);
      expect(() => grad(jit(f))(vector(3))).toThrow(message);
      expect(() => grad(f)(vector(3))).toThrow(TransformError);
      // Cut off, it is a constant.
      expect(grad((y: NDArray) => f(lax.stopGradient(y)))(vector(3)).jsSync()).toEqual([0]);
    }
  });

  test("a rule that closes over a differentiated value says so, and not that something leaked", () => {
    const jvpRule = (y: NDArray): NDArray => {
      const f = customJvp((x: NDArray) => lax.sin(x));
      f.defjvp(([x], [dx]) => [f(x), lax.mul(lax.cos(x), lax.mul(y, dx))]);
      return lax.reduceSum(f(y));
    };
    const fwdRule = (y: NDArray): NDArray => {
      const f = customVjp((x: NDArray) => lax.sin(x));
      f.defvjp(
        (x) => [f(x), lax.mul(x, y)],
        (r, ct) => [lax.mul(ct, r)],
      );
      return lax.reduceSum(f(y));
    };
    const bwdRule = (y: NDArray): NDArray => {
      const f = customVjp((x: NDArray) => lax.sin(x));
      f.defvjp(
        (x) => [f(x), x],
        (_, ct) => [lax.mul(ct, y)],
      );
      return lax.reduceSum(f(y));
    };
    for (const f of [jvpRule, fwdRule, bwdRule]) {
      for (const g of [grad(f), grad(jit(f)), jit(grad(f))]) {
        expect(() => g(two)).toThrow(TracerError);
        expect(() => g(two)).toThrow(/the derivative rule of \w+ closes over a traced float32\[1\]/);
        expect(() => g(two)).not.toThrow(/leaked/);
      }
    }
  });

  test("also when vmap is what the value belongs to", () => {
    const scaled = (x: NDArray, y: NDArray): NDArray => {
      const f = customJvp((v: NDArray) => lax.sin(v));
      f.defjvp(([v], [dv]) => [f(v), lax.mul(dv, y)]);
      return f(x);
    };
    const sum = (x: NDArray): NDArray => lax.reduceSum(vmap(scaled)(x, vector(1, 2)));
    for (const g of [grad(sum), grad(jit(sum)), jit(grad(sum))]) {
      expect(() => g(vector(1, 2))).toThrow(/the derivative rule of \w+ closes over a traced float32\[\] of vmap/);
    }
    expect(vmap(grad(scaled))(vector(1, 2), vector(3, 4)).jsSync()).toEqual([3, 4]);
  });

  test("a rule may close over values of transformations outside the derivative", () => {
    const scaled = (x: NDArray, y: NDArray): NDArray => {
      const f = customJvp((v: NDArray) => lax.sin(v));
      f.defjvp(([v], [dv]) => [f(v), lax.mul(lax.mul(dv, y), lax.cos(v))]);
      return lax.reduceSum(f(x));
    };
    // d/dy of y cos(x)
    const mixed = grad((y: NDArray) => lax.reduceSum(grad((x: NDArray) => scaled(x, y))(two)));
    expect(mixed(vector(3)).itemSync()).toBeCloseTo(Math.cos(2), 6);
    const each = vmap((y: NDArray) => grad((x: NDArray) => scaled(x, y))(two));
    expect((each(lax.reshape(vector(1, 10), [2, 1])).jsSync() as number[][])[1][0]).toBeCloseTo(10 * Math.cos(2), 5);
  });

  test("arguments of nondiffArgnums are options and functions; a traced one is an error for customVjp", () => {
    const f = customVjp((fn: (x: NDArray) => NDArray, x: NDArray, n: number | NDArray) => lax.mul(fn(x), n), {
      nondiffArgnums: [0, 2],
    });
    const seen: unknown[] = [];
    f.defvjp(
      (fn, x, n) => [lax.mul(fn(x), n), x],
      (...args: [fn: unknown, n: unknown, x: NDArray, ct: NDArray]) => {
        seen.push(args[0], args[1]);
        return [args[3]];
      },
    );
    expect(grad((x: NDArray) => lax.reduceSum(f(lax.sin, x, 3)))(two).jsSync()).toEqual([1]);
    expect(seen).toEqual([lax.sin, 3]);
    const last = customJvp((x: NDArray, n: number) => lax.mul(x, n), { nondiffArgnums: [-1] });
    last.defjvp((n: number, [x]: [NDArray], [dx]: [NDArray]) => [last(x, n), lax.mul(dx, 2 * n)]);
    expect(grad((x: NDArray) => lax.reduceSum(last(x, 3)))(two).jsSync()).toEqual([6]);
    expect(() => grad((x: NDArray) => lax.reduceSum(f(lax.sin, x, x)))(two)).toThrow(/nondiffArgnums names is traced/);
  });
});

describe("defjvps", () => {
  test("a part whose tangent is zero is not computed", () => {
    const ran: string[] = [];
    const f = customJvp((p: { a: NDArray; b: NDArray }, y: NDArray) => lax.mul(lax.add(p.a, p.b), y));
    f.defjvps(
      (dp: { a: NDArray; b: NDArray }, _ans, _p, y) => {
        ran.push("p");
        return lax.mul(lax.add(dp.a, dp.b), y);
      },
      (dy: NDArray, _ans, p) => {
        ran.push("y");
        return lax.mul(dy, lax.add(p.a, p.b));
      },
    );
    const [b, y] = [vector(3), vector(5)];
    const loss = (a: NDArray): NDArray => lax.reduceSum(f({ a, b }, y));
    expect(grad(loss)(vector(2)).jsSync()).toEqual([5]);
    expect(ran).toEqual(["p"]);
  });

  test("null entries leave a derivative of zero", () => {
    const f = customJvp((x: NDArray, y: NDArray) => lax.mul(x, y));
    f.defjvps(null, null);
    expect(grad((x: NDArray) => lax.reduceSum(f(x, x)))(vector(2)).jsSync()).toEqual([0]);
  });
});

test("customGradient: calls of different types before either goes back", () => {
  const f = customGradient((x: NDArray) => {
    const c = lax.cos(x);
    return [lax.sin(x), (ct: NDArray) => lax.mul(lax.mul(ct, c), 10)];
  });
  const loss = (x: NDArray): NDArray => {
    const y = vector(0.5, 0.25);
    return lax.add(lax.reduceSum(f(x)), lax.reduceSum(f(lax.mul(lax.broadcastInDim(lax.reduceSum(x), [2], []), y))));
  };
  const g = grad(loss)(vector(1, 2, 3)).jsSync() as number[];
  const second = 0.5 * Math.cos(3) + 0.25 * Math.cos(1.5);
  [1, 2, 3].forEach((x, i) => expect(g[i]).toBeCloseTo(10 * (Math.cos(x) + second), 4));
});

test("integer arguments of functions with rules: null cotangents, float0 gradients", () => {
  const n = fromTyped(Int32Array.of(3), [], "int32");
  const f = customVjp((x: NDArray, k: NDArray) => lax.mul(x, lax.convertElementType(k, "float32")));
  f.defvjp(
    (x, k) => [f(x, k), k],
    (k, ct) => [lax.mul(ct, lax.convertElementType(k, "float32")), null],
  );
  const loss = (x: NDArray, k: NDArray): NDArray => lax.reduceSum(f(x, k));
  for (const g of [loss, jit(loss)]) {
    const [dx, dn] = grad(g, { argnums: [0, 1], allowInt: true })(vector(1, 2), n);
    expect(dx.jsSync()).toEqual([3, 3]);
    expect([dn.shape, typeof dn.dtype]).toEqual([[], "object"]);
  }
  const complexRule = customJvp((z: NDArray) => lax.mul(z, z));
  complexRule.defjvp(([z], [dz]) => [complexRule(z), lax.mul(lax.mul(z, 2), dz)]);
  const z = fromTyped(Float32Array.of(1, 2), [], "complex64");
  const slope = grad((v: NDArray) => complexRule(v), { holomorphic: true })(z);
  expect([lax.real(slope).itemSync(), lax.imag(slope).itemSync()]).toEqual([2, 4]);
});

describe("rules return the dtypes of the function", () => {
  const half = (x: NDArray): NDArray => lax.convertElementType(x, "float16");
  const f = (x: NDArray): NDArray => lax.reduceSum(x);
  test("customJvp: results and tangents", () => {
    const [tangent, result] = [customJvp(f), customJvp(f)];
    tangent.defjvp(([x], [dx]) => [f(x), half(f(dx))]);
    result.defjvp(([x], [dx]) => [half(f(x)), f(dx)]);
    expect(() => jvp(tangent, [vector(1, 2)], [vector(1, 2)])).toThrow(
      /tangent 0 of the rule .* float32\n {2}got: returned float16/,
    );
    expect(() => grad(jit(tangent))(vector(1, 2))).toThrow(DTypeError);
    expect(() => jvp(result, [vector(1, 2)], [vector(1, 2)])).toThrow(/result 0 of the rule .* float32\n {2}got: returned float16/);
  });
  test("customVjp: results of fwd and cotangents", () => {
    const [integer, result] = [customVjp(f), customVjp(f)];
    integer.defvjp(
      (x) => [f(x), null],
      () => [lax.full([2], 1, "int32")],
    );
    result.defvjp(
      (x) => [half(f(x)), null],
      (_, ct) => [lax.broadcast(ct, [2])],
    );
    expect(() => grad(integer)(vector(1, 2))).toThrow(/cotangent 0 of bwd .* float32\n {2}got: returned int32\[2\]/);
    expect(() => grad(result)(vector(1, 2))).toThrow(DTypeError);
  });
});
