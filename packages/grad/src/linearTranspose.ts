import {
  type Aval,
  currentTrace,
  type DType,
  makeAval,
  type NDArray,
  treeFlatten,
  treeUnflatten,
  withNewTrace,
  type Inputs,
} from "@traceform/core";
import { matchTangents } from "./internal/check.ts";
import { flatten, nameOf } from "./internal/trees.ts";
import { zeros } from "./internal/zeros.ts";
import { PartialEvalTrace } from "./partialEval.ts";
import { LinearOperand } from "./rule.ts";
import { backwardPass } from "./transpose.ts";

import type { Cotangents } from "./vjp.ts";

/** A stand-in for an array of which only the type matters. */
export interface ShapeDType {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/**
 * The transpose of a linear function: a function from cotangents of the result to cotangents of the arguments. Of the
 * arguments only shapes and dtypes are used.
 *
 * @throws {TransformError} when the function is not linear
 */
export function linearTranspose<A extends unknown[], R>(
  f: (...args: A) => R,
  ...args: { [K in keyof A]: Inputs<A>[K] | ShapeDType }
): (cotangent: R) => Cotangents<A> {
  const name = nameOf("linearTranspose", f);
  const [leaves, inTree] = treeFlatten([...args], isShapeDType);
  const avals = leaves.map((x): Aval => {
    if (typeof x === "number") return makeAval([], "float32", { weakType: true });
    const { shape, dtype } = x as ShapeDType;
    return makeAval(shape, dtype);
  });
  const trace = new PartialEvalTrace(name, currentTrace());
  const flat = flatten(name, f as (...xs: never[]) => unknown, inTree);
  const { outs, jaxpr, residuals } = withNewTrace(trace, () => {
    const results = flat(avals.map((aval) => trace.input(aval)));
    return { outs: results, ...trace.finish(results) };
  });
  return (cotangent) => {
    const cts = matchTangents(name, "cotangent", flat.outTree!, cotangent, outs as NDArray[]);
    const operands = jaxpr.invars.map((v) => new LinearOperand(v.aval));
    const grads = backwardPass(jaxpr, residuals, operands, cts);
    return treeUnflatten(
      inTree,
      grads.map((g, i) => g ?? zeros(avals[i])),
    ) as Cotangents<A>;
  };
}

function isShapeDType(x: unknown): boolean {
  return x !== null && typeof x === "object" && !Array.isArray(x) && "shape" in x && "dtype" in x;
}
