import { type Atom, type Eqn, Jaxpr, type Mesh, type Sharding, shardingConstraintP, Var } from "@traceform/core";
import { propagateShardings, shardingOf } from "../propagate.ts";
import { type Cut, plan, sameCut } from "./factors.ts";
import { factorRule } from "./rules.ts";
import { saidBy, Wants } from "./wants.ts";

/** An equation as propagation sees it. */
interface Seen {
  readonly given: readonly Cut[];
  readonly operands: readonly Cut[];
}

const none: Eqn["effects"] = /* @__PURE__ */ new Set();

/** Whether a part of `to` is within a part of `from`: nobody needs anything of others. */
const isWithin = (to: Cut, from: Cut): boolean => from.every((names, d) => names.every((n, k) => to[d][k] === n));

/**
 * A program whose layouts go backward too, where that costs nothing: what all readers want to be cut more than it is, as the gradient of
 * a table which adds rows into zeros, is made of operands that are cut so. `outs` say how results are wanted, where that is known.
 *
 * @returns the program with constraints on such operands, which are parts of what a device has
 */
export function refine(
  program: Jaxpr,
  layouts: readonly (Sharding | null)[],
  outs: readonly (Cut | null)[],
  mesh: Mesh,
  name: string,
): Jaxpr {
  const steps = new Map<Eqn, Seen>();
  propagateShardings(program, layouts, name, (eqn, operands, given) => steps.set(eqn, { operands, given }));
  const wants = new Wants();
  program.outvars.forEach((a, i) => wants.add(a, outs[i]));
  const finer = new Map<Eqn, readonly (Cut | null)[]>();
  for (const eqn of program.eqns.toReversed()) {
    const step = steps.get(eqn);
    const operands = step === undefined ? saidOver(mesh, eqn) : wanted(eqn, step, wants, mesh);
    eqn.invars.forEach((a, i) => wants.add(a, operands?.[i] ?? null));
    if (step === undefined || operands === null) continue;
    const more = operands.map((cut, i) => (sameCut(cut, step.operands[i]) || !isWithin(cut, step.given[i]) ? null : cut));
    if (more.some((cut) => cut !== null)) finer.set(eqn, more);
  }
  if (finer.size === 0) return program;
  const eqns = program.eqns.flatMap((eqn): Eqn[] => {
    const constraints: Eqn[] = [];
    const invars = eqn.invars.map((a, i): Atom => {
      const cut = finer.get(eqn)?.[i] ?? null;
      if (cut === null) return a;
      const part = new Var(a.aval);
      const params = { sharding: shardingOf(mesh, cut) };
      constraints.push({ ...eqn, primitive: shardingConstraintP as never, invars: [a], outvars: [part], params, effects: none });
      return part;
    });
    return [...constraints, constraints.length === 0 ? eqn : { ...eqn, invars }];
  });
  return new Jaxpr(program.constvars, program.invars, eqns, program.outvars, program.effects);
}

/** What an equation says itself, if it is about this mesh. */
function saidOver(mesh: Mesh, eqn: Eqn): readonly Cut[] | null {
  const said = saidBy(eqn);
  return said?.flat(2).every((n) => mesh.axisNames.includes(n)) ? said : null;
}

/** How an equation wants its operands to be cut for results as their readers want them. */
function wanted(eqn: Eqn, { given, operands }: Seen, wants: Wants, mesh: Mesh): readonly Cut[] {
  const avals = eqn.invars.map((a) => a.aval);
  const results = eqn.outvars.map((v) => v.aval);
  const factors = factorRule(eqn.primitive)?.(avals, results, eqn.params as never);
  if (factors === undefined) return operands;
  const hints = eqn.outvars.map((v) => wants.get(v));
  return plan(factors, avals, given, (names) => mesh.axisSize(names), hints).operands;
}
