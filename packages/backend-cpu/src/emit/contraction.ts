import type { Contraction, Part } from "@traceform/compiler";
import { Code } from "../wasm/code.ts";
import type { FunctionSlot } from "../wasm/encoder.ts";
import type { Job } from "./jobs.ts";

/** Depth of a block of the inner loops: a panel of B of this depth stays in the first cache. */
const depthBlock = 256;
/** Rows and columns of such a block: its part of A stays in the second cache, and that of C with it. */
const rowBlock = 192;
const columnBlock = 512;
/** Bytes that one task of packing writes, about. */
const packBytes = 1 << 16;

/** What the functions of a contraction call. */
export interface ContractionSlots {
  /** The inner loops (`gemm-library.ts`). */
  readonly block: FunctionSlot;
  /** The function of a part. */
  readonly part: (part: Part) => FunctionSlot;
}

type Side = "a" | "b";

/** Independent tasks of a contraction: a function `(begin, end, ...pointers)` over them. */
export interface Phase extends Pick<Job, "tasks"> {
  readonly name: string;
  readonly emit: (slot: FunctionSlot) => void;
}
/** A phase that is a job, and those that each thread has to go through by itself before its first task of it. */
interface JobPhase extends Phase, Pick<Job, "chunk" | "least"> {
  readonly before: readonly Phase[];
}

/**
 * The jobs of a contraction, in order: packing what all threads share, then the panels of the split, in blocks of as many as a thread
 * takes.
 */
export function contractionPhases(kernel: Contraction, slots: ContractionSlots): JobPhase[] {
  const packedBy = (who: "thread" | "all"): Phase[] =>
    (["a", "b"] as const)
      .filter((side) => kernel.packing[side] === who)
      .map((side) => {
        const { panels, group, batch } = packTasks(kernel, side);
        return {
          name: `pack ${side}`,
          tasks: batch * Math.ceil(panels / group),
          emit: (slot) => emitPacking(kernel, side, slot, slots),
        };
      });
  return [
    ...packedBy("all").map((phase) => ({ ...phase, chunk: 1, least: 1, before: [] })),
    {
      name: "blocks",
      tasks: kernel.batch * kernel[splitSide(kernel)].panels,
      chunk: kernel.mostPanels,
      least: kernel.leastPanels,
      before: packedBy("thread"),
      emit: (slot) => emitBlocks(kernel, slot, slots),
    },
  ];
}

/** The pointers to the panels. */
const panelPointers = { a: 0, b: 1 } as const;

function panelBytes(kernel: Contraction, side: Side): number {
  return kernel.k * kernel[side].width * 4;
}

function packTasks(kernel: Contraction, side: Side): { readonly panels: number; readonly group: number; readonly batch: number } {
  const { panels, shared } = kernel[side];
  const group = Math.min(panels, Math.max(1, Math.floor(packBytes / panelBytes(kernel, side))));
  return { panels, group, batch: shared ? 1 : kernel.batch };
}

/** The operand whose panels the blocks are made of. */
function splitSide(kernel: Contraction): Side {
  return kernel.split === "rows" ? "a" : "b";
}

/** Parameters before the pointers. */
const parameters = { begin: 0, end: 1, pointers: 2 } as const;

