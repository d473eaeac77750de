import { readersOf } from "./fuse.ts";
import type { Block, Node, Value } from "./graph.ts";
import { mayOverwrite } from "./overwrite.ts";
import { bytesOf, Scope, whole } from "./scope.ts";
import type { BufferInfo, Step, View } from "./program.ts";

/** Makes a parameter of a block stand for an operand: a literal stays one, everything else is in memory. */
function bind(scope: Scope, child: Scope, param: Value, operand: Value): void {
  child.place(param, scope.view(operand));
}

/** The carries of a loop: each has memory for its present and its next value, which trade places. */
interface Carry {
  readonly present: View;
  readonly next: View | null;
}

/** Memory for the carries, holding their first values. A carry that the body returns unchanged needs no second place. */
function startCarries(scope: Scope, inits: readonly Value[], params: readonly Value[], block: Block): Carry[] {
  const { outs } = block;
  const readers = readersOf(block);
  return inits.map((v, i) => {
    const present = scope.lowering.temporary(bytesOf(v));
    const from = scope.located(v);
    if (from === undefined) scope.compute([v], [present]);
    else scope.copy(from, present, bytesOf(v));
    return {
      present,
      next: staysInPlace(block, params[i], outs[i], readers) ? null : scope.lowering.temporary(bytesOf(v)),
    };
  });
}

/** Whether a carry's next value comes to be in the memory of the present one: it is the same, or a chain of updates. */
function staysInPlace(block: Block, param: Value, out: Value, readers: ReadonlyMap<Value, readonly Node[]>): boolean {
  let v = out;
  while (v !== param) {
    // Any other use of the result would see it in two places.
    if (v.node === null || block.outs.filter((o) => o === v).length > 1 || !mayOverwrite(block, v.node, readers)) return false;
    if (v !== out && block.outs.includes(v)) return false;
    v = v.node.ins[0];
  }
  return true;
}

function swapsOf(carries: readonly Carry[]): (readonly [BufferInfo, BufferInfo])[] {
  return carries.flatMap((c) => (c.next === null ? [] : [[c.present.buffer, c.next.buffer] as const]));
}

/** Results of a loop: its carries, copied where a result was promised a place. */
function finishCarries(scope: Scope, outs: readonly Value[], carries: readonly Carry[]): void {
  outs.forEach((v, i) => {
    const promised = scope.promised(v);
    if (promised !== undefined) scope.copy(carries[i].present, scope.target(v), bytesOf(v));
    else scope.place(v, carries[i].present);
  });
}

/** scan: one loop; elements of xs and ys are views that step with it. */
export function lowerScan(scope: Scope, node: Node): void {
  const [block] = node.blocks;
  const numConsts = Number(node.params["numConsts"]);
  const numCarry = Number(node.params["numCarry"]);
  const length = Number(node.params["length"]);
  const reverse = Boolean(node.params["reverse"]);
  const { lowering } = scope;
  const child = new Scope(lowering);
  const loop = lowering.loop();
  for (let i = 0; i < numConsts; i++) bind(scope, child, block.params[i], node.ins[i]);
  const carryParams = block.params.slice(numConsts, numConsts + numCarry);
  const carries = startCarries(scope, node.ins.slice(numConsts, numConsts + numCarry), carryParams, block);
  carryParams.forEach((p, i) => {
    child.place(p, carries[i].present);
    if (carries[i].next === null) child.carries.add(p);
  });
  const element = (base: View, bytes: number): View => ({
    buffer: base.buffer,
    offset: base.offset + (reverse ? (length - 1) * bytes : 0),
    steps: [...base.steps, { loop, bytes: reverse ? -bytes : bytes }],
  });
  block.params.slice(numConsts + numCarry).forEach((p, i) => {
    child.place(p, element(scope.view(node.ins[numConsts + numCarry + i]), bytesOf(p)));
  });
  const targets: (View | null)[] = carries.map((c) => c.next);
  const ys = node.outs.slice(numCarry);
  ys.forEach((v, i) => targets.push(element(scope.target(v), bytesOf(block.outs[numCarry + i]))));
  if (length > 0) child.run(block, targets);
  scope.push({ kind: "loop", loop, trips: length, condition: [], predicate: null, body: child.steps, swaps: swapsOf(carries) });
  finishCarries(scope, node.outs.slice(0, numCarry), carries);
}

/** while: the condition's kernels, a look at one bool, the body's kernels. */
export function lowerWhile(scope: Scope, node: Node): void {
  const [condBlock, bodyBlock] = node.blocks;
  const condConsts = Number(node.params["condNconsts"]);
  const bodyConsts = Number(node.params["bodyNconsts"]);
  const { lowering } = scope;
  const inits = node.ins.slice(condConsts + bodyConsts);
  const bodyParams = bodyBlock.params.slice(bodyConsts);
  const carries = startCarries(scope, inits, bodyParams, bodyBlock);
  const condition = new Scope(lowering);
  const body = new Scope(lowering);
  for (let i = 0; i < condConsts; i++) bind(scope, condition, condBlock.params[i], node.ins[i]);
  for (let i = 0; i < bodyConsts; i++) bind(scope, body, bodyBlock.params[i], node.ins[condConsts + i]);
  carries.forEach((c, i) => {
    condition.place(condBlock.params[condConsts + i], c.present);
    body.place(bodyParams[i], c.present);
    if (c.next === null) body.carries.add(bodyParams[i]);
  });
  const predicate = whole(lowering.buffer("temporary", 1));
  condition.run(condBlock, [predicate]);
  body.run(
    bodyBlock,
    carries.map((c) => c.next),
  );
  scope.push({
    kind: "loop",
    loop: lowering.loop(),
    trips: null,
    condition: condition.steps,
    predicate,
    body: body.steps,
    swaps: swapsOf(carries),
  });
  finishCarries(scope, node.outs, carries);
}

/** cond: the branches write to the same places. */
export function lowerCond(scope: Scope, node: Node): void {
  const [index, ...operands] = node.ins;
  const at = scope.view(index);
  const views = operands.map((v) => scope.view(v));
  const targets = node.outs.map((v) => scope.target(v));
  const branches: (readonly Step[])[] = node.blocks.map((block) => {
    const child = new Scope(scope.lowering);
    block.params.forEach((p, i) => child.place(p, views[i]));
    child.run(block, targets);
    return child.steps;
  });
  scope.push({ kind: "branch", index: at, branches });
}
