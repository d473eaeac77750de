import { type Axis, extentOf, type Nest, type Stage } from "@traceform/compiler";
import { Folds } from "./folds.ts";
import { Hoisting } from "./hoisting.ts";
import { type Aligned, shortStores, type Walk, walkOf } from "./packing.ts";
import { bindPosition } from "./position.ts";
import { groupsFor, nothingShared, only, type Scheduled } from "./scheduled.ts";
import type { Values } from "./values.ts";

/** The axes of a nest whose positions are invocations of their own; the others are loops. */
export function parallelAxes({ outer, parallel }: Nest): readonly Axis[] {
  return outer.slice(0, parallel);
}

/** A nest with an invocation for each position of its parallel axes. */
export function scheduledNest(nest: Nest, aligned: Aligned): Scheduled {
  const walk = walkOf(nest, parallelAxes(nest), aligned);
  const invocations = Math.ceil(extentOf(walk.axes) / walk.lanes);
  const scheduled: Scheduled = {
    kind: "nest",
    packing: walk.packing,
    shortSlots: shortStores(nest).map((s) => s.slot),
    variant: "",
    literals: nest.e.literals,
    size: null,
    shared: nothingShared,
    groups: (size) => groupsFor(invocations, size),
    resized: () => scheduled,
    write: (values, size) => {
      only(values, size, `u32(${values.size(invocations, "invocations")})`);
      writeNest(nest, walk, values);
    },
  };
  return scheduled;
}

/** Sums are sums of sums of so many: the error grows with that, and with the number of those, not with their product. */
const foldBlock = 64;

/** Writes what one invocation does: the positions of a walk through the parallel axes' product, `invocation` of which come before. */
function writeNest(nest: Nest, walk: Walk, values: Values): void {
  if (walk.packing === "whole") return writeWords(nest, walk, values);
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
  const walkRows = (i: number): void => {
    if (i < rows.length) loop(values, rows[i], () => walkRows(i + 1));
    else new Row(nest, values).write();
  };
  walkRows(0);
}

/** The same where an invocation has as many neighbours as are a word. */
function writeWords(nest: Nest, { lanes, axes }: Walk, values: Values): void {
  const whole = extentOf(axes) % lanes === 0;
  const count = values.size(extentOf(axes), "elements");
  values.line(`let first = i32(invocation) * ${lanes};`);
  values.gather(shortStores(nest), whole ? null : `position == ${count} - 1`, () => {
    const limit = whole ? `first + ${lanes}` : `min(first + ${lanes}, ${count})`;
    values.block(`for (var position = first; position < ${limit}; position++) `, () => {
      bindPosition(values, axes, "position");
      new Row(nest, values).write();
    });
  });
}

/** The extent of a loop: short ones are unrolled if it is written out, the count of rounds of longer ones may come from outside. */
function limitOf(values: Values, axis: Axis): string {
  return axis.extent > longestUnrolled ? values.size(axis.extent, axis) : String(axis.extent);
}
const longestUnrolled = 32;

function loop(values: Values, axis: Axis, body: () => void, range = { from: "0", to: limitOf(values, axis) }): void {
  const name = `a${axis.id}`;
  values.bindAxis(axis, name);
  values.block(`for (var ${name} = ${range.from}; ${name} < ${range.to}; ${name}++) `, body);
}

/** The stages of a nest at one position of its outer axes. */
class Row {
  readonly #nest: Nest;
  readonly #values: Values;
  readonly #folds: Folds;
  readonly #hoisting: Hoisting;

  constructor(nest: Nest, values: Values) {
    this.#nest = nest;
    this.#values = values;
    this.#folds = new Folds(values);
    this.#hoisting = new Hoisting(nest);
  }

  write(): void {
    for (const stage of this.#nest.stages) this.#stage(stage);
  }

  #stage(stage: Stage): void {
    const values = this.#values;
    const accumulators = stage.reductions.map((r) => this.#folds.start(r));
    // What the stage computes by the way is its own: a later one may find other values in the same memory.
    values.block("", () => {
      this.#hoisting.hoist(values, stage, stage.axes);
      this.#loops(stage, 0, accumulators);
    });
    if (stage.scan) return;
    stage.reductions.forEach((r, i) => r.results.forEach((x, k) => values.bind(x, accumulators[i][k])));
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
      this.#hoisting.hoist(values, stage, stage.axes.slice(j + 1));
      this.#loops(stage, j + 1, own);
    };
    const merges = !stage.scan && stage.reductions.length > 0 && stage.reductions.every((r) => r.reorder);
    const parts = (body: (own: readonly (readonly string[])[]) => void): void => {
      const own = stage.reductions.map((r) => this.#folds.start(r));
      body(own);
      stage.reductions.forEach((r, i) => this.#folds.combine(r, accumulators[i], own[i]));
    };
    if (merges && axis.extent > 2 * foldBlock) {
      const from = this.#folds.name("b");
      const limit = limitOf(values, axis);
      values.block(`for (var ${from} = 0; ${from} < ${limit}; ${from} += ${foldBlock}) `, () =>
        parts((own) => loop(values, axis, inside(own), { from, to: `min(${from} + ${foldBlock}, ${limit})` })),
      );
    } else if (merges && j > 0) parts((own) => loop(values, axis, inside(own)));
    else loop(values, axis, inside(accumulators));
  }

  #leaf(stage: Stage, accumulators: readonly (readonly string[])[]): void {
    const values = this.#values;
    stage.reductions.forEach((r, i) => {
      this.#folds.combine(
        r,
        accumulators[i],
        r.values.map((x) => values.use(x)),
      );
      if (!stage.scan) return;
      r.results.forEach((x, k) => {
        const name = this.#folds.name("r");
        values.line(`let ${name} = ${accumulators[i][k]};`);
        values.bind(x, name);
      });
    });
    for (const s of stage.stores) values.store(s);
  }
}
