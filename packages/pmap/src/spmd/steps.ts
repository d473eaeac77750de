import { type Aval, type Eqn, itemsize, type Mesh, RuleError } from "@traceform/core";
import { type CondParams, condP, type ScanParams, scanP, type WhileParams, whileP } from "@traceform/lax";
import { calledJaxpr, planCond, planScan, planWhile, type Propagate } from "./control.ts";
import { type Cut, type Factors, type Plan, plan, uncut } from "./factors.ts";
import { factorRule } from "./rules.ts";

/** The largest array, in bytes, that is made whole on every device without being asked for. */
export const mostWholeBytes: number = 1 << 20;

/** How one equation runs on shards. */
export interface Step extends Plan {
  readonly factors: Factors | null;
}

const bytes = ({ size, dtype }: Aval): number => size * itemsize(dtype);

/**
 * Decides how an equation runs when its operands are laid out as given. An operand that must be whole along an axis along which it is
 * cut is gathered, if it is small.
 *
 * @throws {RuleError} when a large array would have to be gathered
 */
export function stepOf(eqn: Eqn, cuts: readonly Cut[], mesh: Mesh, propagate: Propagate): Step {
  const operands = eqn.invars.map((a) => a.aval);
  const results = eqn.outvars.map((v) => v.aval);
  const { factors, ...step } = decide(eqn, operands, results, cuts, mesh, propagate);
  operands.forEach((aval, i) => {
    if (bytes(aval) <= mostWholeBytes || step.operands[i].every((names, d) => cuts[i][d].every((n, k) => names[k] === n))) return;
    throw new RuleError(eqn.primitive.name, {
      message:
        factors === null
          ? `there is no rule by which its result is laid out over ${mesh} when operand ${i} is cut, and ${aval} is too large to be copied to every device unasked`
          : `operand ${i}, ${aval}, is cut along ${cutNames(cuts[i])}, where the operation needs all of it or the other operands are cut differently; it is too large to be copied to every device unasked`,
      operands: Object.fromEntries(operands.map((a, k) => [`operand ${k}`, `${a} cut as ${format(cuts[k])}`])),
      fix: "lay the operand out otherwise before, with withShardingConstraint (a spec without these axes copies it on purpose), or write this part with shardMap",
    });
  });
  return { factors, ...step };
}

const format = (cut: Cut): string => `[${cut.map((names) => (names.length === 0 ? "-" : names.join("+"))).join(", ")}]`;
const cutNames = (cut: Cut): string => cut.flatMap((names, d) => (names.length > 0 ? [`axis ${d}`] : [])).join(" and ");

function decide(
  eqn: Eqn,
  operands: readonly Aval[],
  results: readonly Aval[],
  cuts: readonly Cut[],
  mesh: Mesh,
  propagate: Propagate,
): Step {
  const primitive = eqn.primitive as unknown;
  const params = eqn.params as unknown;
  if (primitive === scanP) return { ...planScan(params as ScanParams, cuts, propagate), reduced: [], factors: null };
  if (primitive === whileP) return { ...planWhile(params as WhileParams, cuts, propagate), reduced: [], factors: null };
  if (primitive === condP) return { ...planCond(params as CondParams, cuts, propagate), reduced: [], factors: null };
  const called = calledJaxpr(eqn);
  if (called !== null) return { operands: cuts, results: propagate(called, cuts), reduced: [], factors: null };
  const factors = factorRule(eqn.primitive)?.(operands, results, eqn.params as never) ?? null;
  if (factors !== null) return { ...plan(factors, operands, cuts, (names) => mesh.axisSize(names)), factors };
  const whole = operands.map((a) => uncut(a.ndim));
  return { operands: whole, results: results.map((a) => uncut(a.ndim)), reduced: [], factors: null };
}
