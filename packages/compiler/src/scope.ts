import { BackendError, type HostStep } from "@traceform/core";
import { type Ex, type Index, storageBytes } from "./expr.ts";
import { chooseMaterialised, chooseRecomputed, readersOf } from "./fuse.ts";
import type { Block, Node, Value } from "./graph.ts";
import { type GroupDraft, KernelGroup, readOnlyBy } from "./group.ts";
import { KernelBuilder, storing } from "./kernels.ts";
import { mayOverwrite } from "./overwrite.ts";
import type { BufferInfo, Kernel, Origin, Step, Target, View } from "./program.ts";
import { scalarInfo } from "./scalars.ts";
import { inlineRule } from "./views.ts";

/** Bytes of a dense array. */
export function bytesOf(value: Pick<Value, "size" | "dtype">): number {
  return value.size * storageBytes[scalarInfo(value.dtype).storage];
}

/** Emits the kernels of one node. */
export type KernelRule = (scope: Scope, node: Node) => void;

/** What is shared by all blocks of a program. */
export class Lowering {
  readonly target: Target;
  /** The primitives that need kernels of their own, by name. Rules lower inner blocks with scopes of their own, so the table comes from outside. */
  readonly rules: Readonly<Record<string, KernelRule>>;
  readonly buffers: BufferInfo[] = [];
  #loops = 0;

  constructor(target: Target, rules: Readonly<Record<string, KernelRule>>) {
    this.target = target;
    this.rules = rules;
  }

  buffer(kind: BufferInfo["kind"], bytes: number, position = -1, threadBytes = 0): BufferInfo {
    const info: BufferInfo = { id: this.buffers.length, bytes, kind, position, threadBytes };
    this.buffers.push(info);
    return info;
  }
  temporary(bytes: number): View {
    return whole(this.buffer("temporary", bytes));
  }
  /** Memory in which each thread works for itself while it is at a task of a kernel. */
  ownTemporary(bytes: number): View {
    return whole(this.buffer("temporary", this.target.threads * bytes, -1, bytes));
  }
  readonly constants: ArrayBufferView[] = [];
  readonly #constantViews = new Map<string, View>();
  /** A table computed while compiling. Equal keys name equal tables, which the program holds once. */
  constant(key: string, make: () => ArrayBufferView): View {
    let view = this.#constantViews.get(key);
    if (view === undefined) {
      const data = make();
      view = whole(this.buffer("constant", data.byteLength, this.constants.push(data) - 1));
      this.#constantViews.set(key, view);
    }
    return view;
  }
  readonly hosts: HostStep[] = [];
  /** The number of a host step among those of the program. */
  host(step: HostStep): number {
    return this.hosts.push(step) - 1;
  }
  loop(): number {
    return this.#loops++;
  }
}

export function whole(buffer: BufferInfo, offset = 0): View {
  return { buffer, offset, steps: [] };
}

/** A kernel in the making. `launch` is told what it has become, where it is more than a group. */
interface OpenKernel {
  readonly group: KernelGroup;
  readonly launch: ((draft: GroupDraft) => void) | null;
}
/** More of them at a time would only keep values alive. */
const mostOpen = 16;

/** One block being lowered: where its values are, and the steps so far. */
export class Scope {
  readonly lowering: Lowering;
  readonly #steps: Step[] = [];
  /** Kernels in the making, in the order in which they were begun; none needs another one. */
  #open: OpenKernel[] = [];
  #readers: ReadonlyMap<Value, readonly Node[]> = new Map();
  #materialised: ReadonlySet<Value> = new Set();
  readonly #places = new Map<Value, View>();
  readonly #targets = new Map<Value, View>();

  constructor(lowering: Lowering) {
    this.lowering = lowering;
  }

