import { type Atom, type Jaxpr, Literal, type Sharding, shardingRule, type ShardingRule } from "@traceform/core";

/** How the results of a program are laid out when its operands are laid out as given. */
export function propagateShardings(jaxpr: Jaxpr, operands: readonly (Sharding | null)[]): (Sharding | null)[] {
  const env = new Map<Atom, Sharding | null>(jaxpr.invars.map((v, i) => [v, operands[i]]));
  const read = (a: Atom): Sharding | null => (a instanceof Literal ? null : (env.get(a) ?? null));
  for (const { primitive, params, invars, outvars } of jaxpr.eqns) {
    const own = primitive.rules[shardingRule] as ShardingRule | undefined;
    const outs = own?.(
      invars.map(read),
      params,
      invars.map((a) => a.aval),
    );
    outvars.forEach((v, i) => env.set(v, outs?.[i] ?? null));
  }
  return jaxpr.outvars.map(read);
}
