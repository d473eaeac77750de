import { extentOf, type Nest, reachable, type Stage, stageRoots, strideAlong } from "@traceform/compiler";
import { Folds } from "./folds.ts";
import { Hoisting } from "./hoisting.ts";
import { type Aligned, mostOfWord, type Packing, packingAlong, shortStores } from "./packing.ts";
import { bindPosition } from "./position.ts";
import type { Schedule } from "./schedule.ts";
import { foldBytes, nothingShared, onlyGroups, type Scheduled } from "./scheduled.ts";
import type { Values } from "./values.ts";

/**
 * A nest of folds over what lies side by side, such as the sums of a matrix's columns, or a row times a matrix: a workgroup takes a strip of
 * neighbouring positions, so that it reads neighbours in memory, and several invocations share each of their folds.
 */
export interface Columns {
  readonly nest: Nest;
  readonly folds: readonly Stage[];
  readonly epilogue: readonly Stage[];
  /** Positions of a workgroup, and invocations for each. */
  readonly width: number;
  readonly lanes: number;
  readonly packing: Packing;
}

const usual = { width: 32, lanes: 8 };
const tiny = { width: 4, lanes: 4 };
/** Folds of fewer elements are an invocation's. */
const leastOfLane = 4;
/** Positions that keep a GPU busy when each of them is one invocation, which reads beside its neighbours. */
const manyColumns = 1 << 14;

/** The nest as columns; null if it reads along its folds, if these must be done in order, are short, or are enough without being shared. */
export function columnsOf(nest: Nest, { size }: Schedule, aligned: Aligned): Columns | null {
  const { width, lanes } = size === "tiny" ? tiny : usual;
  const last = nest.outer[nest.outer.length - 1];
  const first = nest.stages.findIndex((s) => s.axes.length === 0);
  const [folds, epilogue] = [nest.stages.slice(0, first), nest.stages.slice(first)];
  const isFold = ({ scan, stores, reductions }: Stage): boolean =>
    !scan && stores.length === 0 && reductions.length > 0 && reductions.every((r) => r.reorder);
  if (nest.serial || last === undefined || first < 1 || !folds.every(isFold)) return null;
  if (epilogue.some((s) => s.axes.length > 0 || s.reductions.length > 0)) return null;
  const count = extentOf(nest.outer);
  if (last.extent < width || folds.some((s) => extentOf(s.axes) < leastOfLane * lanes)) return null;
  const loads = folds.flatMap((s) =>
    [...reachable(stageRoots(s))]
      .filter((x) => x.op === "load")
      .map((x) => ({ index: x.index!, along: s.axes[s.axes.length - 1] })),
  );
  const dense = loads.some(({ index }) => strideAlong(index, last) === 1);
  const along = loads.filter((x) => strideAlong(x.index, x.along) === 1);
  // What all columns share may lie along the fold.
  if (!dense || along.some(({ index }) => strideAlong(index, last) !== 0)) return null;
  if (along.length === 0 && count >= manyColumns) return null;
  const stores = epilogue.flatMap((s) => s.stores);
  return { nest, folds, epilogue, width, lanes, packing: packingAlong(stores, nest.outer, [], aligned) };
}

/** A nest of which each workgroup has a strip of columns. */
export function scheduledColumns(columns: Columns): Scheduled {
  const { nest, folds, width, lanes, packing } = columns;
  const groups = Math.ceil(extentOf(nest.outer) / width);
  return {
    kind: "columns",
    packing,
    shortSlots: shortStores(nest).map((s) => s.slot),
    variant: "",
    literals: nest.e.literals,
    size: width * lanes,
    shared: { ...nothingShared, folds: foldBytes(folds, width * lanes) },
    groups: () => groups,
    resized: (size) => scheduledColumns({ ...columns, lanes: size / width }),
    write: (values) => {
      onlyGroups(values, groups);
      values.givingSteps(() => writeColumns(columns, values));
    },
  };
}

/** Writes what an invocation, number `local` of workgroup `group`, does. */
function writeColumns({ nest, folds: stages, epilogue, width, lanes, packing }: Columns, values: Values): void {
  const { outer } = nest;
  const count = values.size(extentOf(outer), outer);
  const folds = new Folds(values);
  const hoisting = new Hoisting(nest);
  let arrays = 0;
  /** Where the results of folds are, for each position of the strip. */
  const results = new Map<Parameters<Values["bind"]>[0], string>();
  const bindResults = (position: string): void => {
    for (const [x, memory] of results) {
      const name = folds.name("t");
      values.line(`let ${name} = ${memory}[${position}];`);
      values.bind(x, name);
    }
  };
  values.line(`let strip = i32(group) * ${width};`);
  values.line(`let across = i32(local) % ${width};`);
  values.line(`let down = i32(local) / ${width};`);
  for (const stage of stages) {
    const memories = stage.reductions.map((r) =>
      r.init.map((x) => values.shared(`shared_${arrays++}`, values.typeOf(x), width * lanes)),
    );
    values.block("", () => {
      // Positions beyond the last one are those of nobody.
      values.line(`let column = min(strip + across, ${count} - 1);`);
      bindPosition(values, outer, "column");
      bindResults("across");
      const accumulators = stage.reductions.map((r) => folds.start(r));
      values.block("", () => {
        hoisting.hoist(values, stage, stage.axes);
        values.block(`for (var e = down; e < ${values.size(extentOf(stage.axes), stage)}; e += ${lanes}) `, () => {
          bindPosition(values, stage.axes, "e");
          stage.reductions.forEach((r, i) =>
            folds.combine(
              r,
              accumulators[i],
              r.values.map((x) => values.use(x)),
            ),
          );
        });
      });
      folds.halve(
        stage.reductions.map((r, i) => ({ r, own: accumulators[i], shared: memories[i] })),
        { lane: "down", lanes, stride: width },
      );
    });
    stage.reductions.forEach((r, i) => r.results.forEach((x, k) => results.set(x, memories[i][k])));
  }
  const stores = epilogue.flatMap((s) => s.stores);
  const each = packing === "whole" ? mostOfWord(stores) : 1;
  values.line(`let first = i32(local) * ${each};`);
  values.block(`if (first < ${width}) `, () =>
    values.gather(packing === "whole" ? stores : [], `column == ${count} - 1`, () =>
      values.block(`for (var c = first; c < first + ${each}; c++) `, () => {
        values.line("let column = strip + c;");
        values.line(`if (column >= ${count}) { break; }`);
        bindPosition(values, outer, "column");
        bindResults("c");
        for (const s of stores) values.store(s);
      }),
    ),
  );
}