  /** The steps so far. */
  get steps(): readonly Step[] {
    this.flush();
    return this.#steps;
  }
  /** Adds a step, after the kernels that are in the making. */
  push(step: Step): void {
    this.flush();
    this.#steps.push(step);
  }
  /** Finishes the kernels in the making. */
  flush(): void {
    while (this.#open.length > 0) this.#finish(this.#open[0]);
  }
  #finish(kernel: OpenKernel): void {
    this.#open = this.#open.filter((k) => k !== kernel);
    const members = new Set(kernel.group.values);
    const inside = (v: Value): boolean =>
      !this.#targets.has(v) && !this.#kept.has(v) && readOnlyBy(v, members, this.#readers, this.#materialised);
    const draft = kernel.group.draft(inside);
    // What it launches does not wait for the other kernels in the making.
    const others = this.#open;
    this.#open = [];
    const before = this.#lowered;
    this.#lowered = members;
    if (kernel.launch !== null) kernel.launch(draft);
    else this.launchDraft(draft);
    this.#lowered = before;
    this.#open = others;
  }
  launchDraft({ builder, name, axes, stages }: GroupDraft): void {
    if (stages.length > 0) this.launch(builder.nest(name, axes, stages), builder.slots);
  }
  /**
   * Starts a kernel that stores `value` by other means; what reads its elements may join. `launch` is called with that when
   * the kernel is complete. Without `rows`, only what is elementwise joins.
   */
  begin(
    value: Value,
    view: View,
    x: (k: KernelBuilder, position: readonly Index[]) => Ex,
    store: boolean,
    launch: (draft: GroupDraft) => void,
    { rows = true }: { readonly rows?: boolean } = {},
  ): void {
    this.flush();
    const group = new KernelGroup(this.#locate, value.shape, this.lowering.target, rows);
    group.adopt(value, view, x);
    if (store) group.storeAdopted(value);
    this.#open.push({ group, launch });
  }
  readonly #kept = new Set<Value>();

  /** Says where a value is. */
  place(value: Value, view: View): void {
    this.#places.set(value, view);
  }
  located(value: Value): View | undefined {
    return this.#places.get(value);
  }
  builder(): KernelBuilder {
    return new KernelBuilder(this.#locate, this.lowering.target);
  }
  /** Where kernels read a value; undefined for what they compute themselves. */
  readonly #locate = (value: Value): View | undefined => (this.#recomputed.has(value) ? undefined : this.#places.get(value));
  #recomputed: ReadonlySet<Value> = new Set();

  /** Where a value that a kernel is about to compute goes: a place it was promised to, or new memory. */
  target(value: Value): View {
    const view = this.#targets.get(value) ?? this.lowering.temporary(bytesOf(value));
    this.#places.set(value, view);
    return view;
  }

  /** The place that a value was promised to, if it was. */
  promised(value: Value): View | undefined {
    return this.#targets.get(value);
  }

  /** The memory that holds a value, computing it first if it is none. */
  view(value: Value): View {
    const found = this.#places.get(value);
    if (found !== undefined) return found;
    const same = this.#sameMemory(value);
    if (same !== undefined) {
      this.#places.set(value, same);
      this.#shared.add(value);
      this.#shared.add(value.node!.ins[0]);
      return same;
    }
    this.#enqueue(value, value.shape, (g) => g.add(value, () => this.target(value)));
    return this.#places.get(value)!;
  }

  /** Puts a value into a kernel in the making, or begins another. */
  #enqueue(value: Value, shape: readonly number[], add: (group: KernelGroup) => boolean): boolean {
    // The kernels whose results it reads have to be done before it, but for one that it may join.
    const read = this.#readBy(value);
    const [first] = read.filter((k) => k.group.suits(shape));
    for (const kernel of read) if (kernel !== first) this.#finish(kernel);
    if (first !== undefined) {
      if (add(first.group)) return true;
      this.#finish(first);
    }
    for (const { group } of this.#open) if (group.suits(shape) && add(group)) return true;
    const group = new KernelGroup(this.#locate, shape, this.lowering.target);
    if (!add(group)) return false;
    if (this.#open.length === mostOpen) this.#finish(this.#open[0]);
    this.#open.push({ group, launch: null });
    return true;
  }
  /** The kernels in the making that compute what a value is made of. */
  #readBy(value: Value): OpenKernel[] {
    if (this.#open.length === 0) return [];
    const found = new Set<OpenKernel>();
    const seen = new Set<Value>([value]);
    const stack = [...(value.node?.ins ?? [])];
    for (let v = stack.pop(); v !== undefined; v = stack.pop()) {
      if (seen.has(v)) continue;
      seen.add(v);
      const kernel = this.#recomputed.has(v) ? undefined : this.#open.find((k) => k.group.has(v));
      if (kernel !== undefined) found.add(kernel);
      // A reshape has a place, but what computes it is the kernel of the value whose memory it shares.
      else if ((this.#locate(v) === undefined || this.#shared.has(v)) && v.node !== null && inlineRule(v.node.op) !== undefined)
        stack.push(...v.node.ins);
    }
    return [...found];
  }
  /**
   * Whether an update may happen in the memory of its operand: when that is a temporary of this block, or a carry of
   * the loop around it, and nothing reads it afterwards.
   */
  overwrites(node: Node): boolean {
    const [x] = node.ins;
    if (this.#block === null || this.#targets.has(node.outs[0])) return false;
    const owned =
      this.carries.has(x) ||
      (x.node !== null && !this.#shared.has(x) && this.view(x).buffer.kind === "temporary" && this.view(x).steps.length === 0);
    return owned && mayOverwrite(this.#block, node, this.#readers);
  }
  /** Parameters that are carries of a loop: the block's own memory. */
  readonly carries: Set<Value> = new Set();
  #block: Block | null = null;
  /** Values whose memory other values may have. */
  readonly #shared = new Set<Value>();

  /** Tries to fold along the trailing axes together with what else its rows need. */
  reduce(value: Value, kind: string): boolean {
    return this.#enqueue(value, value.node!.ins[0].shape, (g) => g.addReduction(value, kind, () => this.target(value)));
  }

  /** Reshapes of what is in memory are the same memory. */
  #sameMemory(value: Value): View | undefined {
    const { node } = value;
    if (node === null || this.#targets.has(value)) return undefined;
    if (node.op === "reshape" || node.op === "squeeze" || (node.op === "broadcast_in_dim" && node.ins[0].size === value.size)) {
      const x = node.ins[0];
      if (x.literal !== null) return undefined;
      // Broadcasting keeps the order of the axes, so equal sizes mean equal memory.
      return this.#places.get(x) ?? this.#sameMemory(x);
    }
    return undefined;
  }

  /** Emits one kernel that stores values of one shape. */
  compute(values: readonly Value[], to?: readonly View[]): void {
    const k = this.builder();
    const { axes, position } = k.axes(values[0].shape);
    const stores = values.map((v, i) => {
      const x = k.read(v, position, null);
      return k.store(v, to?.[i] ?? this.target(v), position, x);
    });
    this.launch(k.nest(fusedName(values), axes, [storing([], stores)]), k.slots);
  }

  launch(kernel: Kernel, args: readonly View[]): void {
    if (kernel.kind === "nest" && kernel.outer.some((a) => a.extent === 0)) return;
    const lowered = this.#lowered;
    // Kernels that are finished first compute other values.
    this.flush();
    this.push({ kind: "launch", kernel, args, origins: this.#originsOf(lowered) });
  }
  /** The values that are being computed. */
  #lowered: Iterable<Value> = [];
  /** The equations of values, and of what is computed on the way to them. */
  #originsOf(values: Iterable<Value>): Origin[] {
    const origins = new Set<Origin>();
    const members = new Set(values);
    const stack = [...members];
    for (let v = stack.pop(); v !== undefined; v = stack.pop()) {
      if (v.node === null) continue;
      if (v.node.origin !== null) origins.add(v.node.origin);
      for (const x of v.node.ins) {
        if (members.has(x) || this.#locate(x) !== undefined) continue;
        members.add(x);
        stack.push(x);
      }
    }
    return [...origins];
  }

  copy(from: View, to: View, bytes: number): void {
    if (bytes > 0 && !(from.buffer === to.buffer && from.offset === to.offset && from.steps.length + to.steps.length === 0)) {
      this.push({ kind: "copy", from, to, bytes });
    }
  }

  /** Lowers a block whose parameters have their places. Results go where `targets` says, or anywhere. */
  run(block: Block, targets: readonly (View | null)[]): View[] {
    block.outs.forEach((v, i) => {
      const t = targets[i];
      if (t !== null && v.node !== null && !this.#targets.has(v)) this.#targets.set(v, t);
    });
    const materialised = chooseMaterialised(block);
    this.#materialised = materialised;
    this.#recomputed = chooseRecomputed(block);
    this.#block = block;
    this.#readers = readersOf(block);
    for (const v of block.outs) this.#kept.add(v);
    for (const node of block.nodes) this.#lowerNode(node, materialised);
    return block.outs.map((v, i) => {
      const t = targets[i];
      if (t === null) return this.view(v);
      if (v.literal !== null) this.compute([v], [t]);
      else {
        const at = this.view(v);
        if (at !== t) this.copy(at, t, bytesOf(v));
      }
      return t;
    });
  }

  #lowerNode(node: Node, materialised: ReadonlySet<Value>): void {
    this.#lowered = node.outs;
    const rule = this.lowering.rules[node.op];
    if (rule !== undefined) {
      rule(this, node);
      return;
    }
    if (inlineRule(node.op) === undefined) {
      throw new BackendError(node.op, {
        message: `the compiler has no rule for the primitive ${node.op}`,
        fix: "express it with primitives of @traceform/lax",
      });
    }
    const wanted = node.outs.filter((v) => materialised.has(v) && this.#places.get(v) === undefined);
    if (wanted.length === 0) return;
    if (wanted.length === 1) this.view(wanted[0]);
    else this.compute(wanted);
  }
}

/** The name of a kernel: the operations behind its results, the last first. */
export function fusedName(values: readonly Value[]): string {
  const names: string[] = [];
  const walk = (v: Value, depth: number): void => {
    if (v.node === null || depth > 3 || names.length > 4) return;
    if (!names.includes(v.node.op)) names.push(v.node.op);
    if (inlineRule(v.node.op) !== undefined) v.node.ins.forEach((x) => walk(x, depth + 1));
  };
  values.forEach((v) => walk(v, 0));
  return names.length === 0 ? "fill" : names.slice(0, 4).join(".");
}
