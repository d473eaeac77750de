import {
  addIndex,
  constIndex,
  divIndex,
  flattenIndex,
  indexRange,
  modIndex,
  offsetIndex,
  scaleIndex,
  unflattenIndex,
  valueIndex,
} from "./affine.ts";
import type { Ex, Exprs, Index } from "./expr.ts";
import { convertElement, bitcastElement } from "./convert.ts";
import { elementRules } from "./elementwise.ts";
import type { Node, Value } from "./graph.ts";
import { threefry } from "./math/threefry.ts";
import { constantOf, limits, scalarInfo } from "./scalars.ts";

/** Reads elements of values while a kernel is built. */
export interface Reader {
  readonly e: Exprs;
  /** The element of `value` at `position`. Where `guard` is false any value may come back, but nothing faults. */
  read(value: Value, position: readonly Index[], guard: Ex | null): Ex;
}

/** A primitive whose element at a position is an expression of elements of its operands. */
export type InlineRule = (r: Reader, node: Node, out: number, position: readonly Index[], guard: Ex | null) => Ex;

const list = (node: Node, key: string): readonly number[] => node.params[key] as readonly number[];

export function both(e: Exprs, a: Ex | null, b: Ex | null): Ex | null {
  return a === null ? b : b === null ? a : e.and(a, b);
}

/** Whether `0 <= index < n`, or null when that is known to hold. */
export function inBounds(e: Exprs, index: Index, n: number): Ex | null {
  const { min, max } = indexRange(index);
  if (min >= 0 && max < n) return null;
  const x = e.fromIndex(index);
  // One unsigned comparison sees both ends.
  return e.compare("lt_u", x, e.i32(n));
}

/** An index value of any integer dtype as i32, large values saturated. */
export function readIndex(r: Reader, value: Value, position: readonly Index[], guard: Ex | null = null): Ex {
  const { e } = r;
  const x = r.read(value, position, guard);
  const info = scalarInfo(value.dtype);
  if (info.type === "i64") {
    const big = e.constant("i64", 0x7fffffff);
    if (info.kind === "uint") return e.op("wrap", "i32", [e.select(e.compare("gt_u", x, big), big, x)]);
    const least = e.constant("i64", -0x80000000);
    return e.op("wrap", "i32", [e.select(e.gt(x, big), big, e.select(e.lt(x, least), least, x))]);
  }
  if (info.kind === "uint" && info.bits === 32) return e.select(e.lt(x, e.i32(0)), e.i32(0x7fffffff), x);
  if (info.kind === "bool") return e.convert("from_bool", "i32", x);
  return x;
}

/** `x` clamped to `[0, most]`. */
export function clampIndex(e: Exprs, x: Ex, most: number): Ex {
  const low = e.select(e.lt(x, e.i32(0)), e.i32(0), x);
  return e.select(e.gt(low, e.i32(most)), e.i32(most), low);
}

interface GatherNumbers {
  readonly offsetDims: readonly number[];
  readonly collapsedSliceDims: readonly number[];
  readonly startIndexMap: readonly number[];
  readonly operandBatchingDims: readonly number[];
  readonly startIndicesBatchingDims: readonly number[];
}

