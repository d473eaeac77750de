import { type ArrayLike, type NDArray, sameShape, scalar, ShapeError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { type GatherPlan, type Index, type Part, parseIndex, planGather, type Slice } from "./internal/index.ts";
import { broadcastTo, isScalar, toArray } from "./internal/promote.ts";

export type { Index, Slice };

/** A slice for an index: `slice(stop)`, `slice(start, stop)` or `slice(start, stop, step)`; `null` is the end. */
export function slice(start: number | null, stop?: number | null, step?: number | null): Slice {
  return stop === undefined ? { start: null, stop: start, step: null } : { start, stop, step: step ?? null };
}

/** What an index out of bounds does: `clip` to the nearest, read the `fill` value or `drop` the update, or anything. */
export type IndexMode = "clip" | "fill" | "drop" | "promise_in_bounds";

export interface GetOptions {
  readonly mode?: IndexMode;
  /** For mode `fill`; NaN or the smallest integer by default. */
  readonly fillValue?: number;
  readonly indicesAreSorted?: boolean;
  readonly uniqueIndices?: boolean;
}

/**
 * `x[...index]` with NumPy's basic and advanced indexing: integers, slices, `null` (new axis), `"..."`, integer and
 * bool arrays. Traced indices out of bounds are clamped unless `mode` says otherwise.
 *
 * @throws {ValueError} for a static index out of bounds
 */
export function getItem(x: ArrayLike, index: readonly Index[], options: GetOptions = {}): NDArray {
  const a = toArray(x);
  const parts = parseIndex("slice", a, index, options.mode !== undefined);
  const arrays = parts.filter((p) => p.kind === "array");
  if (arrays.length === 0) return staticSlice(a, parts);
  if ((options.mode ?? "clip") === "clip" && arrays.every((p) => p.array.ndim === 0)) return dynamicIndex(a, parts);
  return gatherParts(a, parts, options);
}

/** Slices with static bounds, then integer axes dropped and new axes put in. */
function staticSlice(x: NDArray, parts: readonly Part[]): NDArray {
  return dropAndAdd(sliceParts(x, parts), parts, (p) => p.kind === "int");
}

/** `x` cut along every part with static bounds; axes of index arrays stay whole. */
function sliceParts(x: NDArray, parts: readonly Part[]): NDArray {
  const starts = x.shape.map(() => 0);
  const limits = [...x.shape];
  const strides = x.shape.map(() => 1);
  const reversed: number[] = [];
  for (const p of parts) {
    if (p.kind === "int") {
      starts[p.axis] = p.value;
      limits[p.axis] = p.value + 1;
    } else if (p.kind === "slice") {
      const last = p.start + (p.length - 1) * p.step;
      [starts[p.axis], limits[p.axis]] = p.length === 0 ? [0, 0] : p.step > 0 ? [p.start, last + 1] : [last, p.start + 1];
      strides[p.axis] = Math.abs(p.step);
      if (p.step < 0 && p.length > 1) reversed.push(p.axis);
    }
  }
  return lax.rev(lax.slice(x, starts, limits, strides), reversed);
}

/** Drops the axes (of size 1) of some parts and adds the new axes. */
function dropAndAdd(x: NDArray, parts: readonly Part[], dropped: (p: Part) => boolean): NDArray {
  const gone = parts.flatMap((p) => (p.kind !== "new" && dropped(p) ? [p.axis] : []));
  const added: number[] = [];
  let place = 0;
  for (const p of parts) {
    if (p.kind === "new") added.push(place++);
    else if (!dropped(p)) place++;
  }
  return lax.expandDims(lax.squeeze(x, gone), added);
}

/** Scalar traced indices: one dynamic slice, which clamps. */
function dynamicIndex(x: NDArray, parts: readonly Part[]): NDArray {
  const cut = sliceParts(x, parts);
  const starts: ArrayLike[] = cut.shape.map(() => 0);
  const sizes = [...cut.shape];
  for (const p of parts) {
    if (p.kind !== "array") continue;
    starts[p.axis] = p.array;
    sizes[p.axis] = 1;
  }
  return dropAndAdd(lax.dynamicSlice(cut, starts, sizes), parts, (p) => p.kind !== "slice");
}

function gatherParts(x: NDArray, parts: readonly Part[], options: GetOptions): NDArray {
  // Slices are cut first: that leaves the gather only what depends on values.
  const cut = sliceParts(x, parts.map(withoutInts));
  const whole = parts.map((p): Part => (p.kind === "slice" ? { ...p, start: 0, step: 1 } : p));
  const plan = planGather("slice", cut, whole);
  const mode = options.mode ?? "clip";
  const result = lax.gather(
    cut,
    plan.indices,
    { offsetDims: plan.windowDims, collapsedSliceDims: plan.collapsed, startIndexMap: plan.axes },
    plan.sliceSizes,
    {
      mode: mode === "drop" ? "fill" : mode,
      fillValue: options.fillValue,
      indicesAreSorted: options.indicesAreSorted,
      uniqueIndices: options.uniqueIndices,
    },
  );
  return lax.expandDims(result, plan.newAxes);
}

/** Integers beside arrays take part in the gather, so their axes stay whole. */
function withoutInts(p: Part): Part {
  return p.kind === "int" ? { kind: "new" } : p;
}

export interface SetOptions {
  /** Default: updates out of bounds are dropped. */
  readonly mode?: IndexMode;
  readonly indicesAreSorted?: boolean;
  readonly uniqueIndices?: boolean;
}

/** Functional updates of one place of an array: each method returns a new array. See `at`. */
export interface IndexUpdate {
  get(options?: GetOptions): NDArray;
  set(values: ArrayLike, options?: SetOptions): NDArray;
  add(values: ArrayLike, options?: SetOptions): NDArray;
  subtract(values: ArrayLike, options?: SetOptions): NDArray;
  multiply(values: ArrayLike, options?: SetOptions): NDArray;
  mul(values: ArrayLike, options?: SetOptions): NDArray;
  divide(values: ArrayLike, options?: SetOptions): NDArray;
  power(values: ArrayLike, options?: SetOptions): NDArray;
  min(values: ArrayLike, options?: SetOptions): NDArray;
  max(values: ArrayLike, options?: SetOptions): NDArray;
  /** Writes `fn(x[index])`; a place named twice is written once. */
  apply(fn: (values: NDArray) => ArrayLike, options?: SetOptions): NDArray;
}

/**
 * The place `x[...index]`, to read or to write: `at(x, [2, null]).set(v)`, `x.at(i, j).add(v)`. `add`, `multiply`, `min`
 * and `max` take places named several times into account once for each time; updates out of bounds are dropped.
 * Values broadcast to the shape of the place and take the dtype of `x`.
 */
export function at(x: ArrayLike, index: readonly Index[]): IndexUpdate {
  const a = toArray(x);
  const update =
    (kind: UpdateKind) =>
    (values: ArrayLike, options: SetOptions = {}): NDArray =>
      updateItem(a, index, values, kind, options);
  const ones = (): NDArray => lax.fullLike(a, 1);
  return {
    get: (options) => getItem(a, index, options),
    set: update("set"),
    add: update("add"),
    subtract: (values, options) => updateItem(a, index, lax.neg(asUpdate(values, a)), "add", options ?? {}),
    multiply: update("mul"),
    mul: update("mul"),
    divide: (values, options) => lax.div(a, updateItem(ones(), index, values, "mul", options ?? {})),
    power: (values, options) => lax.pow(a, updateItem(ones(), index, values, "mul", options ?? {})),
    min: update("min"),
    max: update("max"),
    apply: (fn, options) => updateItem(a, index, fn(getItem(a, index)), "set", options ?? {}),
  };
}

type UpdateKind = "set" | "add" | "mul" | "min" | "max";

function asUpdate(values: ArrayLike, x: NDArray): NDArray {
  return isScalar(values) ? scalar(values, x.dtype, x.weakType) : lax.convertElementTypeWeak(toArray(values), x.dtype, x.weakType);
}

function combine(kind: UpdateKind, old: NDArray, values: NDArray): NDArray {
  switch (kind) {
    case "set":
      return values;
    case "add":
      return old.dtype === "bool" ? lax.bitwiseOr(old, values) : lax.add(old, values);
    case "mul":
      return old.dtype === "bool" ? lax.bitwiseAnd(old, values) : lax.mul(old, values);
    case "min":
      return lax.min(old, values);
    case "max":
      return lax.max(old, values);
  }
}

function updateItem(x: NDArray, index: readonly Index[], values: ArrayLike, kind: UpdateKind, options: SetOptions): NDArray {
  const v = asUpdate(values, x);
  const masked = updateMasked(x, index, v, kind);
  if (masked !== null) return masked;
  const parts = parseIndex("at", x, index, options.mode !== undefined);
  const isStatic = parts.every((p) => p.kind !== "array" && !(p.kind === "slice" && p.step !== 1 && p.length !== 1));
  return isStatic ? updateStatic(x, parts, v, kind) : updateScattered(x, planGather("at", x, parts), v, kind, options);
}

/** A single mask with a value that does not depend on the place needs no coordinates: it works on traced masks. */
function updateMasked(x: NDArray, index: readonly Index[], values: NDArray, kind: UpdateKind): NDArray | null {
  const [mask] = index;
  if (index.length !== 1 || typeof mask !== "object" || mask === null || !("aval" in mask) || mask.dtype !== "bool") return null;
  const rest = x.shape.slice(mask.ndim);
  if (!sameShape(mask.shape, x.shape.slice(0, mask.ndim)) || values.ndim > rest.length) return null;
  const where = lax.broadcastInDim(
    mask,
    x.shape,
    mask.shape.map((_, i) => i),
  );
  const v = broadcastTo("at", broadcastTo("at", values, rest), x.shape, true);
  return lax.select(where, combine(kind, x, v), x);
}

/** Static places without gaps are blocks: cut, combine, write back. */
function updateStatic(x: NDArray, parts: readonly Part[], values: NDArray, kind: UpdateKind): NDArray {
  const shape = parts.flatMap((p) => (p.kind === "new" ? [1] : p.kind === "slice" ? [p.length] : []));
  const v = updateShape(values, shape);
  if (shape.includes(0)) return x;
  const starts = x.shape.map(() => 0);
  const sizes = [...x.shape];
  for (const p of parts) {
    if (p.kind === "int") [starts[p.axis], sizes[p.axis]] = [p.value, 1];
    else if (p.kind === "slice") [starts[p.axis], sizes[p.axis]] = [p.start, p.length];
  }
  const fresh = kind === "set" ? v : combine(kind, staticSlice(x, parts), v);
  if (sizes.every((n, i) => n === x.shape[i])) return lax.reshape(fresh, x.shape);
  return lax.dynamicUpdateSlice(x, lax.reshape(fresh, sizes), starts);
}

function updateScattered(x: NDArray, plan: GatherPlan, values: NDArray, kind: UpdateKind, options: SetOptions): NDArray {
  const withNew = [...plan.shape];
  for (const d of plan.newAxes) withNew.splice(d, 0, 1);
  const updates = lax.reshape(updateShape(values, withNew), plan.shape);
  const mode = options.mode ?? "fill";
  const scatter = { set: lax.scatter, add: lax.scatterAdd, mul: lax.scatterMul, min: lax.scatterMin, max: lax.scatterMax }[kind];
  return scatter(
    x,
    plan.indices,
    updates,
    {
      updateWindowDims: plan.windowDims,
      insertedWindowDims: plan.collapsed,
      scatterDimsToOperandDims: plan.axes,
    },
    {
      mode: mode === "drop" ? "fill" : mode,
      indicesAreSorted: options.indicesAreSorted,
      uniqueIndices: options.uniqueIndices,
    },
  );
}

/** Values in the shape of the place. Leading axes of size 1 beyond it are dropped, as NumPy does. */
function updateShape(values: NDArray, shape: readonly number[]): NDArray {
  let v = values;
  while (v.ndim > shape.length && v.shape[0] === 1) v = lax.squeeze(v, [0]);
  if (v.ndim > shape.length) {
    throw new ShapeError("at", {
      message: `the values do not fit the place of shape [${shape.join(",")}]`,
      operands: { values },
      fix: "give values that broadcast to that shape",
    });
  }
  return broadcastTo("at", v, shape);
}
