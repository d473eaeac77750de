import { type Atom, type Aval, Jaxpr, JaxprMemo, Literal, type Params, updateAval, Var } from "@traceform/core";

const memo = new JaxprMemo<Jaxpr>();

/**
 * The same program with types that say nothing of some axes of a mesh, inner jaxprs included: once devices are a batch, values do not
 * vary along them.
 */
export function forgetVarying(jaxpr: Jaxpr, axes: readonly string[]): Jaxpr {
  return memo.get(jaxpr, axes.join(), () => {
    const vars = new Map<Var, Var>();
    const forget = (aval: Aval): Aval => updateAval(aval, { varying: aval.varying.filter((a) => !axes.includes(a)) });
    const atom = (a: Atom): Atom => {
      if (a instanceof Literal) return new Literal(a.value, forget(a.aval));
      let v = vars.get(a);
      if (v === undefined) vars.set(a, (v = new Var(forget(a.aval))));
      return v;
    };
    const variable = (v: Var): Var => atom(v) as Var;
    const param = (x: unknown): unknown =>
      x instanceof Jaxpr ? forgetVarying(x, axes) : Array.isArray(x) && x.some((y) => y instanceof Jaxpr) ? x.map(param) : x;
    const eqns = jaxpr.eqns.map((e) => ({
      ...e,
      invars: e.invars.map(atom),
      outvars: e.outvars.map(variable),
      params: Object.fromEntries(Object.entries(e.params).map(([k, x]) => [k, param(x)])) as Params,
    }));
    return new Jaxpr(jaxpr.constvars.map(variable), jaxpr.invars.map(variable), eqns, jaxpr.outvars.map(atom), jaxpr.effects);
  });
}
