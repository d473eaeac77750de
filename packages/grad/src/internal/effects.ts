import { abstractEval, type Effect, type Eqn, innerJaxprs, Jaxpr, Literal, TransformError, type Var } from "@traceform/core";

const stripped = new WeakMap<Jaxpr, Jaxpr>();

/** A jaxpr without the equations, inner ones too, that only show or check what happens. */
function withoutDebugging(jaxpr: Jaxpr): Jaxpr {
  if (jaxpr.effects.size === 0) return jaxpr;
  let result = stripped.get(jaxpr);
  if (result === undefined) {
    const eqns = jaxpr.eqns.filter((eqn) => !onlyShows(eqn)).map(stripEqn);
    stripped.set(jaxpr, (result = new Jaxpr(jaxpr.constvars, jaxpr.invars, eqns, jaxpr.outvars)));
  }
  return result;
}

function mayGo({ mayRepeat, idempotent }: Effect): boolean {
  return mayRepeat === true || idempotent === true;
}

/** Leaving it out where it has happened changes nothing. */
function onlyShows({ outvars, effects }: Eqn): boolean {
  return outvars.length === 0 && effects.size > 0 && [...effects].every(mayGo);
}

function stripEqn(eqn: Eqn): Eqn {
  if (eqn.effects.size === 0 || innerJaxprs(eqn.params).length === 0) return eqn;
  const inner = (x: unknown): unknown => (x instanceof Jaxpr ? withoutDebugging(x) : Array.isArray(x) ? x.map(inner) : x);
  const params = Object.fromEntries(Object.entries(eqn.params).map(([name, value]) => [name, inner(value)]));
  const { effects = [] } = abstractEval(
    eqn.primitive,
    eqn.invars.map((a) => a.aval),
    params,
  );
  return { ...eqn, params, effects: new Set(effects) };
}

/**
 * A jaxpr that is to run again, without the effects on known values, which have happened. Those that show what happens are left
 * out.
 *
 * @throws {TransformError} for other effects inside, which would happen twice
 */
export function withoutKnownEffects(jaxpr: Jaxpr, unknowns: readonly boolean[], fn: string): Jaxpr {
  if (jaxpr.effects.size === 0) return jaxpr;
  const known = new Set<Var>(jaxpr.invars.filter((_, i) => !unknowns[i]));
  const eqns = jaxpr.eqns.flatMap((eqn) => {
    const isKnown = eqn.invars.every((a) => a instanceof Literal || known.has(a));
    if (isKnown) eqn.outvars.forEach((v) => known.add(v));
    if (isKnown && onlyShows(eqn)) return [];
    const rest = stripEqn(eqn);
    const again = isKnown || innerJaxprs(eqn.params).length > 0 ? [...rest.effects].find((e) => !mayGo(e)) : undefined;
    if (again === undefined) return [rest];
    throw new TransformError(fn, {
      message: `differentiation computes this again, which would repeat the effect ${again.name} inside`,
      fix: "move the effect out of it, or give the function around it a derivative with customJvp or customVjp",
    });
  });
  return new Jaxpr(jaxpr.constvars, jaxpr.invars, eqns, jaxpr.outvars);
}
