import type { Axis } from "@traceform/compiler";
import { bindPosition } from "./position.ts";
import { elementOf, type Finished, finishFour, four, isAlongDepth, type Operand, sizeOf, type Tile, useOperand } from "./tiles.ts";
import type { Values } from "./values.ts";

// Operands of products in the memory of a workgroup, and sums in the registers of its invocations.

export const components = ["x", "y", "z", "w"] as const;

/** One operand in the memory of a workgroup: `[depth, extent]`, by fours along the extent. */
export interface Staged {
  readonly name: string;
  readonly operand: Operand;
  readonly axes: readonly Axis[];
  /** Rows or columns of a tile, and between two depths in memory, all by fours. */
  readonly fours: number;
  readonly pitch: number;
  /** Whether neighbouring invocations read along the depth. */
  readonly alongDepth: boolean;
}

/** How an operand is brought into the memory of the workgroup for a tile. `extent`: its rows or columns. */
export function staged(
  values: Values,
  purpose: string,
  operand: Operand,
  axes: readonly Axis[],
  extent: number,
  tile: Tile,
  depth: readonly Axis[],
): Staged {
  const alongDepth = isAlongDepth(operand, axes, depth);
  const fours = extent / four;
  // Neighbours along the depth write to different banks of memory.
  const pitch = alongDepth ? fours + 1 : fours;
  const name = values.shared(purpose, `vec4<${elementOf(operand)}>`, tile.depth * pitch);
  return { name, operand, axes, fours, pitch, alongDepth };
}

/**
 * Brings the part of an operand that belongs to a step into the workgroup's memory: from the line `origin` on, and the depth `first`. Beyond the depth
 * there are zeros.
 */
export function stage(values: Values, s: Staged, origin: string, depth: readonly Axis[], tile: Tile): void {
  const [lines, k] = [sizeOf(values, s.axes), sizeOf(values, depth)];
  const element = elementOf(s.operand);
  const size = tile.threads[0] * tile.threads[1];
  values.block(`for (var l = i32(local); l < ${s.fours * tile.depth}; l += ${size}) `, () => {
    const [inner, outer] = s.alongDepth ? ["d", "g"] : ["g", "d"];
    const run = s.alongDepth ? tile.depth : s.fours;
    values.line(`let ${inner} = l % ${run};`);
    values.line(`let ${outer} = l / ${run};`);
    const whole = k.extent % tile.depth === 0;
    values.line(`let position = ${whole ? "first + d" : `min(first + d, ${k.text} - 1)`};`);
    bindPosition(values, depth, "position");
    values.line(`var v = vec4<${element}>();`);
    for (const [i, component] of components.entries()) {
      values.block("", () => {
        const at = `${origin} + g * ${four} + ${i}`;
        // Rows and columns beyond the last one are those of nobody.
        values.line(`let line = ${lines.extent % (s.fours * four) === 0 ? at : `min(${at}, ${lines.text} - 1)`};`);
        bindPosition(values, s.axes, "line");
        const x = useOperand(values, s.operand);
        values.line(`v.${component} = ${x};`);
      });
    }
    if (!whole) values.line(`v = select(vec4<${element}>(), v, first + d < ${k.text});`);
    values.line(`${s.name}[d * ${s.pitch} + g] = v;`);
  });
}

/** What becomes of the sums of an invocation, one after the other: `total` is the text of one, `s[j]` in row `i`. */
export function finish(
  values: Values,
  p: Finished,
  { threads, each }: Tile,
  sums: readonly (readonly string[])[],
  total: string = "s[j]",
): void {
  const columnFours = each[1] / four;
  values.block(`for (var o = 0; o < ${each[0] * columnFours}; o++) `, () => {
    values.line("var s = vec4<f32>();");
    values.block("switch (o) ", () => {
      sums.flat().forEach((name, o, all) => values.line(`${o === all.length - 1 ? "default" : `case ${o}`}: { s = ${name}; }`));
    });
    values.line(`let i = o / ${columnFours};`);
    values.line(`let row = tile_row + (i / ${four} * ${threads[0]} + thread_row) * ${four} + i % ${four};`);
    values.line(`let column_four = tile_column + (o % ${columnFours} * ${threads[1]} + thread_column) * ${four};`);
    finishFour(values, p, total);
  });
}
