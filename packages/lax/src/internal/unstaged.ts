import {
  config,
  type ArrayLike,
  asArray,
  type NDArray,
  refuseAsync,
  TracerError,
  treeFlatten,
  type Treedef,
  treeUnflatten,
  TreeError,
  ValueError,
} from "@traceform/core";
import { concatenate, expandDims } from "../shape.ts";
import { indexInDim } from "../slice.ts";

// Loops and branches under `disableJit`: in JavaScript, with values instead of tracers.

type AnyFunction = (...args: unknown[]) => unknown;

/** A scalar's value if the trace knows it, else `null`. */
export function knownScalar(fn: string, x: NDArray): number | bigint | boolean | null {
  try {
    return x.dtype === "bool" ? Boolean(x.concrete(fn).readSync()[0]) : x.concrete(fn).readSync()[0];
  } catch (error) {
    if (error instanceof TracerError) return null;
    throw error;
  }
}

function arrays(fn: string, tree: unknown): unknown {
  const [leaves, def] = treeFlatten(refuseAsync(fn, tree));
  return treeUnflatten(
    def,
    leaves.map((x) => asArray(x as ArrayLike)),
  );
}

/** `scan`, one call of `f` after the other. */
export function unstagedScan(
  f: AnyFunction,
  init: unknown,
  xs: readonly NDArray[],
  xsTree: Treedef,
  length: number,
  reverse: boolean,
): [carry: unknown, ys: unknown] {
  if (length === 0) {
    throw new ValueError("scan", {
      message: "a scan of length 0 under disableJit: nothing tells the types of its results",
      fix: "leave it out of disableJit, or give it an element",
    });
  }
  let carry = arrays("scan", init);
  let ysTree: Treedef | null = null;
  const stacked: NDArray[][] = [];
  for (let k = 0; k < length; k++) {
    const i = reverse ? length - 1 - k : k;
    const x = treeUnflatten(
      xsTree,
      xs.map((v) => indexInDim(v, i, 0, false)),
    );
    const result = refuseAsync("scan", f(carry, x));
    if (!Array.isArray(result) || result.length !== 2) {
      throw new TreeError("scan", {
        message: `the body must return [carry, y], but returns ${treeFlatten(result)[1]}`,
        fix: "return [carry, null] when there is nothing to stack",
      });
    }
    carry = arrays("scan", result[0]);
    const [leaves, def] = treeFlatten(result[1]);
    ysTree = def;
    stacked[i] = leaves.map((y) => expandDims(asArray(y as ArrayLike), [0]));
  }
  const ys = stacked[0].map((_, n) =>
    concatenate(
      stacked.map((row) => row[n]),
      0,
    ),
  );
  return [carry, treeUnflatten(ysTree!, ys)];
}

/** `whileLoop` in JavaScript; `null` when the condition is not known, so that it must be staged. */
export function unstagedWhile(cond: AnyFunction, body: AnyFunction, init: unknown): { readonly carry: unknown } | null {
  let carry = arrays("whileLoop", init);
  for (;;) {
    const more = knownScalar("whileLoop", asArray(refuseAsync("whileLoop", cond(carry)) as ArrayLike));
    if (more === null) return null;
    if (!more) return { carry };
    carry = arrays("whileLoop", body(carry));
  }
}

/** One branch in JavaScript, or `null` when the index is not known. */
export function unstagedBranch(
  fn: string,
  index: NDArray,
  branches: readonly AnyFunction[],
  operands: readonly unknown[],
): { readonly result: unknown } | null {
  if (!config.disableJit) return null;
  const at = knownScalar(fn, index);
  if (at === null) return null;
  const which = Math.min(Math.max(Number(at), 0), branches.length - 1);
  return { result: arrays(fn, branches[which](...(arrays(fn, [...operands]) as unknown[]))) };
}
