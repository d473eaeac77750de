import { asArray, type Atom, type Eqn, literalValue, Literal, type NDArray, RuleError, Var } from "@traceform/core";
import { makeJaxpr } from "@traceform/jit";
import { add, atanh, div, exp, log, mul, neg, sub, tanh } from "@traceform/lax";

/** From the result of an operation, and its other operand if it has one, the operand at `unknown`. */
type InverseRule = (y: NDArray, other: NDArray, unknown: number) => NDArray;

/** The table is data: whoever needs more passes a larger one. */
export const inverseRules: Readonly<Record<string, InverseRule>> = {
  exp: (y) => log(y),
  log: (y) => exp(y),
  tanh: (y) => atanh(y),
  atanh: (y) => tanh(y),
  neg: (y) => neg(y),
  add: (y, other) => sub(y, other),
  sub: (y, other, unknown) => (unknown === 0 ? add(y, other) : sub(other, y)),
  mul: (y, other) => div(y, other),
  div: (y, other, unknown) => (unknown === 0 ? mul(y, other) : div(other, y)),
};

/**
 * The inverse of a function of one array, by running its jaxpr backwards. The result is made of ordinary operations, so it
 * can be jitted, vectorised and differentiated.
 */
export function inverse(f: (x: NDArray) => NDArray, rules = inverseRules): (y: NDArray) => NDArray {
  return (y) => {
    const { jaxpr, consts } = makeJaxpr(f)(y);
    const known = new Map<Var, NDArray>(jaxpr.constvars.map((v, i) => [v, consts[i]]));
    const read = (a: Atom): NDArray | undefined => (a instanceof Literal ? literalValue(a) : known.get(a));
    known.set(jaxpr.outvars[0] as Var, asArray(y));
    for (const eqn of jaxpr.eqns.toReversed()) {
      const at = eqn.invars.findIndex((a) => read(a) === undefined);
      known.set(eqn.invars[at] as Var, invert(eqn, at, read, rules));
    }
    return read(jaxpr.invars[0])!;
  };
}

function invert(
  eqn: Eqn,
  at: number,
  read: (a: Atom) => NDArray | undefined,
  rules: Readonly<Record<string, InverseRule>>,
): NDArray {
  const rule = rules[eqn.primitive.name];
  const y = read(eqn.outvars[0]);
  const others = eqn.invars.filter((_, i) => i !== at).map(read);
  if (rule === undefined || y === undefined || others.includes(undefined)) {
    throw new RuleError("inverse", {
      message: `cannot solve ${eqn.primitive.name} for one operand`,
      fix: "add a rule to inverseRules, and use the argument of the function once",
    });
  }
  return rule(y, others[0]!, at);
}
