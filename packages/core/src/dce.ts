import { invariant } from "./errors.ts";
import { type Atom, type Eqn, Jaxpr, Var } from "./jaxpr.ts";
import { dceRule } from "./primitive.ts";

/**
 * Dead-code elimination of one equation that holds jaxprs: which results are used comes in; the smaller equation
 * (or `null`) and which of its operands are still needed go out.
 */
export type DceRule = (usedOutputs: readonly boolean[], eqn: Eqn) => { readonly eqn: Eqn; readonly usedInputs: readonly boolean[] };

export interface DceResult {
  readonly jaxpr: Jaxpr;
  readonly usedInputs: readonly boolean[];
}

/**
 * Removes the equations that no used output depends on. Equations with effects stay. Inputs that are not used are
 * removed from the result, except those that `keep` marks.
 */
export function dceJaxpr(jaxpr: Jaxpr, usedOutputs: readonly boolean[], keep?: readonly boolean[]): DceResult {
  invariant(jaxpr.constvars.length === 0, "dceJaxpr takes jaxprs without constvars");
  const live = new Set<Var>();
  const use = (a: Atom): void => {
    if (a instanceof Var) live.add(a);
  };
  const outvars = jaxpr.outvars.filter((_, i) => usedOutputs[i]);
  outvars.forEach(use);
  const eqns: Eqn[] = [];
  for (let i = jaxpr.eqns.length - 1; i >= 0; i--) {
    const eqn = jaxpr.eqns[i];
    const used = eqn.outvars.map((v) => live.has(v));
    if (eqn.effects.size === 0 && !used.includes(true)) continue;
    const rule = eqn.primitive.rules[dceRule] as DceRule | undefined;
    const kept = rule === undefined || !used.includes(false) ? eqn : rule(used, eqn).eqn;
    eqns.push(kept);
    kept.invars.forEach(use);
  }
  eqns.reverse();
  const usedInputs = jaxpr.invars.map((v, i) => live.has(v) || (keep?.[i] ?? false));
  const invars = jaxpr.invars.filter((_, i) => usedInputs[i]);
  return { jaxpr: new Jaxpr([], invars, eqns, outvars), usedInputs };
}
