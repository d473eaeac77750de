import { type Attention, type Ex, extentOf, halfBits } from "@traceform/compiler";
import { type Aligned, isShort, type Packing, packingAlong } from "./packing.ts";
import { bindPosition } from "./position.ts";
import type { Schedule } from "./schedule.ts";
import { nothingShared, onlyGroups, type Scheduled } from "./scheduled.ts";
import { components, finish, stage, staged } from "./staging.ts";
import { four, type Operand, sizeOf, type Tile } from "./tiles.ts";
import type { Values } from "./values.ts";

/** Attention of which a workgroup has some rows: a square of invocations, each with four rows, four keys at a time, and some columns. */
interface AttentionRows {
  readonly kernel: Attention;
  /** The side of the square. */
  readonly side: number;
  readonly a: Operand;
  readonly b: Operand;
  readonly value: Operand;
  readonly packing: Packing;
}

const sides = { full: 8, tiny: 4 } as const;
/** How deep a step of a product is. */
const depth = 8;

export function scheduledAttention(kernel: Attention, schedule: Schedule, aligned: Aligned): Scheduled {
  const operand = (value: Ex): Operand => ({ value, half: schedule.halves ? halfBits(kernel.e, value) : null });
  const { a, b, value, columns, batches, rows, stages } = kernel;
  const side = sides[schedule.size];
  const stores = stages.flatMap((s) => s.stores);
  const packing = packingAlong(stores, columns, [...batches, ...rows], aligned);
  const groups = extentOf(batches) * Math.ceil(extentOf(rows) / (side * four));
  return {
    kind: "attention",
    packing,
    shortSlots: stores.filter(isShort).map((s) => s.slot),
    variant: String(side),
    literals: kernel.e.literals,
    size: side * side,
    shared: nothingShared,
    groups: () => groups,
    resized: () => null,
    write: (values) => {
      onlyGroups(values, groups);
      values.givingSteps(() =>
        writeAttention({ kernel, side, a: operand(a), b: operand(b), value: operand(value), packing }, values),
      );
    },
  };
}

/**
 * Writes what an invocation, number `local` of workgroup `group`, does: for each tile of keys, the scores of its rows, which become
 * weights in the memory of the workgroup, and with those a part of the sums of values.
 */
