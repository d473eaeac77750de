import { dtypeName } from "./dtypes.ts";
import { sameShape } from "./avals.ts";
import { innerJaxprs } from "./innerjaxprs.ts";
import { type Atom, type Jaxpr, Var } from "./jaxpr.ts";
import { withinScope } from "./primitive.ts";
import { abstractEval } from "./staging.ts";

/**
 * Checks that a jaxpr is well formed: variables are bound once and before use, every equation's results have the
 * avals its primitive infers, effects are accounted for, and inner jaxprs are well formed and have no constvars.
 *
 * @throws {Error} naming the first equation that is wrong
 */
export function checkJaxpr(jaxpr: Jaxpr): void {
  const bound = new Set<Var>();
  const bindVar = (v: Var, where: string): void => {
    if (bound.has(v)) throw new Error(`checkJaxpr: a variable of ${where} is bound twice`);
    bound.add(v);
  };
  const use = (a: Atom, where: string): void => {
    if (a instanceof Var && !bound.has(a)) throw new Error(`checkJaxpr: ${where} uses an unbound variable ${a.aval}`);
  };
  jaxpr.constvars.forEach((v) => bindVar(v, "the constvars"));
  jaxpr.invars.forEach((v) => bindVar(v, "the invars"));
  jaxpr.eqns.forEach((eqn, i) => {
    const where = `equation ${i} (${eqn.primitive.name})`;
    eqn.invars.forEach((a) => use(a, where));
    for (const inner of innerJaxprs(eqn.params)) {
      if (inner.constvars.length > 0) throw new Error(`checkJaxpr: ${where} holds a jaxpr with constvars`);
      withinScope(eqn.primitive, eqn.params, () => checkJaxpr(inner));
    }
    const { avals, effects } = abstractEval(
      eqn.primitive,
      eqn.invars.map((a) => a.aval),
      eqn.params,
    );
    if (avals.length !== eqn.outvars.length) {
      throw new Error(`checkJaxpr: ${where} has ${eqn.outvars.length} results, its primitive gives ${avals.length}`);
    }
    avals.forEach((aval, k) => {
      const have = eqn.outvars[k].aval;
      if (have.dtype !== aval.dtype || !sameShape(have.shape, aval.shape)) {
        throw new Error(`checkJaxpr: result ${k} of ${where} is ${have}, its primitive gives ${aval}`);
      }
      if (typeof aval.dtype !== "string" && aval.dtype !== have.dtype) throw new Error(`checkJaxpr: ${dtypeName(aval.dtype)}`);
    });
    for (const effect of effects ?? []) {
      if (!jaxpr.effects.has(effect)) throw new Error(`checkJaxpr: the effect ${effect.name} of ${where} is not in the jaxpr's`);
    }
    eqn.outvars.forEach((v) => bindVar(v, where));
  });
  jaxpr.outvars.forEach((a) => use(a, "the result"));
}
