import type { Axis } from "@traceform/compiler";
import type { Schedule } from "./schedule.ts";
import { bindLine, shareStep } from "./staging.ts";
import {
  elementOf,
  finishFour,
  four,
  isAlongDepth,
  type Operand,
  placeTile,
  type Product,
  sizeOf,
  type UnitTile,
  useOperand,
} from "./tiles.ts";
import type { Values } from "./values.ts";

/** Elements between the rows of a staged operand and the next multiple of the banks of memory. */
const skew = 8;

/** The tiles that units can compute of a product of such operands, large ones first. */
export function unitTiles(
  { units, memory }: Pick<Schedule, "units" | "memory">,
  { a, b }: { readonly a: Operand; readonly b: Operand },
): readonly UnitTile[] {
  if (units === null) return [];
  // Of halves all products are exact, and sums are f32: nothing is lost. What is f32 needs units for f32.
  const component = elementOf(a) === "f16" && elementOf(b) === "f16" ? "f16" : "f32";
  const config = units.configs.find((c) => c.component === component);
  if (config === undefined) return [];
  const most = Math.floor(units.invocations / units.subgroup);
  const subgroups = (
    [
      [2, 2],
      [1, 2],
      [1, 1],
    ] as const
  ).find(([r, c]) => r * c <= most);
  if (subgroups === undefined) return [];
  const { dialect, subgroup } = units;
  const size = subgroups[0] * subgroups[1] * subgroup;
  const all = [4, 2, 1].flatMap((n) =>
    [32, 16].map((depth): UnitTile => ({ dialect, config, subgroups, results: [n, n], depth: Math.max(depth, config.K), size })),
  );
  return all.filter((t) => t.depth % config.K === 0 && unitBytes(t) <= memory);
}

/** Elements of the memory of a workgroup: of both operands, and of a result of each subgroup. */
function memoryOf({ config: { M, N }, subgroups, results, depth }: UnitTile): {
  readonly a: { readonly rows: number; readonly pitch: number };
  readonly b: { readonly rows: number; readonly pitch: number };
  readonly c: number;
} {
  return {
    a: { rows: subgroups[0] * results[0] * M, pitch: depth + skew },
    b: { rows: depth, pitch: subgroups[1] * results[1] * N + skew },
    c: subgroups[0] * subgroups[1] * M * N,
  };
}
/** Bytes of the workgroup's memory. */
export function unitBytes(tile: UnitTile): number {
  const { a, b, c } = memoryOf(tile);
  return (a.rows * a.pitch + b.rows * b.pitch) * (tile.config.component === "f16" ? 2 : 4) + 4 * c;
}

/**
 * A product by units. Both operands of a step are brought into the memory of the workgroup, so they may be anything, in any layout; results go
 * out through memory as well, since nobody knows which invocation has which elements of them. A subgroup may be smaller than the device
 * says at the most: then there are more of them than are needed, and those do again what others do.
 */
