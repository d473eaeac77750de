import { literalValue } from "./arrays.ts";
import { bind } from "./bind.ts";
import type { ClosedJaxpr } from "./closed.ts";
import { invariant } from "./errors.ts";
import { type Atom, type Jaxpr, Literal, type Var } from "./jaxpr.ts";
import type { NDArray } from "./ndarray.ts";
import { inheritSource } from "./source.ts";

/** Interprets a jaxpr: binds its equations one after the other under the current trace. */
export function evalJaxpr(jaxpr: Jaxpr, consts: readonly NDArray[], args: readonly NDArray[]): NDArray[] {
  invariant(consts.length === jaxpr.constvars.length, `${jaxpr.constvars.length} consts expected, ${consts.length} given`);
  invariant(args.length === jaxpr.invars.length, `${jaxpr.invars.length} arguments expected, ${args.length} given`);
  const env = new Map<Var, NDArray>();
  const read = (a: Atom): NDArray => (a instanceof Literal ? literalValue(a) : env.get(a)!);
  jaxpr.constvars.forEach((v, i) => env.set(v, consts[i]));
  jaxpr.invars.forEach((v, i) => env.set(v, args[i]));
  const before = inheritSource(null);
  try {
    for (const eqn of jaxpr.eqns) {
      inheritSource(eqn.source ?? before);
      const outs = bind(eqn.primitive, eqn.invars.map(read), eqn.params as never);
      eqn.outvars.forEach((v, i) => env.set(v, outs[i]));
    }
  } finally {
    inheritSource(before);
  }
  return jaxpr.outvars.map(read);
}

export function evalClosedJaxpr({ jaxpr, consts }: ClosedJaxpr, args: readonly NDArray[]): NDArray[] {
  return evalJaxpr(jaxpr, consts, args);
}
