import type { HostStep, SourceLocation, StandardDType } from "@traceform/core";
import type { OperationCount } from "./cost.ts";
import type { Axis, Ex, Exprs, Index, Storage } from "./expr.ts";
import type { Routine } from "./routine.ts";

/** A place where bytes of a program live. */
export interface BufferInfo {
  readonly id: number;
  readonly bytes: number;
  /**
   * An argument, a result that the runner allocates, memory of the program's own arena, or a table that the program
   * brings with it and only reads.
   */
  readonly kind: "argument" | "result" | "temporary" | "constant";
  /** Position among the arguments, the results or the constants. */
  readonly position: number;
  /** Of memory that each thread has for itself: how many bytes one thread has. Else 0. */
  readonly threadBytes: number;
}

/** A pointer: a buffer, a fixed offset in bytes, and for each enclosing loop a step. */
export interface View {
  readonly buffer: BufferInfo;
  readonly offset: number;
  readonly steps: readonly LoopStep[];
}
export interface LoopStep {
  readonly loop: number;
  readonly bytes: number;
}

/** A value written by a stage at a position of one of the kernel's pointers. */
export interface Store {
  readonly slot: number;
  readonly storage: Storage;
  readonly index: Index;
  readonly value: Ex;
  /** Nothing is written where it is false. */
  readonly guard: Ex | null;
}

/**
 * A fold over the axes of a stage. `combined` is an expression of the parameters `left` and `right`; `results` are the
 * parameters by which later stages, or the stores of a scan, refer to the outcome.
 */
export interface Reduction {
  readonly init: readonly Ex[];
  readonly values: readonly Ex[];
  readonly left: readonly Ex[];
  readonly right: readonly Ex[];
  readonly combined: readonly Ex[];
  readonly results: readonly Ex[];
  /** Whether partial folds may be merged in any order: then emitters use several accumulators. */
  readonly reorder: boolean;
}

/**
 * One loop over `axes` inside the rows of a nest. It folds, or stores, or both; in a `scan` the stores see the running
 * value of the folds.
 */
export interface Stage {
  readonly axes: readonly Axis[];
  readonly reductions: readonly Reduction[];
  readonly stores: readonly Store[];
  readonly scan: boolean;
}

/**
 * Loops over the parallel axes `outer`; for each position the stages run in order and share what they computed: a
 * softmax is three stages over one row. Iterations of `outer` are independent unless the nest is `serial`.
 */
export interface Nest {
  readonly kind: "nest";
  readonly name: string;
  readonly e: Exprs;
  readonly outer: readonly Axis[];
  readonly stages: readonly Stage[];
  readonly slots: number;
  readonly serial: boolean;
  /** How many of the outer axes, from the first on, are independent all the same. */
  readonly parallel: number;
  /**
   * The axes, by their index into `outer`, of which a call takes a range [begin, end): the one over which the kernel is cut into
   * chunks, or several for a part of another kernel; -1 for one that there is none of, because its extent is one.
   */
  readonly ranges: readonly number[];
  /** How many iterations of its range are bounded work (well below a millisecond); 0 for a part, which its kernel cuts. */
  readonly chunk: number;
  readonly flops: number;
}

/** A kernel written in the imperative layer. */
export interface RoutineKernel {
  readonly kind: "routine";
  readonly name: string;
  readonly routine: Routine;
  readonly slots: number;
  readonly flops: number;
}

/** A nest that runs inside another kernel, on some of that kernel's pointers. Its `ranges` say which part of it. */
export interface Part {
  readonly nest: Nest;
  readonly args: readonly number[];
}

/**
 * How an operand is packed: whole panels, then the last one, which is filled up with zeros. Ranges: batches, panels. A panel
 * is [k, width] and is read from front to back by the inner loop.
 */
export interface PackedOperand {
  /** Whether it is the same for all batches. */
  readonly shared: boolean;
  /** Rows or columns of a panel: those of the tile. */
  readonly width: number;
  readonly panels: number;
  readonly whole: Part | null;
  /** Its pointer to the packed operand is that of the last panel. */
  readonly last: Part | null;
}

