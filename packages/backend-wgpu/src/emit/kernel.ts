import { extentOf, type Nest, type Routine, type SortPass } from "@traceform/compiler";
import { type Columns, columnsOf, writeColumns } from "./columns.ts";
import { helperText } from "./helpers.ts";
import { parallelAxes, writeNest } from "./nest.ts";
import { type Aligned, type Packing, routinePacking, shortSlots, shortStores, type Walk, walkOf } from "./packing.ts";
import { productOf, productShape, retiled, writeProduct } from "./product.ts";
import type { Schedule } from "./schedule.ts";
import { writeRoutine } from "./routine.ts";
import { type Rows, rowsOf, writeRows } from "./rows.ts";
import { sortSize, sortWords, writeSort } from "./sort.ts";
import type { Product } from "./tiles.ts";
import { Values } from "./values.ts";
import { declareWords, firstPointer, wordAt, type WordSource } from "./words.ts";

/** Invocations of a workgroup, where the kernel does not say otherwise. */
export const workgroupSize = 64;

/**
 * What one dispatch runs: a nest, a product in tiles, rows that workgroups share, a routine, several of those beside each other, a step of a sort, or a
 * copy of as many bytes as the word after its two pointers says: of whole words, or of bytes anywhere.
 */
export type GpuKernel =
  | Scheduled
  | { readonly kind: "bundle"; readonly parts: readonly BundlePart[]; readonly size: number }
  | { readonly kind: "sort"; readonly pass: SortPass }
  | { readonly kind: "copy" }
  | { readonly kind: "copyBytes" }
  | typeof gateKernel;

/** Opens or closes a gate: see `gates.ts` and `gateDispatch`. Its pointers are the value that decides and the memory of the gates. */
export const gateKernel = { kind: "gate" } as const;

/** What the compiler's kernels become. */
export type Scheduled =
  | { readonly kind: "nest"; readonly nest: Nest; readonly walk: Walk }
  | { readonly kind: "product"; readonly product: Product }
  | { readonly kind: "rows"; readonly rows: Rows }
  | { readonly kind: "columns"; readonly columns: Columns }
  | { readonly kind: "routine"; readonly routine: Routine; readonly packing: Packing };

/** A kernel that has some of the workgroups of a dispatch, all of one size, and some of its pointers. */
export interface BundlePart {
  readonly kernel: Scheduled;
  readonly args: readonly number[];
}

/** How a nest is run. */
export function scheduleNest(nest: Nest, schedule: Schedule, aligned: Aligned): Scheduled {
  const product = productOf(nest, schedule, aligned);
  if (product !== null) return { kind: "product", product };
  const columns = columnsOf(nest, schedule, aligned);
  if (columns !== null) return { kind: "columns", columns };
  const rows = rowsOf(nest, schedule, aligned);
  return rows === null ? { kind: "nest", nest, walk: walkOf(nest, parallelAxes(nest), aligned) } : { kind: "rows", rows };
}
export function scheduleRoutine(routine: Routine, aligned: Aligned): Scheduled {
  return { kind: "routine", routine, packing: routinePacking(routine, aligned) };
}

/** How a kernel writes elements of less than a word. */
export function packingOf(kernel: Scheduled): Packing {
  switch (kernel.kind) {
    case "nest":
      return kernel.walk.packing;
    case "product":
      return kernel.product.packing;
    case "rows":
      return kernel.rows.packing;
    case "columns":
      return kernel.columns.packing;
    case "routine":
      return kernel.packing;
  }
}
/** The pointers to words of which other invocations write other parts. */
function atomicSlots(kernel: Scheduled): readonly number[] {
  if (packingOf(kernel) !== "atomic") return [];
  switch (kernel.kind) {
    case "nest":
      return shortStores(kernel.nest).map((s) => s.slot);
    case "product":
      return kernel.product.epilogue.flatMap((s) => s.stores.map((t) => t.slot));
    case "rows":
      return shortStores(kernel.rows.nest).map((s) => s.slot);
    case "columns":
      return shortStores(kernel.columns.nest).map((s) => s.slot);
    case "routine":
      return [...shortSlots(kernel.routine.body)];
  }
}

/**
 * How many workgroups, of `size` invocations, a kernel has: with an invocation for each position of a nest's parallel axes, and for each
 * task of a routine.
 */
