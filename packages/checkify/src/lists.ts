import { type Aval, Jaxpr, JaxprMemo, type NDArray, splitList, Var } from "@traceform/core";

export function present(xs: readonly (NDArray | null)[]): NDArray[] {
  return xs.filter((x) => x !== null);
}
/** Puts arrays in the places of those in `like`; `null` stays. */
export function restore(like: readonly (NDArray | null)[], xs: readonly NDArray[]): (NDArray | null)[] {
  let k = 0;
  return like.map((x) => (x === null ? null : xs[k++]));
}

const memo = new JaxprMemo<Jaxpr>();

/** (state, consts, rest) as (consts, state, rest): loops take their constants first. */
export function reordered(jaxpr: Jaxpr, state: number, consts: number): Jaxpr {
  return memo.get(jaxpr, `${state},${consts}`, () => {
    const [s, c, rest] = splitList(jaxpr.invars, state, consts);
    return new Jaxpr([], [...c, ...s, ...rest], jaxpr.eqns, jaxpr.outvars, jaxpr.effects);
  });
}

/** A jaxpr whose first `state` results come last. */
export function stateLast(jaxpr: Jaxpr, state: number): Jaxpr {
  return memo.get(jaxpr, `last ${state}`, () => {
    const [s, rest] = splitList(jaxpr.outvars, state);
    return new Jaxpr([], jaxpr.invars, jaxpr.eqns, [...rest, ...s], jaxpr.effects);
  });
}

/** (consts, carry) as (consts, state, carry), for a condition that looks at the carry only. */
export function withCarries(jaxpr: Jaxpr, consts: number, state: readonly Aval[]): Jaxpr {
  const [c, carry] = splitList(jaxpr.invars, consts);
  return new Jaxpr([], [...c, ...state.map((a) => new Var(a)), ...carry], jaxpr.eqns, jaxpr.outvars, jaxpr.effects);
}
