import { bind, evalJaxpr, type NDArray, scalar } from "@traceform/core";
import { broadcastInDim, eq, full, type GeneralReduceWindowParams, pad, reduceWindowP, select, slice } from "@traceform/lax";
import { place } from "../internal/flags.ts";
import { hasTangent, instantiate } from "../internal/zeros.ts";
import { type JvpContext, type JvpEntry, jvpEntry, type Tangent } from "../rule.ts";

/** Every position in a window, in row-major order: the order in which the fold visits them. */
function offsets(window: readonly number[]): number[][] {
  return window.reduce<number[][]>((all, n) => all.flatMap((w) => Array.from({ length: n }, (_, i) => [...w, i])), [[]]);
}

/**
 * The derivative of a window fold with any function: the fold written out over the positions of the window, each step the
 * derivative of the function on all windows at once. The function takes scalars, so its equations work on arrays too.
 */
function generalWindow(
  primals: readonly NDArray[],
  tangents: readonly Tangent[],
  params: GeneralReduceWindowParams,
  { jvpJaxpr }: JvpContext,
): readonly [NDArray[], Tangent[]] {
  const { windowDimensions, windowStrides, windowDilation, baseDilation, padding } = params;
  const n = primals.length / 2;
  const outs = bind(reduceWindowP, primals, params);
  const inexact = outs.map((x) => hasTangent(x.aval));
  const derivative = jvpJaxpr(params.jaxpr, [...inexact, ...inexact], inexact);
  const dots = primals.map((x, i) => (inexact[i % n] ? instantiate(tangents[i], x.aval) : null)).filter((t) => t !== null);
  const k = dots.length / 2;
  const { shape } = outs[0];
  const spread = (x: NDArray): NDArray =>
    pad(
      x,
      scalar(0, x.dtype),
      padding.map(([lo, hi], d) => [lo, hi, baseDilation[d] - 1]),
    );
  const elements = [...primals.slice(0, n), ...dots.slice(0, k)].map(spread);
  // Padding, and the holes of a dilated base, are passed over.
  const present = spread(full(primals[0].shape, 1, "int8"));
  let parts = [...primals.slice(n), ...dots.slice(k)].map((x) => broadcastInDim(x, shape, []));
  for (const offset of shape.includes(0) ? [] : offsets(windowDimensions)) {
    const start = offset.map((w, d) => w * windowDilation[d]);
    const limit = start.map((s, d) => s + (shape[d] - 1) * windowStrides[d] + 1);
    const at = (x: NDArray): NDArray => slice(x, start, limit, windowStrides);
    const x = elements.map(at);
    const next = evalJaxpr(
      derivative.jaxpr,
      [],
      [...derivative.consts, ...parts.slice(0, n), ...x.slice(0, n), ...parts.slice(n), ...x.slice(n)],
    );
    const skipped = eq(at(present), 0);
    parts = parts.map((old, i) => select(skipped, old, next[i]));
  }
  return [outs, place(inexact, parts.slice(n))];
}

export const windowFoldJvps = (): JvpEntry[] => [jvpEntry(reduceWindowP, generalWindow)];
