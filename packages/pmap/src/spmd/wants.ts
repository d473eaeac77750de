import { type Atom, type Eqn, shardingConstraintP, type ShardingConstraintParams } from "@traceform/core";
import { type ShardMapParams, shardMapP } from "@traceform/lax";
import { cutOf } from "../propagate.ts";
import { type Cut, sameCut } from "./factors.ts";

/** How values are wanted to be cut by all that read them; nothing is said of those of which readers want different things. */
export class Wants {
  readonly #cuts = new Map<Atom, Cut | null>();

  add(a: Atom, cut: Cut | null): void {
    const before = this.#cuts.get(a);
    this.#cuts.set(a, before === undefined || (before !== null && cut !== null && sameCut(cut, before)) ? cut : null);
  }
  get(a: Atom): Cut | null {
    return this.#cuts.get(a) ?? null;
  }
}

/** How an equation that says itself how its operands are laid out wants them; `null` for all others. */
export function saidBy(eqn: Eqn): readonly Cut[] | null {
  const primitive = eqn.primitive as unknown;
  if (primitive === shardMapP) {
    const { inSpecs } = eqn.params as unknown as ShardMapParams;
    return eqn.invars.map(({ aval }, i) => aval.shape.map((_, d) => inSpecs[i].axes[d] ?? []));
  }
  if (primitive !== shardingConstraintP) return null;
  return [cutOf((eqn.params as unknown as ShardingConstraintParams).sharding, eqn.invars[0].aval.ndim)];
}
