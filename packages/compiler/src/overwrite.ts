import type { Block, Node, Value } from "./graph.ts";

/** Operations that change a part of their first operand. */
const updates: ReadonlySet<string> = new Set([
  "dynamic_update_slice",
  "scatter",
  "scatter-add",
  "scatter-mul",
  "scatter-min",
  "scatter-max",
]);

/**
 * Whether an update may be done in the memory of its first operand: everything else that depends on the operand is also
 * something the update waits for, so it has been computed by then.
 */
export function mayOverwrite(block: Block, node: Node, readers: ReadonlyMap<Value, readonly Node[]>): boolean {
  if (!updates.has(node.op)) return false;
  const [x, ...rest] = node.ins;
  if (block.outs.includes(x) || rest.includes(x)) return false;
  const before = new Set<Node>();
  const stack: Value[] = [...rest];
  for (let v = stack.pop(); v !== undefined; v = stack.pop()) {
    if (v.node === null || before.has(v.node)) continue;
    before.add(v.node);
    stack.push(...v.node.ins);
  }
  const seen = new Set<Node>([node]);
  const forward: Value[] = [x];
  for (let v = forward.pop(); v !== undefined; v = forward.pop()) {
    for (const reader of readers.get(v) ?? []) {
      if (seen.has(reader)) continue;
      if (!before.has(reader)) return false;
      seen.add(reader);
      forward.push(...reader.outs);
    }
  }
  return true;
}
