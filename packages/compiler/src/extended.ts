import { DTypeError, type Eqn, type ExtendedDType } from "@traceform/core";
import type { BlockBuilder, Value } from "./graph.ts";

type Params = Readonly<Record<string, unknown>>;
type Rewrite = (params: Params, element: readonly number[], outRank: number) => Params;

const range = (from: number, n: number): number[] => Array.from({ length: n }, (_, i) => from + i);
const list = (params: Params, key: string): readonly number[] => params[key] as readonly number[];

/** Parameters of structural primitives, extended by the axes inside an element, which come last. */
const rewrites: Readonly<Record<string, Rewrite>> = {
  broadcast_in_dim: (p, el, n) => ({
    shape: [...list(p, "shape"), ...el],
    broadcastDimensions: [...list(p, "broadcastDimensions"), ...range(n, el.length)],
  }),
  reshape: (p, el) => ({ newSizes: [...list(p, "newSizes"), ...el] }),
  squeeze: (p) => p,
  rev: (p) => p,
  concatenate: (p) => p,
  select_n: (p) => p,
  transpose: (p, el, n) => ({ permutation: [...list(p, "permutation"), ...range(n, el.length)] }),
  slice: (p, el) => ({
    startIndices: [...list(p, "startIndices"), ...el.map(() => 0)],
    limitIndices: [...list(p, "limitIndices"), ...el],
    strides: p["strides"] === null ? null : [...list(p, "strides"), ...el.map(() => 1)],
  }),
  dynamic_slice: (p, el) => ({ sliceSizes: [...list(p, "sliceSizes"), ...el] }),
  dynamic_update_slice: (p) => p,
  gather: (p, el, n) => {
    const d = p["dimensionNumbers"] as { readonly offsetDims: readonly number[] };
    return {
      ...p,
      sliceSizes: [...list(p, "sliceSizes"), ...el],
      dimensionNumbers: { ...d, offsetDims: [...d.offsetDims, ...range(n, el.length)] },
    };
  },
  scatter: (p, el, _n) => {
    const d = p["dimensionNumbers"] as { readonly updateWindowDims: readonly number[] };
    return {
      ...p,
      dimensionNumbers: { ...d, updateWindowDims: [...d.updateWindowDims, ...range(Number(p["updateRank"]), el.length)] },
    };
  },
};

/**
 * The operands and parameters of a structural primitive for the physical arrays of an extended dtype.
 *
 * @throws {DTypeError} for primitives that are not structural
 */
export function extendedParams(
  g: BlockBuilder,
  eqn: Eqn,
  ins: readonly Value[],
  dtype: ExtendedDType,
): { ins: readonly Value[]; params: Params } {
  const { name } = eqn.primitive;
  const rewrite = rewrites[name];
  if (rewrite === undefined) {
    throw new DTypeError(name, {
      message: `${dtype.name} is an extended dtype, which only structural primitives take`,
      fix: "unwrap it first, e.g. with keyData",
    });
  }
  const element = dtype.physicalShape;
  const outRank = eqn.outvars[0].aval.ndim;
  const params = name === "scatter" ? { ...eqn.params, updateRank: eqn.invars[2].aval.ndim } : eqn.params;
  let operands = ins;
  if (name === "dynamic_slice" || name === "dynamic_update_slice") {
    const like = ins[ins.length - 1].dtype;
    operands = [...ins, ...element.map(() => g.literal(0, like))];
  } else if (name === "select_n") {
    const [pred, ...cases] = ins;
    const shape = cases[0].shape;
    const wide = g.add("broadcast_in_dim", [pred], [{ shape, dtype: pred.dtype }], {
      shape,
      broadcastDimensions: range(0, pred.shape.length),
    });
    operands = [wide[0], ...cases];
  }
  return { ins: operands, params: rewrite(params, element, outRank) };
}
