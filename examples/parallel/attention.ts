import type { Mesh, NDArray } from "@traceform/core";
import { axisIndex, axisSize, foriLoop, pcast, ppermute } from "@traceform/lax";
import { softmax } from "@traceform/nn";
import { arange, einsum, exp, full, maximum, max, sum, where, zeros, greaterEqual, expandDims } from "@traceform/numpy";
import "@traceform/numpy/methods";
import { PartitionSpec as P, shardMap } from "@traceform/pmap";

/** Causal attention of queries, keys and values float32[length, heads, size], all at once. */
export function attention(q: NDArray, k: NDArray, v: NDArray): NDArray {
  const scores = einsum("qhd,khd->hqk", q, k).mul(1 / Math.sqrt(q.shape[2]));
  const at = arange(q.shape[0]);
  const seen = greaterEqual(expandDims(at, 1), at);
  return einsum("hqk,khd->qhd", softmax(where(seen, scores, -1e30)), v);
}

/**
 * The same where each device has a part of the sequence, and of the heads: blocks of keys and values go round the ring of devices along
 * "sequence" while each of them folds what comes by into its softmax. No device ever has the whole sequence.
 * @see Liu, Zaharia & Abbeel (2023), "Ring attention with blockwise transformers for near-infinite context"
 */
export function ringAttention(mesh: Mesh): (q: NDArray, k: NDArray, v: NDArray) => NDArray {
  const spec = P("sequence", "heads");
  return shardMap(ring, { mesh, inSpecs: [spec, spec, spec], outSpecs: spec });
}

interface Running {
  readonly k: NDArray;
  readonly v: NDArray;
  /** Of the scores so far: the largest, and the sum of their exponentials; the weighted sum of values. */
  readonly top: NDArray;
  readonly total: NDArray;
  readonly out: NDArray;
}

function ring(q: NDArray, k: NDArray, v: NDArray): NDArray {
  const [length, heads, size] = q.shape;
  const n = axisSize("sequence");
  const me = axisIndex("sequence");
  const within = arange(length);
  const next = Array.from({ length: n }, (_, i) => [i, (i + 1) % n] as const);

  const fold = (step: NDArray, r: Running): Running => {
    // After so many steps the block of a device that far behind has come.
    const from = me.sub(step).add(n).mod(n);
    const scores = einsum("qhd,khd->hqk", q, r.k).mul(1 / Math.sqrt(size));
    const seen = greaterEqual(expandDims(within.add(me.mul(length)), 1), within.add(from.mul(length)));
    const masked = where(seen, scores, -1e30);
    const top = maximum(r.top, max(masked, -1));
    const weights = where(seen, exp(masked.sub(expandDims(top, -1))), 0);
    const shrink = exp(r.top.sub(top));
    return {
      k: ppermute(r.k, "sequence", next),
      v: ppermute(r.v, "sequence", next),
      top,
      total: r.total.mul(shrink).add(sum(weights, -1)),
      out: r.out.mul(expandDims(shrink, -1)).add(einsum("hqk,khd->hqd", weights, r.v)),
    };
  };
  const start: Running = pcast(
    { k, v, top: full([heads, length], -1e30), total: zeros([heads, length]), out: zeros([heads, length, size]) },
    ["sequence", "heads"],
    { to: "varying" },
  );
  const end = foriLoop(0, n, fold, start);
  return einsum("hqd->qhd", end.out.div(expandDims(end.total, -1)));
}
