import { type Aval, Jaxpr, type NDArray, Var } from "@traceform/core";

/** Cuts a list into pieces of the given lengths; what is left over comes last. */
export function splitList<T>(xs: readonly T[], ...lengths: readonly number[]): T[][] {
  let from = 0;
  const pieces = lengths.map((n) => xs.slice(from, (from += n)));
  pieces.push(xs.slice(from));
  return pieces;
}

export function present(xs: readonly (NDArray | null)[]): NDArray[] {
  return xs.filter((x) => x !== null);
}
/** Puts arrays in the places of those in `like`; `null` stays. */
export function restore(like: readonly (NDArray | null)[], xs: readonly NDArray[]): (NDArray | null)[] {
  let k = 0;
  return like.map((x) => (x === null ? null : xs[k++]));
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

const last = new WeakMap<Jaxpr, Map<number, Jaxpr>>();

/** A jaxpr whose first `state` results come last. */
export function stateLast(jaxpr: Jaxpr, state: number): Jaxpr {
  let bySize = last.get(jaxpr);
  if (bySize === undefined) last.set(jaxpr, (bySize = new Map()));
  let result = bySize.get(state);
  if (result === undefined) {
    const [s, rest] = splitList(jaxpr.outvars, state);
    bySize.set(state, (result = new Jaxpr([], jaxpr.invars, jaxpr.eqns, [...rest, ...s], jaxpr.effects)));
  }
  return result;
}

/** (consts, carry) as (consts, state, carry), for a condition that looks at the carry only. */
export function withCarries(jaxpr: Jaxpr, consts: number, state: readonly Aval[]): Jaxpr {
  const [c, carry] = splitList(jaxpr.invars, consts);
  return new Jaxpr([], [...c, ...state.map((a) => new Var(a)), ...carry], jaxpr.eqns, jaxpr.outvars, jaxpr.effects);
}
