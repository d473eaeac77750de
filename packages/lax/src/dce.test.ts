import {
  type Aval,
  checkJaxpr,
  dceJaxpr,
  type Eqn,
  evalJaxpr,
  fromTyped,
  type Jaxpr,
  makeAval,
  type NDArray,
  setDefaultBackend,
  traceToJaxpr,
} from "@traceform/core";
import { referenceBackend } from "@traceform/testing";
import { beforeAll, describe, expect, test } from "vitest";
import { add, checkpoint, cond, cos, gt, lt, mul, scan, sin, tanh, whileLoop } from "./index.ts";

beforeAll(() => {
  setDefaultBackend(referenceBackend());
});

const scalar = makeAval([], "float64");
const stage = (f: (...xs: NDArray[]) => NDArray[], ...avals: Aval[]): Jaxpr => traceToJaxpr(f, avals, "f").jaxpr;
const only = (jaxpr: Jaxpr): Eqn => {
  expect(jaxpr.eqns.length).toBe(1);
  return jaxpr.eqns[0];
};

/** The smaller jaxpr, after checking that it computes the same. */
function shrink(jaxpr: Jaxpr, used: readonly boolean[]): Jaxpr {
  const { jaxpr: small, usedInputs } = dceJaxpr(jaxpr, used);
  checkJaxpr(small);
  const args = jaxpr.inAvals.map((aval, i) =>
    fromTyped(
      Float64Array.from({ length: aval.size }, (_, k) => 0.3 + 0.1 * (i + k)),
      aval.shape,
      "float64",
    ),
  );
  const wanted = evalJaxpr(jaxpr, [], args)
    .filter((_, i) => used[i])
    .map((x) => x.jsSync());
  expect(
    evalJaxpr(
      small,
      [],
      args.filter((_, i) => usedInputs[i]),
    ).map((x) => x.jsSync()),
  ).toEqual(wanted);
  return small;
}

describe("unused results of loops and branches are not computed", () => {
  const looped = stage(
    (a, b, c, xs) => {
      // `p` feeds `q`; `r` stands alone, and so do its constant and its stacked values.
      const [[p, q, r], ys] = scan(
        ([s, t, u]: NDArray[], x: NDArray) => [
          [sin(s), add(t, s), mul(u, c)],
          [mul(u, x), tanh(x)],
        ],
        [a, b, c],
        xs,
      );
      return [p, q, r, ...ys];
    },
    scalar,
    scalar,
    scalar,
    makeAval([3], "float64"),
  );
  test("scan keeps the carries that a used result reads", () => {
    const eqn = only(shrink(looped, [false, true, false, false, false]));
    expect(eqn.params["numCarry"]).toBe(2);
    expect(eqn.params["numConsts"]).toBe(0);
    expect(eqn.invars.length).toBe(2);
    expect((eqn.params["jaxpr"] as Jaxpr).eqns.map((e) => e.primitive.name)).toEqual(["sin", "add"]);
  });
  test("scan without its carries is a map", () => {
    const eqn = only(shrink(looped, [false, false, false, false, true]));
    expect(eqn.params["numCarry"]).toBe(0);
    expect((eqn.params["jaxpr"] as Jaxpr).eqns.map((e) => e.primitive.name)).toEqual(["tanh"]);
  });
  test("while keeps what its condition reads", () => {
    const jaxpr = stage(
      (a, b, w) =>
        whileLoop(
          ([i, ,]: NDArray[]) => lt(i, 2),
          ([i, v, u]: NDArray[]) => [add(i, 1), sin(v), mul(u, w)],
          [a, b, b],
        ) as NDArray[],
      scalar,
      scalar,
      scalar,
    );
    const eqn = only(shrink(jaxpr, [false, true, false]));
    expect(eqn.invars.length).toBe(2);
    expect(eqn.params["bodyNconsts"]).toBe(0);
  });
  test("cond and checkpoint", () => {
    const branches = stage(
      (p, x, y) =>
        cond(
          gt(p, 0),
          (u: NDArray, v: NDArray) => [sin(u), cos(v)],
          (u: NDArray, v: NDArray) => [u, mul(v, 2)],
          x,
          y,
        ),
      scalar,
      scalar,
      scalar,
    );
    const eqn = shrink(branches, [true, false]).eqns.at(-1)!;
    expect(eqn.invars.length).toBe(2);
    const again = stage((x, y) => checkpoint((u: NDArray, v: NDArray) => [sin(u), cos(v)])(x, y), scalar, scalar);
    expect(only(shrink(again, [false, true])).invars.length).toBe(1);
  });
});
