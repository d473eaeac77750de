import { type Aval, type Eqn, itemsize, type Mesh, RuleError } from "@traceform/core";
import { type CondParams, condP, type ScanParams, scanP, type WhileParams, whileP } from "@traceform/lax";
import { calledJaxpr, type ControlPlan, planCond, planScan, planWhile, type Propagate } from "./control.ts";
import { type Cut, type Factors, isCut, type Plan, plan, uncut } from "./factors.ts";
import { factorRule } from "./rules.ts";

/** The largest array, in bytes, that is made whole on every device without being asked for. */
export const mostWholeBytes: number = 1 << 20;

/** How one equation runs on shards. */
export interface Step extends Plan {
  readonly factors: Factors | null;
}

/** Loops, branches and calls say what is laid out otherwise inside of them. */
type Decision = Step & Partial<Pick<ControlPlan, "moves">>;

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
  const { moves, ...step } = decide(eqn, operands, results, cuts, mesh, propagate);
  const { factors } = step;
  const entering = operands.map((aval, i) => ({ what: `operand ${i}`, aval, from: cuts[i], to: step.operands[i] }));
  for (const { what, aval, from, to } of [...entering, ...(moves ?? [])]) {
    const lost = from.map((names, d) => (names.every((n, k) => to[d][k] === n) ? [] : names));
    if (bytes(aval) <= mostWholeBytes || !isCut(lost)) continue;
    throw new RuleError(eqn.primitive.name, {
      message:
        factors === null && moves === undefined
          ? `there is no rule by which its result is laid out over ${mesh} when ${what} is cut, and ${aval} is too large to be copied to every device unasked`
          : `${what}, ${aval}, is cut along ${cutNames(lost)}, where the operation needs all of it or the other operands are cut differently; it is too large to be copied to every device unasked`,
      operands: Object.fromEntries(operands.map((a, k) => [`operand ${k}`, `${a} cut as ${format(cuts[k])}`])),
      fix: `lay the operand out otherwise before, with withShardingConstraint (a spec without these axes copies it on purpose), or ${factors?.fix ?? "write this part with shardMap"}`,
    });
  }
  return step;
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
): Decision {
  const primitive = eqn.primitive as unknown;
  const params = eqn.params as unknown;
  if (primitive === scanP) return { ...planScan(params as ScanParams, cuts, propagate), reduced: [], factors: null };
  if (primitive === whileP) return { ...planWhile(params as WhileParams, cuts, propagate), reduced: [], factors: null };
  if (primitive === condP) return { ...planCond(params as CondParams, cuts, propagate), reduced: [], factors: null };
  const called = calledJaxpr(eqn);
  if (called !== null) return { operands: cuts, results: propagate(called, cuts), reduced: [], factors: null, moves: [] };
  const factors = factorRule(eqn.primitive)?.(operands, results, eqn.params as never) ?? null;
  if (factors !== null) return { ...plan(factors, operands, cuts, (names) => mesh.axisSize(names)), factors };
  const whole = operands.map((a) => uncut(a.ndim));
  return { operands: whole, results: results.map((a) => uncut(a.ndim)), reduced: [], factors: null };
}
