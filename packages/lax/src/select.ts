import {
  type ArrayLike,
  asArray,
  bind1,
  definePrimitive,
  DTypeError,
  type NDArray,
  type Primitive,
  sameShape,
  ShapeError,
  ValueError,
} from "@traceform/core";
import {
  allWeak,
  checkDTypeSet,
  checkSameDType,
  nameOperands,
  type NoParams,
  noParams,
  ordered,
  result,
} from "./internal/infer.ts";
import { beside, pair } from "./internal/operands.ts";

export const selectNP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("select_n", {
  abstractEval: (avals) => {
    const [pred, ...cases] = avals;
    if (cases.length === 0)
      throw new ValueError("selectN", { message: "needs at least one case", fix: "give the cases after the predicate" });
    if (pred.dtype !== "bool" && pred.dtype !== "int32") {
      throw new DTypeError("selectN", {
        message: "the predicate must be bool (two cases) or int32",
        operands: { pred },
        fix: "compare it first, e.g. ne(pred, 0)",
      });
    }
    if (pred.dtype === "bool" && cases.length > 2) {
      throw new ValueError("selectN", {
        message: `a bool predicate chooses between two cases, got ${cases.length}`,
        fix: "use an int32 predicate to choose among more",
      });
    }
    checkSameDType("selectN", cases);
    // A scalar case broadcasts against the others, as operands of elementwise primitives do.
    let shape = cases[0].shape;
    for (const c of cases) if (c.shape.length > 0) shape = c.shape;
    for (const c of cases) {
      if (c.shape.length > 0 && !sameShape(c.shape, shape)) {
        throw new ShapeError("selectN", {
          message: "cases must have equal shapes",
          operands: nameOperands(cases),
          fix: "broadcast them first, or use numpy.where",
        });
      }
    }
    if (pred.shape.length > 0) {
      if (shape.length === 0) shape = pred.shape;
      else if (!sameShape(pred.shape, shape)) {
        throw new ShapeError("selectN", {
          message: "the predicate must be a scalar or have the shape of the cases",
          operands: { pred, case: cases.find((c) => c.shape.length > 0) },
          fix: "broadcast it, or use where of @traceform/numpy",
        });
      }
    }
    return [result(shape, cases[0].dtype, avals, allWeak(cases))];
  },
});

export const clampP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("clamp", {
  abstractEval: (avals) => {
    const [min, x, max] = avals;
    checkDTypeSet("clamp", "x", x, ordered);
    checkSameDType("clamp", avals);
    for (const [name, bound] of [
      ["min", min],
      ["max", max],
    ] as const) {
      if (bound.shape.length > 0 && !sameShape(bound.shape, x.shape)) {
        throw new ShapeError("clamp", {
          message: `${name} must be a scalar or have the shape of x`,
          operands: { min, x, max },
          fix: "use clip of @traceform/numpy, which broadcasts",
        });
      }
    }
    return [result(x.shape, x.dtype, avals)];
  },
});

/** `onTrue` where `pred` (bool) holds, else `onFalse`. Equal shapes and dtypes; `pred` may be a scalar. */
export function select(pred: ArrayLike, onTrue: ArrayLike, onFalse: ArrayLike): NDArray {
  const [t, f] = pair(onTrue, onFalse);
  return bind1(selectNP, [asArray(pred), f, t], noParams);
}

/** `cases[which]` elementwise. `which` is bool (two cases) or int32; a scalar or of the cases' shape. */
export function selectN(which: ArrayLike, ...cases: ArrayLike[]): NDArray {
  const like = cases.find((c) => typeof c === "object");
  const dtype = like === undefined ? undefined : asArray(like).dtype;
  return bind1(selectNP, [asArray(which), ...cases.map((c) => (dtype === undefined ? asArray(c) : beside(c, dtype)))], noParams);
}

/** `x` limited to `[min, max]`, which may be scalars. NaN stays NaN; `max` wins where `min > max`. */
export function clamp(min: ArrayLike, x: ArrayLike, max: ArrayLike): NDArray {
  const a = asArray(x);
  return bind1(clampP, [beside(min, a.dtype), a, beside(max, a.dtype)], noParams);
}
