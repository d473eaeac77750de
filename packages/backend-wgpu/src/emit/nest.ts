import { type Axis, dependsOn, type Ex, type Nest, reachable, type Reduction, type Stage, stageRoots } from "@traceform/compiler";
import type { Values } from "./values.ts";

/** The axes of a nest whose positions are invocations of their own; the others are loops. */
export function parallelAxes({ outer, serial, ranges }: Nest): readonly Axis[] {
  if (!serial) return outer;
  // Of the iterations in order only those of the chunk axis are independent.
  return outer.filter((_, i) => ranges.includes(i));
}

/** Sums are sums of sums of so many: the error grows with that, and with the number of those, not with their product. */
const foldBlock = 64;

/** Writes what one invocation, number `invocation` of the parallel axes' product, does. */
export function writeNest(nest: Nest, values: Values): void {
  const parallel = parallelAxes(nest);
  let stride = 1;
  for (const axis of parallel.toReversed()) {
    const name = `a${axis.id}`;
    const quotient = stride === 1 ? "invocation" : `(invocation / ${stride}u)`;
    const last = axis === parallel[0];
    values.line(`let ${name} = i32(${last ? quotient : `${quotient} % ${axis.extent}u`});`);
    values.bindAxis(axis, name);
    stride *= axis.extent;
  }
  const rows = nest.outer.filter((axis) => !parallel.includes(axis));
  const walk = (i: number): void => {
    if (i < rows.length) loop(values, rows[i], () => walk(i + 1));
    else new Row(nest, values).write();
  };
  walk(0);
}

function loop(values: Values, axis: Axis, body: () => void, range = { from: "0", to: String(axis.extent) }): void {
  const name = `a${axis.id}`;
  values.bindAxis(axis, name);
  values.block(`for (var ${name} = ${range.from}; ${name} < ${range.to}; ${name}++) `, body);
}

/** The stages of a nest at one position of its outer axes. */
class Row {
  readonly #nest: Nest;
  readonly #values: Values;
  /** Bound by folds: what depends on them stays where it is. */
  readonly #running: ReadonlySet<Ex>;
  #names = 0;

  constructor(nest: Nest, values: Values) {
    this.#nest = nest;
    this.#values = values;
    this.#running = new Set(nest.stages.filter((s) => s.scan).flatMap((s) => s.reductions.flatMap((r) => r.results)));
  }

  write(): void {
    for (const stage of this.#nest.stages) this.#stage(stage);
  }

  #name(prefix: string): string {
    return `${prefix}${this.#names++}`;
  }

  #stage(stage: Stage): void {
    const values = this.#values;
    const accumulators = stage.reductions.map((r) => this.#start(r));
    // What the stage computes by the way is its own: a later one may find other values in the same memory.
    values.block("", () => {
      this.#hoist(stage, stage.axes);
      this.#loops(stage, 0, accumulators);
    });
    if (stage.scan) return;
    stage.reductions.forEach((r, i) => r.results.forEach((x, k) => values.bind(x, accumulators[i][k])));
  }

  /** Variables for the results of a fold, holding its initial values. */
  #start(r: Reduction): string[] {
    return r.init.map((x) => {
      const name = this.#name("f");
      const init = this.#values.use(x);
      this.#values.line(`var ${name}: ${this.#values.typeOf(x)} = ${init};`);
      return name;
    });
  }

  /** Folds `right` into accumulators. All results are computed before any is assigned. */
  #combine(r: Reduction, accumulators: readonly string[], right: readonly string[]): void {
    const values = this.#values;
    values.block("", () => {
      r.left.forEach((x, i) => values.bind(x, accumulators[i]));
      r.right.forEach((x, i) => values.bind(x, right[i]));
      const next = r.combined.map((x) => {
        const name = this.#name("n");
        const value = values.use(x);
        values.line(`let ${name} = ${value};`);
        return name;
      });
      next.forEach((name, i) => values.line(`${accumulators[i]} = ${name};`));
    });
  }

  /**
   * The loops of a stage from its axis `j` on. Where partial folds may be merged in any order, each loop, and each block of a
   * long one, has accumulators of its own.
   */
  #loops(stage: Stage, j: number, accumulators: readonly (readonly string[])[]): void {
    if (j === stage.axes.length) return this.#leaf(stage, accumulators);
    const values = this.#values;
    const axis = stage.axes[j];
    const inside = (own: readonly (readonly string[])[]) => (): void => {
      this.#hoist(stage, stage.axes.slice(j + 1));
      this.#loops(stage, j + 1, own);
    };
    const merges = !stage.scan && stage.reductions.length > 0 && stage.reductions.every((r) => r.reorder);
    const parts = (body: (own: readonly (readonly string[])[]) => void): void => {
      const own = stage.reductions.map((r) => this.#start(r));
      body(own);
      stage.reductions.forEach((r, i) => this.#combine(r, accumulators[i], own[i]));
    };
    if (merges && axis.extent > 2 * foldBlock) {
      const from = this.#name("b");
      values.block(`for (var ${from} = 0; ${from} < ${axis.extent}; ${from} += ${foldBlock}) `, () =>
        parts((own) => loop(values, axis, inside(own), { from, to: `min(${from} + ${foldBlock}, ${axis.extent})` })),
      );
    } else if (merges && j > 0) parts((own) => loop(values, axis, inside(own)));
    else loop(values, axis, inside(accumulators));
  }

  /** Computes here what does not change along the axes that are yet to be opened. */
  #hoist(stage: Stage, deeper: readonly Axis[]): void {
    if (deeper.length === 0) return;
    const roots = [...stageRoots(stage), ...stage.stores.flatMap((s) => s.index.terms.map((t) => t.atom))];
    for (const x of [...reachable(roots)].sort((a, b) => a.id - b.id))
      if (x.op !== "param" && !this.#stays(x) && !deeper.some((axis) => dependsOn(x, axis))) this.#values.use(x);
  }

  /** Whether a value must be computed in the innermost loop: it is what a scan has reached, or memory that changes. */
  #stays(x: Ex): boolean {
    let stays = this.#staying.get(x);
    if (stays === undefined) {
      stays =
        x.pinned || this.#running.has(x) || [...x.args, ...(x.index?.terms.map((t) => t.atom) ?? [])].some((a) => this.#stays(a));
      this.#staying.set(x, stays);
    }
    return stays;
  }
  readonly #staying = new Map<Ex, boolean>();

  #leaf(stage: Stage, accumulators: readonly (readonly string[])[]): void {
    const values = this.#values;
    stage.reductions.forEach((r, i) => {
      this.#combine(
        r,
        accumulators[i],
        r.values.map((x) => values.use(x)),
      );
      if (!stage.scan) return;
      r.results.forEach((x, k) => {
        const name = this.#name("r");
        values.line(`let ${name} = ${accumulators[i][k]};`);
        values.bind(x, name);
      });
    });
    for (const s of stage.stores) values.store(s);
  }
}
