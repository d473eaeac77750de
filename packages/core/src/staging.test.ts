import { add, cos, mul, sin } from "@traceform/lax";
import { expect, test } from "vitest";
import {
  asArray,
  bind1,
  checkJaxpr,
  currentTrace,
  dceJaxpr,
  definePrimitive,
  type Effect,
  evalJaxpr,
  Jaxpr,
  jaxprId,
  makeAval,
  type NDArray,
  printJaxpr,
  setDefaultBackend,
  traceToJaxpr,
  TracerError,
  TransformError,
  Var,
} from "./index.ts";
import { referenceBackend } from "@traceform/testing";

setDefaultBackend(referenceBackend());

const vector = makeAval([3], "float32");
const stage = (f: (x: NDArray) => NDArray | NDArray[]) => traceToJaxpr((x) => [f(x)].flat(), [vector], "f");

test("a jaxpr prints as JAX prints it", () => {
  expect(printJaxpr(stage((x) => mul(sin(x), 2)))).toMatchInlineSnapshot(`
    "{ lambda ; a:float32[3]. let
        b:float32[3] = sin a
        c:float32[3] = mul b 2.0:float32[]
      in (c,) }"
  `);
});

test("arrays that the function closes over become constants, scalars literals", () => {
  const w = asArray([1, 2, 3]);
  const { jaxpr, consts } = stage((x) => add(mul(x, w), 1));
  expect(consts).toEqual([w]);
  expect(jaxpr.constvars).toHaveLength(1);
  checkJaxpr(jaxpr);
});

test("evaluating a jaxpr gives what the function gives", () => {
  const f = (x: NDArray): NDArray => add(mul(sin(x), x), 3);
  const { jaxpr } = stage(f);
  const x = asArray([0.5, 1, 2]);
  expect(evalJaxpr(jaxpr, [], [x])[0].jsSync()).toEqual(f(x).jsSync());
});

test("equal jaxprs have one id, different ones different ids", () => {
  const id = (f: (x: NDArray) => NDArray): number => jaxprId(stage(f).jaxpr);
  expect(id((x) => sin(cos(x)))).toBe(id((y) => sin(cos(y))));
  expect(id((x) => sin(cos(x)))).not.toBe(id((x) => cos(sin(x))));
  expect(id((x) => mul(x, 2))).not.toBe(id((x) => mul(x, 3)));
  expect(id((x) => mul(x, 0))).not.toBe(id((x) => mul(x, -0)));
});

test("dead code goes, and unused inputs are reported", () => {
  const { jaxpr } = traceToJaxpr((x, y) => [sin(x), cos(y)], [vector, vector], "f");
  const { jaxpr: smaller, usedInputs } = dceJaxpr(jaxpr, [true, false]);
  expect(usedInputs).toEqual([true, false]);
  expect(smaller.eqns.map((e) => e.primitive.name)).toEqual(["sin"]);
});

test("an equation with effects stays, and its effects are the jaxpr's", () => {
  const logged: Effect = { name: "log", ordered: true };
  const logP = definePrimitive("log_value", { abstractEval: ([x]) => ({ avals: [x], effects: [logged] }) });
  const { jaxpr } = stage((x) => {
    bind1(logP, [cos(x)], {});
    return sin(x);
  });
  expect([...jaxpr.effects]).toEqual([logged]);
  checkJaxpr(jaxpr);
  const { jaxpr: smaller } = dceJaxpr(jaxpr, [true]);
  expect(smaller.eqns.map((e) => e.primitive.name)).toEqual(["cos", "log_value", "sin"]);
});

test("checkJaxpr finds unbound and rebound variables and wrong results", () => {
  const { jaxpr } = stage((x) => sin(x));
  const [eqn] = jaxpr.eqns;
  expect(() => checkJaxpr(new Jaxpr([], [], jaxpr.eqns, jaxpr.outvars))).toThrow(/unbound/);
  expect(() => checkJaxpr(new Jaxpr([], jaxpr.invars, [eqn, eqn], jaxpr.outvars))).toThrow(/bound twice/);
  const wrong = new Var(makeAval([4], "float32"));
  expect(() => checkJaxpr(new Jaxpr([], jaxpr.invars, [{ ...eqn, outvars: [wrong] }], [wrong]))).toThrow(
    /its primitive gives float32\[3\]/,
  );
});

test("equations remember the line of the user's code", () => {
  const { jaxpr } = stage((x) => sin(x));
  expect(jaxpr.eqns[0].source?.frame).toMatch(/staging\.test\.ts:\d+/);
});

test("a tracer that leaks is recognised, and the error names the function", () => {
  let kept: NDArray | null = null;
  stage((x) => (kept = sin(x)));
  expect(() => add(kept!, 1)).toThrow(TracerError);
  expect(() => add(kept!, 1)).toThrow(/leaked from f/);
  expect(() => stage((x) => add(x, kept!))).toThrow(/leaked/);
  expect(() => kept!.dataSync()).toThrow(/leaked/);
});

test("a tracer used as a number names the way out", () => {
  expect(() => stage((x) => (x > asArray(0) ? x : x))).toThrow(TracerError);
  const scalarAval = makeAval([], "float32");
  const use = (): unknown => traceToJaxpr((x) => [Number(x) > 0 ? x : x], [scalarAval], "jit(step)");
  expect(use).toThrow(/needs a concrete value, but x is a traced float32\[\] inside jit\(step\)[\s\S]*where\(\.\.\.\)/);
});

test("an async function is refused, and the stack is as it was", () => {
  const before = currentTrace();
  const asynchronous = (async (x: NDArray) => [x]) as unknown as (x: NDArray) => NDArray[];
  expect(() => traceToJaxpr(asynchronous, [vector], "f")).toThrow(TransformError);
  expect(currentTrace()).toBe(before);
});

test("a throw inside a traced function leaves nothing on the stack", () => {
  const before = currentTrace();
  expect(() =>
    stage(() => {
      stage(() => {
        throw new RangeError("inner");
      });
      throw new Error("not reached");
    }),
  ).toThrow(RangeError);
  expect(currentTrace()).toBe(before);
  expect(add(asArray(1), 2).itemSync()).toBe(3);
});
