import { literalValue } from "./arrays.ts";
import { RuleError } from "./errors.ts";
import { type Atom, Jaxpr, Literal, type Var } from "./jaxpr.ts";
import type { NDArray } from "./ndarray.ts";
import { lowerRule, type Params } from "./primitive.ts";
import { JaxprTrace } from "./staging.ts";
import { withNewTrace } from "./trace.ts";

/** How a library author's primitive is computed: by other operations, under the symbol `lowerRule`. */
export type LowerRule<P = Params> = (args: readonly NDArray[], params: P) => readonly NDArray[];

const memo = new WeakMap<Jaxpr, Jaxpr>();

/**
 * Replaces the equations of primitives that carry a `lowerRule` by what the rule computes, in inner jaxprs too, so that
 * backends see the primitives of lax only. Returns the same jaxpr when there is nothing to replace.
 */
export function expandLowerRules(jaxpr: Jaxpr): Jaxpr {
  let expanded = memo.get(jaxpr);
  if (expanded === undefined) {
    expanded = needsExpansion(jaxpr) ? expand(jaxpr) : jaxpr;
    memo.set(jaxpr, expanded);
  }
  return expanded;
}

function needsExpansion(jaxpr: Jaxpr): boolean {
  return jaxpr.eqns.some(({ primitive, params }) => {
    if (primitive.rules[lowerRule] !== undefined) return true;
    return Object.values(params).some((p) => [p].flat().some((x) => x instanceof Jaxpr && needsExpansion(x)));
  });
}

function expandParams(params: Params): Params {
  const inner = (x: unknown): unknown => (x instanceof Jaxpr ? expandLowerRules(x) : Array.isArray(x) ? x.map(inner) : x);
  return Object.fromEntries(Object.entries(params).map(([k, v]) => [k, inner(v)]));
}

function expand(jaxpr: Jaxpr): Jaxpr {
  const trace = new JaxprTrace("lower");
  const env = new Map<Var, NDArray>([...jaxpr.constvars, ...jaxpr.invars].map((v) => [v, trace.input(v.aval)]));
  const read = (a: Atom): NDArray => (a instanceof Literal ? literalValue(a) : env.get(a)!);
  const { jaxpr: traced, consts } = withNewTrace(trace, () => {
    for (const { primitive, invars, outvars, params } of jaxpr.eqns) {
      const rule = primitive.rules[lowerRule] as LowerRule | undefined;
      const operands = invars.map(read);
      const outs = rule === undefined ? trace.process(primitive, operands, expandParams(params)) : rule(operands, params);
      outvars.forEach((v, i) => env.set(v, outs[i]));
    }
    return trace.finish(jaxpr.outvars.map(read));
  });
  if (consts.length > 0) {
    throw new RuleError("lower", {
      message: "the lower rule of a primitive closes over an array",
      fix: "pass the array as an operand of the primitive; scalars may be closed over",
    });
  }
  // A rule may itself use primitives with lower rules.
  return expandLowerRules(traced);
}
