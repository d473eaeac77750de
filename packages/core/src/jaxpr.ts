import type { Aval } from "./avals.ts";
import { type Effects, joinEffects } from "./effects.ts";
import type { Params, Primitive } from "./primitive.ts";
import type { SourceLocation } from "./source.ts";

/** A variable of a jaxpr. Its identity is its name; letters are given when it is printed. */
export class Var {
  readonly aval: Aval;
  constructor(aval: Aval) {
    this.aval = aval;
  }
}

/** A scalar constant inside a jaxpr. Integers of 64 bits are bigints, the rest numbers or booleans. */
export class Literal {
  readonly value: number | bigint | boolean;
  readonly aval: Aval;
  constructor(value: number | bigint | boolean, aval: Aval) {
    this.value = value;
    this.aval = aval;
  }
}

export type Atom = Var | Literal;

/** One application of a primitive. A `null` outvar is a result that nobody reads. */
export interface Eqn {
  readonly primitive: Primitive<never>;
  readonly invars: readonly Atom[];
  readonly outvars: readonly Var[];
  readonly params: Params;
  readonly effects: Effects;
  readonly source: SourceLocation | null;
}

/**
 * A traced function: `lambda constvars ; invars. let eqns in outvars`. Every variable is bound exactly once,
 * before it is used. Jaxprs inside the parameters of an equation have no constvars: what they close over is an
 * operand of the equation.
 */
export class Jaxpr {
  readonly constvars: readonly Var[];
  readonly invars: readonly Var[];
  readonly eqns: readonly Eqn[];
  readonly outvars: readonly Atom[];
  readonly effects: Effects;

  constructor(
    constvars: readonly Var[],
    invars: readonly Var[],
    eqns: readonly Eqn[],
    outvars: readonly Atom[],
    effects: Effects = joinEffects(eqns.map((e) => e.effects)),
  ) {
    this.constvars = constvars;
    this.invars = invars;
    this.eqns = eqns;
    this.outvars = outvars;
    this.effects = effects;
  }

  get inAvals(): Aval[] {
    return this.invars.map((v) => v.aval);
  }
  get outAvals(): Aval[] {
    return this.outvars.map((v) => v.aval);
  }
}

/** Replaces the constvars by leading invars, so that the constants can be passed as operands. */
export function constvarsToInvars(jaxpr: Jaxpr): Jaxpr {
  if (jaxpr.constvars.length === 0) return jaxpr;
  return new Jaxpr([], [...jaxpr.constvars, ...jaxpr.invars], jaxpr.eqns, jaxpr.outvars, jaxpr.effects);
}