/**
 * A batched product of f32: `C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n]`, cut into blocks of whole rows or whole
 * columns of C. One operand is packed beforehand, by all threads together or by each for itself; blocks pack their part of the other one for
 * themselves, if no other block needs it. The emitter supplies the micro-kernel.
 *
 * The first pointers are: panels of A, panels of B, C, tiles over the edge. What a block or a thread packs,
 * and the tiles, are memory of a thread: one piece for each.
 */
export interface Contraction {
  readonly kind: "contraction";
  readonly name: string;
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly tile: Tile;
  readonly a: PackedOperand;
  readonly b: PackedOperand;
  /** Steps of C in elements. */
  readonly batchStride: number;
  readonly rowStride: number;
  readonly split: "rows" | "columns";
  /** Panels of a block along the split: what is left to be done decides between them. */
  readonly leastPanels: number;
  readonly mostPanels: number;
  /** Who packs an operand: each block what it needs, each thread all of it for itself, or all threads together. */
  readonly packing: Readonly<Record<"a" | "b", "block" | "thread" | "all">>;
  /** What becomes of a finished block. Ranges: batches, rows, columns. */
  readonly epilogue: Part | null;
  readonly flops: number;
}

/**
 * Attention: at each position of `batches`, `rows` and `columns` the sum of `value` along the keys, each with a weight: the softmax of `score`,
 * which is made of `product`, the sum of products of `a` and `b` over the depth. The emitter goes through the keys tile by tile, with what it knows
 * so far of each row: the largest score, the sum of the weights, and the sums of values. When a tile has a larger score than
 * all before, those shrink by a weight, too.
 *
 * @see Dao, Fu, Ermon, Rudra & Ré (2022), "FlashAttention: Fast and memory-efficient exact attention with IO-awareness"
 */
export interface Attention {
  readonly kind: "attention";
  readonly name: string;
  readonly e: Exprs;
  readonly batches: readonly Axis[];
  readonly rows: readonly Axis[];
  readonly keys: readonly Axis[];
  readonly columns: readonly Axis[];
  readonly depth: readonly Axis[];
  /** Changes along the rows; `b` and `value` along the keys. */
  readonly a: Ex;
  readonly b: Ex;
  readonly value: Ex;
  readonly product: Ex;
  readonly score: Ex;
  /** Parameters: a score, and the largest one so far. `weight` is what the first counts for then. */
  readonly logit: Ex;
  readonly most: Ex;
  readonly weight: Ex;
  /** A parameter of the stages: the sum of values, divided by that of the weights. */
  readonly total: Ex;
  /** What becomes of an element: stages without loops. */
  readonly stages: readonly Stage[];
  readonly slots: number;
  readonly flops: number;
}

/**
 * A step of a stable sort of rows by unsigned keys, which workers share that have memory in common. The emitter supplies the code. Its
 * pointers are the keys, what `counts` there are, the payload that is given, and then what it writes: keys, and payload.
 *
 * - `block` sorts blocks of rows, and of each keeps so many of the least;
 * - `count` counts in each block of a row how many keys have each value of a digit: `[rows, digits, blocks]`;
 * - `offsets` makes these the places where the keys of a block with a digit begin in the row;
 * - `move` brings the keys there.
 */
export interface SortPass {
  readonly kind: "sort";
  readonly name: string;
  readonly step: "block" | "count" | "offsets" | "move";
  readonly rows: number;
  readonly n: number;
  /** Elements of a block. */
  readonly block: number;
  readonly keep: number;
  /** The lowest bit of the digit. */
  readonly shift: number;
  /** What moves with the keys: nothing, their places in the row, or numbers that are given. */
  readonly payload: "none" | "places" | "given";
  /** Whether keys are those of floats, whose two zeros are equal. */
  readonly zeros: boolean;
  readonly slots: number;
  readonly flops: number;
}
/** Bits of a digit of `SortPass`. */
export const sortDigit = 4;

/** Nests that do not depend on each other, run as one launch: their tasks are shared together. Ranges: one chunk axis each. */
export interface Bundle {
  readonly kind: "bundle";
  readonly name: string;
  readonly parts: readonly Part[];
  readonly flops: number;
}

/**
 * Two nests, the second of which goes on with what the first has stored, a matrix of so many rows of `n` elements: each of its outer positions
 * reads a row of its own, and writes to no memory that the first knows. They may run one after the other.
 */
export interface Chain {
  readonly kind: "chain";
  readonly name: string;
  readonly parts: readonly [Part, Part];
  readonly rows: number;
  readonly n: number;
  readonly flops: number;
}

