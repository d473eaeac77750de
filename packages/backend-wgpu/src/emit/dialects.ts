import type { UnitConfig } from "./schedule.ts";

/** Where the matrices of a unit are in the memory of a workgroup: arrays, and the elements between two rows of each. */
export interface UnitMemory {
  readonly left: UnitArray;
  readonly right: UnitArray;
  readonly result: UnitArray;
}
export interface UnitArray {
  readonly name: string;
  readonly pitch: number;
}

/**
 * How units are written. WGSL has them as an experiment, whose functions were renamed, so kernels go through a few functions that
 * `declare` defines: `load_left(at)` and `load_right(at)` make matrices of elements from there on, `multiply(left, right, sum)` adds their
 * product to a sum, and `store_result(at, sum)` writes it. The types are `Left`, `Right` and `Sum`; a sum begins as zeros.
 */
export interface Dialect {
  readonly enables: readonly string[];
  declare(config: UnitConfig, memory: UnitMemory, prefix: string): readonly string[];
}

function dialect(load: (type: string, array: UnitArray) => string, store: (array: UnitArray) => string): Dialect {
  return {
    enables: ["chromium_experimental_subgroup_matrix"],
    declare({ component, M, N, K }, { left, right, result }, prefix) {
      // Columns come first.
      return [
        `alias ${prefix}Left = subgroup_matrix_left<${component}, ${K}, ${M}>;`,
        `alias ${prefix}Right = subgroup_matrix_right<${component}, ${N}, ${K}>;`,
        `alias ${prefix}Sum = subgroup_matrix_result<f32, ${N}, ${M}>;`,
        `fn ${prefix}load_left(at: u32) -> ${prefix}Left { return ${load(`${prefix}Left`, left)}; }`,
        `fn ${prefix}load_right(at: u32) -> ${prefix}Right { return ${load(`${prefix}Right`, right)}; }`,
        `fn ${prefix}multiply(left: ${prefix}Left, right: ${prefix}Right, sum: ${prefix}Sum) -> ${prefix}Sum {`,
        "  return subgroupMatrixMultiplyAccumulate(left, right, sum);",
        "}",
        `fn ${prefix}store_result(at: u32, sum: ${prefix}Sum) { ${store(result)}; }`,
      ];
    },
  };
}

/** The names of today, and those of 2025. */
export const dialects: readonly Dialect[] = [
  dialect(
    (type, { name, pitch }) => `subgroupMatrixLoad<${type}, row_major>(&${name}, at, ${pitch}u)`,
    ({ name, pitch }) => `subgroupMatrixStore<row_major>(&${name}, at, sum, ${pitch}u)`,
  ),
  dialect(
    (type, { name, pitch }) => `subgroupMatrixLoad<${type}>(&${name}, at, false, ${pitch}u)`,
    ({ name, pitch }) => `subgroupMatrixStore(&${name}, at, sum, false, ${pitch}u)`,
  ),
];

/** A module that uses all that kernels use of units: where it is taken, they can be written so. */
export function unitProbe({ enables, declare }: Dialect, config: UnitConfig, subgroup: number): string {
  const { component, M, N, K } = config;
  const arrays = { left: { name: "a", pitch: K }, right: { name: "b", pitch: N }, result: { name: "c", pitch: N } };
  return [
    "enable subgroups;",
    ...(component === "f16" ? ["enable f16;"] : []),
    ...enables.map((name) => `enable ${name};`),
    `var<workgroup> a: array<${component}, ${M * K}>;`,
    `var<workgroup> b: array<${component}, ${K * N}>;`,
    `var<workgroup> c: array<f32, ${M * N}>;`,
    ...declare(config, arrays, ""),
    `@compute @workgroup_size(${subgroup})`,
    "fn main() { var sum: Sum; sum = multiply(load_left(0u), load_right(0u), sum); store_result(0u, sum); }",
  ].join("\n");
}
