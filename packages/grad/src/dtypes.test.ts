import {
  dtypeName,
  isInexact,
  makeAval,
  type NDArray,
  realDType,
  setDefaultBackend,
  checkJaxpr,
  traceToJaxpr,
  type StandardDType,
} from "@traceform/core";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { corpus } from "@traceform/testing/corpus";
import { applyCase, type PrimitiveCase, primitiveCases } from "@traceform/testing/primitivecases";
import { vmap } from "@traceform/vmap";
import { describe, expect, test } from "vitest";
import { grad, jvp, vjp } from "./index.ts";

setDefaultBackend(referenceBackend());

const decompositions: ReadonlySet<unknown> = new Set(Object.values(lax.linalg));

// Types are inferred while staging, so this costs no arithmetic.
describe.each(["float16", "bfloat16", "float32"] as const)("derivatives of %s stay %s", (dtype) => {
  test("for every primitive", () => {
    for (const c of primitiveCases()) {
      // Bodies of control flow are staged in float64, and bits are those of float64.
      if (
        c.diff.length === 0 ||
        /^(cond|scan|while|checkpoint|reduce |reduce_window |bitcast|reduce_precision|convert)/.test(c.name)
      )
        continue;
      // There are no transforms and no decompositions of 16-bit floats.
      if ((c.name.startsWith("fft") || decompositions.has(c.primitive)) && dtype !== "float32") continue;
      const avals = c.operands.map((o) => makeAval(o.shape, o.dtype === "float64" ? dtype : (o.dtype as StandardDType)));
      const { jaxpr } = traceToJaxpr((...xs) => derivatives(c, xs), avals, c.name);
      checkJaxpr(jaxpr);
      for (const out of jaxpr.outAvals)
        if (isInexact(out.dtype)) expect(`${c.name} ${dtypeName(realDType(out.dtype))}`).toBe(`${c.name} ${dtype}`);
    }
  });
});

/** Tangents and cotangents of a case, checked against the types of results and operands. */
function derivatives(c: PrimitiveCase, args: NDArray[]): NDArray[] {
  const f = (...xs: NDArray[]): NDArray[] => {
    const all = [...args];
    c.diff.forEach((p, k) => (all[p] = xs[k]));
    return applyCase(c)(...all).filter((y) => isInexact(y.dtype));
  };
  const primals = c.diff.map((i) => args[i]);
  const [outs, dots] = jvp(f, primals, primals);
  dots.forEach((t, i) => expect([t.shape, t.dtype]).toEqual([outs[i].shape, outs[i].dtype]));
  if (c.forwardOnly) return dots;
  const grads = vjp(f, ...primals)[1](outs) as NDArray[];
  grads.forEach((g, i) => expect([g.shape, g.dtype]).toEqual([primals[i].shape, primals[i].dtype]));
  return [...dots, ...grads];
}

test("staged transformations of the corpus are well formed", () => {
  const vec = makeAval([3], "float64");
  const batch = makeAval([2, 3], "float64");
  for (const { name, fn, forwardOnly } of corpus()) {
    const f = (x: NDArray): NDArray => fn(x);
    const scalar = (x: NDArray): NDArray => lax.reduceSum(lax.mul(f(x), f(x)));
    const staged = [traceToJaxpr((x) => [vmap(f)(x)], [batch], name)];
    if (name !== "customVjp") staged.push(traceToJaxpr((x, t) => [jvp(f, [x], [t])[1]], [vec, vec], name));
    if (!forwardOnly) {
      staged.push(
        traceToJaxpr((x) => [grad(scalar)(x)], [vec], name),
        traceToJaxpr((x) => [vmap(grad(scalar))(x)], [batch], name),
      );
      staged.push(traceToJaxpr((x) => [grad((y: NDArray) => lax.reduceSum(grad(scalar)(y)))(x)], [vec], name));
    }
    for (const { jaxpr } of staged) expect(() => checkJaxpr(jaxpr), name).not.toThrow();
  }
});