/** The part of a product that a micro-kernel keeps in registers. */
export interface Tile {
  readonly m: number;
  readonly n: number;
}

/** What the compiler must know of the code generator. */
export interface Target {
  /** The tile of its micro-kernel for matrix products; null where it has none, and products are folds like any other. */
  readonly tile: Tile | null;
  /** Whether there are 64-bit floats: element functions and long sums of f32 go through them. */
  readonly float64: boolean;
  /**
   * How many threads there may be: each needs memory of its own for some kernels, which there are not where threads cannot be
   * counted (0). Results do not depend on it.
   */
  readonly threads: number;
  /**
   * How many elements workers that have memory in common sort there together; 0 where each has a task of its own. Long rows are then cut so that
   * many work on one.
   */
  readonly block: number;
  /** How many columns of values the emitter's kernel of attention takes at the most; 0 where it has none. */
  readonly attentionColumns: number;
  /** Simple operations that one call of a kernel takes: bounded, and little enough that threads share evenly. */
  readonly grain: number;
}

/** The equation of the jaxpr that something was made for: its primitive, and where the user's code staged it. */
export interface Origin {
  readonly primitive: string;
  readonly source: SourceLocation | null;
}

export type Kernel = Nest | RoutineKernel | Contraction | Bundle | Chain | SortPass | Attention;

export type Step =
  | {
      readonly kind: "launch";
      readonly kernel: Kernel;
      readonly args: readonly View[];
      /** The equations that it computes. */
      readonly origins: readonly Origin[];
    }
  | { readonly kind: "copy"; readonly from: View; readonly to: View; readonly bytes: number }
  | {
      readonly kind: "loop";
      readonly loop: number;
      /** A fixed number of trips, or `null` for a loop that runs while its predicate holds. */
      readonly trips: number | null;
      readonly condition: readonly Step[];
      readonly predicate: View | null;
      readonly body: readonly Step[];
      /** Pairs of buffers that trade places at the end of each trip: carries are double-buffered, not copied. */
      readonly swaps: readonly (readonly [BufferInfo, BufferInfo])[];
    }
  | { readonly kind: "branch"; readonly index: View; readonly branches: readonly (readonly Step[])[] }
  /** A call out to JavaScript, of the program's host step of that number. Complex arrays are two pointers each. */
  | {
      readonly kind: "host";
      readonly step: number;
      readonly reads: readonly View[];
      readonly writes: readonly View[];
      /** Whether it waits for other members of a fleet. */
      readonly meets: boolean;
    };
export type Launch = Extract<Step, { kind: "launch" }>;

/** Where a part of a result comes from. */
export type ResultSource =
  | { readonly kind: "buffer"; readonly position: number }
  | { readonly kind: "argument"; readonly position: number };

/** A donated argument, and the result (by its position among the buffers of results) that may have its memory. */
export interface Donation {
  readonly argument: number;
  readonly result: number;
}

export interface ArraySpec {
  readonly shape: readonly number[];
  readonly dtype: StandardDType;
  readonly bytes: number;
}

/** A compiled program before code generation. */
export interface Program {
  readonly name: string;
  /** What arguments and results are in memory, as the device interface sees them. */
  readonly arguments: readonly ArraySpec[];
  readonly results: readonly ArraySpec[];
  /** For each result: a buffer the program fills, or an argument passed on. */
  readonly sources: readonly ResultSource[];
  /** Arguments whose memory results may take over, where nothing else refers to it at run time. */
  readonly donations: readonly Donation[];
  readonly buffers: readonly BufferInfo[];
  /** The bytes of the constant buffers, by position. Whoever runs the program holds them as long as the program. */
  readonly constants: readonly ArrayBufferView[];
  readonly steps: readonly Step[];
  /** What the program calls out to JavaScript for; runs are on the thread of their caller, so they may use the library. */
  readonly hosts: readonly HostStep[];
  /** What a run computes; loops of unknown length count once. */
  readonly operations: OperationCount;
  /** Offsets of temporaries in the arena, by buffer id. */
  readonly offsets: ReadonlyMap<number, number>;
  readonly arenaBytes: number;
  /** How far after the memory that one thread has for itself that of the next one lies. */
  readonly threadBytes: number;
}