export function writeUnits(p: Product, tile: UnitTile, values: Values): void {
  const { config, subgroups, results, depth, size, dialect } = tile;
  const { M, N, K, component } = config;
  const memory = memoryOf(tile);
  const [height, width] = [memory.a.rows, memory.b.pitch - skew];
  const a = values.shared("unit_a", component, memory.a.rows * memory.a.pitch);
  const b = values.shared("unit_b", component, memory.b.rows * memory.b.pitch);
  const c = values.shared("unit_c", "f32", memory.c);
  const arrays = {
    left: { name: a, pitch: memory.a.pitch },
    right: { name: b, pitch: memory.b.pitch },
    result: { name: c, pitch: N },
  };
  const prefix = values.module(`${component} ${M} ${N} ${K} ${arrays.left.pitch} ${arrays.right.pitch}`, (name) =>
    dialect.declare(config, arrays, name),
  );
  values.subgroups = true;
  for (const name of dialect.enables) values.enables.add(name);
  if (component === "f16") values.enables.add("f16");
  placeTile(values, p);
  const count = subgroups[0] * subgroups[1];
  values.line(`let own = i32(subgroup) % ${count};`);
  values.line(`let own_row = own / ${subgroups[1]} * ${results[0] * M};`);
  values.line(`let own_column = own % ${subgroups[1]} * ${results[1] * N};`);
  const sums = Array.from({ length: results[0] }, (_, i) => Array.from({ length: results[1] }, (_, j) => `c${i}_${j}`));
  for (const name of sums.flat()) values.line(`var ${name}: ${prefix}Sum;`);
  values.block(`for (var first = 0; first < ${sizeOf(values, p.depth).text}; first += ${depth}) `, () => {
    values.line("workgroupBarrier();");
    stage(values, p, tile, { name: a, operand: p.a, axes: p.rows, lines: height, origin: "tile_row" }, [memory.a.pitch, 1]);
    stage(values, p, tile, { name: b, operand: p.b, axes: p.columns, lines: width, origin: "tile_column" }, [1, memory.b.pitch]);
    values.line("workgroupBarrier();");
    values.block(`for (var d = 0; d < ${depth}; d += ${K}) `, () => {
      for (let i = 0; i < results[0]; i++)
        values.line(`let x${i} = ${prefix}load_left(u32((own_row + ${i * M}) * ${memory.a.pitch} + d));`);
      for (let j = 0; j < results[1]; j++)
        values.line(`let y${j} = ${prefix}load_right(u32(d * ${memory.b.pitch} + own_column + ${j * N}));`);
      sums.forEach((row, i) => row.forEach((name, j) => values.line(`${name} = ${prefix}multiply(x${i}, y${j}, ${name});`)));
    });
  });
  values.block(`for (var o = 0; o < ${results[0] * results[1]}; o++) `, () => {
    values.line("workgroupBarrier();");
    values.block("switch (o) ", () =>
      sums
        .flat()
        .forEach((name, o, all) =>
          values.line(
            `${o === all.length - 1 ? "default" : `case ${o}`}: { ${prefix}store_result(u32(own * ${M * N}), ${name}); }`,
          ),
        ),
    );
    values.line("workgroupBarrier();");
    values.block(`for (var l = i32(local); l < ${(count * M * N) / four}; l += ${size}) `, () => {
      values.line(`let whose = l * ${four} / ${M * N};`);
      values.line(`let inside = l * ${four} % ${M * N};`);
      values.line(`let row = tile_row + (whose / ${subgroups[1]} * ${results[0]} + o / ${results[1]}) * ${M} + inside / ${N};`);
      values.line(
        `let column_four = tile_column + (whose % ${subgroups[1]} * ${results[1]} + o % ${results[1]}) * ${N} + inside % ${N};`,
      );
      finishFour(values, p, `${c}[l * ${four} + j]`);
    });
  });
}

/** The part of an operand that a step needs, as lines (rows or columns) of a tile. */
interface Lines {
  readonly name: string;
  readonly operand: Operand;
  readonly axes: readonly Axis[];
  readonly lines: number;
  readonly origin: string;
}

/** Brings a part of an operand into the workgroup's memory; the last two numbers are between its lines and its depths there. */
function stage(
  values: Values,
  { depth }: Product,
  { config, depth: step, size }: UnitTile,
  { name, operand, axes, lines, origin }: Lines,
  [byLine, byDepth]: readonly [number, number],
): void {
  const alongDepth = isAlongDepth(operand, axes, depth);
  shareStep(values, { lines, depth: step, size, alongDepth }, depth, (within) => {
    bindLine(values, axes, `${origin} + g`, lines);
    const x = config.component === "f16" ? useOperand(values, operand) : values.use(operand.value);
    values.line(`${name}[g * ${byLine} + d * ${byDepth}] = ${within(x, `${config.component}()`)};`);
  });
}
