import { type Eqn, innerJaxprs, type Jaxpr } from "@traceform/core";
import { makeJaxpr, type Structs } from "@traceform/jit";
import type { DotDimensionNumbers } from "@traceform/lax";

/** Operations that move data and compute nothing. */
const free = new Set([
  "broadcast_in_dim",
  "reshape",
  "transpose",
  "squeeze",
  "slice",
  "concatenate",
  "rev",
  "copy",
  "iota",
  "gather",
  "pad",
]);

/** How often the inner jaxprs of an equation run in one run of it; 1 for what only a run would tell. */
const repeats = ({ primitive, params }: Eqn): number => (primitive.name === "scan" ? Number(params["length"]) : 1);

function eqnFlops(eqn: Eqn): number {
  const { primitive, invars, outvars, params } = eqn;
  const inner = innerJaxprs(params).map(jaxprFlops);
  // Of the branches of a cond one runs: count the longest.
  if (primitive.name === "cond") return Math.max(...inner);
  if (inner.length > 0) return repeats(eqn) * inner.reduce((a, b) => a + b, 0);
  if (free.has(primitive.name)) return 0;
  if (primitive.name === "dot_general") {
    const { lhsContract } = params["dimensionNumbers"] as DotDimensionNumbers;
    return 2 * outvars[0].aval.size * lhsContract.reduce((n, axis) => n * invars[0].aval.shape[axis], 1);
  }
  const results = outvars.reduce((n, v) => n + v.aval.size, 0);
  return primitive.name.startsWith("reduce_") ? invars[0].aval.size - results : results;
}

function jaxprFlops(jaxpr: Jaxpr): number {
  return jaxpr.eqns.reduce((n, eqn) => n + eqnFlops(eqn), 0);
}

/** How many operations one call of `f` takes, as a function of its arguments (or of `ShapeDtypeStruct`s); nothing is computed. */
export function countFlops<A extends readonly unknown[]>(f: (...args: A) => unknown): (...args: Structs<A>) => number {
  const trace = makeJaxpr(f);
  return (...args) => jaxprFlops(trace(...args).jaxpr);
}
