import { type ArrayLike, asArray, type NDArray, ShapeError } from "@traceform/core";
import { broadcastedIota, convertElementType, dotGeneral, ge, reshape } from "@traceform/lax";
import { add, expandDims, multiply, squeeze, transpose, where } from "@traceform/numpy";
import { softmax } from "./normalization.ts";

export interface AttentionOptions {
  /** Added to the logits; broadcasts to [batch, heads, queries, keys]. */
  readonly bias?: ArrayLike;
  /** True where a query may attend to a key; broadcasts like `bias`. */
  readonly mask?: ArrayLike;
  /** Factor of the logits; 1 / √headDim by default. */
  readonly scale?: number;
  /** Queries attend to keys at their own position and before only. */
  readonly isCausal?: boolean;
}

/**
 * softmax(scale · Q Kᵀ + bias) V for each head.
 *
 * query float[batch, queries, heads, dim], key and value float[batch, keys, heads, dim] -> the shape of query; the batch
 * axis may be missing. Fewer key heads than query heads are shared by groups of query heads (grouped-query attention).
 *
 * @throws {ShapeError} when the shapes do not fit
 * @see Vaswani et al. (2017), "Attention is all you need"
 */
export function dotProductAttention(query: ArrayLike, key: ArrayLike, value: ArrayLike, options: AttentionOptions = {}): NDArray {
  const inputs = [query, key, value].map((x) => asArray(x));
  const batched = inputs[0].ndim === 4;
  const [q, k, v] = batched ? inputs : inputs.map((x) => expandDims(x, 0));
  const fits =
    q.ndim === 4 &&
    k.ndim === 4 &&
    v.ndim === 4 &&
    k.shape.every((n, i) => n === v.shape[i]) &&
    q.shape[0] === k.shape[0] &&
    q.shape[3] === k.shape[3] &&
    q.shape[2] % k.shape[2] === 0;
  if (!fits) {
    throw new ShapeError("dotProductAttention", {
      message: "query is [batch, queries, heads, dim], key and value are [batch, keys, heads, dim]",
      operands: { query: inputs[0], key: inputs[1], value: inputs[2] },
      fix: "bring the arrays to these axes with transpose or expandDims",
    });
  }
  const [batch, queries, heads, dim] = q.shape;
  const [, keys, keyHeads] = k.shape;
  const group = heads / keyHeads;
  // [batch, keyHeads, group · queries, dim]: the heads of a group share their keys.
  const grouped = transpose(reshape(q, [batch, queries, keyHeads, group, dim]), [0, 2, 3, 1, 4]);
  const folded = reshape(grouped, [batch, keyHeads, group * queries, dim]);
  const byHead = (x: NDArray): NDArray => transpose(x, [0, 2, 1, 3]);
  const scale = options.scale ?? 1 / Math.sqrt(dim);
  const products = dotGeneral(folded, byHead(k), { lhsContract: [3], rhsContract: [3], lhsBatch: [0, 1], rhsBatch: [0, 1] });
  let logits = multiply(reshape(products, [batch, heads, queries, keys]), scale);
  if (options.bias !== undefined) logits = add(logits, options.bias);
  if (options.mask !== undefined) logits = where(options.mask, logits, -Infinity);
  if (options.isCausal === true) {
    const [row, column] = [0, 1].map((d) => broadcastedIota("int32", [queries, keys], d));
    logits = where(ge(row, column), logits, -Infinity);
  }
  const weights = reshape(convertElementType(softmax(logits), q.dtype), [batch, keyHeads, group * queries, keys]);
  const mixed = dotGeneral(weights, byHead(v), { lhsContract: [3], rhsContract: [2], lhsBatch: [0, 1], rhsBatch: [0, 1] });
  const out = reshape(transpose(reshape(mixed, [batch, heads, queries, dim]), [0, 2, 1, 3]), [batch, queries, heads, dim]);
  return batched ? out : squeeze(out, 0);
}
