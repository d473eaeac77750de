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

/** What the invocations of a workgroup bring into its memory for a step: so many lines, or groups of lines, by so many depths. */
interface Share {
  readonly lines: number;
  readonly depth: number;
  /** Invocations of the workgroup. */
  readonly size: number;
  readonly alongDepth: boolean;
}

/**
 * Shares what a step stages, from the depth `first` on, among the invocations of a workgroup: `body` is of line `g` and depth `d` of the
 * step. It gets the text of a value that is zero beyond the depth.
 */
export function shareStep(
  values: Values,
  { lines, depth: step, size, alongDepth }: Share,
  depth: readonly Axis[],
  body: (within: (x: string, zero: string) => string) => void,
): void {
  const k = sizeOf(values, depth);
  const whole = k.extent % step === 0;
  const [inner, outer, run] = alongDepth ? ["d", "g", step] : ["g", "d", lines];
  values.block(`for (var l = i32(local); l < ${lines * step}; l += ${size}) `, () => {
    values.line(`let ${inner} = l % ${run};`);
    values.line(`let ${outer} = l / ${run};`);
    values.line(`let position = ${whole ? "first + d" : `min(first + d, ${k.text} - 1)`};`);
    bindPosition(values, depth, "position");
    body((x, zero) => (whole ? x : `select(${zero}, ${x}, first + d < ${k.text})`));
  });
}

/** Is at a line of an operand of which a tile has so many. Rows and columns beyond the last one are those of nobody. */
export function bindLine(values: Values, axes: readonly Axis[], at: string, lines: number): void {
  const { extent, text } = sizeOf(values, axes);
  values.line(`let line = ${extent % lines === 0 ? at : `min(${at}, ${text} - 1)`};`);
  bindPosition(values, axes, "line");
}

/** Brings the part of an operand that belongs to a step into the workgroup's memory, from the line `origin` on. */
export function stage(values: Values, s: Staged, origin: string, depth: readonly Axis[], tile: Tile): void {
  const vector = `vec4<${elementOf(s.operand)}>`;
  const size = tile.threads[0] * tile.threads[1];
  shareStep(values, { lines: s.fours, depth: tile.depth, size, alongDepth: s.alongDepth }, depth, (within) => {
    values.line(`var v = ${vector}();`);
    for (const [i, component] of components.entries()) {
      values.block("", () => {
        bindLine(values, s.axes, `${origin} + g * ${four} + ${i}`, s.fours * four);
        const x = useOperand(values, s.operand);
        values.line(`v.${component} = ${x};`);
      });
    }
    values.line(`${s.name}[d * ${s.pitch} + g] = ${within("v", `${vector}()`)};`);
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
