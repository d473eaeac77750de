import { definePrimitive, DTypeError, type ExtendedDType, type Primitive, ShapeError } from "@traceform/core";
import { elementwiseShape, type NoParams, result } from "./internal/infer.ts";

/**
 * Threefry-2x32 with 20 rounds, elementwise: operands key0, key1, x0, x1 (uint32, scalars broadcast), two uint32 results.
 * @see Salmon, Moraes, Dror & Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3"
 */
export const threefry2x32P: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("threefry2x32", {
  abstractEval: (avals) => {
    for (const x of avals) {
      if (x.dtype !== "uint32")
        throw new DTypeError("threefry2x32", {
          message: "operands must be uint32",
          operands: { x },
          fix: 'convert them with convertElementType(x, "uint32")',
        });
    }
    const out = result(elementwiseShape("threefry2x32", avals), "uint32", avals, false);
    return [out, out];
  },
});

export interface RandomWrapParams {
  /** The dtype of the keys, e.g. `key<fry>`. */
  readonly impl: ExtendedDType;
}
/** uint32[...s, 2] -> key<fry>[...s]: the same bits. */
export const randomWrapP: Primitive<RandomWrapParams> = /* @__PURE__ */ definePrimitive<RandomWrapParams>("random_wrap", {
  abstractEval: ([x], { impl }) => {
    const { physicalShape, physicalDtype } = impl;
    const ndim = x.ndim - physicalShape.length;
    if (x.dtype !== physicalDtype || ndim < 0 || x.shape.slice(ndim).join() !== physicalShape.join()) {
      throw new ShapeError("wrapKeyData", {
        message: `the data of ${impl.name} is ${physicalDtype}[..., ${physicalShape.join(", ")}]`,
        operands: { x },
        fix: "give the words of the keys in the last axes, as keyData returns them",
      });
    }
    return [result(x.shape.slice(0, ndim), impl, [x], false)];
  },
});

/** key<fry>[...s] -> uint32[...s, 2]: the same bits. */
export const randomUnwrapP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("random_unwrap", {
  abstractEval: ([x]) => {
    if (typeof x.dtype === "string") {
      throw new DTypeError("keyData", {
        message: "needs an array of typed keys",
        operands: { x },
        fix: "make keys with key(seed)",
      });
    }
    return [result([...x.shape, ...x.dtype.physicalShape], x.dtype.physicalDtype, [x], false)];
  },
});
