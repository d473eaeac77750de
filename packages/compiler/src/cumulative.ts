import { addIndex, axisIndex, constIndex, flattenIndex, offsetIndex, scaleIndex } from "./affine.ts";
import type { Ex, Exprs, Index, Storage } from "./expr.ts";
import type { Node } from "./graph.ts";
import { elementRules } from "./elementwise.ts";
import { type KernelBuilder, storing } from "./kernels.ts";
import type { Stage, Store, Target, View } from "./program.ts";
import { logAddExp, monoids } from "./reduce.ts";
import { constantOf, roundToDType, scalarInfo } from "./scalars.ts";
import type { Scope } from "./scope.ts";

/** Elements of a block. Longer rows are cut into blocks, which threads can share. */
const blockLength = 8192;
/** Shorter where sums run in single precision: the error grows with the length of a block, and with their number. */
const narrowBlockLength = 256;
/** Where workers share blocks, one of them is as long as so many of those. */
const sharedBlocks = 2;
/** With so many rows there is work enough without cutting them. */
const manyRows = 1 << 14;
/** The innermost axes of at least this extent are the lanes of vectors, each with a fold of its own. */
const manyLanes = 4;

/** Equal blocks of a row: where the first begins, how many there are, and how long they are. */
interface Piece {
  readonly start: number;
  readonly blocks: number;
  readonly length: number;
}

/** A row as blocks, and what is left over. */
function piecesOf(n: number, blockLength: number): Piece[] {
  const blocks = n >= 2 * blockLength ? Math.floor(n / blockLength) : 0;
  const start = blocks * blockLength;
  return [
    { start: 0, blocks, length: blockLength },
    { start, blocks: 1, length: n - start },
  ].filter((p) => p.blocks * p.length > 0);
}

/** How running folds of a kind are computed: in which type, from which neutral element, by which operation. */
interface Running {
  readonly storage: Storage;
  readonly neutral: (e: Exprs) => Ex;
  readonly widen: (e: Exprs, x: Ex) => Ex;
  readonly narrow: (e: Exprs, x: Ex) => Ex;
  readonly combine: (e: Exprs, a: Ex, b: Ex) => Ex;
}

function runningFold(kind: string, node: Node, { float64 }: Target): Running {
  const { dtype } = node.ins[0];
  const { type, kind: family } = scalarInfo(dtype);
  const storage = type === "bool" ? "bool" : type;
  const same = (_: Exprs, x: Ex): Ex => x;
  if (kind === "logsumexp")
    return { storage, neutral: (e) => e.constant(type, -Infinity), widen: same, narrow: same, combine: logAddExp };
  if (kind === "sum" && type === "f32" && float64) {
    // A running sum has no tree to keep its error small; double precision does.
    return {
      storage: "f64",
      neutral: (e) => e.f64(0),
      widen: (e, x) => e.op("promote", "f64", [x]),
      narrow: (e, x) => e.op("demote", "f32", [x]),
      combine: (e, a, b) => e.add(a, b),
    };
  }
  const { init, op } = monoids[kind];
  const context = { dtypes: [dtype, dtype], out: dtype, params: {} };
  // Products and sums of 16-bit floats stay in 32 bits while they run.
  const plain = family === "float" && (op === "mul" || op === "add");
  return {
    storage,
    neutral: (e) => constantOf(e, dtype, init(dtype)),
    widen: same,
    narrow: same,
    combine: (e, a, b) => (plain ? e.op(op, a.type, [a, b]) : elementRules[op](e, [a, b], context)),
  };
}

/** cumsum and its like: each element is the fold of those up to it, or from it on when reversed. */
export function lowerCumulative(kind: string): (scope: Scope, node: Node) => void {
  return (scope, node) => {
    const [x] = node.ins;
    const [out] = node.outs;
    const axis = Number(node.params["axis"]);
    const n = x.shape[axis];
    const { target } = scope.lowering;
    const fold = runningFold(kind, node, target);
    const place = scope.target(out);
    const position = (row: readonly Index[], at: Index): Index[] => {
      const along = node.params["reverse"] === true ? offsetIndex(scaleIndex(at, -1), n - 1) : at;
      return [...row.slice(0, axis), along, ...row.slice(axis)];
    };
    foldRows(scope, fold, {
      name: node.op,
      rowShape: x.shape.filter((_, i) => i !== axis),
      n,
      inner: x.shape.slice(axis + 1).reduce((a, b) => a * b, 1),
      // Transcendental functions gain nothing from lanes that mostly repeat each other's work.
      reorder: kind !== "logsumexp" || target.block > 0,
      element: (k, row, at) => fold.widen(k.e, k.read(x, position(row, at), null)),
      store: (k, row, at, value) => k.store(out, place, position(row, at), roundToDType(k.e, out.dtype, fold.narrow(k.e, value))),
    });
  };
}

/** Rows whose running folds are wanted. */
interface RunningRows {
  readonly name: string;
  readonly rowShape: readonly number[];
  readonly n: number;
  /** How many rows lie side by side. */
  readonly inner: number;
  readonly reorder: boolean;
  readonly element: (k: KernelBuilder, row: readonly Index[], at: Index) => Ex;
  readonly store: (k: KernelBuilder, row: readonly Index[], at: Index, value: Ex) => Store;
}

