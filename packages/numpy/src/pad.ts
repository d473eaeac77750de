import { type ArrayLike, canonicalAxis, type NDArray, scalar, ShapeError, ValueError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { toArray } from "./internal/promote.ts";
import { max, mean, min } from "./reductions.ts";
import { median } from "./statistics.ts";

export type PadMode =
  | "constant"
  | "edge"
  | "empty"
  | "linear_ramp"
  | "maximum"
  | "mean"
  | "median"
  | "minimum"
  | "reflect"
  | "symmetric"
  | "wrap";
/** One number for all sides, `[before, after]` for every axis, a pair for each axis, or pairs by axis number. */
export type PadWidth =
  | number
  | readonly number[]
  | readonly (readonly number[])[]
  | { readonly [axis: number]: readonly number[] | number };

export interface PadOptions {
  readonly mode?: PadMode;
  /** For `constant`: one value, `[before, after]`, or a pair for each axis. */
  readonly constantValues?: PadWidth | NDArray;
  /** For `linear_ramp`: the values at the outer ends. */
  readonly endValues?: PadWidth;
  /** For `maximum`, `mean`, `median`, `minimum`: how many elements next to the edge are looked at; all by default. */
  readonly statLength?: number;
  /** For `reflect` and `symmetric`: `odd` mirrors values around the edge value too. */
  readonly reflectType?: "even" | "odd";
}

/** `x` with elements added before and after along each axis. */
export function pad(x: ArrayLike, padWidth: PadWidth, options: PadOptions | PadMode = {}): NDArray {
  const a = toArray(x);
  const opts = typeof options === "string" ? { mode: options } : options;
  const widths = pairs("pad", padWidth, a.ndim);
  for (const w of widths.flat()) {
    if (!Number.isInteger(w) || w < 0)
      throw new ValueError("pad", {
        message: `widths are non-negative integers, got ${w}`,
        fix: "cut with slice instead of padding by less than nothing",
      });
  }
  const mode = opts.mode ?? "constant";
  if (mode === "constant" || mode === "empty") return padConstant(a, widths, opts);
  return widths.reduce<NDArray>(
    (v, [before, after], axis) => (before + after === 0 ? v : padAxis(v, axis, before, after, mode, opts)),
    a,
  );
}

function pairs(fn: string, width: PadWidth, ndim: number): [number, number][] {
  const all = (p: readonly number[]): [number, number] => [p[0], p[1] ?? p[0]];
  if (typeof width === "number") return Array.from({ length: ndim }, () => [width, width]);
  if (!Array.isArray(width)) {
    const out = Array.from({ length: ndim }, (): [number, number] => [0, 0]);
    for (const [axis, w] of Object.entries(width))
      out[canonicalAxis(fn, Number(axis), ndim)] = typeof w === "number" ? [w, w] : all(w);
    return out;
  }
  if (width.every((w: unknown) => typeof w === "number"))
    return Array.from({ length: ndim }, () => all(width as readonly number[]));
  const list = (width as readonly (readonly number[])[]).map(all);
  if (list.length === 1) return Array.from({ length: ndim }, () => list[0]);
  if (list.length !== ndim)
    throw new ShapeError(fn, {
      message: `needs a pair for each of ${ndim} axes, got ${list.length}`,
      fix: "give one number, one [before, after], or a pair for each axis",
    });
  return list;
}

function padConstant(x: NDArray, widths: readonly [number, number][], opts: PadOptions): NDArray {
  const values = opts.constantValues ?? 0;
  const config = (axis: number | null, side: 0 | 1 | null): [number, number, number][] =>
    widths.map(([lo, hi], i) => {
      const on = axis === null || axis === i;
      return [on && side !== 1 ? lo : 0, on && side !== 0 ? hi : 0, 0];
    });
  const zero = x.dtype === "bool" ? Boolean(values) : values;
  if (typeof zero === "number" || typeof zero === "boolean") return lax.pad(x, scalar(zero, x.dtype), config(null, null));
  if ("aval" in (zero as object))
    return lax.pad(x, lax.convertElementType(lax.reshape(zero as NDArray, []), x.dtype), config(null, null));
  return pairs("pad", zero as PadWidth, x.ndim).reduce<NDArray>((v, [before, after], axis) => {
    const low = lax.pad(v, scalar(before, x.dtype), config(axis, 0));
    return lax.pad(low, scalar(after, x.dtype), config(axis, 1));
  }, x);
}

function padAxis(x: NDArray, axis: number, before: number, after: number, mode: PadMode, opts: PadOptions): NDArray {
  const n = x.shape[axis];
  if (n === 0)
    throw new ShapeError("pad", {
      message: `mode ${mode} cannot extend an empty axis`,
      operands: { x },
      fix: 'use mode "constant", or do not pad that axis',
    });
  const cut = (from: number, to: number): NDArray => lax.sliceInDim(x, from, to, 1, axis);
  const spread = (v: NDArray, size: number): NDArray => {
    const target = v.shape.map((m, i) => (i === axis ? size : m));
    return lax.broadcastInDim(
      v,
      target,
      v.shape.map((_, i) => i),
    );
  };
  switch (mode) {
    case "edge":
      return lax.concatenate([spread(cut(0, 1), before), x, spread(cut(n - 1, n), after)], axis);
    case "wrap": {
      const left = before % n;
      const whole = [Math.floor(before / n), Math.floor(after / n)];
      return lax.concatenate([cut(n - left, n), ...new Array<NDArray>(whole[0] + 1 + whole[1]).fill(x), cut(0, after % n)], axis);
    }
    case "reflect":
    case "symmetric":
      return mirror(x, axis, before, after, mode === "reflect" ? 1 : 0, opts.reflectType === "odd");
    case "linear_ramp": {
      const [lo, hi] = pairs("pad", opts.endValues ?? 0, x.ndim)[axis];
      const ramp = (edge: NDArray, end: number, size: number, rising: boolean): NDArray => {
        if (size === 0) return cut(0, 0);
        const target = edge.shape.map((m, i) => (i === axis ? size : m));
        const float = lax.convertElementType(edge, "float32");
        const steps = lax.div(lax.broadcastedIota("float32", target, axis), size);
        const t = rising ? steps : lax.sub(1, lax.div(lax.add(lax.broadcastedIota("float32", target, axis), 1), size));
        const values = lax.add(end, lax.mul(lax.sub(spread(float, size), end), t));
        return lax.convertElementType(values, x.dtype);
      };
      return lax.concatenate([ramp(cut(0, 1), lo, before, true), x, ramp(cut(n - 1, n), hi, after, false)], axis);
    }
    default: {
      const stat = { maximum: max, minimum: min, mean, median }[mode as "maximum" | "minimum" | "mean" | "median"];
      if (stat === undefined) {
        throw new ValueError("pad", { message: `"${mode}" is no mode`, fix: "use constant, edge, reflect, symmetric, wrap, …" });
      }
      const length = Math.min(opts.statLength ?? n, n);
      const of = (v: NDArray): NDArray => {
        const s = stat(v, axis, { keepdims: true });
        const isInt = typeof x.dtype === "string" && x.dtype.includes("int");
        return lax.convertElementType(isInt && s.dtype !== x.dtype ? lax.round(s, "TO_NEAREST_EVEN") : s, x.dtype);
      };
      return lax.concatenate([spread(of(cut(0, length)), before), x, spread(of(cut(n - length, n)), after)], axis);
    }
  }
}

/** Mirrors at the edges, as often as the width needs; `skip` leaves out the edge element itself. */
function mirror(x: NDArray, axis: number, before: number, after: number, skip: 0 | 1, odd: boolean): NDArray {
  let out = x;
  let [left, right] = [before, after];
  while (left > 0 || right > 0) {
    const n = out.shape[axis];
    const most = Math.max(1, n - skip);
    const [l, r] = [Math.min(left, most), Math.min(right, most)];
    const from = n === 1 ? 0 : skip;
    const edge = (i: number): NDArray => lax.sliceInDim(out, i, i + 1, 1, axis);
    const turn = (v: NDArray, e: NDArray): NDArray =>
      odd
        ? lax.sub(
            lax.broadcastInDim(
              lax.mul(e, 2),
              v.shape,
              v.shape.map((_, i) => i),
            ),
            v,
          )
        : v;
    const head = turn(lax.rev(lax.sliceInDim(out, from, from + l, 1, axis), [axis]), edge(0));
    const tail = turn(lax.rev(lax.sliceInDim(out, n - from - r, n - from, 1, axis), [axis]), edge(n - 1));
    out = lax.concatenate([head, out, tail], axis);
    left -= l;
    right -= r;
  }
  return out;
}
