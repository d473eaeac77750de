import type { Chain } from "@traceform/compiler";
import { shortStores } from "./packing.ts";
import { productOf, productShape, withWholeRows, writeProduct } from "./product.ts";
import { type Rows, sharesRows, writeRowOf } from "./rows.ts";
import type { Schedule } from "./schedule.ts";
import { nothingShared, onlyGroups, type Scheduled } from "./scheduled.ts";
import { heightOf, type Product, sizeOf } from "./tiles.ts";
import type { Values } from "./values.ts";

/** A product, in tiles of whole rows, and what becomes of each row: the workgroup that has computed it goes on with it. */
interface ProductRows {
  readonly product: Product;
  readonly rows: Rows;
  /** The pointers of both among those of the kernel. */
  readonly args: readonly [readonly number[], readonly number[]];
}

/** A chain in one dispatch; null if its first part is no product, its rows are longer than tiles, or elements share words. */
function productRows({ parts, n }: Chain, schedule: Schedule): ProductRows | null {
  const [first, second] = parts.map((p) => p.nest);
  if (!sharesRows(second) || [first, second].some((nest) => shortStores(nest).length > 0)) return null;
  const whole = productOf(first, schedule, () => true);
  const product = whole === null ? null : withWholeRows(whole, n, schedule);
  if (product === null) return null;
  const { size } = productShape(product);
  const subgroups = schedule.subgroups > 0 && schedule.subgroups <= size;
  return { product, rows: { nest: second, size, subgroups, packing: null, each: 1 }, args: [parts[0].args, parts[1].args] };
}

/** The same as a kernel. */
export function scheduledChain(kernel: Chain, schedule: Schedule): Scheduled | null {
  const chain = productRows(kernel, schedule);
  if (chain === null) return null;
  const { groups, size } = productShape(chain.product);
  return {
    kind: "chain",
    packing: null,
    shortSlots: [],
    variant: "",
    // Each part has its own.
    literals: new Set(),
    size,
    shared: nothingShared,
    groups: () => groups,
    resized: () => null,
    write: (values) => {
      onlyGroups(values, groups);
      values.givingSteps(() => writeProductRows(chain, values));
    },
  };
}

/** Writes what an invocation, number `local` of workgroup `group`, does. */
function writeProductRows({ product, rows, args }: ProductRows, values: Values): void {
  values.part(args[0], () => {
    values.literals = product.e.literals;
    writeProduct(product, values);
  });
  const count = sizeOf(values, product.rows).text;
  // The rows are in memory, where the workgroup itself has written them.
  values.block(`for (var r = 0; r < ${heightOf(product.tile)}; r++) `, () => {
    values.line("storageBarrier();");
    values.line("workgroupBarrier();");
    values.block(`if (tile_row + r < ${count}) `, () => {
      values.line(`let row = batch * ${count} + tile_row + r;`);
      values.part(args[1], () => {
        values.literals = rows.nest.e.literals;
        writeRowOf(rows, values);
      });
    });
  });
}
