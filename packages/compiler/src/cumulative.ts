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
    const fold = runningFold(kind, node, scope.lowering.target);
    const inner = x.shape.slice(axis + 1).reduce((a, b) => a * b, 1);
    const pieces =
      inner >= manyLanes
        ? [{ start: 0, blocks: 1, length: n }]
        : piecesOf(n, scope.lowering.target.float64 ? blockLength : narrowBlockLength);
    const total = pieces.reduce((sum, p) => sum + p.blocks, 0);
    const rowShape = x.shape.filter((_, i) => i !== axis);
    const rows = rowShape.reduce((a, b) => a * b, 1);
    const target = scope.target(out);
    // Transcendental functions gain nothing from lanes that mostly repeat each other's work.
    const reorder = kind !== "logsumexp";
    const element = (k: KernelBuilder, row: readonly Index[], at: Index): { readonly value: Ex; readonly position: Index[] } => {
      const along = node.params["reverse"] === true ? offsetIndex(scaleIndex(at, -1), n - 1) : at;
      const position = [...row.slice(0, axis), along, ...row.slice(axis)];
      return { value: fold.widen(k.e, k.read(x, position, null)), position };
    };
    /** The loops over the blocks of a piece. */
    const walk = (k: KernelBuilder, p: Piece): Walk => {
      const { axes, position: row } = k.axes(rowShape);
      const [block, step] = [k.e.axis(p.blocks), k.e.axis(p.length)];
      const b = axisIndex(k.e, block);
      const at = offsetIndex(addIndex(scaleIndex(b, p.length), axisIndex(k.e, step)), p.start);
      return { outer: [...axes, block], step, row, block: b, at };
    };

    let before: View | null = null;
    if (total > 1) {
      const totals = scope.lowering.temporary(rows * total * 8);
      before = scope.lowering.temporary(rows * total * 8);
      let done = 0;
      for (const p of pieces.slice(0, -1).concat(pieces.slice(-1).filter((q) => q.blocks > 1))) {
        const k = scope.builder();
        const w = walk(k, p);
        const { value } = element(k, w.row, w.at);
        const sum = k.fold([fold.neutral(k.e)], [value], ([a], [b]) => [fold.combine(k.e, a, b)], {
          reorder: kind !== "logsumexp",
        });
        const store = placeStore(
          k,
          totals,
          fold.storage,
          [...rowShape, total],
          [...w.row, offsetIndex(w.block, done)],
          sum.results[0],
        );
        scope.launch(
          k.nest(`${node.op}.blocks`, w.outer, [
            { axes: [w.step], reductions: [sum], stores: [], scan: false },
            storing([], [store]),
          ]),
          k.slots,
        );
        done += p.blocks;
      }
      const k = scope.builder();
      const { axes, position: row } = k.axes(rowShape);
      const block = k.e.axis(total);
      const at = [...row, axisIndex(k.e, block)];
      const value = k.e.load(k.slot(totals), fold.storage, flattenIndex(at, [...rowShape, total]));
      // What comes before a block: the running fold one step later.
      const running = k.fold(
        [fold.neutral(k.e), fold.neutral(k.e)],
        [value, value],
        ([, now], [, next]) => [now, fold.combine(k.e, now, next)],
        { reorder: false },
      );
      const store = placeStore(k, before, fold.storage, [...rowShape, total], at, running.results[0]);
      scope.launch(
        k.nest(`${node.op}.offsets`, axes, [{ axes: [block], reductions: [running], stores: [store], scan: true }]),
        k.slots,
      );
    }

    let done = 0;
    for (const p of pieces) {
      const k = scope.builder();
      const { e } = k;
      const w = walk(k, p);
      const { value, position } = element(k, w.row, w.at);
      const start =
        before === null
          ? fold.neutral(e)
          : e.load(k.slot(before), fold.storage, flattenIndex([...w.row, offsetIndex(w.block, done)], [...rowShape, total]));
      const running = k.fold([start], [value], ([a], [b]) => [fold.combine(e, a, b)], { reorder });
      const result = roundToDType(e, out.dtype, fold.narrow(e, running.results[0]));
      const stage: Stage = { axes: [w.step], reductions: [running], stores: [k.store(out, target, position, result)], scan: true };
      scope.launch(k.nest(node.op, w.outer, [stage]), k.slots);
      done += p.blocks;
    }
  };
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
