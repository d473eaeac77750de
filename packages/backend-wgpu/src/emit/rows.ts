import { extentOf, type Nest, reachable, type Reduction, type Stage, stageRoots, strideAlong } from "@traceform/compiler";
import { Folds } from "./folds.ts";
import { Hoisting } from "./hoisting.ts";
import { type Aligned, mostOfWord, type Packing, packingAlong, shortStores } from "./packing.ts";
import { bindPosition } from "./position.ts";
import type { Schedule } from "./schedule.ts";
import { foldBytes, nothingShared, onlyGroups, type Scheduled } from "./scheduled.ts";
import type { Values } from "./values.ts";

/** A nest of which a workgroup takes one position of the outer axes, a row: its invocations share the loops of the stages. */
export interface Rows {
  readonly nest: Nest;
  /** Invocations of a workgroup. */
  readonly size: number;
  /** Whether folds go through subgroups first. */
  readonly subgroups: boolean;
  readonly packing: Packing;
  /** Rows of a workgroup, one after the other: results of rows that share a word. */
  readonly each: number;
}

/** Invocations of a workgroup, where there are many rows, and where there are few and long ones. */
const usual = 64;
const large = 256;
const tiny = 16;
/** Rows that keep a GPU busy when each of them is one invocation. */
const manyRows = 1 << 14;
const fewRows = 256;

/** Whether the invocations of a workgroup can share the loops of all stages, or of the one that has running folds. */
export function sharesRows({ stages, serial }: Nest): boolean {
  const shares = ({ scan, axes, reductions }: Stage): boolean =>
    reductions.every((r) => r.reorder) &&
    (scan ? stages.length === 1 && axes.length === 1 && reductions.length === 1 : axes.length > 0 || reductions.length === 0);
  return !serial && stages.every(shares);
}

/** The nest as rows that workgroups share; null if its rows are short, must be gone through in order, or lie side by side. */
export function rowsOf(nest: Nest, schedule: Schedule, aligned: Aligned): Rows | null {
  const { stages, outer } = nest;
  if (!sharesRows(nest)) return null;
  const longest = Math.max(0, ...stages.map((s) => extentOf(s.axes)));
  const rows = extentOf(outer);
  const size = schedule.size === "tiny" ? tiny : rows < fewRows && longest >= 4 * large ? large : usual;
  if (longest < 2 * size) return null;
  // Neighbouring invocations should read neighbours: along the rows, or else across many of them.
  if (rows >= manyRows && !stages.some(isDense)) return null;
  // A subgroup that is larger than the workgroup has invocations that do not take part.
  const subgroups = schedule.subgroups > 0 && schedule.subgroups <= size;
  if (shortStores(nest).length === 0) return { nest, size, subgroups, packing: null, each: 1 };
  const results = stages.filter((s) => s.axes.length === 0).flatMap((s) => s.stores);
  const parts = stages.filter((s) => s.axes.length > 0).map((s) => packingAlong(s.stores, s.axes, outer, aligned));
  // Running folds are stored by whoever has them.
  if (stages[0].scan || [...parts, packingAlong(results, outer, [], aligned)].includes("atomic"))
    return { nest, size, subgroups, packing: "atomic", each: 1 };
  return { nest, size, subgroups, packing: "whole", each: Math.min(mostOfWord(results), rows) };
}

/** A nest of which each workgroup has a row, or some. */
export function scheduledRows(rows: Rows): Scheduled {
  const { nest, size, packing, each } = rows;
  const groups = Math.ceil(extentOf(nest.outer) / each);
  return {
    kind: "rows",
    packing,
    shortSlots: shortStores(nest).map((s) => s.slot),
    variant: "",
    literals: nest.e.literals,
    size,
    shared: { ...nothingShared, folds: foldBytes(nest.stages, size) },
    groups: () => groups,
    resized: (n) => scheduledRows({ ...rows, size: n }),
    write: (values) => {
      onlyGroups(values, groups);
      values.givingSteps(() => writeRows(rows, values));
    },
  };
}

/** Whether a stage goes through memory element by element. */
function isDense(stage: Stage): boolean {
  const last = stage.axes[stage.axes.length - 1];
  if (last === undefined) return false;
  return [...reachable(stageRoots(stage))].some((x) => x.op === "load" && strideAlong(x.index!, last) === 1);
}

/** Writes what an invocation, number `local` of workgroup `group`, does. */
function writeRows(rows: Rows, values: Values): void {
  const { nest, each } = rows;
  if (each === 1) {
    values.line("let row = i32(group);");
    return writeRowOf(rows, values);
  }
  const count = values.size(extentOf(nest.outer), "rows");
  const results = nest.stages.filter((s) => s.axes.length === 0).flatMap((s) => s.stores);
  values.line(`let first_row = i32(group) * ${each};`);
  values.gather(results, `row == ${count} - 1`, () =>
    values.block(`for (var row = first_row; row < min(first_row + ${each}, ${count}); row++) `, () => {
      // The memory of the workgroup may still be read for the row before.
      values.line("workgroupBarrier();");
      writeRowOf(rows, values);
    }),
  );
}