const gather: InlineRule = (r, node, _out, position, guard) => {
  const { e } = r;
  const [x, indices] = node.ins;
  const d = node.params["dimensionNumbers"] as GatherNumbers;
  const sizes = list(node, "sliceSizes");
  const mode = node.params["mode"];
  const offsets = new Set(d.offsetDims);
  const batch = position.filter((_, i) => !offsets.has(i));
  const window = d.offsetDims.map((i) => position[i]);
  let inside: Ex | null = null;
  const at: Index[] = [];
  let next = 0;
  for (let i = 0; i < x.shape.length; i++) {
    const dropped = d.collapsedSliceDims.includes(i) || d.operandBatchingDims.includes(i);
    at.push(dropped ? constIndex(0) : window[next++]);
  }
  d.operandBatchingDims.forEach((i, k) => {
    at[i] = batch[d.startIndicesBatchingDims[k]];
  });
  d.startIndexMap.forEach((i, k) => {
    const most = x.shape[i] - sizes[i];
    const start = readIndex(r, indices, [...batch, constIndex(k)], guard);
    if (mode === "fill") inside = both(e, inside, e.compare("le_u", start, e.i32(most)));
    at[i] = addIndex(at[i], valueIndex(clampIndex(e, start, Math.max(0, most))));
  });
  const y = r.read(x, at, both(e, guard, inside));
  if (inside === null) return y;
  const fill = node.params["fillValue"] as number | null;
  const missing =
    fill ??
    (scalarInfo(x.dtype).kind === "float" ? NaN : scalarInfo(x.dtype).kind === "int" ? limits(x.dtype).min : limits(x.dtype).max);
  return e.select(inside, y, constantOf(e, x.dtype, missing));
};

const pad: InlineRule = (r, node, _out, position, guard) => {
  const { e } = r;
  const [x, fill] = node.ins;
  const config = node.params["paddingConfig"] as readonly (readonly [number, number, number])[];
  let inside: Ex | null = null;
  const at = position.map((p, i) => {
    const [low, , interior] = config[i];
    const shifted = offsetIndex(p, -low);
    const step = interior + 1;
    const q = divIndex(e, shifted, step);
    inside = both(e, inside, inBounds(e, q, x.shape[i]));
    if (step > 1) inside = both(e, inside, e.eq(e.fromIndex(modIndex(e, shifted, step)), e.i32(0)));
    return q;
  });
  const y = r.read(x, at, both(e, guard, inside));
  return inside === null ? y : e.select(inside, y, r.read(fill, [], guard));
};

const concatenate: InlineRule = (r, node, _out, position, guard) => {
  const { e } = r;
  const dim = Number(node.params["dimension"]);
  let end = node.outs[0].shape[dim];
  let y: Ex | null = null;
  for (let k = node.ins.length - 1; k >= 0; k--) {
    const start = end - node.ins[k].shape[dim];
    if (start === end && y !== null) continue;
    const at = position.map((p, i) => (i === dim ? offsetIndex(p, -start) : p));
    const inside = inBounds(e, at[dim], node.ins[k].shape[dim]);
    const piece = r.read(node.ins[k], at, both(e, guard, inside));
    y = y === null ? piece : e.select(e.ge(e.fromIndex(position[dim]), e.i32(end)), y, piece);
    end = start;
  }
  return y!;
};

const dynamicSlice: InlineRule = (r, node, _out, position, guard) => {
  const [x, ...starts] = node.ins;
  const sizes = list(node, "sliceSizes");
  const at = position.map((p, i) => {
    if (sizes[i] === x.shape[i]) return p;
    const start = clampIndex(r.e, readIndex(r, starts[i], []), x.shape[i] - sizes[i]);
    return addIndex(p, valueIndex(start));
  });
  return r.read(x, at, guard);
};

/** Bits as another dtype: of the same width in place, of another width through an axis of parts. */
const bitcast: InlineRule = (r, node, _out, position, guard) => {
  const { e } = r;
  const [x] = node.ins;
  const to = node.outs[0].dtype;
  const from = scalarInfo(x.dtype).bits;
  const target = scalarInfo(to).bits;
  const bits = (n: number): number => (n === 1 ? 8 : n);
  if (bits(from) === bits(target)) return bitcastElement(e, r.read(x, position, guard), x.dtype, to);
  const uint = (n: number): "uint8" | "uint16" | "uint32" | "uint64" => `uint${n}` as "uint8";
  if (from > target) {
    const part = position[position.length - 1];
    const whole = bitcastElement(e, r.read(x, position.slice(0, -1), guard), x.dtype, uint(from));
    const amount = e.fromIndex(scaleIndex(part, target));
    const shifted = e.op("shr_u", whole.type, [whole, whole.type === "i64" ? e.convert("extend_u", "i64", amount) : amount]);
    return bitcastElement(e, convertElement(e, shifted, uint(from), uint(target)), uint(target), to);
  }
  let whole: Ex | null = null;
  for (let k = 0; k < target / from; k++) {
    const piece = bitcastElement(e, r.read(x, [...position, constIndex(k)], guard), x.dtype, uint(from));
    const wide = e.shl(convertElement(e, piece, uint(from), uint(target)), k * from);
    whole = whole === null ? wide : e.or(whole, wide);
  }
  return bitcastElement(e, whole!, uint(target), to);
};