export function groupsOf(kernel: Scheduled, size: number = sizeOf(kernel) ?? workgroupSize): number {
  switch (kernel.kind) {
    case "nest":
      return groupsFor(Math.ceil(extentOf(kernel.walk.axes) / kernel.walk.lanes), size);
    case "product":
      return productShape(kernel.product).groups;
    case "rows":
      return Math.ceil(extentOf(kernel.rows.nest.outer) / kernel.rows.each);
    case "columns":
      return Math.ceil(extentOf(kernel.columns.nest.outer) / kernel.columns.width);
    case "routine":
      return groupsFor(kernel.routine.tasks, size);
  }
}
/** Invocations of a workgroup; null where any number will do. */
export function sizeOf(kernel: Scheduled): number | null {
  switch (kernel.kind) {
    case "product":
      return productShape(kernel.product).size;
    case "rows":
      return kernel.rows.size;
    case "columns":
      return kernel.columns.width * kernel.columns.lanes;
    default:
      return null;
  }
}
/** The kernel with workgroups of so many invocations, which are no fewer than it has; null if it is written for others. */
export function withSize(kernel: Scheduled, size: number): Scheduled | null {
  switch (kernel.kind) {
    case "product": {
      const product = retiled(kernel.product, size);
      return product === null ? null : { kind: "product", product };
    }
    case "rows":
      return { kind: "rows", rows: { ...kernel.rows, size } };
    case "columns": {
      const { columns } = kernel;
      return { kind: "columns", columns: { ...columns, lanes: size / columns.width } };
    }
    default:
      return kernel;
  }
}
/** Bytes of the workgroup's memory that a kernel takes at the most: those of a product's tiles, and those of folds of one type. */
export function sharedBytes(kernel: Scheduled): { readonly tiles: number; readonly folds: number } {
  switch (kernel.kind) {
    case "product":
      return { tiles: productShape(kernel.product).bytes, folds: 0 };
    case "columns": {
      const { folds, width, lanes } = kernel.columns;
      const arrays = folds.flatMap((s) => s.reductions.flatMap((r) => r.init)).length;
      return { tiles: 0, folds: 4 * width * lanes * arrays };
    }
    case "rows": {
      const arrays = kernel.rows.nest.stages.flatMap((s) => s.reductions.flatMap((r) => r.init)).length;
      return { tiles: 0, folds: 4 * kernel.rows.size * arrays };
    }
    default:
      return { tiles: 0, folds: 0 };
  }
}
export function groupsFor(invocations: number, size: number = workgroupSize): number {
  return Math.ceil(invocations / size);
}

/** The bindings to which all access is atomic. */
function atomicBindings(kernel: GpuKernel, bindings: readonly number[]): ReadonlySet<number> {
  const slotsOf = (k: Scheduled, args: readonly number[]): number[] => atomicSlots(k).map((slot) => bindings[args[slot]]);
  switch (kernel.kind) {
    case "copy":
    case "copyBytes":
    case "gate":
    case "sort":
      return new Set();
    case "bundle":
      return new Set(kernel.parts.flatMap((p) => slotsOf(p.kernel, p.args)));
    default:
      return new Set(slotsOf(kernel, [...bindings.keys()]));
  }
}

/** How many words a kernel is given beside its pointers and its sizes. */
function ownWords(kernel: GpuKernel): number {
  switch (kernel.kind) {
    case "gate":
      return gateWords;
    case "copy":
    case "copyBytes":
      return 1;
    case "sort":
      return sortWords(kernel.pass).length;
    default:
      return 0;
  }
}
/** Those of `gateDispatch`, and the number of the loop that it is encoded for. */
const gateWords = 7;

/** The module of a kernel. Equal ones are one pipeline. */
export interface Written {
  readonly code: string;
  readonly source: WordSource;
  /** Sizes, which the module is given after its other words: kernels that differ in those alone have equal modules. */
  readonly sizes: readonly number[];
}

/**
 * The module of a kernel. Memory comes in a few large buffers, each bound once as words; `bindings` says for every pointer in
 * which of them it is, and the pointer itself is a number of bytes, given by the dispatch: `b` and its number, and `p` in words.
 * `immediates` is how many words may be immediates.
 */
