/** Taylor mode: derivatives of high order without derivatives of derivatives. */
import { type Inputs, type NDArray, TransformError, treeUnflatten } from "@traceform/core";
import { matchTangents } from "./internal/check.ts";
import { flatten, flattenArrays, nameOf } from "./internal/trees.ts";
import { instantiate } from "./internal/zeros.ts";
import { over, type Series, times } from "./jet/series.ts";
import { runJet } from "./jet/trace.ts";

export { type JetContext, type JetJaxpr, type JetRule, jetRule } from "./jet/rule.ts";
export { jetRules } from "./jet/rules/index.ts";
export type { Series } from "./jet/series.ts";
export { JetTrace, JetTracer } from "./jet/trace.ts";

export interface JetOptions {
  /**
   * Terms are derivatives of the path with respect to t (the default), or coefficients of its power series, which are the
   * derivatives divided by the factorials of their orders.
   */
  readonly factorialScaled?: boolean;
}

/**
 * The truncated Taylor series of `f` along a path: given values `x` and the derivatives `x', x'', …` of a path through them
 * (`series[i]` lists those of argument i), `f(x)` and the derivatives of `f` along the path. K terms cost about K² times `f`;
 * K nested `jvp`s cost 2ᴷ. For `series` `[1, 0, 0, …]` the results are the ordinary derivatives of a function of a scalar.
 *
 * Arguments and results are pytrees, and each term is one like its argument (`null` is zero). Derivative rules of `customJvp`
 * and `customVjp` functions are not used, because they are rules of first order.
 *
 * @throws {TransformError} unless every argument has the same number of terms; {TreeError}, {ShapeError}, {DTypeError} for terms
 * unlike their arguments
 * @see Griewank & Walther (2008), "Evaluating Derivatives", chapter 13; Bettencourt, Johnson & Duvenaud (2019), "Taylor-mode
 * automatic differentiation for higher-order derivatives in JAX"
 * @example
 * ```ts
 * import { jet } from "@traceform/grad/jet";
 *
 * const [y, [d1, d2]] = jet((x: NDArray) => sin(x), [0.5], [[1, 0]]);
 * d2.itemSync(); // => -0.47942555
 * ```
 */
export function jet<A extends unknown[], R>(
  f: (...args: A) => R,
  primals: Inputs<A>,
  series: { readonly [K in keyof A]: readonly unknown[] },
  options: JetOptions = {},
): [out: R, terms: R[]] {
  const name = nameOf("jet", f);
  const { factorialScaled = true } = options;
  const given = primals as readonly unknown[];
  const lists = series as readonly (readonly unknown[])[];
  const order = lists[0]?.length ?? 0;
  if (lists.length !== given.length || lists.some((terms) => terms.length !== order)) {
    throw new TransformError(name, {
      message: `the series must list as many terms for each of ${given.length} arguments, but they list ${lists.map((t) => t.length).join(", ")}`,
      fix: "give [dx, ddx, …] for each argument, with null for terms that are zero",
    });
  }
  const [values, inTree] = flattenArrays(name, [...given]);
  const factorials = Array.from({ length: order + 1 }, () => 1);
  for (let k = 1; k <= order; k++) factorials[k] = factorialScaled ? factorials[k - 1] * k : 1;
  const terms = Array.from({ length: order }, (_, k) =>
    matchTangents(
      name,
      "term",
      inTree,
      lists.map((list, i) => list[k] ?? nulls(given[i])),
      values,
    ).map((t) => over(t, factorials[k + 1])),
  );
  const flat = flatten(name, f as (...args: never[]) => unknown, inTree);
  const outs = runJet(
    name,
    flat,
    values.map((x, i): Series => [x, ...terms.map((list) => list[i])]),
    order,
  );
  const tree = flat.outTree!;
  const termsOut = Array.from({ length: order }, (_, k) =>
    treeUnflatten(
      tree,
      outs.map((s): NDArray => instantiate(times(s[k + 1], factorials[k + 1]), s[0]!.aval)),
    ),
  );
  return [
    treeUnflatten(
      tree,
      outs.map((s) => s[0]!),
    ) as R,
    termsOut as R[],
  ];
}

/** A term of zeros. */
function nulls(primal: unknown): unknown {
  const [leaves, tree] = flattenArrays("jet", primal);
  return treeUnflatten(
    tree,
    leaves.map(() => null),
  );
}
