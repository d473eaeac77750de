import { sortDigit, type SortPass } from "@traceform/compiler";
import type { Values } from "./values.ts";

const digits = 2 ** sortDigit;
/** Consecutive counters that an invocation sums by itself. */
const run = 16;

/** Invocations of a workgroup of a step. */
export function sortSize({ step, block }: SortPass): number {
  return step === "block" || step === "offsets" ? block / 4 : block / 16;
}

/** How many workgroups a step has. */
export function sortGroups({ step, rows, n, block }: SortPass): number {
  if (step === "offsets") return rows;
  const blocks = Math.ceil(n / block);
  return step === "block" ? Math.ceil((rows * blocks) / (block / segment(n, block))) : rows * blocks;
}
/** Places that a row, or a block of it, has in a block: short rows share one. */
function segment(n: number, block: number): number {
  return n >= block ? block : 2 ** Math.ceil(Math.log2(n));
}

/** The words that a step is given: the sizes, so that there is one kernel for all. */
export function sortWords({ step, rows, n, block, keep, shift, zeros }: SortPass): number[] {
  const blocks = Math.ceil(n / block);
  switch (step) {
    case "block": {
      const length = (blocks - 1) * keep + Math.min(n - (blocks - 1) * block, keep);
      return [rows * blocks, blocks, n, Math.log2(segment(n, block)), Number(zeros), length, keep];
    }
    case "offsets":
      return [rows, n];
    default:
      return [rows * blocks, blocks, n, shift, Number(zeros)];
  }
}

/** Equal texts are equal code. */
export function sortKey({ step, block, payload }: SortPass): string {
  return `sort ${step} ${block} ${payload}`;
}

/** Writes what an invocation, number `local` of workgroup `group`, does. `word` is the text of a word that the step is given. */
export function writeSort(pass: SortPass, values: Values, word: (i: number) => string): void {
  const lines = writers[pass.step](new Step(pass, values, word));
  for (const text of lines) values.line(text);
}

/** What the steps have in common. */
class Step {
  readonly pass: SortPass;
  readonly values: Values;
  readonly word: (i: number) => string;
  readonly size: number;
  #slots = 0;

  constructor(pass: SortPass, values: Values, word: (i: number) => string) {
    this.pass = pass;
    this.values = values;
    this.word = word;
    this.size = sortSize(pass);
  }

  /** The next pointer. */
  slot(): (at: string) => string {
    const slot = this.#slots++;
    return (at) => this.values.word(slot, at);
  }
  payloadIn(): (at: string) => string {
    return this.pass.payload === "given" ? this.slot() : (at) => at;
  }
  shared(purpose: string, length: number): string {
    return this.values.shared(purpose, "u32", length);
  }
  /** A key as it is compared. */
  ordered(key: string): string {
    // Both zeros of a float are equal, and stay in their order.
    return `select(${key}, 0x80000000u, ${key} == 0x7fffffffu && ${this.word(4)} != 0u)`;
  }
  digit(key: string): string {
    return `(${this.ordered(key)} >> ${this.word(3)}) & ${digits - 1}u`;
  }
  /** A running sum of `partial` over the workgroup. */
  *sums(partial: string): Iterable<string> {
    yield `for (var d = 1u; d < ${this.size}u; d <<= 1u) {`;
    yield "  workgroupBarrier();";
    yield `  let before = select(0u, ${partial}[select(0u, local - d, local >= d)], local >= d);`;
    yield "  workgroupBarrier();";
    yield `  ${partial}[local] += before;`;
    yield "}";
    yield "workgroupBarrier();";
  }
}

