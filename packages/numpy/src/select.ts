import { type ArrayLike, type NDArray, ValueError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { broadcastAll, broadcastTo, convertAll, isScalar, promote, resultShape, toArray } from "./internal/promote.ts";
import { nonzero, type SizeOptions } from "./search.ts";
import { truth } from "./internal/truth.ts";

/**
 * `x` where `condition` holds, else `y`; all three broadcast. With one argument the coordinates of its true elements,
 * like `nonzero`.
 *
 * Both sides are computed. Their derivatives too: a NaN gradient of the side that was not chosen is multiplied by 0
 * and stays NaN, so guard its *argument* with another `where`.
 */
export function where(condition: ArrayLike, x: ArrayLike, y: ArrayLike): NDArray;
export function where(condition: ArrayLike, options?: SizeOptions): NDArray[];
export function where(condition: ArrayLike, x?: ArrayLike | SizeOptions, y?: ArrayLike): NDArray | NDArray[] {
  if (y === undefined) {
    if (x !== undefined && (typeof x !== "object" || "aval" in x || Array.isArray(x))) {
      throw new ValueError("where", { message: "takes one array or three", fix: "where(condition, x, y)" });
    }
    return nonzero(condition, x as SizeOptions | undefined);
  }
  const pred = truth(condition);
  const [a, b] = convertAll([x as ArrayLike, y]);
  if (pred.ndim === 0) {
    const [p, q] = broadcastAll("where", [a, b]);
    return lax.select(pred, p, q);
  }
  const [c, p, q] = broadcastAll("where", [pred, a, b]);
  return lax.select(c, p, q);
}

/** For each element the choice that belongs to the first condition which holds, else `defaultValue`. */
export function select(conditions: readonly ArrayLike[], choices: readonly ArrayLike[], defaultValue: ArrayLike = 0): NDArray {
  if (conditions.length !== choices.length || conditions.length === 0) {
    throw new ValueError("select", {
      message: `needs as many choices as conditions, got ${choices.length} and ${conditions.length}`,
      fix: "give one choice for each condition, and the rest as default",
    });
  }
  const values = convertAll([...choices, defaultValue]);
  return choices.reduceRight<NDArray>((rest, _, i) => where(conditions[i], values[i], rest), values.at(-1)!);
}

/** `x` limited to `[min, max]`; either may be missing. The bounds broadcast. */
export function clip(x: ArrayLike, min?: ArrayLike | null, max?: ArrayLike | null): NDArray {
  let a = toArray(x);
  if (min !== null && min !== undefined) {
    const [v, lo] = promote("clip", [a, min]);
    a = lax.max(lo, v);
  }
  if (max !== null && max !== undefined) {
    const [v, hi] = promote("clip", [a, max]);
    a = lax.min(hi, v);
  }
  return a;
}

/** The functions (or values) of the last condition that holds, else one more function or 0. */
export function piecewise(
  x: ArrayLike,
  conditions: readonly ArrayLike[],
  functions: readonly (ArrayLike | ((x: NDArray) => ArrayLike))[],
): NDArray {
  const a = toArray(x);
  const extra = functions.length - conditions.length;
  if (extra !== 0 && extra !== 1) {
    throw new ValueError("piecewise", {
      message: `needs one function for each of ${conditions.length} conditions, and one more for the rest if any`,
      fix: "give a function, or a number, for each condition",
    });
  }
  const of = (f: ArrayLike | ((x: NDArray) => ArrayLike)): NDArray => {
    const v = typeof f === "function" ? toArray(f(a)) : isScalar(f) ? lax.fullLike(a, f, { shape: [] }) : toArray(f);
    return lax.convertElementType(v, a.dtype);
  };
  let out = broadcastTo("piecewise", extra === 1 ? of(functions.at(-1)!) : lax.fullLike(a, 0), a.shape);
  conditions.forEach((c, i) => (out = where(c, of(functions[i]), out)));
  return out;
}

/** Elements of several arrays chosen by an array of their numbers. */
export function choose(
  which: ArrayLike,
  choices: readonly ArrayLike[],
  options: { readonly mode?: "raise" | "clip" | "wrap" } = {},
): NDArray {
  const values = convertAll(choices);
  const index = toArray(which);
  const shape = resultShape("choose", [index, ...values]);
  const n = values.length;
  const i = options.mode === "wrap" ? lax.rem(lax.add(lax.rem(index, n), n), n) : lax.clamp(0, index, n - 1);
  return lax.selectN(
    broadcastTo("choose", lax.convertElementType(i, "int32"), shape),
    ...values.map((v) => broadcastTo("choose", v, shape)),
  );
}
