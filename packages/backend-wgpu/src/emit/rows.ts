import { extentOf, type Nest, reachable, type Stage, stageRoots, strideAlong } from "@traceform/compiler";
import { Folds } from "./folds.ts";
import { Hoisting } from "./hoisting.ts";
import { bindPosition } from "./position.ts";
import type { Values } from "./values.ts";

/** A nest of which a workgroup takes one position of the outer axes, a row: its invocations share the loops of the stages. */
export interface Rows {
  readonly nest: Nest;
  /** Invocations of a workgroup. */
  readonly size: number;
}

/** Invocations of a workgroup, where there are many rows, and where there are few and long ones. */
const usual = 64;
const large = 256;
const tiny = 16;
/** Rows that keep a GPU busy when each of them is one invocation. */
const manyRows = 1 << 14;
const fewRows = 256;

/** The nest as rows that workgroups share; null if its rows are short, must be gone through in order, or lie side by side. */
export function rowsOf(nest: Nest, schedule: "full" | "tiny"): Rows | null {
  const { stages, outer } = nest;
  const shares = ({ scan, axes, reductions }: Stage): boolean =>
    !scan && reductions.every((r) => r.reorder) && (axes.length > 0 || reductions.length === 0);
  if (nest.serial || !stages.every(shares)) return null;
  const longest = Math.max(0, ...stages.map((s) => extentOf(s.axes)));
  const rows = extentOf(outer);
  const size = schedule === "tiny" ? tiny : rows < fewRows && longest >= 4 * large ? large : usual;
  if (longest < 2 * size) return null;
  // Neighbouring invocations should read neighbours: along the rows, or else across many of them.
  return rows < manyRows || stages.some(isDense) ? { nest, size } : null;
}

/** Whether a stage goes through memory element by element. */
function isDense(stage: Stage): boolean {
  const last = stage.axes[stage.axes.length - 1];
  if (last === undefined) return false;
  return [...reachable(stageRoots(stage))].some((x) => x.op === "load" && strideAlong(x.index!, last) === 1);
}

/** Writes what an invocation, number `local` of workgroup `group`, does. Returns declarations of the workgroup's memory. */
export function writeRows({ nest, size }: Rows, values: Values): string[] {
  const folds = new Folds(values);
  const hoisting = new Hoisting(nest);
  const declarations: string[] = [];
  values.line("let row = i32(group);");
  bindPosition(values, nest.outer, "row");
  nest.stages.forEach((stage, index) => {
    const accumulators = stage.reductions.map((r) => folds.start(r));
    const leaf = (): void => {
      stage.reductions.forEach((r, i) =>
        folds.combine(
          r,
          accumulators[i],
          r.values.map((x) => values.use(x)),
        ),
      );
      for (const s of stage.stores) values.store(s);
    };
    // What the stage computes by the way is its own: a later one may find other values in the same memory.
    if (stage.axes.length === 0) values.block("if (local == 0u) ", leaf);
    else
      values.block("", () => {
        hoisting.hoist(values, stage, stage.axes);
        values.block(`for (var e = i32(local); e < ${extentOf(stage.axes)}; e += ${size}) `, () => {
          bindPosition(values, stage.axes, "e");
          leaf();
        });
      });
    stage.reductions.forEach((r, i) => {
      const shared = r.init.map((x) => {
        const name = `${values.prefix}shared_${declarations.length}`;
        declarations.push(`var<workgroup> ${name}: array<${values.typeOf(x)}, ${size}>;`);
        return name;
      });
      const publish = (): void => shared.forEach((name, k) => values.line(`${name}[local] = ${accumulators[i][k]};`));
      publish();
      values.line("workgroupBarrier();");
      values.block(`for (var half = ${size / 2}u; half > 0u; half >>= 1u) `, () => {
        values.block("if (local < half) ", () => {
          folds.combine(
            r,
            accumulators[i],
            shared.map((name) => {
              const other = folds.name("o");
              values.line(`let ${other} = ${name}[local + half];`);
              return other;
            }),
          );
          publish();
        });
        values.line("workgroupBarrier();");
      });
      shared.forEach((name, k) => values.line(`${accumulators[i][k]} = ${name}[0];`));
      r.results.forEach((x, k) => values.bind(x, accumulators[i][k]));
    });
    // The next stage may read, or write over, what another invocation has written or read in this one.
    if (index < nest.stages.length - 1) values.line("storageBarrier();");
  });
  return declarations;
}
