import { type ArrayLike, type NDArray, ShapeError, ValueError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { broadcastTo, toArray } from "./internal/promote.ts";
import { broadcastShapes } from "./shape.ts";

export interface VectorizeOptions {
  /** Core axes of arguments and results: `"(m,n),(n)->(m)"`. Without it the function takes and returns scalars. */
  readonly signature?: string;
  /** Positions of arguments that are passed on as they are. */
  readonly excluded?: readonly number[];
}

/**
 * Makes a function of small arrays work on arrays of them: leading axes broadcast, and the function is mapped over them.
 *
 * The calls run one after the other (as a `scan`); `vmap` of `@traceform/vmap` runs them together.
 */
export function vectorize(
  fn: (...args: NDArray[]) => ArrayLike,
  options: VectorizeOptions = {},
): (...args: ArrayLike[]) => NDArray {
  const excluded = new Set(options.excluded ?? []);
  const core = options.signature === undefined ? null : readSignature(options.signature);
  return (...args) => {
    const mapped = args.flatMap((_, i) => (excluded.has(i) ? [] : [i]));
    if (core !== null && core.length !== mapped.length) {
      throw new ValueError("vectorize", {
        message: `the signature has ${core.length} arguments, the call ${mapped.length}`,
        fix: "call it with as many arrays as the signature has, or exclude some",
      });
    }
    const arrays = args.map((x) => toArray(x));
    const rank = (k: number): number => (core === null ? 0 : core[k].length);
    const sizes = new Map<string, number>();
    mapped.forEach((i, k) => {
      const x = arrays[i];
      if (x.ndim < rank(k))
        throw new ShapeError("vectorize", {
          message: `argument ${i} needs at least ${rank(k)} axes`,
          operands: { x },
          fix: "give the argument all axes that the signature names",
        });
      core?.[k].forEach((name, j) => {
        const n = x.shape[x.ndim - rank(k) + j];
        if ((sizes.get(name) ?? n) !== n)
          throw new ShapeError("vectorize", {
            message: `axis ${name} has sizes ${sizes.get(name)} and ${n}`,
            operands: { x },
            fix: "use different names for axes of different sizes",
          });
        sizes.set(name, n);
      });
    });
    const batch = broadcastShapes(...mapped.map((i, k) => arrays[i].shape.slice(0, arrays[i].ndim - rank(k))));
    const count = batch.reduce((n, m) => n * m, 1);
    const rows = mapped.map((i, k) => {
      const own = arrays[i].shape.slice(arrays[i].ndim - rank(k));
      return lax.reshape(broadcastTo("vectorize", arrays[i], [...batch, ...own]), [count, ...own]);
    });
    const call = (xs: readonly NDArray[]): NDArray => {
      const full = [...arrays];
      mapped.forEach((i, k) => (full[i] = xs[k]));
      return toArray(fn(...full));
    };
    const out = lax.map(call, rows);
    return lax.reshape(out as NDArray, [...batch, ...(out as NDArray).shape.slice(1)]);
  };
}

function readSignature(signature: string): string[][] {
  const clean = signature.replace(/\s+/g, "");
  if (!/^(\([\w,]*\),?)+->\([\w,]*\)$/.test(clean)) {
    throw new ValueError("vectorize", {
      message: `"${signature}" is no signature with one result`,
      fix: 'write for instance "(m,n),(n)->(m)"',
    });
  }
  const [inputs] = clean.split("->");
  return [...inputs.matchAll(/\(([\w,]*)\)/g)].map((m) => (m[1] === "" ? [] : m[1].split(",")));
}
