import { extentOf, type Nest, type Routine } from "@traceform/compiler";
import { helperText } from "./helpers.ts";
import { parallelAxes, writeNest } from "./nest.ts";
import { writeRoutine } from "./routine.ts";
import { Values } from "./values.ts";

export const workgroupSize = 64;

/** The words that every dispatch brings: infinity, NaN, zero, one that is free, then one for each pointer of the kernel. */
export const firstPointer = 4;
export const specials: readonly number[] = [0x7f800000, 0x7fc00000, 0, 0];

/** What one dispatch runs: a nest, a routine, or a copy of as many words as the word after its two pointers says. */
export type GpuKernel =
  | { readonly kind: "nest"; readonly nest: Nest }
  | { readonly kind: "routine"; readonly routine: Routine }
  | { readonly kind: "copy" }
  | typeof gateKernel;

/** Opens or closes a gate: see `gates.ts` and `gateDispatch`. Its pointers are the value that decides and the memory of the gates. */
export const gateKernel = { kind: "gate" } as const;
/** The most words that a kernel is given beside its pointers. */
export const mostWords = 8;

/** How many invocations a kernel has: one for each position of a nest's parallel axes, and for each task of a routine. */
export function invocationsOf(kernel: Extract<GpuKernel, { kind: "nest" | "routine" }>): number {
  return kernel.kind === "nest" ? extentOf(parallelAxes(kernel.nest)) : kernel.routine.tasks;
}

/**
 * The module of a kernel. Memory comes in a few large buffers, each bound once as words; `bindings` says for every pointer in
 * which of them it is, and the pointer itself is a number of words, given by the dispatch.
 */
export function writeKernel(kernel: GpuKernel, name: string, bindings: readonly number[]): string {
  const values = new Values(name, bindings);
  const word = (i: number): string => `words[${i >> 2}][${i & 3}]`;
  const end = firstPointer + bindings.length;
  bindings.forEach((_, i) => values.line(`let p${i} = ${word(firstPointer + i)};`));
  if (kernel.kind === "gate") writeGate(values, bindings, (i) => word(end + i));
  else {
    values.line("let invocation = id.x + id.y * groups.x * WORKGROUP;");
    const count = kernel.kind === "copy" ? word(end) : `${invocationsOf(kernel)}u`;
    values.line(`if (invocation >= ${count}) { return; }`);
    if (kernel.kind === "copy") values.line(`m${bindings[1]}[p1 + invocation] = m${bindings[0]}[p0 + invocation];`);
    else {
      values.line("let infinity = bitcast<f32>(words[0][0]);");
      values.line("let nan = bitcast<f32>(words[0][1]);");
      values.line("let zero = words[0][2];");
      if (kernel.kind === "nest") writeNest(kernel.nest, values);
      else writeRoutine(kernel.routine, values);
    }
  }
  const memories = [...new Set(bindings)].sort((a, b) => a - b);
  return [
    `// ${name}`,
    `const WORKGROUP = ${workgroupSize}u;`,
    `@group(0) @binding(0) var<uniform> words: array<vec4<u32>, ${((end + mostWords) >> 2) + 1}>;`,
    ...memories.map((m) => `@group(0) @binding(${m + 1}) var<storage, read_write> m${m}: array<u32>;`),
    helperText(values.helpers),
    `@compute @workgroup_size(WORKGROUP)`,
    `fn main(`,
    `  @builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,`,
    `  @builtin(local_invocation_index) local: u32,`,
    `) {`,
    values.text,
    "}",
    "",
  ].join("\n");
}

/** One workgroup: it decides, and writes into the records how many workgroups the dispatches of the gate have. */
function writeGate(values: Values, [value, state]: readonly number[], word: (i: number) => string): void {
  const [parent, own, mode, branch, last, records] = [0, 1, 2, 3, 4, 5].map(word);
  values.line(`let gate = p1 + ${own};`);
  values.line("var open = true;");
  values.block(`if (${parent} != 0xffffffffu) `, () => values.line(`open = m${state}[p1 + ${parent}] != 0u;`));
  values.line(`let value = bitcast<i32>(m${value}[p0]);`);
  values.block(`if (${mode} == 1u) `, () => values.line(`open = m${state}[gate] != 0u && value != 0;`));
  // Out of range picks the nearest branch.
  values.block(`if (${mode} == 2u) `, () =>
    values.line(`open = open && clamp(value, 0, bitcast<i32>(${last})) == bitcast<i32>(${branch});`),
  );
  values.line("storageBarrier();");
  values.block("if (local == 0u) ", () => {
    values.line(`m${state}[gate] = select(0u, 1u, open);`);
    values.line(`m${state}[gate + 1u] = select(0u, m${state}[gate + 1u] + select(0u, 1u, open), ${mode} == 1u);`);
  });
  values.block(`for (var i = local; i < ${records}; i += WORKGROUP) `, () => {
    values.line("let at = gate + 2u + i * 5u;");
    values.line(`m${state}[at] = select(0u, m${state}[at + 3u], open);`);
  });
}
