import {
  type ArrayLike,
  asArray,
  bind,
  currentTrace,
  definePrimitive,
  evalJaxpr,
  isEager,
  type Jaxpr,
  lowerRule,
  type NDArray,
  type Primitive,
  treeFlatten,
  treeUnflatten,
} from "@traceform/core";
import { traceBody } from "./internal/bodies.ts";
import { checkLike } from "./linearsolve.ts";

export interface LinearCallParams {
  /** (consts, residuals, x) -> y, linear in x. */
  readonly fn: Jaxpr;
  /** (consts, residuals, cotangents of y) -> cotangents of x. */
  readonly transposed: Jaxpr;
  /** How many operands are constants of the two, and how many are residuals. */
  readonly counts: readonly [fn: number, transposed: number, residuals: number];
}

/** Operands: constants of both functions, residuals, x. */
export const linearCallP: Primitive<LinearCallParams> = /* @__PURE__ */ definePrimitive<LinearCallParams>("linear_call", {
  abstractEval: (_avals, { fn }) => ({ avals: fn.outAvals, effects: [...fn.effects] }),
  rules: {
    [lowerRule]: (operands: readonly NDArray[], { fn, counts: [own, others] }: LinearCallParams) =>
      evalJaxpr(fn, [], [...operands.slice(0, own), ...operands.slice(own + others)]),
  },
});

/**
 * `fn(residuals, x)` for a function that is linear in `x`, with a transpose of its own: what reverse-mode differentiation applies to
 * cotangents of the result is `transpose(residuals, cotangent)`, and that function's transpose is `fn` in turn. Arguments and
 * results are pytrees.
 *
 * @throws {TreeError} {ShapeError} when `transpose` returns something unlike `x`
 */
export function linearCall<Res, X, Y>(
  fn: (residuals: Res, x: X) => Y,
  transpose: (residuals: Res, cotangent: Y) => X,
  residuals: Res,
  x: X,
): Y {
  const flat = (tree: unknown): NDArray[] => treeFlatten(tree)[0].map((leaf) => asArray(leaf as ArrayLike));
  const [, tree] = treeFlatten(x);
  const [res, lin] = [flat(residuals), flat(x)];
  if (isEager(currentTrace())) return fn(residuals, x);
  const avals = [...res, ...lin].map((v) => v.aval);
  type Body = (...args: unknown[]) => unknown;
  const [, inTree] = treeFlatten([residuals, x]);
  const forward = traceBody("linearCall fn", fn as unknown as Body, inTree, avals);
  const results = forward.jaxpr.outAvals;
  const example = treeUnflatten(
    forward.outTree,
    results.map((_, i) => i),
  );
  const [, backTree] = treeFlatten([residuals, example]);
  const resAvals = avals.slice(0, res.length);
  const back = traceBody("linearCall transpose", transpose as unknown as Body, backTree, [...resAvals, ...results]);
  checkLike("linearCall", "transpose", tree, avals.slice(res.length), back.outTree, back.jaxpr.outAvals);
  const outs = bind(linearCallP, [...forward.consts, ...back.consts, ...res, ...lin], {
    fn: forward.jaxpr,
    transposed: back.jaxpr,
    counts: [forward.consts.length, back.consts.length, res.length],
  });
  return treeUnflatten(forward.outTree, outs) as Y;
}
