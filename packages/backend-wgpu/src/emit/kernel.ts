import type { Nest, SortPass } from "@traceform/compiler";
import { columnsOf, scheduledColumns } from "./columns.ts";
import { helperText } from "./helpers.ts";
import { scheduledNest } from "./nest.ts";
import type { Aligned } from "./packing.ts";
import { productOf, scheduledProduct } from "./product.ts";
import type { Schedule } from "./schedule.ts";
import { groupsOf, only, type Scheduled, workgroupSize } from "./scheduled.ts";
import { rowsOf, scheduledRows } from "./rows.ts";
import { sortSize, sortWords, writeSort } from "./sort.ts";
import { Values } from "./values.ts";
import { declareWords, firstPointer, wordAt, type WordSource } from "./words.ts";

/**
 * What one dispatch runs: a nest, a product in tiles, rows that workgroups share, a routine, several of those beside each other, a product and what becomes of its rows, a step of a sort, or a
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

/** A kernel that has some of the workgroups of a dispatch, all of one size, and some of its pointers. */
export interface BundlePart {
  readonly kernel: Scheduled;
  readonly args: readonly number[];
}

/** How a nest is run. */
export function scheduleNest(nest: Nest, schedule: Schedule, aligned: Aligned): Scheduled {
  const product = productOf(nest, schedule, aligned);
  if (product !== null) return scheduledProduct(product);
  const columns = columnsOf(nest, schedule, aligned);
  if (columns !== null) return scheduledColumns(columns);
  const rows = rowsOf(nest, schedule, aligned);
  return rows === null ? scheduledNest(nest, aligned) : scheduledRows(rows);
}

/** The bindings to which all access is atomic. */
function atomicBindings(kernel: GpuKernel, bindings: readonly number[]): ReadonlySet<number> {
  const slotsOf = ({ packing, shortSlots }: Scheduled, args: readonly number[]): number[] =>
    packing === "atomic" ? shortSlots.map((slot) => bindings[args[slot]]) : [];
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
    size = kernel.size ?? workgroupSize;
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

/** What an invocation of a workgroup of so many does. */
function writeScheduled(kernel: Scheduled, size: number, values: Values): void {
  values.literals = kernel.literals;
  kernel.write(values, size);
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
