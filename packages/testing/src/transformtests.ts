import { isComplex, isFloat, isNDArray, type NDArray, treeFlatten, treeLeaves, treeUnflatten } from "@traceform/core";
import { vjp } from "@traceform/grad";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { vmap } from "@traceform/vmap";
import { describe, expect, test } from "vitest";
import { call, decode, describeCase, difference, type Encoded, type NumpyCase } from "./numpygoldens.ts";

// Gradients and batching of every numpy and lax function, as JAX computes them: see goldens/transforms.py.

export interface Transformed {
  readonly case: number;
  /** Gradient of the weighted sum of the results, and of the parts of complex ones, with respect to each float leaf. */
  readonly g?: readonly Encoded[];
  /** Result of vmap over one float leaf, stacked along an axis. */
  readonly m?: readonly (readonly [leaf: number, axis: number, result: Encoded])[];
}

/** Where we differ from JAX, in how many cases, and why. A deviation that disappears, or grows, fails. */
const deviations: Record<string, { readonly count: number; readonly reason: string }> = {
  "gradient: hypot": { count: 1, reason: "at (0, 0) there is no derivative; ours is 0" },
  "gradient: getItem": {
    count: 1,
    reason: "reading out of bounds clamps, and the gradient goes to the element that was read; JAX drops it",
  },
  "gradient: lax.reduce": {
    count: 1,
    reason: "JAX leaves out the initial value, a factor of 2; finite differences agree with ours",
  },
  "gradient: linalg.cholesky": {
    count: 1,
    reason: "without symmetrising, the lower triangle alone is read; finite differences agree with ours",
  },
  "gradient: linalg.eigvalsh": {
    count: 2,
    reason: "without symmetrising, one triangle alone is read; finite differences agree with ours",
  },
  "gradient: lax.scatterMin": {
    count: 1,
    reason: "JAX's rule ignores that mode clip moves an index; finite differences agree with ours",
  },
  "gradient: lax.scatterMax": {
    count: 1,
    reason: "JAX's rule ignores that mode clip moves an index; finite differences agree with ours",
  },
};

function cotangent(x: NDArray): NDArray {
  const i = lax.convertElementType(lax.iota("int32", x.size), "float32");
  return lax.reshape(lax.convertElementType(lax.cos(lax.add(lax.mul(i, 0.7), 0.3)), x.dtype), x.shape);
}

/** The call as a function of its float leaves, and those leaves: what goldens/transforms.py calls `float_leaves`. */
function asFunction([name, args]: NumpyCase): [f: (floats: readonly NDArray[]) => unknown, floats: NDArray[]] {
  const decoded = args.map(decode);
  const [leaves, tree] = treeFlatten(decoded);
  // Arrays in the options object are not transformed.
  const last = decoded.at(-1);
  const hasOptions = typeof last === "object" && last !== null && Object.getPrototypeOf(last) === Object.prototype;
  const positional = leaves.length - (hasOptions ? treeLeaves(last).length : 0);
  const usable = leaves.flatMap((x, i) =>
    i < positional &&
    isNDArray(x) &&
    x.dtype === "float32" &&
    x.size > 0 &&
    x.size <= 64 &&
    [...x.dataSync()].every((v) => Number.isFinite(Number(v)))
      ? [i]
      : [],
  );
  const f = (floats: readonly NDArray[]): unknown => {
    const filled = [...leaves];
    usable.forEach((i, k) => (filled[i] = floats[k]));
    return call(name, treeUnflatten(tree, filled) as unknown[]);
  };
  return [f, usable.map((i) => leaves[i] as NDArray)];
}

/** Runs a function of arrays as it is, or jitted. */
type Run = <R>(f: (xs: readonly NDArray[]) => R, xs: readonly NDArray[]) => R;
const eagerly: Run = (f, xs) => f(xs);
const jitted: Run = (f, xs) => jit(f)(xs as NDArray[]) as ReturnType<typeof f>;

function gradients(c: NumpyCase, run: Run): readonly NDArray[] {
  const [f, floats] = asFunction(c);
  const results = (xs: readonly NDArray[]): NDArray[] =>
    treeLeaves(f(xs)).flatMap((y) => {
      if (!isNDArray(y)) return [];
      if (isComplex(y.dtype)) return [lax.real(y), lax.imag(y)];
      return isFloat(y.dtype) ? [y] : [];
    });
  return run((xs) => {
    const [outs, pullback] = vjp(results, xs);
    return pullback(outs.map(cotangent) as never)[0] as readonly NDArray[];
  }, floats);
}

function batched(c: NumpyCase, leaf: number, axis: number, run: Run): unknown {
  const [f, floats] = asFunction(c);
  const x = floats[leaf];
  const variants = [x, lax.add(lax.mul(x, 0.5), 0.125), x.ndim > 0 ? lax.rev(x, [0]) : lax.neg(x)];
  const stacked = lax.concatenate(
    variants.map((v) => lax.expandDims(v, [axis])),
    axis,
  );
  return run(([xs]) => vmap((y: NDArray) => f(floats.map((z, k) => (k === leaf ? y : z))), { inAxes: axis })(xs), [stacked]);
}

function failure(what: string, c: NumpyCase, compute: () => unknown, want: Encoded): string[] {
  try {
    // Weak types of derivatives and of batched results are not compared: JAX itself is not consistent there.
    const d = difference(compute(), want, Math.max(c[3] ?? 0, 2e-5), false);
    return d === null ? [] : [`${what} of ${describeCase(c)}: ${d}`];
  } catch (error) {
    return [`${what} of ${describeCase(c)}: ${(error as Error).message.split("\n").slice(0, 3).join(" | ")}`];
  }
}

function check(problems: readonly string[], key: string): void {
  const { count, reason } = deviations[key] ?? { count: 0, reason: "" };
  if (problems.length !== count)
    expect(problems, count === 0 ? key : `${key} deviates in ${count} case, because: ${reason}`).toEqual([]);
}

export interface TransformTestOptions {
  /** Jit the whole derivative, or the whole batched call. */
  readonly jit?: boolean;
}

/** Gradients and batching of every recorded case against JAX, on the default backend. */
export function transformTests(
  cases: readonly NumpyCase[],
  transformed: readonly Transformed[],
  options: TransformTestOptions = {},
): void {
  const run = options.jit === true ? jitted : eagerly;
  const byName = Map.groupBy(transformed, (t) => cases[t.case][0]);

  describe("gradients are JAX's", () => {
    for (const [name, list] of byName) {
      const recorded = list.filter((t) => t.g !== undefined);
      if (recorded.length === 0) continue;
      test(name, () => {
        check(
          recorded.flatMap((t) => failure("gradient", cases[t.case], () => gradients(cases[t.case], run), t.g!)),
          `gradient: ${name}`,
        );
      });
    }
  });

  describe("batching is JAX's", () => {
    for (const [name, list] of byName) {
      const recorded = list.filter((t) => t.m !== undefined);
      if (recorded.length === 0) continue;
      test(name, () => {
        const problems = recorded.flatMap((t) =>
          t.m!.flatMap(([leaf, axis, want]) =>
            failure(`vmap over operand ${leaf}`, cases[t.case], () => batched(cases[t.case], leaf, axis, run), want),
          ),
        );
        check(problems, `vmap: ${name}`);
      });
    }
  });
}
