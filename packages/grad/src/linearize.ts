import { currentTrace, invariant, type Jaxpr, type NDArray, type Ownership, withNewTrace } from "@traceform/core";
import { hasTangent } from "./internal/zeros.ts";
import { JVPTrace } from "./jvp.ts";
import { PartialEvalTrace } from "./partialEval.ts";

/** A function's results at a point, and its derivative there as a linear program. */
export interface Linearized {
  readonly outs: NDArray[];
  /** tangents of the inputs that `nonzeroIn` marks -> tangents of the results that `nonzeroOut` marks. */
  readonly jaxpr: Jaxpr;
  /** The values that the derivative needs: the constants of the jaxpr. */
  readonly residuals: NDArray[];
  readonly nonzeroIn: readonly boolean[];
  readonly nonzeroOut: readonly boolean[];
}

/**
 * Evaluates `fn` and records its derivative at once: forward-mode differentiation whose tangents are unknown, over
 * partial evaluation. What depends on primals alone is computed now; what is linear in the tangents is recorded.
 * `fn` also gets a function that strips tangents, for auxiliary results.
 *
 * @see Radul, Paszke, Frostig, Johnson & Maclaurin (2023), "You only linearize once"
 */
export function linearizeFlat(
  name: string,
  fn: (inputs: NDArray[], primalOf: (x: NDArray) => NDArray) => readonly NDArray[],
  primals: readonly NDArray[],
  ownership: Ownership | null = null,
): Linearized {
  const later = new PartialEvalTrace(name, ownership?.trace ?? currentTrace());
  const jvp = new JVPTrace(name, later, ownership);
  const nonzeroIn = primals.map((x) => hasTangent(x.aval));
  const inputs = primals.map((x, i) => jvp.wrap(x, nonzeroIn[i] ? later.input(x.aval) : null));
  return withNewTrace(later, () => {
    const results = withNewTrace(jvp, () => fn(inputs, (x) => jvp.primalOf(x)));
    const outs = results.map((x) => jvp.primalOf(x));
    for (const x of outs) {
      invariant(!later.owns(x), `a result of ${name} depends on a tangent that is not known yet`);
    }
    const tangents = results.map((x) => jvp.tangentOf(x));
    const nonzeroOut = tangents.map((t) => t !== null);
    const { jaxpr, residuals } = later.finish(tangents.filter((t) => t !== null));
    return { outs, jaxpr, residuals, nonzeroIn, nonzeroOut };
  });
}
