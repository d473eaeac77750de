import { literalValue } from "./arrays.ts";
import type { Aval } from "./avals.ts";
import { RuleError } from "./errors.ts";
import { type Atom, Jaxpr, Literal, type Var } from "./jaxpr.ts";
import type { NDArray } from "./ndarray.ts";
import { lowerRule, type Params, type Primitive, withinScope } from "./primitive.ts";
import { JaxprTrace } from "./staging.ts";
import { withSource } from "./source.ts";
import { avalKey } from "./structure.ts";
import { withNewTrace } from "./trace.ts";

/** How a library author's primitive is computed: by other operations, under the symbol `lowerRule`. */
export type LowerRule<P = Params> = (args: readonly NDArray[], params: P) => readonly NDArray[];

/** A rule under `lowerRule` that applies to some equations of a primitive only; backends compute the others. */
export interface LowerRuleWhere<P = Params> {
  readonly where: (params: P) => boolean;
  readonly lower: LowerRule<P>;
}

/** The rule by which an equation is replaced, or `undefined` for one that stays. */
export type ReplacementRule = (primitive: Primitive<never>, params: Params) => LowerRule | undefined;

/**
 * Replaces equations by what their rules compute, in inner jaxprs too. Remembers its results, and returns the same jaxpr
 * when there is nothing to replace.
 */
export class JaxprRewriter {
  readonly #ruleOf: ReplacementRule;
  readonly #memo = new WeakMap<Jaxpr, Jaxpr>();

  constructor(ruleOf: ReplacementRule) {
    this.#ruleOf = ruleOf;
  }

  rewrite(jaxpr: Jaxpr): Jaxpr {
    let result = this.#memo.get(jaxpr);
    if (result === undefined) this.#memo.set(jaxpr, (result = this.#applies(jaxpr) ? this.#replace(jaxpr) : jaxpr));
    return result;
  }

  #applies(jaxpr: Jaxpr): boolean {
    return jaxpr.eqns.some(({ primitive, params }) => {
      if (this.#ruleOf(primitive, params) !== undefined) return true;
      return Object.values(params).some((p) => [p].flat().some((x) => x instanceof Jaxpr && this.#applies(x)));
    });
  }

  #params(params: Params): Params {
    const inner = (x: unknown): unknown => (x instanceof Jaxpr ? this.rewrite(x) : Array.isArray(x) ? x.map(inner) : x);
    return Object.fromEntries(Object.entries(params).map(([k, v]) => [k, inner(v)]));
  }

  #replace(jaxpr: Jaxpr): Jaxpr {
    const trace = new JaxprTrace("lower");
    const env = new Map<Var, NDArray>([...jaxpr.constvars, ...jaxpr.invars].map((v) => [v, trace.input(v.aval)]));
    const read = (a: Atom): NDArray => (a instanceof Literal ? literalValue(a) : env.get(a)!);
    const { jaxpr: traced, consts } = withNewTrace(trace, () => {
      for (const { primitive, invars, outvars, params, source } of jaxpr.eqns) {
        const rule = this.#ruleOf(primitive, params);
        const operands = invars.map(read);
        const outs = withSource(source, () =>
          rule === undefined
            ? trace.process(
                primitive,
                operands,
                withinScope(primitive, params, () => this.#params(params)),
              )
            : rule(operands, params),
        );
        if (rule !== undefined) checkResults(primitive.name, outvars, outs);
        outvars.forEach((v, i) => env.set(v, outs[i]));
      }
      return trace.finish(jaxpr.outvars.map(read));
    });
    if (consts.length > 0) {
      throw new RuleError("lower", {
        message: "the rule that replaces a primitive closes over an array",
        fix: "pass the array as an operand of the primitive; scalars may be closed over",
      });
    }
    // A rule may itself use primitives that are replaced.
    return this.rewrite(traced);
  }
}

/** The names of primitives that a backend computes itself although they carry a `lowerRule`. */
export type OwnPrimitives = ReadonlySet<string>;
const none: OwnPrimitives = new Set();
const rewriters = new WeakMap<OwnPrimitives, JaxprRewriter>();

/**
 * Replaces the equations of primitives that carry a `lowerRule` by what the rule computes, in inner jaxprs too, so that
 * backends see the primitives of lax only, and those of `own`.
 */
export function expandLowerRules(jaxpr: Jaxpr, own: OwnPrimitives = none): Jaxpr {
  let rewriter = rewriters.get(own);
  if (rewriter === undefined) {
    rewriter = new JaxprRewriter(({ name, rules }, params) => {
      if (own.has(name)) return undefined;
      const rule = rules[lowerRule] as LowerRule | LowerRuleWhere | undefined;
      if (typeof rule !== "object") return rule;
      return rule.where(params) ? rule.lower : undefined;
    });
    rewriters.set(own, rewriter);
  }
  return rewriter.rewrite(jaxpr);
}

/** A rule must give what shape inference promised: everything after it was built on that. */
function checkResults(name: string, outvars: readonly Var[], outs: readonly NDArray[]): void {
  if (outs.length === outvars.length && outs.every((x, i) => avalKey(x.aval) === avalKey(outvars[i].aval))) return;
  const list = (xs: readonly { readonly aval: Aval }[]): string => xs.map((x) => String(x.aval)).join(", ");
  throw new RuleError("lower", {
    message: `the lower rule of "${name}" gives (${list(outs)}), but its abstractEval promises (${list(outvars)})`,
    fix: "make the two agree in shape and dtype",
  });
}
