import { type Axis, type Ex, indexKey } from "./expr.ts";
import { reachable, stageRoots } from "./nest.ts";
import type { Attention, Contraction, Kernel, Nest, PackedOperand, Part, Stage } from "./program.ts";

/**
 * A text that is equal for kernels with the same code, which differ in their pointers at most: layers of one model.
 * Expressions are numbered in the order in which they are built, so kernels built in the same way have the same numbers.
 * Null for routines without a key, which are not compared.
 */
export function kernelKey(kernel: Kernel): string | null {
  switch (kernel.kind) {
    case "nest":
      return nestKey(kernel);
    case "contraction":
      return contractionKey(kernel);
    case "bundle":
      return partsKey(kernel.parts);
    case "chain":
      return `chain ${partsKey(kernel.parts)}`;
    case "routine":
      return kernel.routine.key === undefined ? null : `${kernel.routine.key} ${kernel.slots}`;
    case "attention":
      return attentionKey(kernel);
    case "sort":
      return `sort ${JSON.stringify({ ...kernel, name: null, flops: 0 })}`;
  }
}

function contractionKey(c: Contraction): string {
  const bare = (o: PackedOperand): object => ({ ...o, whole: null, last: null });
  const numbers = { ...c, name: null, a: bare(c.a), b: bare(c.b), epilogue: null };
  return `${JSON.stringify(numbers)} ${partsKey([c.a.whole, c.a.last, c.b.whole, c.b.last, c.epilogue])}`;
}

function partsKey(parts: readonly (Part | null)[]): string {
  return parts.map((p) => (p === null ? "-" : `${p.args.join(",")} ${nestKey(p.nest)}`)).join("\n");
}

const nestKeys = new WeakMap<Nest, string>();

function nestKey(nest: Nest): string {
  let key = nestKeys.get(nest);
  if (key === undefined) nestKeys.set(nest, (key = writeNest(nest)));
  return key;
}

function attentionKey(a: Attention): string {
  const parts = [a.a, a.b, a.product, a.score, a.value, a.total, a.most, a.logit, a.weight];
  const loops = [a.batches, a.rows, a.keys, a.columns, a.depth].map(axes).join(" ");
  return `attention ${a.slots} [${loops}] ${ids(parts)}${writeStages(a.stages, parts)}`;
}

const ids = (list: readonly Ex[]): string => list.map((x) => x.id).join(",");
const axes = (list: readonly Axis[]): string => list.map((a) => `${a.id}:${a.extent}`).join(",");

function writeNest(nest: Nest): string {
  const { serial, parallel, ranges, chunk, slots, outer, stages } = nest;
  return `nest ${serial} ${parallel} ${ranges.join(",")} ${chunk} ${slots} [${axes(outer)}]${writeStages(stages)}`;
}

/** The stages of a kernel, and the expressions that they, and `more`, are made of. */
function writeStages(stages: readonly Stage[], more: readonly Ex[] = []): string {
  const roots: Ex[] = [...more];
  let key = "";
  for (const stage of stages) {
    roots.push(...stageRoots(stage));
    key += `\n${stage.scan ? "scan" : "stage"} [${axes(stage.axes)}]`;
    for (const r of stage.reductions) {
      roots.push(...r.init, ...r.combined, ...r.left, ...r.right, ...r.results);
      key += ` fold ${r.reorder} ${ids(r.init)};${ids(r.values)};${ids(r.left)};${ids(r.right)};${ids(r.combined)};${ids(r.results)}`;
    }
    for (const s of stage.stores) {
      roots.push(...s.index.terms.map((t) => t.atom));
      key += ` store ${s.slot} ${s.storage} ${indexKey(s.index)} ${s.value.id} ${s.guard?.id ?? ""}`;
    }
  }
  for (const x of [...reachable(roots)].sort((a, b) => a.id - b.id)) {
    key += `\n${x.id} ${x.op} ${x.type} ${Object.is(x.value, -0) ? "-0" : String(x.value)} (${ids(x.args)})`;
    if (x.index !== null) key += ` [${indexKey(x.index)}]`;
    if (x.axis !== null) key += ` @${x.axis.id}`;
    if (x.storage !== null) key += ` #${x.slot} ${x.storage} ${x.pinned}`;
  }
  return key;
}
