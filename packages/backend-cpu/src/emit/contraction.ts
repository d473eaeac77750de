import type { Contraction } from "@traceform/compiler";
import { Code } from "../wasm/code.ts";
import type { FunctionSlot } from "../wasm/encoder.ts";

/** Depth of a block: a panel of B of this depth stays in the first cache. */
const depthBlock = 256;

/** Blocks of C for one task: bounded work, and an A block that stays in the second cache. */
interface Grid {
  readonly rows: number;
  readonly columns: number;
  readonly rowBlocks: number;
  readonly columnBlocks: number;
}

function gridOf(c: Contraction): Grid {
  const rows = Math.min(Math.ceil(c.m / c.tile.m), Math.ceil(192 / c.tile.m)) * c.tile.m;
  // About 2^25 operations a task.
  const wanted = Math.max(c.tile.n, (1 << 25) / (rows * c.k));
  const columns = Math.min(Math.ceil(c.n / c.tile.n), Math.max(1, Math.floor(wanted / c.tile.n))) * c.tile.n;
  return { rows, columns, rowBlocks: Math.ceil(c.m / rows), columnBlocks: Math.ceil(c.n / columns) };
}

/** The number of tasks of a contraction: blocks of all batches. */
export function contractionTasks(c: Contraction): number {
  const g = gridOf(c);
  return c.batch * g.rowBlocks * g.columnBlocks;
}

/** A function `(begin, end, a, b, c, scratch)` over the tasks, which calls the library's `block` for each depth block. */
export function emitContraction(kernel: Contraction, slot: FunctionSlot, block: FunctionSlot): void {
  const code = new Code(slot);
  const [begin, end, a, b, c, scratch] = [0, 1, 2, 3, 4, 5];
  const g = gridOf(kernel);
  const { tile, k, m, n } = kernel;
  const aPanel = k * tile.m * 4;
  const bPanel = k * tile.n * 4;
  const [t, rest, batch, row, column, depth, rows, columns, size] = Array.from({ length: 9 }, () => code.local("i32"));
  const divide = (from: number, by: number, quotient: number, remainder: number): void => {
    code.get(from);
    code.i32(by);
    code.op("i32.div_u");
    code.set(quotient);
    code.get(from);
    code.get(quotient);
    code.i32(by);
    code.op("i32.mul");
    code.op("i32.sub");
    code.set(remainder);
  };
  const smaller = (total: number, counter: number, most: number, into: number): void => {
    const left = (): void => {
      code.i32(total);
      code.get(counter);
      code.op("i32.sub");
    };
    left();
    code.i32(most);
    left();
    code.i32(most);
    code.op("i32.lt_s");
    code.op("select");
    code.set(into);
  };
  const plus = (local: number, factor: number): void => {
    code.get(local);
    code.i32(factor);
    code.op("i32.mul");
    code.op("i32.add");
  };
  code.get(begin);
  code.set(t);
  code.block((exit) =>
    code.loop((again) => {
      code.get(t);
      code.get(end);
      code.op("i32.ge_s");
      code.if(() => exit());
      // Row blocks fastest: the columns of B stay in the outer cache.
      divide(t, g.rowBlocks, rest, row);
      divide(rest, g.columnBlocks, batch, column);
      for (const [index, by] of [
        [row, g.rows],
        [column, g.columns],
      ]) {
        code.get(index);
        code.i32(by);
        code.op("i32.mul");
        code.set(index);
      }
      smaller(m, row, g.rows, rows);
      smaller(n, column, g.columns, columns);
      code.i32(0);
      code.set(depth);
      code.loop((deeper) => {
        smaller(k, depth, depthBlock, size);
        code.get(a);
        plus(row, aPanel / tile.m);
        plus(depth, tile.m * 4);
        if (!kernel.sharedA) plus(batch, Math.ceil(m / tile.m) * aPanel);
        code.get(b);
        plus(column, bPanel / tile.n);
        plus(depth, tile.n * 4);
        if (!kernel.sharedB) plus(batch, Math.ceil(n / tile.n) * bPanel);
        code.get(c);
        plus(batch, kernel.batchStride * 4);
        plus(row, kernel.rowStride * 4);
        plus(column, 4);
        code.i32(aPanel);
        code.i32(bPanel);
        code.i32(kernel.rowStride * 4);
        code.get(rows);
        code.get(columns);
        code.get(size);
        code.get(depth);
        code.op("i32.eqz");
        code.get(scratch);
        code.call(block);
        code.get(depth);
        code.i32(depthBlock);
        code.op("i32.add");
        code.tee(depth);
        code.i32(k);
        code.op("i32.lt_s");
        deeper();
      });
      code.get(t);
      code.i32(1);
      code.op("i32.add");
      code.set(t);
      code.i32(1);
      again();
    }),
  );
  code.finish();
}
