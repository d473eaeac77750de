import type { Block, Node, Value } from "./graph.ts";

interface DimensionNumbers {
  readonly lhsContract: readonly number[];
  readonly rhsContract: readonly number[];
  readonly lhsBatch: readonly number[];
  readonly rhsBatch: readonly number[];
}

/**
 * Sums of a batch of products, of which nothing else needs the members, become one product of a longer depth: gradients of
 * examples, or of devices, that are added up. The members would be stored only to be read once.
 */
export function sumProducts(block: Block): Block {
  const uses = new Map<Value, number>();
  const use = (v: Value): unknown => uses.set(v, (uses.get(v) ?? 0) + 1);
  for (const { ins } of block.nodes) ins.forEach(use);
  block.outs.forEach(use);
  const gone = new Set<Node>();
  for (const node of block.nodes) {
    const dot = node.op === "reduce_sum" ? node.ins[0].node : null;
    if (dot === null || dot.op !== "dot_general" || uses.get(node.ins[0]) !== 1) continue;
    const axes = node.params["axes"] as readonly number[];
    const n = dot.params["dimensionNumbers"] as DimensionNumbers;
    if (axes.length === 0 || axes.some((a) => a >= n.lhsBatch.length)) continue;
    const summed = (xs: readonly number[]): number[] => axes.map((a) => xs[a]);
    const kept = (xs: readonly number[]): number[] => xs.filter((_, i) => !axes.includes(i));
    // In place, because values know their nodes.
    Object.assign(node, {
      op: "dot_general",
      ins: dot.ins,
      params: {
        ...dot.params,
        dimensionNumbers: {
          lhsContract: [...summed(n.lhsBatch), ...n.lhsContract],
          rhsContract: [...summed(n.rhsBatch), ...n.rhsContract],
          lhsBatch: kept(n.lhsBatch),
          rhsBatch: kept(n.rhsBatch),
        },
      },
    });
    gone.add(dot);
  }
  return gone.size === 0 ? block : { ...block, nodes: block.nodes.filter((n) => !gone.has(n)) };
}
