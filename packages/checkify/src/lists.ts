import { type Aval, Jaxpr, Var } from "@traceform/core";

/** Cuts a list into pieces of the given lengths; what is left over comes last. */
export function splitList<T>(xs: readonly T[], ...lengths: readonly number[]): T[][] {
  let from = 0;
  const pieces = lengths.map((n) => xs.slice(from, (from += n)));
  pieces.push(xs.slice(from));
  return pieces;
}

const memo = new WeakMap<Jaxpr, Map<string, Jaxpr>>();

/** (state, consts, rest) as (consts, state, rest): loops take their constants first. */
export function reordered(jaxpr: Jaxpr, state: number, consts: number): Jaxpr {
  const key = `${state},${consts}`;
  let byKey = memo.get(jaxpr);
  if (byKey === undefined) memo.set(jaxpr, (byKey = new Map()));
  let result = byKey.get(key);
  if (result === undefined) {
    const [s, c, rest] = splitList(jaxpr.invars, state, consts);
    byKey.set(key, (result = new Jaxpr([], [...c, ...s, ...rest], jaxpr.eqns, jaxpr.outvars, jaxpr.effects)));
  }
  return result;
}

/** (consts, carry) as (consts, state, carry), for a condition that looks at the carry only. */
export function withCarries(jaxpr: Jaxpr, consts: number, state: readonly Aval[]): Jaxpr {
  const [c, carry] = splitList(jaxpr.invars, consts);
  return new Jaxpr([], [...c, ...state.map((a) => new Var(a)), ...carry], jaxpr.eqns, jaxpr.outvars, jaxpr.effects);
}