/** The pieces of a row. Where a block is the work of many, folds of blocks are so as well, unless there are rows for all of them. */
function piecesFor({ rowShape, n, inner }: RunningRows, { block, float64 }: Target): Piece[] {
  const whole = n === 0 ? [] : [{ start: 0, blocks: 1, length: n }];
  if (block > 0 && rowShape.reduce((a, b) => a * b, 1) < manyRows) return piecesOf(n, sharedBlocks * block);
  return inner >= manyLanes ? whole : piecesOf(n, float64 ? blockLength : narrowBlockLength);
}

function foldRows(scope: Scope, fold: Running, rows: RunningRows): void {
  const { name, rowShape, reorder } = rows;
  const pieces = piecesFor(rows, scope.lowering.target);
  const total = pieces.reduce((sum, p) => sum + p.blocks, 0);
  /** The loops over the blocks of a piece. */
  const walk = (k: KernelBuilder, p: Piece): Walk => {
    const { axes, position: row } = k.axes(rowShape);
    const [block, step] = [k.e.axis(p.blocks), k.e.axis(p.length)];
    const b = axisIndex(k.e, block);
    const at = offsetIndex(addIndex(scaleIndex(b, p.length), axisIndex(k.e, step)), p.start);
    return { outer: [...axes, block], step, row, block: b, at };
  };

  const before = total > 1 ? foldsBefore(scope, fold, rows, pieces, walk) : null;
  let done = 0;
  for (const p of pieces) {
    const k = scope.builder();
    const w = walk(k, p);
    const value = rows.element(k, w.row, w.at);
    const start = before === null ? fold.neutral(k.e) : before(k, w.row, offsetIndex(w.block, done));
    const running = k.fold([start], [value], ([a], [b]) => [fold.combine(k.e, a, b)], { reorder });
    const store = rows.store(k, w.row, w.at, running.results[0]);
    const stage: Stage = { axes: [w.step], reductions: [running], stores: [store], scan: true };
    scope.launch(k.nest(name, w.outer, [stage]), k.slots);
    done += p.blocks;
  }
}

/** What comes before a block of a row. */
type Before = (k: KernelBuilder, row: readonly Index[], block: Index) => Ex;

/** Folds the blocks, and then those folds. */
function foldsBefore(
  scope: Scope,
  fold: Running,
  rows: RunningRows,
  pieces: readonly Piece[],
  walk: (k: KernelBuilder, p: Piece) => Walk,
): Before {
  const { name, rowShape, reorder } = rows;
  const total = pieces.reduce((sum, p) => sum + p.blocks, 0);
  const count = rowShape.reduce((a, b) => a * b, 1);
  const shape = [...rowShape, total];
  const totals = scope.lowering.temporary(count * total * 8);
  const before = scope.lowering.temporary(count * total * 8);
  let done = 0;
  for (const p of pieces.slice(0, -1).concat(pieces.slice(-1).filter((q) => q.blocks > 1))) {
    const k = scope.builder();
    const w = walk(k, p);
    const value = rows.element(k, w.row, w.at);
    const sum = k.fold([fold.neutral(k.e)], [value], ([a], [b]) => [fold.combine(k.e, a, b)], { reorder });
    const store = placeStore(k, totals, fold.storage, shape, [...w.row, offsetIndex(w.block, done)], sum.results[0]);
    scope.launch(
      k.nest(`${name}.blocks`, w.outer, [{ axes: [w.step], reductions: [sum], stores: [], scan: false }, storing([], [store])]),
      k.slots,
    );
    done += p.blocks;
  }
  const load = (k: KernelBuilder, view: View, at: readonly Index[], guard: Ex | null = null): Ex =>
    k.e.load(k.slot(view), fold.storage, flattenIndex(at, shape), guard);
  if (scope.lowering.target.block > 0) {
    // The folds up to a block, which again may be the work of many, are those before the next one.
    foldRows(scope, fold, {
      name: `${name}.offsets`,
      rowShape,
      n: total,
      inner: 1,
      reorder,
      element: (k, row, at) => load(k, totals, [...row, at]),
      store: (k, row, at, value) => placeStore(k, before, fold.storage, shape, [...row, at], value),
    });
    return (k, row, block) => {
      const { e } = k;
      const later = e.gt(e.fromIndex(block), e.i32(0));
      return e.select(later, load(k, before, [...row, offsetIndex(block, -1)], later), fold.neutral(e));
    };
  }
  const k = scope.builder();
  const { axes, position: row } = k.axes(rowShape);
  const block = k.e.axis(total);
  const at = [...row, axisIndex(k.e, block)];
  const value = load(k, totals, at);
  // What comes before a block: the running fold one step later.
  const running = k.fold(
    [fold.neutral(k.e), fold.neutral(k.e)],
    [value, value],
    ([, now], [, next]) => [now, fold.combine(k.e, now, next)],
    { reorder: false },
  );
  const store = placeStore(k, before, fold.storage, shape, at, running.results[0]);
  scope.launch(k.nest(`${name}.offsets`, axes, [{ axes: [block], reductions: [running], stores: [store], scan: true }]), k.slots);
  return (b, position, at) => load(b, before, [...position, at]);
}

interface Walk {
  readonly outer: KernelAxes;
  readonly step: KernelAxes[number];
  readonly row: readonly Index[];
  readonly block: Index;
  readonly at: Index;
}
type KernelAxes = Stage["axes"];

function placeStore(
  k: KernelBuilder,
  view: View,
  storage: Storage,
  shape: readonly number[],
  at: readonly Index[],
  value: Ex,
): Store {
  return { slot: k.slot(view), storage, index: flattenIndex(at.length === 0 ? [constIndex(0)] : at, shape), value, guard: null };
}