export function writeKernel(kernel: GpuKernel, name: string, bindings: readonly number[], immediates: number): Written {
  const atomic = atomicBindings(kernel, bindings);
  const values = new Values(name, bindings, atomic);
  const end = firstPointer + bindings.length;
  const sizesAt = end + ownWords(kernel);
  const sourceFor = (count: number): WordSource => (4 * Math.ceil(count / 4) <= immediates ? "immediate" : "uniform");
  values.line("let group = group_id.x + group_id.y * groups.x;");
  // Kernels with words of their own have no sizes.
  const own = (i: number): string => wordAt(sourceFor(sizesAt), end + i);
  let size = workgroupSize;
  if (kernel.kind === "copy") {
    only(values, workgroupSize, `(${own(0)} >> 2u)`);
    values.line(`m${bindings[1]}[p1 + invocation] = m${bindings[0]}[p0 + invocation];`);
  } else if (kernel.kind === "copyBytes") writeBytes(values, bindings, own(0));
  else if (kernel.kind === "gate") writeGate(values, bindings, own);
  else if (kernel.kind === "sort") {
    size = sortSize(kernel.pass);
    writeSort(kernel.pass, values, own);
  } else {
    size = (kernel.kind === "bundle" ? kernel.size : sizeOf(kernel)) ?? workgroupSize;
    if (kernel.kind === "bundle") writeParts(kernel.parts, size, values);
    else writeScheduled(kernel, size, values);
  }
  const memories = [...new Set(bindings)].sort((a, b) => a - b);
  const sizes = values.given;
  const source = sourceFor(sizesAt + sizes.length);
  const word = (i: number): string => wordAt(source, i);
  const code = [
    ...(values.subgroups ? ["enable subgroups;"] : []),
    ...[...values.enables].map((name) => `enable ${name};`),
    ...declareWords(source, sizesAt + sizes.length),
    ...memories.map(
      (m) => `@group(0) @binding(${m + 1}) var<storage, read_write> m${m}: array<${atomic.has(m) ? "atomic<u32>" : "u32"}>;`,
    ),
    ...values.sharedMemory,
    ...values.declarations,
    helperText(values.helpers),
    `@compute @workgroup_size(${size})`,
    `fn main(${[...builtins, ...(values.subgroups ? subgroupBuiltins : [])].map(([name, type]) => `@builtin(${name}) ${type}`).join(", ")}) {`,
    ...bindings.flatMap((_, i) => [`  let b${i} = ${word(firstPointer + i)};`, `  let p${i} = b${i} >> 2u;`]),
    `  let infinity = bitcast<f32>(${word(0)});`,
    `  let nan = bitcast<f32>(${word(1)});`,
    `  let zero = ${word(2)};`,
    ...values.declareGiven((i) => word(sizesAt + i)),
    values.text,
    "}",
    "",
  ].join("\n");
  return { code, source, sizes };
}

/** What kernels are told of their invocations. */
const builtins = [
  ["workgroup_id", "group_id: vec3<u32>"],
  ["num_workgroups", "groups: vec3<u32>"],
  ["local_invocation_index", "local: u32"],
] as const;
const subgroupBuiltins = [
  ["subgroup_size", "subgroup_size: u32"],
  ["subgroup_invocation_id", "lane: u32"],
  ["subgroup_id", "subgroup: u32"],
  ["num_subgroups", "subgroups: u32"],
] as const;

/** A module that uses all that kernels use of subgroups: where it is taken, they are. */
export const subgroupProbe: string = [
  "enable subgroups;",
  "var<workgroup> sum: array<u32, 64>;",
  "@compute @workgroup_size(64)",
  `fn main(${subgroupBuiltins.map(([name, type]) => `@builtin(${name}) ${type}`).join(", ")}) {`,
  "  sum[subgroup] = subgroupShuffleXor(lane, subgroup_size >> 1u) + subgroups;",
  "}",
].join("\n");

/** Ends the invocations that are not among the first so many. */
function only(values: Values, size: number, invocations: string): void {
  values.line(`let invocation = group * ${size}u + local;`);
  values.line(`if (invocation >= ${invocations}) { return; }`);
}

/** Ends the workgroups that a dispatch has beyond those of the kernel. */
function onlyGroups(values: Values, kernel: Scheduled): void {
  values.line(`if (group >= u32(${values.size(groupsOf(kernel), "groups")})) { return; }`);
}

/** Copies bytes: an invocation has a word of the destination, of which it changes what is to be changed. */
function writeBytes(values: Values, [from, to]: readonly number[], count: string): void {
  values.line(`let word = p1 + group * ${workgroupSize}u + local;`);
  values.line(`let end = b1 + ${count};`);
  values.line("if ((word << 2u) >= end) { return; }");
  values.line(`var all = m${to}[word];`);
  values.block("for (var k = 0u; k < 4u; k++) ", () => {
    values.line("let byte = (word << 2u) + k;");
    values.block("if (byte >= b1 && byte < end) ", () => {
      values.line("let source = b0 + (byte - b1);");
      values.line(`all = insertBits(all, m${from}[source >> 2u] >> ((source & 3u) << 3u), k << 3u, 8u);`);
    });
  });
  values.line(`m${to}[word] = all;`);
}

