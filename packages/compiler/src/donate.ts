import { type Ex, type Index, storageBytes } from "./expr.ts";
import { reachable, stageRoots } from "./nest.ts";
import type { BufferInfo, Donation, Nest, Step, View } from "./program.ts";

/**
 * Pairs donated arguments with results that may take over their memory: of equal size, and first written when the
 * argument has been read for the last time. `taken` are arguments that results are already.
 */
export function planDonations(
  steps: readonly Step[],
  buffers: readonly BufferInfo[],
  donated: readonly number[],
  taken: ReadonlySet<number>,
): Donation[] {
  if (donated.length === 0) return [];
  const uses = usesOf(steps);
  const free = new Set(buffers.filter((b) => b.kind === "result"));
  const donations: Donation[] = [];
  for (const position of donated) {
    const argument = buffers.find((b) => b.kind === "argument" && b.position === position);
    if (argument === undefined || taken.has(position)) continue;
    for (const result of free) {
      if (result.bytes !== argument.bytes || !mayShare(steps, uses, argument, result)) continue;
      free.delete(result);
      donations.push({ argument: position, result: result.position });
      break;
    }
  }
  return donations;
}

/** The first and the last of the outermost steps that touch a buffer. */
interface Use {
  readonly first: number;
  last: number;
}

function usesOf(steps: readonly Step[]): ReadonlyMap<BufferInfo, Use> {
  const uses = new Map<BufferInfo, Use>();
  steps.forEach((step, i) =>
    eachView(step, ({ buffer }) => {
      const found = uses.get(buffer);
      if (found === undefined) uses.set(buffer, { first: i, last: i });
      else found.last = i;
    }),
  );
  return uses;
}

function eachView(step: Step, see: (view: View) => void): void {
  const all = (list: readonly Step[]): void => list.forEach((s) => eachView(s, see));
  switch (step.kind) {
    case "launch":
      return step.args.forEach(see);
    case "copy":
      see(step.from);
      return see(step.to);
    case "host":
      step.reads.forEach(see);
      return step.writes.forEach(see);
    case "branch":
      see(step.index);
      return step.branches.forEach(all);
    case "loop":
      all(step.condition);
      if (step.predicate !== null) see(step.predicate);
      return all(step.body);
  }
}

function mayShare(steps: readonly Step[], uses: ReadonlyMap<BufferInfo, Use>, argument: BufferInfo, result: BufferInfo): boolean {
  const write = uses.get(result);
  const read = uses.get(argument);
  if (write === undefined) return false;
  if (read === undefined || read.last < write.first) return true;
  if (read.last > write.first) return false;
  const step = steps[write.first];
  if (step.kind === "copy") return isWhole(step.from) && isWhole(step.to) && step.bytes === result.bytes;
  if (step.kind !== "launch") return false;
  const { kernel, args } = step;
  if (kernel.kind === "nest") return elementByElement(kernel, args, argument, result);
  if (kernel.kind !== "bundle") return false;
  // The parts run in any order: only one of them may touch either.
  const touching = kernel.parts.filter((p) => p.args.some((i) => args[i].buffer === argument || args[i].buffer === result));
  const [part] = touching;
  return (
    touching.length === 1 &&
    elementByElement(
      part.nest,
      part.args.map((i) => args[i]),
      argument,
      result,
    )
  );
}

function isWhole(view: View): boolean {
  return view.offset === 0 && view.steps.length === 0;
}

/**
 * Whether a nest reads each element of the argument only in the iteration that writes it, and before it writes it: all
 * loads are at the index of the store, and the store, or one before it, needs each of them.
 */
function elementByElement(nest: Nest, args: readonly View[], argument: BufferInfo, result: BufferInfo): boolean {
  const slotsOf = (buffer: BufferInfo): number[] => args.flatMap((v, i) => (v.buffer === buffer ? [i] : []));
  const [reads, writes] = [slotsOf(argument), slotsOf(result)];
  if (nest.serial || reads.length !== 1 || writes.length !== 1 || ![...reads, ...writes].every((i) => isWhole(args[i])))
    return false;
  const loads = (roots: Iterable<Ex>): Ex[] => [...reachable(roots)].filter((x) => x.op === "load" && x.slot === reads[0]);
  const stage = nest.stages.find((s) => s.stores.some((t) => t.slot === writes[0]));
  if (stage === undefined || stage.reductions.length > 0 || stage.stores.some((t) => t.guard !== null)) return false;
  for (const s of nest.stages) {
    if (s === stage) continue;
    const roots = [...stageRoots(s), ...s.reductions.flatMap((r) => [...r.init, ...r.combined])];
    if (s.stores.some((t) => t.slot === writes[0]) || loads(roots).length > 0) return false;
  }
  const at = stage.stores.findIndex((t) => t.slot === writes[0]);
  const store = stage.stores[at];
  if (stage.stores.slice(at + 1).some((t) => t.slot === writes[0])) return false;
  // Each iteration has an element of its own.
  const axes = [...nest.outer, ...stage.axes];
  if (store.index.terms.length !== axes.length || !axes.every((a) => store.index.terms.some((t) => t.atom.axis === a)))
    return false;
  const early = new Set(loads(stage.stores.slice(0, at + 1).map((t) => t.value)));
  const positions = stage.stores.flatMap((t) => t.index.terms.map((term) => term.atom));
  return loads([...stageRoots(stage), ...positions]).every(
    (x) =>
      early.has(x) &&
      x.args.length === 0 &&
      storageBytes[x.storage!] === storageBytes[store.storage] &&
      sameIndex(x.index!, store.index),
  );
}

function sameIndex(a: Index, b: Index): boolean {
  return (
    a.c === b.c &&
    a.terms.length === b.terms.length &&
    a.terms.every((t) => b.terms.some((u) => u.atom === t.atom && u.coef === t.coef))
  );
}
