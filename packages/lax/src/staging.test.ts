import { type Aval, type DType, printJaxpr, makeAval, NDArray, traceToJaxpr, treeLeaves, asArray, checkJaxpr, constvarsToInvars } from "@traceform/core";
import { expect, test } from "vitest";
import * as lax from "./index.ts";

/** The printed jaxpr of `fn` at arguments written `float32[2,3]`. */
function stage(fn: (...xs: NDArray[]) => unknown, ...types: string[]): string {
  const closed = traceToJaxpr((...xs) => treeLeaves(fn(...xs)).map((x) => asArray(x as NDArray)), types.map(aval), "test");
  checkJaxpr(constvarsToInvars(closed.jaxpr));
  return printJaxpr(closed);
}
function aval(type: string): Aval {
  const [, dtype, dims] = /^(\w+)\[(.*)\]$/.exec(type)!;
  return makeAval(dims === "" ? [] : dims.split(",").map(Number), dtype as DType);
}

test("x", () => {
  console.log(stage((x) => lax.add(x, 1), "float32[3]"));
  console.log(stage((x) => lax.scan((c: NDArray, y: NDArray) => [lax.add(c, y), lax.mul(y, x)], 0, x), "float32[3]"));
  console.log(stage((x) => lax.foriLoop(0, 10, (i, v: NDArray) => lax.add(v, lax.convertElementType(i, "float32")), x), "float32[3]"));
  console.log(stage((x, n) => lax.foriLoop(0, n, (i, v: NDArray) => lax.mul(v, x), x), "float32[3]", "int32[]"));
  console.log(stage((p, x) => lax.cond(p, (v) => lax.mul(v, x), () => 0, x), "bool[]", "int32[]"));
  console.log(stage((x) => lax.associativeScan(lax.add, x), "float32[5]"));
  console.log(stage((x) => lax.reduceWindow(x, -Infinity, lax.max, [2, 2], [1, 1], "SAME"), "float32[5,5]"));
  const f = lax.customJvp((x: NDArray) => lax.sin(x));
  f.defjvp(([x], [t]) => [lax.sin(x), lax.mul(t, lax.cos(x))]);
  console.log(stage((x) => f(x), "float32[5]"));
  const g = lax.customVjp((x: NDArray, y: NDArray) => lax.mul(x, y));
  g.defvjp((x, y) => [lax.mul(x, y), [x, y]], ([x, y], ct) => [lax.mul(ct, y), lax.mul(ct, x)]);
  console.log(stage((x) => g(x, x), "float32[5]"));
  console.log(stage((x) => lax.convGeneralDilated(x, x, [1, 1], "SAME"), "float32[1,1,3,3]"));
});
