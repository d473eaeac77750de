import {
  type ArrayLike,
  asArray,
  bind,
  bind1,
  definePrimitive,
  dtypeKind,
  type NDArray,
  type Primitive,
  treeFlatten,
  treeMap,
  treeUnflatten,
} from "@traceform/core";
import { type NoParams, noParams } from "./internal/infer.ts";

export const copyP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("copy", { abstractEval: ([x]) => [x] });
export const stopGradientP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("stop_gradient", {
  abstractEval: ([x]) => [x],
});
export const optimizationBarrierP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("optimization_barrier", {
  abstractEval: (avals) => avals,
});

/** A copy of `x` in memory of its own. */
export function copy(x: ArrayLike): NDArray {
  return bind1(copyP, [asArray(x)], noParams);
}

/** `x` itself, treated as a constant by differentiation. Takes pytrees; integer leaves pass through. */
export function stopGradient<T>(x: T): T {
  return treeMap((leaf) => {
    const a = asArray(leaf as ArrayLike);
    const kind = dtypeKind(a.dtype);
    return kind === "float" || kind === "complex" ? bind1(stopGradientP, [a], noParams) : a;
  }, x) as T;
}

/** The pytree unchanged; a compiler neither moves computation across it nor merges what is on both sides. */
export function optimizationBarrier<T>(x: T): T {
  const [leaves, tree] = treeFlatten(x);
  return treeUnflatten(
    tree,
    bind(
      optimizationBarrierP,
      leaves.map((l) => asArray(l as ArrayLike)),
      noParams,
    ),
  ) as T;
}