/** What an invocation, number `local` of workgroup `group`, which has so many, does. */
function writeScheduled(kernel: Scheduled, size: number, values: Values): void {
  switch (kernel.kind) {
    case "nest":
      values.literals = kernel.nest.e.literals;
      only(values, size, `u32(${values.size(Math.ceil(extentOf(kernel.walk.axes) / kernel.walk.lanes), "invocations")})`);
      return writeNest(kernel.nest, kernel.walk, values);
    case "routine":
      only(values, size, `u32(${values.size(kernel.routine.tasks, "tasks")})`);
      return writeRoutine(kernel.routine, values);
    case "product":
      values.literals = kernel.product.e.literals;
      onlyGroups(values, kernel);
      return values.givingSteps(() => writeProduct(kernel.product, values));
    case "rows":
      values.literals = kernel.rows.nest.e.literals;
      onlyGroups(values, kernel);
      return values.givingSteps(() => writeRows(kernel.rows, values));
    case "columns":
      values.literals = kernel.columns.nest.e.literals;
      onlyGroups(values, kernel);
      return values.givingSteps(() => writeColumns(kernel.columns, values));
  }
}

/** Each workgroup finds the part that it belongs to. */
function writeParts(parts: readonly BundlePart[], size: number, values: Values): void {
  let first = 0;
  parts.forEach(({ kernel, args }, i) => {
    const end = first + groupsOf(kernel, size);
    const own = i === 0 ? "group" : `group - u32(${values.size(first, `end ${i - 1}`)})`;
    values.block(`${i === 0 ? "" : "else "}if (group < u32(${values.size(end, `end ${i}`)})) `, () => {
      values.line(`let part = ${own};`);
      values.block("", () => {
        values.line("let group = part;");
        values.part(args, () => writeScheduled(kernel, size, values));
      });
    });
    first = end;
  });
}

/** One workgroup: it decides, and writes into the records how many workgroups the dispatches of the gate have. */
function writeGate(values: Values, [value, state]: readonly number[], word: (i: number) => string): void {
  const [parent, own, mode, about, last, records, number] = [0, 1, 2, 3, 4, 5, 6].map(word);
  values.line(`let gate = p1 + ${own};`);
  values.line("var open = true;");
  values.block(`if (${parent} != 0xffffffffu) `, () => values.line(`open = m${state}[p1 + ${parent}] != 0u;`));
  values.line(`let value = bitcast<i32>(m${value}[p0]);`);
  values.line(`let was = m${state}[gate] != 0u;`);
  values.line("let whole = open;");
  values.block(`switch (${mode}) `, () => {
    // A predicate is the first byte of its word.
    values.line("case 1u: { open = was && (value & 0xff) != 0; }");
    // Out of range picks the nearest branch.
    values.line(`case 2u: { open = whole && clamp(value, 0, bitcast<i32>(${last})) == bitcast<i32>(${about}); }`);
    values.line(`case 3u: { open = was && m${state}[p1 + ${about}] == 0u; }`);
    values.line(`case 4u: { open = whole && (m${state}[p1 + ${about} + 1u] & 1u) != 0u; }`);
    values.line("case 5u: { open = true; }");
    values.line("default: {}");
  });
  values.line("storageBarrier();");
  values.block("if (local == 0u) ", () => {
    values.line(`m${state}[gate] = select(0u, 1u, open);`);
    values.block(`if (${mode} == 1u) `, () => values.line(`m${state}[gate + 1u] += select(0u, 1u, open);`));
    // While all is closed because a loop has stalled, its count must stay.
    values.block(`if (${mode} == 0u && open) `, () => values.line(`m${state}[gate + 1u] = 0u;`));
    values.block(`if (${mode} == 3u && was && ${about} == ${own}) `, () => values.line(`m${state}[p1] = ${number};`));
    values.block(`if (${mode} == 5u) `, () => values.line(`m${state}[p1] = 0u;`));
  });
  values.block(`for (var i = local; i < ${records}; i += ${workgroupSize}u) `, () => {
    values.line("let at = gate + 2u + i * 5u;");
    values.line(`m${state}[at] = select(0u, m${state}[at + 3u], open);`);
  });
}