/** Code for the arithmetic of i32 locals. */
class Writer {
  readonly code: Code;
  constructor(slot: FunctionSlot) {
    this.code = new Code(slot);
  }
  local(): number {
    return this.code.local("i32");
  }
  pointer(i: number): void {
    this.code.get(parameters.pointers + i);
  }
  /** `quotient = from / by`, `remainder = from % by`. */
  divide(from: number, by: number, quotient: number, remainder: number): void {
    const { code } = this;
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
  }
  /** Adds `local * factor` to the number on the stack. */
  plus(local: number, factor: number): void {
    this.code.get(local);
    this.code.i32(factor);
    this.code.op("i32.mul");
    this.code.op("i32.add");
  }
  /** `into = min(local + more, limit)`, the limit pushed by a function. */
  atMost(local: number, more: number, limit: () => void, into: number): void {
    const { code } = this;
    const sum = (): void => {
      code.get(local);
      code.i32(more);
      code.op("i32.add");
    };
    sum();
    limit();
    sum();
    limit();
    code.op("i32.lt_s");
    code.op("select");
    code.set(into);
  }
  /** `body` for `counter` from `from` in steps while it is below the limit; at least once. */
  loop(counter: number, from: () => void, step: number, limit: () => void, body: () => void): void {
    const { code } = this;
    from();
    code.set(counter);
    code.loop((again) => {
      body();
      code.get(counter);
      code.i32(step);
      code.op("i32.add");
      code.tee(counter);
      limit();
      code.op("i32.lt_s");
      again();
    });
  }
  /** Calls a part on ranges, each given by two functions that push its ends. */
  part(slots: ContractionSlots, part: Part, ranges: readonly (() => void)[], pointer: (i: number) => void): void {
    ranges.slice(0, 2 * part.nest.ranges.length).forEach((push) => push());
    part.args.forEach(pointer);
    this.code.call(slots.part(part));
  }
  /** Packs the panels [from, to) of a batch of one side. */
  pack(
    slots: ContractionSlots,
    kernel: Contraction,
    side: Side,
    batch: number,
    from: number,
    to: number,
    pointer: (i: number) => void,
  ): void {
    const { code } = this;
    const packing = kernel[side];
    const one = (more: number) => (): void => {
      code.get(batch);
      code.i32(more);
      code.op("i32.add");
    };
    const wholePanels = packing.panels - (packing.last === null ? 0 : 1);
    if (packing.whole !== null) {
      const end = this.local();
      this.atMost(to, 0, () => code.i32(wholePanels), end);
      this.part(slots, packing.whole, [one(0), one(1), () => code.get(from), () => code.get(end)], pointer);
      code.release("i32", end);
    }
    if (packing.last !== null) {
      code.get(to);
      code.i32(wholePanels);
      code.op("i32.gt_s");
      const lastPanel = (i: number): void => {
        pointer(i);
        if (i !== panelPointers[side]) return;
        code.i32(wholePanels * panelBytes(kernel, side));
        code.op("i32.add");
      };
      code.if(() => this.part(slots, packing.last!, [one(0), one(1), () => code.i32(0), () => code.i32(1)], lastPanel));
    }
  }
}

function emitPacking(kernel: Contraction, side: Side, slot: FunctionSlot, slots: ContractionSlots): void {
  const w = new Writer(slot);
  const { code } = w;
  const { panels, group } = packTasks(kernel, side);
  const [t, batch, from, to] = [w.local(), w.local(), w.local(), w.local()];
  w.loop(
    t,
    () => code.get(parameters.begin),
    1,
    () => code.get(parameters.end),
    () => {
      w.divide(t, Math.ceil(panels / group), batch, from);
      code.get(from);
      code.i32(group);
      code.op("i32.mul");
      code.set(from);
      w.atMost(from, group, () => code.i32(panels), to);
      w.pack(slots, kernel, side, batch, from, to, (i) => w.pointer(i));
    },
  );
  code.finish();
}