const writers: Readonly<Record<SortPass["step"], (s: Step) => Iterable<string>>> = {
  /** Batcher's bitonic sort: keys that are equal are in the order of their places. */
  *block(s) {
    const { pass, size, word } = s;
    const { block } = pass;
    const keyAt = s.slot();
    const payloadAt = s.payloadIn();
    const [keys, places] = [s.shared("keys", block), s.shared("places", block)];
    yield `let width = 1u << ${word(3)};`;
    yield `let first = group * (${block}u >> ${word(3)});`;
    yield `for (var i = local; i < ${block}u; i += ${size}u) {`;
    yield `  let part = first + (i >> ${word(3)});`;
    yield `  let place = part % ${word(1)} * ${block}u + (i & (width - 1u));`;
    yield `  let inside = part < ${word(0)} && place < ${word(2)};`;
    yield `  let key = ${keyAt(`select(0u, part / ${word(1)} * ${word(2)} + place, inside)`)};`;
    yield `  ${keys}[i] = select(0xffffffffu, ${s.ordered("key")}, inside);`;
    yield `  ${places}[i] = i;`;
    yield "}";
    yield "for (var k = 2u; k <= width; k <<= 1u) {";
    yield "  for (var j = k >> 1u; j > 0u; j >>= 1u) {";
    yield "    workgroupBarrier();";
    yield `    for (var i = local; i < ${block / 2}u; i += ${size}u) {`;
    yield "      let a = 2u * i - (i & (j - 1u));";
    yield "      let b = a + j;";
    yield `      let x = ${keys}[a];`;
    yield `      let y = ${keys}[b];`;
    yield `      let p = ${places}[a];`;
    yield `      let q = ${places}[b];`;
    yield "      let falls = (a & (width - 1u) & k) != 0u;";
    yield "      if ((x > y || (x == y && p > q)) != falls) {";
    yield `        ${keys}[a] = y;`;
    yield `        ${keys}[b] = x;`;
    yield `        ${places}[a] = q;`;
    yield `        ${places}[b] = p;`;
    yield "      }";
    yield "    }";
    yield "  }";
    yield "}";
    yield "workgroupBarrier();";
    const keyTo = s.slot();
    const payloadTo = pass.payload === "none" ? null : s.slot();
    yield `for (var i = local; i < ${block}u; i += ${size}u) {`;
    yield `  let part = first + (i >> ${word(3)});`;
    yield "  let at = i & (width - 1u);";
    yield `  let begin = part % ${word(1)} * ${block}u;`;
    yield `  if (part < ${word(0)} && at < min(${word(6)}, ${word(2)} - begin)) {`;
    yield `    let row = part / ${word(1)};`;
    yield `    let place = begin + (${places}[i] & (width - 1u));`;
    yield `    let to = row * ${word(5)} + part % ${word(1)} * ${word(6)} + at;`;
    yield `    ${keyTo("to")} = ${keyAt(`row * ${word(2)} + place`)};`;
    if (payloadTo !== null) {
      yield `    ${payloadTo("to")} = ${pass.payload === "given" ? payloadAt(`row * ${word(2)} + place`) : "place"};`;
    }
    yield "  }";
    yield "}";
  },

  *count(s) {
    const { size, word } = s;
    const [keyAt, counts] = [s.slot(), s.slot()];
    const counters = s.shared("counters", digits * size);
    yield* blockOf(s);
    yield* cleared(s, counters);
    yield `for (var i = local; i < count; i += ${size}u) {`;
    yield `  let key = ${keyAt("base + i")};`;
    yield `  ${counters}[(${s.digit("key")}) * ${size}u + local] += 1u;`;
    yield "}";
    yield "workgroupBarrier();";
    yield `for (var d = local; d < ${digits}u; d += ${size}u) {`;
    yield "  var sum = 0u;";
    yield `  for (var i = 0u; i < ${size}u; i++) { sum += ${counters}[d * ${size}u + i]; }`;
    yield `  ${counts(`(row * ${digits}u + d) * ${word(1)} + block`)} = sum;`;
    yield "}";
  },

  *offsets(s) {
    const { size, word } = s;
    const counts = s.slot();
    const partial = s.shared("partial", size);
    yield `if (group >= ${word(0)}) { return; }`;
    yield "var carry = 0u;";
    yield `for (var first = 0u; first < ${word(1)}; first += ${size * run}u) {`;
    yield `  let own = first + local * ${run}u;`;
    yield `  let base = group * ${word(1)} + own;`;
    yield `  let most = min(${run}u, max(${word(1)}, own) - own);`;
    yield "  var sum = 0u;";
    yield `  for (var i = 0u; i < most; i++) { sum += ${counts("base + i")}; }`;
    yield `  ${partial}[local] = sum;`;
    for (const text of s.sums(partial)) yield `  ${text}`;
    yield `  var at = carry + ${partial}[local] - sum;`;
    yield "  for (var i = 0u; i < most; i++) {";
    yield `    let count = ${counts("base + i")};`;
    yield `    ${counts("base + i")} = at;`;
    yield "    at += count;";
    yield "  }";
    yield `  carry += ${partial}[${size - 1}u];`;
    yield "  workgroupBarrier();";
    yield "}";
  },

  /** Keys are brought in order within the block first, so that neighbours write to neighbours. */
  *move(s) {
    const { pass, size, word } = s;
    const [keyAt, offsets] = [s.slot(), s.slot()];
    const payloadAt = s.payloadIn();
    const keyTo = s.slot();
    const payloadTo = pass.payload === "none" ? null : s.slot();
    const each = pass.block / size;
    const counters = s.shared("counters", digits * size);
    const [partial, starts] = [s.shared("partial", size), s.shared("starts", digits)];
    const [keys, places] = [s.shared("keys", pass.block), s.shared("places", pass.block)];
    yield* blockOf(s);
    yield* cleared(s, counters);
    const own = `let i = local * ${each}u + e; if (i >= count) { break; } let key = ${keyAt("base + i")};`;
    yield `for (var e = 0u; e < ${each}u; e++) { ${own} ${counters}[(${s.digit("key")}) * ${size}u + local] += 1u; }`;
    yield "workgroupBarrier();";
    yield "var sum = 0u;";
    yield `for (var i = 0u; i < ${digits}u; i++) { sum += ${counters}[local * ${digits}u + i]; }`;
    yield `${partial}[local] = sum;`;
    yield* s.sums(partial);
    yield `var at = ${partial}[local] - sum;`;
    yield `for (var i = 0u; i < ${digits}u; i++) {`;
    yield `  let count = ${counters}[local * ${digits}u + i];`;
    yield `  ${counters}[local * ${digits}u + i] = at;`;
    yield "  at += count;";
    yield "}";
    yield "workgroupBarrier();";
    yield `for (var d = local; d < ${digits}u; d += ${size}u) { ${starts}[d] = ${counters}[d * ${size}u]; }`;
    yield "workgroupBarrier();";
    yield `for (var e = 0u; e < ${each}u; e++) {`;
    yield `  ${own}`;
    yield `  let c = (${s.digit("key")}) * ${size}u + local;`;
    yield `  let to = ${counters}[c];`;
    yield `  ${counters}[c] = to + 1u;`;
    yield `  ${keys}[to] = key;`;
    yield `  ${places}[to] = i;`;
    yield "}";
    yield "workgroupBarrier();";
    yield `for (var i = local; i < count; i += ${size}u) {`;
    yield `  let key = ${keys}[i];`;
    yield `  let d = ${s.digit("key")};`;
    yield `  let to = row * ${word(2)} + ${offsets(`(row * ${digits}u + d) * ${word(1)} + block`)} + i - ${starts}[d];`;
    yield `  ${keyTo("to")} = key;`;
    if (payloadTo !== null) {
      yield `  ${payloadTo("to")} = ${pass.payload === "given" ? payloadAt(`base + ${places}[i]`) : `base - row * ${word(2)} + ${places}[i]`};`;
    }
    yield "}";
  },
};

/** The part of a row that a workgroup has. */
function* blockOf({ pass, word }: Step): Iterable<string> {
  yield `if (group >= ${word(0)}) { return; }`;
  yield `let row = group / ${word(1)};`;
  yield `let block = group % ${word(1)};`;
  yield `let base = row * ${word(2)} + block * ${pass.block}u;`;
  yield `let count = min(${word(2)} - block * ${pass.block}u, ${pass.block}u);`;
}
/** Counters of an invocation are its own until all have counted. */
function* cleared({ size }: Step, counters: string): Iterable<string> {
  yield `for (var d = 0u; d < ${digits}u; d++) { ${counters}[d * ${size}u + local] = 0u; }`;
}
