import type { DType } from "@traceform/core";
import { flattenIndex } from "./affine.ts";
import { convertElement } from "./convert.ts";
import { type Ex, type Index, storageBytes } from "./expr.ts";
import type { Node, Value } from "./graph.ts";
import { type KernelBuilder, storing } from "./kernels.ts";
import type { RoutineKernel, View } from "./program.ts";
import { scalarInfo } from "./scalars.ts";
import type { Scope } from "./scope.ts";
import { fromOrderKey, methodFor, type Order, orderKey, selectRoutine, sortRoutine, type Word, wordFor } from "./sort-routines.ts";
import { selectShared, sortShared } from "./sort-shared.ts";

/** Up to so many elements, and so small a part of a row, the best are selected rather than sorted out. */
const fewest = 32;
const smallPart = 1 / 4;

/** The rows along an axis of a shape: the shape with that axis last. */
function rowsAlong(shape: readonly number[], dim: number): { rowShape: readonly number[]; rows: number; n: number } {
  const outer = shape.filter((_, i) => i !== dim);
  return { rowShape: [...outer, shape[dim]], rows: outer.reduce((a, b) => a * b, 1), n: shape[dim] };
}

/** Sorts rows of keys that `key` computes at a position; gives the buffers of sorted keys and of payloads. */
function sortKeys(
  scope: Scope,
  rowShape: readonly number[],
  order: Order,
  given: View | null,
  key: KeyAt,
): { readonly keys: View; readonly payload: View } {
  const { lowering } = scope;
  const { rows, n, bits, payload } = order;
  if (lowering.target.block > 0) {
    const first = lowering.temporary(rows * n * 4);
    writeKeys(scope, rowShape, "i32", first, key);
    return sortShared(scope, order, first, given);
  }
  const method = methodFor(order);
  const word = wordFor(bits);
  // Slots that the method does not touch share one small buffer.
  const none = lowering.temporary(8);
  const buffers = (bytes: number, used: boolean): View[] =>
    [1, 2].map((k) => (used && (k === 1 || method.passes > 1) ? lowering.temporary(rows * n * bytes) : none));
  const first = lowering.temporary(rows * n * storageBytes[word]);
  const keys = [first, ...buffers(storageBytes[word], true)];
  const payloads = [given ?? none, ...buffers(4, payload !== "none")];
  const counters = lowering.temporary(Math.max(8, Math.ceil(rows / method.chunk) * method.counters * 4));
  writeKeys(scope, rowShape, word, first, key);
  const routine = sortRoutine(order, method);
  const kernel: RoutineKernel = { kind: "routine", name: "sort.order", routine, slots: 7, flops: rows * n * 8 };
  scope.launch(kernel, [...keys, ...payloads, counters]);
  return { keys: keys[method.last], payload: payloads[method.last] };
}

/** Computes the key of a position, whose last component is the one along the row. */
type KeyAt = (k: KernelBuilder, position: readonly Index[]) => Ex;

function writeKeys(scope: Scope, rowShape: readonly number[], word: Word, to: View, key: KeyAt): void {
  const k = scope.builder();
  const { axes, position } = k.axes(rowShape);
  const index = flattenIndex(position, rowShape);
  const write = { slot: k.slot(to), storage: word, index, value: key(k, position), guard: null };
  scope.launch(k.nest("sort.keys", axes, [storing([], [write])]), k.slots);
}

/** How many bits of a key differ. */
function keyBits(dtype: DType): number {
  const { kind, bits } = scalarInfo(dtype);
  return kind === "float" ? Math.max(32, bits) : bits;
}

/** The permutation that sorts each row along `dim` by the keys, the first key foremost; dense, `dim` last. */
function argsort(scope: Scope, keys: readonly Value[], dim: number, descending: boolean): View {
  const { rowShape, rows, n } = rowsAlong(keys[0].shape, dim);
  let perm: View | null = null;
  for (let j = keys.length - 1; j >= 0; j--) {
    const { dtype } = keys[j];
    const given: View | null = perm;
    const order: Order = { rows, n, bits: keyBits(dtype), payload: given === null ? "places" : "given", zeros: false };
    perm = sortKeys(scope, rowShape, order, given, (k, position) => {
      const place = given === null ? position : [...position.slice(0, -1), gathered(k, given, position, rowShape)];
      const key = orderKey(k.e, dtype, k.read(keys[j], insertDim(place, dim), null), true);
      // The complement of a short key has ones above its bits, which no pass looks at; insertion compares them all alike.
      return descending ? k.e.not(key) : key;
    }).payload;
  }
  return perm!;
}
/** The element of a permutation of rows at a position, as an index. */
function gathered(k: KernelBuilder, perm: View, position: readonly Index[], rowShape: readonly number[]): Index {
  const from = k.e.load(k.slot(perm), "i32", flattenIndex(position, rowShape));
  return { c: 0, terms: [{ atom: from, coef: 1 }] };
}