/** Primitives that move elements. */
export const viewRules: Readonly<Record<string, InlineRule>> = {
  broadcast_in_dim: (r, node, _out, position, guard) => {
    const [x] = node.ins;
    const dims = list(node, "broadcastDimensions");
    return r.read(
      x,
      x.shape.map((n, i) => (n === 1 ? constIndex(0) : position[dims[i]])),
      guard,
    );
  },
  reshape: (r, node, _out, position, guard) => {
    const [x] = node.ins;
    const flat = flattenIndex(position, node.outs[0].shape);
    return r.read(x, unflattenIndex(r.e, flat, x.shape), guard);
  },
  squeeze: (r, node, _out, position, guard) => {
    const gone = new Set(list(node, "dimensions"));
    let next = 0;
    return r.read(
      node.ins[0],
      node.ins[0].shape.map((_, i) => (gone.has(i) ? constIndex(0) : position[next++])),
      guard,
    );
  },
  transpose: (r, node, _out, position, guard) => {
    const at: Index[] = [];
    list(node, "permutation").forEach((p, i) => (at[p] = position[i]));
    return r.read(node.ins[0], at, guard);
  },
  rev: (r, node, _out, position, guard) => {
    const dims = new Set(list(node, "dimensions"));
    const { shape } = node.ins[0];
    return r.read(
      node.ins[0],
      position.map((p, i) => (dims.has(i) ? offsetIndex(scaleIndex(p, -1), shape[i] - 1) : p)),
      guard,
    );
  },
  slice: (r, node, _out, position, guard) => {
    const starts = list(node, "startIndices");
    const strides = node.params["strides"] as readonly number[] | null;
    return r.read(
      node.ins[0],
      position.map((p, i) => offsetIndex(scaleIndex(p, strides?.[i] ?? 1), starts[i])),
      guard,
    );
  },
  iota: (r, node, _out, position) => {
    const dtype = node.outs[0].dtype;
    return convertElement(r.e, r.e.fromIndex(position[Number(node.params["dimension"])]), "int32", dtype);
  },
  dynamic_slice: dynamicSlice,
  bitcast_convert_type: bitcast,
  pad,
  concatenate,
  gather,
};

/** Applies an elementwise primitive; rank-0 operands are read without a position. */
const element: InlineRule = (r, node, out, position, guard) => {
  const rule = elementRules[node.op];
  const args = node.ins.map((v) => r.read(v, v.shape.length === 0 ? [] : position, guard));
  return rule(r.e, args, { dtypes: node.ins.map((v) => v.dtype), out: node.outs[out].dtype, params: node.params });
};

const random: InlineRule = (r, node, out, position, guard) => {
  const [k1, k2, x1, x2] = node.ins.map((v) => r.read(v, v.shape.length === 0 ? [] : position, guard));
  return threefry(r.e, k1, k2, x1, x2)[out];
};

/** The rule by which a primitive is read without being computed first, or undefined for those that need a kernel. */
export function inlineRule(op: string): InlineRule | undefined {
  if (op === "threefry2x32") return random;
  return viewRules[op] ?? (op in elementRules ? element : undefined);
}