/** Writes what a workgroup does with a `row`. */
export function writeRowOf(rows: Rows, values: Values): void {
  const { nest, size, packing } = rows;
  const folds = new Folds(values);
  const hoisting = new Hoisting(nest);
  let arrays = 0;
  bindPosition(values, nest.outer, "row");
  if (nest.stages[0].scan) return writeScan(rows, nest.stages[0], values, folds);
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
        const count = values.size(extentOf(stage.axes), stage);
        const lanes = packing === "whole" ? mostOfWord(stage.stores) : 1;
        const element = (): void => {
          bindPosition(values, stage.axes, "e");
          leaf();
        };
        if (lanes === 1) return values.block(`for (var e = i32(local); e < ${count}; e += ${size}) `, element);
        const whole = extentOf(stage.axes) % lanes === 0;
        values.block(`for (var word = i32(local) * ${lanes}; word < ${count}; word += ${size * lanes}) `, () =>
          values.gather(stage.stores, whole ? null : `e == ${count} - 1`, () => {
            const limit = whole ? `word + ${lanes}` : `min(word + ${lanes}, ${count})`;
            values.block(`for (var e = word; e < ${limit}; e++) `, element);
          }),
        );
      });
    stage.reductions.forEach((r, i) => {
      const own = accumulators[i];
      const shared = r.init.map((x) => values.shared(`shared_${arrays++}`, values.typeOf(x), size));
      if (rows.subgroups) foldSubgroups(values, folds, r, own, shared);
      else foldHalves(values, folds, r, own, shared, size);
      r.results.forEach((x, k) => values.bind(x, own[k]));
    });
    // The next stage may read, or write over, what another invocation has written or read in this one.
    if (index < nest.stages.length - 1) values.line("storageBarrier();");
  });
}

/** Neighbouring elements that an invocation folds by itself. */
const neighbours = 4;

/**
 * Running folds: of the elements of an invocation, of those of all invocations, in steps that double, and of what the workgroup has gone through
 * before.
 *
 * @see Hillis & Steele (1986), "Data parallel algorithms"
 */
function writeScan({ size }: Rows, { axes, reductions, stores }: Stage, values: Values, folds: Folds): void {
  const [axis] = axes;
  const [r] = reductions;
  const count = values.size(axis.extent, axis);
  const carry = folds.start(r);
  const variables = (): string[] =>
    r.init.map((x) => {
      const name = folds.name("s");
      values.line(`var ${name}: ${values.typeOf(x)};`);
      return name;
    });
  const shared = r.init.map((x, i) => values.shared(`shared_${i}`, values.typeOf(x), size));
  const set = (to: readonly string[], from: readonly string[]): void =>
    to.forEach((name, i) => values.line(`${name} = ${from[i]};`));
  const at = (index: string): string[] => shared.map((name) => `${name}[${index}]`);
  const element = (j: number, body: () => void): void =>
    values.block("", () => {
      values.line(`let e = first + i32(local) * ${neighbours} + ${j};`);
      // What lies beyond the row comes after all that is stored.
      values.line(`let a${axis.id} = min(e, ${count} - 1);`);
      values.bindAxis(axis, `a${axis.id}`);
      body();
    });
  values.block(`for (var first = 0; first < ${count}; first += ${size * neighbours}) `, () => {
    const running = Array.from({ length: neighbours }, () => variables());
    running.forEach((own, j) =>
      element(j, () => {
        const found = r.values.map((x) => values.use(x));
        if (j === 0) set(own, found);
        else folds.join(r, running[j - 1], found, own);
      }),
    );
    const last = running[neighbours - 1];
    const before = variables();
    set(before, last);
    set(at("local"), before);
    values.line("workgroupBarrier();");
    values.block(`for (var d = 1u; d < ${size}u; d <<= 1u) `, () => {
      values.block("if (local >= d) ", () => folds.join(r, folds.read(at("local - d")), before, before));
      values.line("workgroupBarrier();");
      set(at("local"), before);
      values.line("workgroupBarrier();");
    });
    set(before, carry);
    values.block("if (local > 0u) ", () => folds.join(r, carry, folds.read(at("local - 1u")), before));
    running.forEach((own, j) =>
      element(j, () => {
        const result = variables();
        folds.join(r, before, own, result);
        r.results.forEach((x, k) => values.bind(x, result[k]));
        values.block(`if (e < ${count}) `, () => stores.forEach((s) => values.store(s)));
      }),
    );
    folds.join(r, carry, folds.read(at(`${size - 1}`)), carry);
    values.line("workgroupBarrier();");
  });
}

/** Folds the accumulators of a workgroup, through memory. */
function foldHalves(
  values: Values,
  folds: Folds,
  r: Reduction,
  own: readonly string[],
  shared: readonly string[],
  size: number,
): void {
  folds.halve([{ r, own, shared }], { lane: "i32(local)", lanes: size, stride: 1 });
  shared.forEach((name, k) => values.line(`${own[k]} = ${name}[0];`));
}

/** The same within subgroups, without memory, and then over the few that there are, in their order. */
function foldSubgroups(values: Values, folds: Folds, r: Reduction, own: readonly string[], shared: readonly string[]): void {
  values.subgroups = true;
  values.block("for (var far = subgroup_size >> 1u; far > 0u; far >>= 1u) ", () => {
    const texts = r.init.map((x, k) =>
      // Truth values do not travel.
      x.type === "bool" ? `subgroupShuffleXor(select(0u, 1u, ${own[k]}), far) != 0u` : `subgroupShuffleXor(${own[k]}, far)`,
    );
    folds.combine(r, own, folds.read(texts));
  });
  values.block("if (lane == 0u) ", () => shared.forEach((name, k) => values.line(`${name}[subgroup] = ${own[k]};`)));
  values.line("workgroupBarrier();");
  shared.forEach((name, k) => values.line(`${own[k]} = ${name}[0];`));
  values.block("for (var s = 1u; s < subgroups; s++) ", () =>
    folds.combine(r, own, folds.read(shared.map((name) => `${name}[s]`))),
  );
}
