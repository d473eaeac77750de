import {
  type ArrayLike,
  asArray,
  DTypeError,
  flattenUpTo,
  isComplex,
  isInexact,
  type NDArray,
  sameShape,
  ShapeError,
  TransformError,
  type Treedef,
  tangentAval,
} from "@traceform/core";
import type { Tangent } from "../rule.ts";
import { hasTangent } from "./zeros.ts";

/**
 * The leaves of a tree of tangents (or cotangents) that belong to `values`. Numbers take the dtype that is needed.
 *
 * @throws {TreeError} for another structure, {ShapeError} for another shape, {DTypeError} for another dtype
 */
export function matchTangents(fn: string, what: string, def: Treedef, tree: unknown, values: readonly NDArray[]): Tangent[] {
  return flattenUpTo(def, tree, fn).map((leaf, i) => {
    const { aval } = values[i];
    if (leaf === null || leaf === undefined) return null;
    if (!hasTangent(aval)) {
      const t = typeof leaf === "object" && "dtype" in leaf ? (leaf as NDArray) : null;
      if (t !== null && typeof t.dtype === "object") return null;
      throw new DTypeError(fn, {
        message: `a ${what} of an integer or boolean value has dtype float0`,
        operands: { value: values[i] },
        fix: `pass null for it`,
      });
    }
    const t = asArray(leaf as ArrayLike, typeof leaf === "number" ? { dtype: aval.dtype } : {});
    if (!sameShape(t.shape, aval.shape)) {
      throw new ShapeError(fn, {
        message: `a ${what} must have the shape of its value`,
        operands: { value: values[i], [what]: t },
        fix: `give one ${what} for each value, of its shape`,
      });
    }
    if (t.dtype !== tangentAval(aval).dtype) {
      throw new DTypeError(fn, {
        message: `a ${what} must have the dtype of its value`,
        operands: { value: values[i], [what]: t },
        fix: "convert it with astype",
      });
    }
    return t;
  });
}

/** @throws {TransformError} unless the function returned one real scalar */
export function checkScalarOutput(fn: string, outs: readonly NDArray[], def: Treedef, holomorphic: boolean): void {
  if (def.kind !== "leaf") {
    throw new TransformError(fn, {
      message: `the function must return one scalar, but returns ${def}`,
      fix:
        def.kind === "array"
          ? "return a single value, or pass { hasAux: true } for [value, aux]"
          : "return a single value, or use jacrev or vjp",
    });
  }
  const [y] = outs;
  if (y.ndim !== 0) {
    throw new ShapeError(fn, {
      message: "gradients exist for functions that return a scalar",
      operands: { returned: y },
      fix: "reduce the result with sum or mean, or use jacrev or vjp",
    });
  }
  if (!isInexact(y.dtype)) {
    throw new DTypeError(fn, {
      message: "the function must return a floating-point value",
      operands: { returned: y },
      fix: "compute the loss in a floating-point dtype",
    });
  }
  if (isComplex(y.dtype) !== holomorphic) {
    throw new DTypeError(fn, {
      message: holomorphic ? "holomorphic differentiation needs a complex result" : "the function must return a real scalar",
      operands: { returned: y },
      fix: holomorphic ? "leave out { holomorphic: true }" : "return the real part or the magnitude, or pass { holomorphic: true }",
    });
  }
}

/** @throws {DTypeError} for inputs that have no gradient */
export function checkInputs(
  fn: string,
  inputs: readonly { readonly path: string; readonly x: NDArray }[],
  options: { holomorphic: boolean; allowInt: boolean },
): void {
  for (const { path, x } of inputs) {
    if (options.holomorphic) {
      if (isComplex(x.dtype)) continue;
      throw new DTypeError(fn, {
        message: `holomorphic differentiation needs complex inputs, but ${path} is real`,
        operands: { [path]: x },
        fix: "convert it to complex64",
      });
    }
    if (!isInexact(x.dtype) && !options.allowInt) {
      throw new DTypeError(fn, {
        message: `gradients exist for floating-point inputs, but ${path} is not one`,
        operands: { [path]: x },
        fix: 'convert it with astype("float32"), name other arguments in argnums, or pass { allowInt: true } for float0 gradients',
      });
    }
  }
}