function writeAttention(t: AttentionRows, values: Values): void {
  const { kernel, side } = t;
  const width = side * four;
  const [m, n, d] = [kernel.rows, kernel.keys, kernel.depth].map((axes) => sizeOf(values, axes).text);
  const columnFours = Math.ceil(extentOf(kernel.columns) / width);
  const scoreTile: Tile = { threads: [side, side], each: [four, four], depth };
  const valueTile: Tile = { threads: [side, side], each: [four, four * columnFours], depth };
  const q = staged(values, "tile_a", t.a, kernel.rows, width, scoreTile, kernel.depth);
  const k = staged(values, "tile_b", t.b, kernel.keys, width, scoreTile, kernel.depth);
  const v = staged(values, "tile_c", t.value, kernel.columns, width * columnFours, valueTile, kernel.keys);
  // By keys, and the rows of an invocation.
  const weights = values.shared("weights", "vec4<f32>", width * side);
  const largest = values.shared("largest", "vec4<f32>", side * side);
  values.line(`let down = u32(${m} + ${width - 1}) / ${width}u;`);
  values.line(`let tile_row = i32(group % down) * ${width};`);
  values.line("let tile_column = 0;");
  values.line("let batch = i32(group / down);");
  bindPosition(values, kernel.batches, "batch");
  values.line(`let thread_row = i32(local / ${side}u);`);
  values.line(`let thread_column = i32(local % ${side}u);`);
  const sums = Array.from({ length: four }, (_, i) => Array.from({ length: columnFours }, (_c, j) => `c${i}_${j}`));
  for (const name of sums.flat()) values.line(`var ${name} = vec4<f32>();`);
  values.line("var most = vec4<f32>(-infinity);");
  values.line("var weight_sums = vec4<f32>();");
  values.block(`for (var tile_key = 0; tile_key < ${n}; tile_key += ${width}) `, () => {
    for (let i = 0; i < four; i++) values.line(`var s${i} = vec4<f32>();`);
    values.block(`for (var first = 0; first < ${d}; first += ${depth}) `, () => {
      values.line("workgroupBarrier();");
      stage(values, q, "tile_row", kernel.depth, scoreTile);
      stage(values, k, "tile_key", kernel.depth, scoreTile);
      values.line("workgroupBarrier();");
      values.block(`for (var d = 0; d < ${depth}; d++) `, () => {
        values.line(`let x = vec4<f32>(${q.name}[d * ${q.pitch} + thread_row]);`);
        values.line(`let y = vec4<f32>(${k.name}[d * ${k.pitch} + thread_column]);`);
        components.forEach((c, i) => values.line(`s${i} = x.${c} * y + s${i};`));
      });
    });
    // An invocation's scores are its own until all have theirs.
    const own = `${weights}[(thread_column * ${four} + j) * ${side} + thread_row][i]`;
    const each = (body: () => void): void =>
      values.block(`for (var i = 0; i < ${four}; i++) `, () => values.block(`for (var j = 0; j < ${four}; j++) `, body));
    values.line("let products = mat4x4<f32>(s0, s1, s2, s3);");
    each(() => {
      values.line(`let row = min(tile_row + thread_row * ${four} + i, ${m} - 1);`);
      values.line(`let key = tile_key + thread_column * ${four} + j;`);
      values.line("var x = -infinity;");
      values.block(`if (key < ${n}) `, () => {
        bindPosition(values, kernel.rows, "row");
        bindPosition(values, kernel.keys, "key");
        values.line("let product = products[i][j];");
        values.bind(kernel.product, "product");
        values.line(`x = ${values.use(kernel.score)};`);
      });
      values.line(`${own} = x;`);
    });
    values.line("var next = most;");
    for (let j = 0; j < four; j++)
      values.line(`next = max(next, ${weights}[(thread_column * ${four} + ${j}) * ${side} + thread_row]);`);
    values.line(`${largest}[thread_column * ${side} + thread_row] = next;`);
    values.line("workgroupBarrier();");
    values.block(`for (var c = 0; c < ${side}; c++) `, () =>
      values.line(`next = max(next, ${largest}[c * ${side} + thread_row]);`),
    );
    const weightOf = (logit: string, most: string): string => {
      values.line(`let logit = ${logit};`);
      values.line(`let limit = ${most};`);
      values.bind(kernel.logit, "logit");
      values.bind(kernel.most, "limit");
      return values.use(kernel.weight);
    };
    values.line("var fade = vec4<f32>();");
    values.block(`for (var i = 0; i < ${four}; i++) `, () => values.line(`fade[i] = ${weightOf("most[i]", "next[i]")};`));
    each(() => values.line(`${own} = ${weightOf(own, "next[i]")};`));
    values.line("most = next;");
    values.line("weight_sums *= fade;");
    sums.forEach((row, i) => row.forEach((name) => values.line(`${name} *= fade.${components[i]};`)));
    values.block(`for (var first = tile_key; first < min(tile_key + ${width}, ${n}); first += ${depth}) `, () => {
      values.line("workgroupBarrier();");
      stage(values, v, "tile_column", kernel.keys, valueTile);
      values.line("workgroupBarrier();");
      values.block(`for (var d = 0; d < ${depth}; d++) `, () => {
        values.line(`let w = ${weights}[(first - tile_key + d) * ${side} + thread_row];`);
        values.line("weight_sums += w;");
        for (let j = 0; j < columnFours; j++)
          values.line(`let y${j} = vec4<f32>(${v.name}[d * ${v.pitch} + thread_column + ${j * side}]);`);
        sums.forEach((row, i) => row.forEach((name, j) => values.line(`${name} = w.${components[i]} * y${j} + ${name};`)));
      });
    });
  });
  const { rows, columns, total: sum, stages: epilogue } = kernel;
  finish(values, { rows, columns, sum, epilogue, packing: t.packing }, valueTile, sums, "s[j] / weight_sums[i]");
}
