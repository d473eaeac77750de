import {
  type ArrayLike,
  asArray,
  type Aval,
  bind,
  bind1,
  definePrimitive,
  type Jaxpr,
  type NDArray,
  type Primitive,
  ShapeError,
} from "@traceform/core";
import { checkDTypeSet, checkSameDType, type DTypeSet, numeric, ordered, result } from "./internal/infer.ts";
import { beside } from "./internal/operands.ts";
import { reducer } from "./internal/reducer.ts";
import { dilated, explicitPadding, type Padding, windowPositions } from "./internal/window.ts";

export interface ReduceWindowParams {
  readonly windowDimensions: readonly number[];
  readonly windowStrides: readonly number[];
  readonly padding: readonly (readonly [number, number])[];
  readonly baseDilation: readonly number[];
  readonly windowDilation: readonly number[];
}

function windowShape(fn: string, x: Aval, p: ReduceWindowParams): number[] {
  for (const list of [p.windowDimensions, p.windowStrides, p.padding, p.baseDilation, p.windowDilation]) {
    if (list.length !== x.ndim) {
      throw new ShapeError(fn, {
        message: `windows are described for each of the ${x.ndim} axes`,
        operands: { x, windowDimensions: p.windowDimensions, windowStrides: p.windowStrides },
        fix: "give lists as long as the shape; 1 leaves an axis as it is",
      });
    }
  }
  for (const n of [...p.windowDimensions, ...p.windowStrides, ...p.baseDilation, ...p.windowDilation]) {
    if (!(Number.isInteger(n) && n >= 1)) {
      throw new ShapeError(fn, {
        message: `sizes, strides and dilations of windows are positive integers, got ${n}`,
        operands: { x },
        fix: "give positive integers; 1 leaves an axis as it is",
      });
    }
  }
  return windowPositions(
    x.shape.map((n, i) => dilated(n, p.baseDilation[i])),
    p.windowDimensions.map((n, i) => dilated(n, p.windowDilation[i])),
    p.windowStrides,
    p.padding,
  );
}

/** Padding counts as the identity of the operation. */
function windowPrimitive(name: string, set: DTypeSet): Primitive<ReduceWindowParams> {
  return definePrimitive<ReduceWindowParams>(name, {
    abstractEval: ([x], params) => {
      checkDTypeSet("reduceWindow", "x", x, set);
      return [result(windowShape("reduceWindow", x, params), x.dtype, [x])];
    },
  });
}
export const reduceWindowSumP: Primitive<ReduceWindowParams> = /* @__PURE__ */ windowPrimitive("reduce_window_sum", numeric);
export const reduceWindowMaxP: Primitive<ReduceWindowParams> = /* @__PURE__ */ windowPrimitive("reduce_window_max", ordered);
export const reduceWindowMinP: Primitive<ReduceWindowParams> = /* @__PURE__ */ windowPrimitive("reduce_window_min", ordered);

export interface GeneralReduceWindowParams extends ReduceWindowParams {
  /** (accumulators, elements) -> accumulators, all scalars. */
  readonly jaxpr: Jaxpr;
}
/** Operands: the arrays, then as many scalar initial values. Padding and the holes of a dilated base are passed over. */
export const reduceWindowP: Primitive<GeneralReduceWindowParams> = /* @__PURE__ */ definePrimitive<GeneralReduceWindowParams>(
  "reduce_window",
  {
    abstractEval: (avals, params) =>
      avals.slice(0, avals.length / 2).map((x) => result(windowShape("reduceWindow", x, params), x.dtype, [x])),
  },
);

export interface SelectAndScatterAddParams {
  /** `ge` selects the first largest element of a window, `le` the first smallest. */
  readonly selectPrim: "ge" | "le";
  readonly windowDimensions: readonly number[];
  readonly windowStrides: readonly number[];
  readonly padding: readonly (readonly [number, number])[];
}
/** Operands: source (one element for each window), operand. The transpose of the JVP of max pooling. */
export const selectAndScatterAddP: Primitive<SelectAndScatterAddParams> =
  /* @__PURE__ */ definePrimitive<SelectAndScatterAddParams>("select_and_scatter_add", {
    abstractEval: (avals, params) => {
      const [source, operand] = avals;
      checkSameDType("selectAndScatterAdd", avals);
      const ones = operand.shape.map(() => 1);
      const shape = windowShape("selectAndScatterAdd", operand, { ...params, baseDilation: ones, windowDilation: ones });
      if (shape.join() !== source.shape.join()) {
        throw new ShapeError("selectAndScatterAdd", {
          message: `the source must have one element for each window, shape [${shape}]`,
          operands: { source, operand },
          fix: "give the source the shape of reduceWindow's result",
        });
      }
      return [result(operand.shape, operand.dtype, avals)];
    },
  });

export interface SelectAndGatherAddParams extends ReduceWindowParams {
  readonly selectPrim: "ge" | "le";
}
/** Operands: tangents, operand. For each window, the tangent at the place of the selected element. */
export const selectAndGatherAddP: Primitive<SelectAndGatherAddParams> = /* @__PURE__ */ definePrimitive<SelectAndGatherAddParams>(
  "select_and_gather_add",
  {
    abstractEval: (avals, params) => {
      const [tangents, operand] = avals;
      if (tangents.shape.join() !== operand.shape.join()) {
        throw new ShapeError("selectAndGatherAdd", {
          message: "operands must have equal shapes",
          operands: { tangents, operand },
          fix: "broadcast the tangents to the operand",
        });
      }
      return [result(windowShape("selectAndGatherAdd", operand, params), tangents.dtype, avals)];
    },
  },
);

export interface ReduceWindowOptions {
  readonly baseDilation?: readonly number[];
  readonly windowDilation?: readonly number[];
}

/**
 * Reduces every window of `x` with an associative function of two scalars. `add`, `max` and `min` starting from
 * their identity are recognised and have primitives of their own (and derivatives).
 *
 * @example
 * ```ts
 * reduceWindow(x, -Infinity, max, [1, 2, 2, 1], [1, 2, 2, 1], "VALID"); // max pooling of [n, h, w, c]
 * ```
 */
export function reduceWindow(
  x: ArrayLike,
  initValue: ArrayLike,
  computation: (acc: NDArray, x: NDArray) => ArrayLike,
  windowDimensions: readonly number[],
  windowStrides: readonly number[],
  padding: Padding,
  options: ReduceWindowOptions = {},
): NDArray {
  const a = asArray(x);
  const init = beside(initValue, a.dtype);
  const ones = a.shape.map(() => 1);
  const baseDilation = options.baseDilation ?? ones;
  const windowDilation = options.windowDilation ?? ones;
  const params: ReduceWindowParams = {
    windowDimensions,
    windowStrides,
    padding: explicitPadding(
      "reduceWindow",
      padding,
      a.shape.map((n, i) => dilated(n, baseDilation[i])),
      windowDimensions.map((n, i) => dilated(n, windowDilation[i])),
      windowStrides,
    ),
    baseDilation,
    windowDilation,
  };
  const { jaxpr, named } = reducer("reduceWindow", [a], [init], computation, false);
  if (named?.identity) {
    if (named.name === "add") return bind1(reduceWindowSumP, [a], params);
    if (named.name === "max") return bind1(reduceWindowMaxP, [a], params);
    if (named.name === "min") return bind1(reduceWindowMinP, [a], params);
  }
  return bind(reduceWindowP, [a, init], { ...params, jaxpr })[0];
}
