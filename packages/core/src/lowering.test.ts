import { grad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import { abs, div, eq, mul, scan, select, sin, sub, cos } from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { vmap } from "@traceform/vmap";
import { elementwise } from "@traceform/vmap";
import { expect, test } from "vitest";
import {
  asArray,
  batchRule,
  bind1,
  definePrimitive,
  expandLowerRules,
  jvpRule,
  lowerRule,
  type LowerRule,
  makeAval,
  type NDArray,
  RuleError,
  setDefaultBackend,
  traceToJaxpr,
} from "./index.ts";

setDefaultBackend(referenceBackend());

// A primitive of a library author's: sin(x) / x, with its rules beside it.
const lower: LowerRule = ([x]) => {
  const zero = eq(x, 0);
  const safe = select(zero, mul(x, 0), x);
  return [select(zero, cos(safe), div(sin(safe), select(zero, cos(safe), safe)))];
};
const sincP = definePrimitive("sinc", {
  abstractEval: ([x]) => [x],
  rules: {
    [lowerRule]: lower,
    [jvpRule]: ([x]: NDArray[], [dx]: NDArray[]) => {
      const y = sinc(x);
      return [[y], [mul(dx, div(sub(cos(x), y), x))]];
    },
    [batchRule]: elementwise,
  },
});
const sinc = (x: NDArray): NDArray => bind1(sincP, [x], {});

const xs = asArray([0.5, 1, 2]);
const expected = [0.5, 1, 2].map((x) => Math.sin(x) / x);

function close(actual: NDArray, values: readonly number[]): void {
  const list = actual.jsSync() as number[];
  values.forEach((v, i) => expect(Math.abs(list[i] - v)).toBeLessThan(1e-6));
}

test("a primitive with a lower rule runs eagerly, jitted, batched and inside loops", () => {
  close(sinc(xs), expected);
  close(jit(sinc)(xs), expected);
  close(vmap(sinc)(xs), expected);
  close(scan((c: NDArray, x: NDArray) => [c, sinc(x)] as const, 0, xs)[1], expected);
  close(jit((y: NDArray) => scan((c: NDArray, x: NDArray) => [c, sinc(x)] as const, 0, y)[1])(xs), expected);
});

test("its derivative is the one it brings", () => {
  const derivative = [0.5, 1, 2].map((x) => (Math.cos(x) - Math.sin(x) / x) / x);
  close(vmap(grad(sinc))(xs), derivative);
  close(jit(vmap(grad(sinc)))(xs), derivative);
});

test("expansion leaves other jaxprs alone, and refuses rules that close over arrays", () => {
  const { jaxpr } = traceToJaxpr((x) => [abs(x)], [makeAval([3], "float32")], "f");
  expect(expandLowerRules(jaxpr)).toBe(jaxpr);
  const captured: LowerRule = ([x]) => [mul(x, xs)];
  const badP = definePrimitive("bad", { abstractEval: ([x]) => [x], rules: { [lowerRule]: captured } });
  expect(() => bind1(badP, [xs], {})).toThrow(RuleError);
});

test("a lower rule that gives something else than shape inference promised is refused", () => {
  const wrong: LowerRule = ([x]) => [sin(x), x];
  const two = definePrimitive("two", { abstractEval: ([x]) => [x], rules: { [lowerRule]: wrong } });
  expect(() => bind1(two, [xs], {})).toThrow(RuleError);
  expect(() => bind1(two, [xs], {})).toThrow(
    /"two" gives \(float32\[3\], float32\[3\]\), but its abstractEval promises \(float32\[3\]\)/,
  );
});