function emitBlocks(kernel: Contraction, slot: FunctionSlot, slots: ContractionSlots): void {
  const w = new Writer(slot);
  const { code } = w;
  const { k, split, packing } = kernel;
  const { panels, width } = kernel[splitSide(kernel)];
  const [t, batch, first, last, begin, end, row, column, rowEnd, columnEnd, depth, size, a, b] = Array.from({ length: 14 }, () =>
    w.local(),
  );
  // The ranges of C that are the block's: of the split, and of the other side.
  const own = [() => code.get(begin), () => code.get(end)];
  const all = (extent: number): (() => void)[] => [() => code.i32(0), () => code.i32(extent)];
  const [rowBegin, rowLimit, columnBegin, columnLimit] = split === "rows" ? [...own, ...all(kernel.n)] : [...all(kernel.m), ...own];

  /** The address at which the panel 0 of the present batch would be. */
  const base = (side: Side, into: number): void => {
    const bytes = panelBytes(kernel, side);
    w.pointer(panelPointers[side]);
    if (packing[side] === "block") w.plus(first, -bytes);
    else if (!kernel[side].shared) w.plus(batch, kernel[side].panels * bytes);
    code.set(into);
  };
  const packBlock = (side: Side, at: number): void => {
    // The part's addresses count batches and panels from the very first.
    const origin = w.local();
    code.get(at);
    w.plus(batch, -kernel[side].panels * panelBytes(kernel, side));
    code.set(origin);
    w.pack(slots, kernel, side, batch, first, last, (i) => (i === panelPointers[side] ? code.get(origin) : w.pointer(i)));
    code.release("i32", origin);
  };
  const left = (limit: () => void, counter: number, most: number): void => {
    const rest = (): void => {
      limit();
      code.get(counter);
      code.op("i32.sub");
    };
    rest();
    code.i32(most);
    rest();
    code.i32(most);
    code.op("i32.lt_s");
    code.op("select");
  };
  const panelAddress = (side: Side, at: number, position: number): void => {
    // Positions are multiples of the width.
    code.get(at);
    w.plus(position, kernel.k * 4);
    w.plus(depth, kernel[side].width * 4);
  };

  code.get(parameters.begin);
  code.set(t);
  code.loop((again) => {
    // Of what was taken, what lies in one batch is a block.
    w.divide(t, panels, batch, first);
    code.get(first);
    code.get(parameters.end);
    code.op("i32.add");
    code.get(t);
    code.op("i32.sub");
    code.set(last);
    w.atMost(last, 0, () => code.i32(panels), last);
    code.get(t);
    code.get(last);
    code.op("i32.add");
    code.get(first);
    code.op("i32.sub");
    code.set(t);
    code.get(first);
    code.i32(width);
    code.op("i32.mul");
    code.set(begin);
    code.get(last);
    code.i32(width);
    code.op("i32.mul");
    code.set(end);
    w.atMost(end, 0, () => code.i32(split === "rows" ? kernel.m : kernel.n), end);
    base("a", a);
    base("b", b);
    if (packing.a === "block") packBlock("a", a);
    if (packing.b === "block") packBlock("b", b);
    w.loop(row, rowBegin, rowBlock, rowLimit, () => {
      left(rowLimit, row, rowBlock);
      code.set(rowEnd);
      w.loop(column, columnBegin, columnBlock, columnLimit, () => {
        left(columnLimit, column, columnBlock);
        code.set(columnEnd);
        w.loop(
          depth,
          () => code.i32(0),
          depthBlock,
          () => code.i32(k),
          () => {
            left(() => code.i32(k), depth, depthBlock);
            code.set(size);
            panelAddress("a", a, row);
            panelAddress("b", b, column);
            w.pointer(2);
            w.plus(batch, kernel.batchStride * 4);
            w.plus(row, kernel.rowStride * 4);
            w.plus(column, 4);
            code.i32(panelBytes(kernel, "a"));
            code.i32(panelBytes(kernel, "b"));
            code.i32(kernel.rowStride * 4);
            code.get(rowEnd);
            code.get(columnEnd);
            code.get(size);
            code.get(depth);
            code.op("i32.eqz");
            w.pointer(3);
            code.call(slots.block);
          },
        );
      });
    });
    if (kernel.epilogue !== null) {
      const next = (): void => {
        code.get(batch);
        code.i32(1);
        code.op("i32.add");
      };
      const ranges = [() => code.get(batch), next, rowBegin, rowLimit, columnBegin, columnLimit];
      w.part(slots, kernel.epilogue, ranges, (i) => w.pointer(i));
    }
    code.get(t);
    code.get(parameters.end);
    code.op("i32.lt_s");
    again();
  });
  code.finish();
}
