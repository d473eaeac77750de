import { literalValue } from "./arrays.ts";
import { RuleError } from "./errors.ts";
import { type Atom, Jaxpr, Literal, type Var } from "./jaxpr.ts";
import type { NDArray } from "./ndarray.ts";
import { lowerRule, type Params, type Primitive } from "./primitive.ts";
import { JaxprTrace } from "./staging.ts";
import { withSource } from "./source.ts";
import { withNewTrace } from "./trace.ts";

/** How a library author's primitive is computed: by other operations, under the symbol `lowerRule`. */
export type LowerRule<P = Params> = (args: readonly NDArray[], params: P) => readonly NDArray[];

/** The names of primitives that a backend computes itself although they carry a `lowerRule`. */
export type OwnPrimitives = ReadonlySet<string>;
const none: OwnPrimitives = new Set();
const memos = new WeakMap<OwnPrimitives, WeakMap<Jaxpr, Jaxpr>>();

/**
 * Replaces the equations of primitives that carry a `lowerRule` by what the rule computes, in inner jaxprs too, so that
 * backends see the primitives of lax only, and those of `own`. Returns the same jaxpr when there is nothing to replace.
 */
export function expandLowerRules(jaxpr: Jaxpr, own: OwnPrimitives = none): Jaxpr {
  let memo = memos.get(own);
  if (memo === undefined) memos.set(own, (memo = new WeakMap()));
  let expanded = memo.get(jaxpr);
  if (expanded === undefined) {
    expanded = needsExpansion(jaxpr, own) ? expand(jaxpr, own) : jaxpr;
    memo.set(jaxpr, expanded);
  }
  return expanded;
}

function ruleOf(primitive: Primitive<never>, own: OwnPrimitives): LowerRule | undefined {
  return own.has(primitive.name) ? undefined : (primitive.rules[lowerRule] as LowerRule | undefined);
}

function needsExpansion(jaxpr: Jaxpr, own: OwnPrimitives): boolean {
  return jaxpr.eqns.some(({ primitive, params }) => {
    if (ruleOf(primitive, own) !== undefined) return true;
    return Object.values(params).some((p) => [p].flat().some((x) => x instanceof Jaxpr && needsExpansion(x, own)));
  });
}

function expandParams(params: Params, own: OwnPrimitives): Params {
  const inner = (x: unknown): unknown => (x instanceof Jaxpr ? expandLowerRules(x, own) : Array.isArray(x) ? x.map(inner) : x);
  return Object.fromEntries(Object.entries(params).map(([k, v]) => [k, inner(v)]));
}

function expand(jaxpr: Jaxpr, own: OwnPrimitives): Jaxpr {
  const trace = new JaxprTrace("lower");
  const env = new Map<Var, NDArray>([...jaxpr.constvars, ...jaxpr.invars].map((v) => [v, trace.input(v.aval)]));
  const read = (a: Atom): NDArray => (a instanceof Literal ? literalValue(a) : env.get(a)!);
  const { jaxpr: traced, consts } = withNewTrace(trace, () => {
    for (const { primitive, invars, outvars, params, source } of jaxpr.eqns) {
      const rule = ruleOf(primitive, own);
      const operands = invars.map(read);
      const outs = withSource(source, () =>
        rule === undefined ? trace.process(primitive, operands, expandParams(params, own)) : rule(operands, params),
      );
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
  return expandLowerRules(traced, own);
}
