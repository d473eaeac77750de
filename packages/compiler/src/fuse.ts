import { elementCost, elementRules } from "./elementwise.ts";
import { attentionOperation, type Block, type Node, type Value } from "./graph.ts";
import { hostOperation } from "./host.ts";
import { inlineRule } from "./views.ts";

/** What may be computed again for each of several readers. */
const cheap = 3;
/** The same for a single number, which a kernel computes once and not for each element. */
const cheapScalar = 200;
/** Beyond this a kernel would only grow. */
const largest = 400;

/** Operations that read an element of an operand more than once, with the most they may recompute. */
function amplifies(node: Node, operand: Value): boolean {
  switch (node.op) {
    case "broadcast_in_dim":
    case "gather":
      return node.outs[0].size > operand.size;
    case "dot_general":
    case attentionOperation:
    case "conv_general_dilated":
    // A butterfly holds the operand's code once for each of its elements.
    case "fft":
      return true;
    default:
      return node.op.startsWith("reduce_window") || node.op.startsWith("select_and");
  }
}

/**
 * Decides which values get memory. Everything else is computed inside the kernels that read it.
 *
 * A value is inlined when one kernel reads it, by one path; or when it is cheap enough to compute again.
 */
export function chooseMaterialised(block: Block): Set<Value> {
  const materialised = new Set<Value>(block.outs);
  const readers = readersOf(block);
  // Forward: what it costs to compute a value inside a reader, if everything that can be is inlined.
  const cost = new Map<Value, number>();
  for (const node of block.nodes) {
    if (inlineRule(node.op) === undefined) continue;
    let c = node.op === "threefry2x32" ? 80 : elementCost(node.op);
    if (node.op in viewLike) c = viewLike[node.op];
    for (const v of node.ins) c += cost.get(v) ?? 0;
    for (const v of node.outs) {
      if (c > largest) materialised.add(v);
      cost.set(v, c > largest ? 0 : c);
    }
  }
  // Backward: the kernel, and the path into it, by which each value is read.
  const path = new Map<Value, string>();
  const again = (v: Value): boolean => (cost.get(v) ?? 0) <= (v.size === 1 ? cheapScalar : cheap);
  for (let i = block.nodes.length - 1; i >= 0; i--) {
    const node = block.nodes[i];
    if (inlineRule(node.op) === undefined) continue;
    for (const v of node.outs) {
      let only: string | null = null;
      let several = false;
      for (const reader of readers.get(v) ?? []) {
        if (memoryReaders.has(reader.op) || (amplifies(reader, v) && !again(v))) materialised.add(v);
        const p = pathOf(reader, materialised, path);
        if (only !== null && only !== p) several = true;
        only = p;
      }
      if (several && !again(v)) materialised.add(v);
      path.set(v, materialised.has(v) ? `v${v.id}` : (only ?? `v${v.id}`));
    }
  }
  // A value with several results (threefry) is computed whole or not at all.
  for (const node of block.nodes) {
    if (node.outs.length > 1 && inlineRule(node.op) !== undefined && node.outs.some((v) => materialised.has(v))) {
      for (const v of node.outs) if (readers.has(v) || materialised.has(v)) materialised.add(v);
    }
  }
  return materialised;
}

/**
 * The single numbers that kernels compute for themselves even when they are in memory: cheap functions of parameters, such as a
 * step counter and what follows from it. A kernel that took them from memory would have to wait for the one that stores them.
 */
export function chooseRecomputed(block: Block): Set<Value> {
  const cost = new Map<Value, number>();
  for (const v of block.params) if (v.size === 1) cost.set(v, 0);
  const recomputed = new Set<Value>();
  for (const node of block.nodes) {
    const [out] = node.outs;
    if (elementRules[node.op] === undefined || out.size !== 1) continue;
    let c = elementCost(node.op);
    for (const v of node.ins) c += v.literal !== null ? 0 : (cost.get(v) ?? Infinity);
    if (c > cheapScalar) continue;
    cost.set(out, c);
    recomputed.add(out);
  }
  return recomputed;
}

/** The nodes that read each value. */
export function readersOf(block: Block): Map<Value, Node[]> {
  const readers = new Map<Value, Node[]>();
  for (const node of block.nodes) {
    for (const v of node.ins) {
      const list = readers.get(v);
      if (list === undefined) readers.set(v, [node]);
      else if (list[list.length - 1] !== node) list.push(node);
    }
  }
  return readers;
}

const viewLike: Readonly<Record<string, number>> = {
  broadcast_in_dim: 0,
  reshape: 0,
  squeeze: 0,
  transpose: 0.25,
  rev: 0.25,
  slice: 0,
  iota: 0.5,
  dynamic_slice: 1,
  gather: 4,
  pad: 4,
  concatenate: 6,
  bitcast_convert_type: 1,
};

/** Elementwise readers pass their own path on; anything else is a path of its own. */
function pathOf(reader: Node, materialised: ReadonlySet<Value>, path: ReadonlyMap<Value, string>): string {
  if (inlineRule(reader.op) === undefined) return `n${nodeId(reader)}`;
  const out = reader.outs[0];
  const below = materialised.has(out) ? `v${out.id}` : (path.get(out) ?? `v${out.id}`);
  return reader.op in viewLike ? `${below}/${nodeId(reader)}` : below;
}
function nodeId(node: Node): number {
  return node.outs[0]?.id ?? 0;
}

/** Readers that take their operands from memory. */
const memoryReaders: ReadonlySet<string> = new Set(["scan", "while", "cond", "sort", "top_k", hostOperation]);