/** A position whose last component moves to `dim`. */
function insertDim(position: readonly Index[], dim: number): Index[] {
  const rest = position.slice(0, -1);
  return [...rest.slice(0, dim), position[position.length - 1], ...rest.slice(dim)];
}

/** sort of several operands by the first `numKeys` of them; stable; NaN last. */
export function lowerSort(scope: Scope, node: Node): void {
  const dim = Number(node.params["dimension"]);
  const numKeys = Number(node.params["numKeys"] ?? 1);
  if (node.ins.length === 1) sortValues(scope, node.ins[0], node.outs[0], dim);
  else permute(scope, node.ins, node.outs, dim, argsort(scope, node.ins.slice(0, numKeys), dim, false), node.ins[0].shape[dim]);
}

/** The sort of one operand: its keys are sorted without a permutation and turned back into values. */
function sortValues(scope: Scope, x: Value, out: Value, dim: number): void {
  const { dtype } = x;
  const { rowShape, rows, n } = rowsAlong(x.shape, dim);
  const order: Order = { rows, n, bits: keyBits(dtype), payload: "none", zeros: scalarInfo(dtype).kind === "float" };
  const { keys } = sortKeys(scope, rowShape, order, null, (k, position) =>
    orderKey(k.e, dtype, k.read(x, insertDim(position, dim), null), false),
  );
  const k = scope.builder();
  const { axes, position } = k.axes(out.shape);
  const rowPosition = [...position.filter((_, i) => i !== dim), position[dim]];
  const key = k.e.load(k.slot(keys), wordFor(order.bits), flattenIndex(rowPosition, rowShape));
  const write = k.store(out, scope.target(out), position, fromOrderKey(k.e, dtype, key));
  scope.launch(k.nest("sort.values", axes, [storing([], [write])]), k.slots);
}

/**
 * Moves the elements of each operand along `dim` as rows of places say, which are dense and may be shorter than the
 * operands' rows.
 */
function permute(scope: Scope, ins: readonly Value[], outs: readonly Value[], dim: number, places: View, length: number): void {
  const k = scope.builder();
  const { axes, position } = k.axes(outs[0].shape);
  const place = placeAt(k, outs[0].shape, dim, position, places, length);
  const at = position.map((p, i) => (i === dim ? { c: 0, terms: [{ atom: place, coef: 1 }] } : p));
  const stores = outs.map((v, i) => k.store(v, scope.target(v), position, k.read(ins[i], at, null)));
  scope.launch(k.nest("sort.permute", axes, [storing([], stores)]), k.slots);
}
/** The element of rows of places, `length` in each, at a position of a result. */
function placeAt(
  k: KernelBuilder,
  shape: readonly number[],
  dim: number,
  position: readonly Index[],
  places: View,
  length: number,
): Ex {
  const rowShape = [...shape.filter((_, i) => i !== dim), length];
  const rowPosition = [...position.filter((_, i) => i !== dim), position[dim]];
  return k.e.load(k.slot(places), "i32", flattenIndex(rowPosition, rowShape));
}

/** top_k along an axis: values in descending order and their positions; of equals the first comes first. */
export function lowerTopK(scope: Scope, node: Node): void {
  const [x] = node.ins;
  const [values, indices] = node.outs;
  const dim =
    node.params["axis"] === undefined ? x.shape.length - 1 : (Number(node.params["axis"]) + x.shape.length) % x.shape.length;
  const count = values.shape[dim];
  const n = x.shape[dim];
  const few = count > 0 && count <= fewest && count <= n * smallPart;
  const places = few ? select(scope, x, dim, count) : argsort(scope, [x], dim, true);
  const length = few ? count : n;
  permute(scope, [x], [values], dim, places, length);
  const k = scope.builder();
  const { axes, position } = k.axes(indices.shape);
  const place = placeAt(k, indices.shape, dim, position, places, length);
  const write = k.store(indices, scope.target(indices), position, convertElement(k.e, place, "int32", indices.dtype));
  scope.launch(k.nest("top_k.indices", axes, [storing([], [write])]), k.slots);
}

/** The places of the `count` largest elements of each row along `dim`, in rows of their own. */
function select(scope: Scope, x: Value, dim: number, count: number): View {
  const { dtype } = x;
  const { rowShape, rows, n } = rowsAlong(x.shape, dim);
  const word = wordFor(keyBits(dtype));
  const { lowering } = scope;
  const keys = lowering.temporary(rows * n * storageBytes[word]);
  writeKeys(scope, rowShape, word, keys, (k, position) =>
    k.e.not(orderKey(k.e, dtype, k.read(x, insertDim(position, dim), null), true)),
  );
  if (lowering.target.block > 0) return selectShared(scope, rows, n, count, keys);
  const best = lowering.temporary(rows * count * storageBytes[word]);
  const places = lowering.temporary(rows * count * 4);
  const routine = selectRoutine(rows, n, count, word);
  scope.launch({ kind: "routine", name: "top_k.select", routine, slots: 3, flops: rows * n * 2 }, [keys, best, places]);
  return places;
}
