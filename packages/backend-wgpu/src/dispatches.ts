import { invariant, LruCache } from "@traceform/core";
import {
  type Attention,
  type BufferInfo,
  kernelKey,
  type Kernel,
  type LoopStep,
  type Nest,
  type Origin,
  type RoutineKernel,
} from "@traceform/compiler";
import { scheduledAttention } from "./emit/attention.ts";
import { gateKernel, type GpuKernel, scheduleNest } from "./emit/kernel.ts";
import { scheduledProduct } from "./emit/product.ts";
import type { Aligned } from "./emit/packing.ts";
import { scheduledRoutine } from "./emit/routine.ts";
import { groupsFor, groupsOf, nothingShared, type Scheduled, type SharedBytes, workgroupSize } from "./emit/scheduled.ts";
import type { Schedule } from "./emit/schedule.ts";
import { scheduledChain } from "./emit/chain.ts";
import { sortGroups, sortKey, sortWords } from "./emit/sort.ts";
import type { Product } from "./emit/tiles.ts";
import { type Gate, gates, type Workgroups } from "./gates.ts";

/** A pointer of a dispatch, in bytes from the start of a buffer, and for each loop around it so many bytes a trip. */
export interface Pointer {
  readonly buffer: BufferInfo | typeof gates;
  readonly offset: number;
  readonly steps: readonly LoopStep[];
}
/** The start of a buffer. */
export const startOf = (buffer: Pointer["buffer"]): Pointer => ({ buffer, offset: 0, steps: [] });

/** In which of the buffers that are bound each pointer is: most programs run with all of their memory in one slab, and gates beside it. */
export function likelyBindings(pointers: readonly Pointer[]): readonly number[] {
  const own = pointers.some((p) => p.buffer !== gates);
  return pointers.map((p) => (p.buffer === gates && own ? 1 : 0));
}

/** One dispatch of a program. */
export interface Dispatch {
  readonly name: string;
  readonly kernel: GpuKernel;
  /** Equal keys are equal code. */
  readonly key: string;
  readonly pointers: readonly Pointer[];
  readonly workgroups: Workgroups;
  /** Words that the kernel is given beside its pointers; asked for when the program runs. */
  readonly words: () => readonly number[];
  /** Of several kernels beside each other, a dispatch of each: for when their memory is in more buffers than the device binds. */
  readonly parts: readonly Dispatch[];
  /** What decides on the device whether it runs, and which of its records says so; null where it always runs. */
  readonly gate: { readonly gate: Gate; readonly record: number } | null;
  /** The equations that it computes. */
  readonly origins: readonly Origin[];
}

/** A dispatch of so many workgroups before it is known under which gate it runs. */
export type BareDispatch = Omit<Dispatch, "gate" | "workgroups" | "parts"> & {
  readonly groups: number;
  readonly parts?: readonly BareDispatch[];
};

const none = (): readonly number[] => [];

/** Texts that name code, by short names: they are as long as the code, and every run asks for its pipelines. */
const names = new LruCache<string>(1 << 14);
let nextName = 0;
function shortName(text: string): string {
  let name = names.get(text);
  if (name === undefined) names.set(text, (name = `kernel ${nextName++}`));
  return name;
}
/** Names of kernels that are not compared. */
const ownNames = new WeakMap<Kernel, string>();
function nameOf(kernel: Kernel): string {
  const text = kernelKey(kernel);
  if (text !== null) return shortName(text);
  let name = ownNames.get(kernel);
  if (name === undefined) ownNames.set(kernel, (name = `kernel ${nextName++}`));
  return name;
}

/** The dispatches of a launch. */
export function launchDispatches(
  kernel: Kernel,
  args: readonly Pointer[],
  origins: readonly Origin[],
  schedule: Schedule,
): BareDispatch[] {
  switch (kernel.kind) {
    case "bundle": {
      const parts = kernel.parts.flatMap(({ nest, args: own }) => {
        const pointers = own.map((k) => args[k]);
        return launchDispatches(nest, pointers, origins, schedule).map((d) => ({ ...d, own }));
      });
      const running = parts.filter((d) => d.groups > 0);
      return besideEachOther(running, schedule).map((list) => bundleDispatch(kernel.name, list, args));
    }
    case "chain": {
      const chain = scheduledChain(kernel, schedule);
      if (chain !== null) return [dispatchOf(kernel, chain, args, origins)];
      return kernel.parts.flatMap(({ nest, args: own }) => {
        const pointers = own.map((k) => args[k]);
        return launchDispatches(nest, pointers, origins, schedule);
      });
    }
    case "sort":
      return [
        {
          name: kernel.name,
          kernel: { kind: "sort", pass: kernel },
          key: sortKey(kernel),
          pointers: args,
          groups: sortGroups(kernel),
          words: () => sortWords(kernel),
          origins,
        },
      ];
    case "contraction":
      return invariant(false, "the compiler was told that there is no micro-kernel") as never;
    default:
      return [
        dispatchOf(
          kernel,
          scheduled(kernel, schedule, (slot) => isAligned(args[slot])),
          args,
          origins,
        ),
      ];
  }
}
function dispatchOf(kernel: Kernel, gpu: Scheduled, pointers: readonly Pointer[], origins: readonly Origin[]): BareDispatch {
  return { name: kernel.name, kernel: gpu, key: keyOf(nameOf(kernel), gpu), pointers, groups: groupsOf(gpu), words: none, origins };
}

function scheduled(kernel: Nest | RoutineKernel | Attention, schedule: Schedule, aligned: Aligned): Scheduled {
  switch (kernel.kind) {
    case "nest":
      return scheduleNest(kernel, schedule, aligned);
    case "routine":
      return scheduledRoutine(kernel.routine, aligned);
    case "attention":
      return scheduledAttention(kernel, schedule, aligned);
  }
}

/** Kernels of one name may be written in several ways. */
function keyOf(name: string, { packing, variant }: Scheduled): string {
  return [name, packing ?? "", variant].join("\n");
}
/** The dispatch of a product with another tile. */
export function withTile(dispatch: Dispatch, product: Product, tile: Product["tile"], most: number): Dispatch {
  const kernel = scheduledProduct({ ...product, tile });
  const [name] = dispatch.key.split("\n");
  return { ...dispatch, kernel, key: keyOf(name, kernel), workgroups: workgroupsOf(groupsOf(kernel), most) };
}

/** So many workgroups in two dimensions, neither of which may be longer than `most`. */
export function workgroupsOf(groups: number, most: number): Workgroups {
  const rows = Math.ceil(groups / most);
  return [Math.ceil(groups / rows), rows];
}

/** A dispatch of a part of a bundle, with the positions of its pointers among those of the bundle. */
interface PartDispatch extends BareDispatch {
  readonly own: readonly number[];
}
/** A part of a bundle, and what it is in workgroups of the bundle's size. */
interface Beside {
  readonly alone: PartDispatch;
  readonly kernel: Scheduled;
  readonly size: number;
}

/**
 * Kernels of one dispatch have workgroups of one size, that of the largest, and use the same memory. All that has the usual size is one dispatch;
 * where there are larger workgroups, all is theirs that can be.
 */
function besideEachOther(parts: readonly PartDispatch[], { memory }: Pick<Schedule, "memory">): readonly (readonly Beside[])[] {
  const kernelOf = (d: PartDispatch): Scheduled => d.kernel as Scheduled;
  const sizes = parts.map((d) => kernelOf(d).size);
  const largest = Math.max(0, ...sizes.map((size) => size ?? 0)) || workgroupSize;
  const together: Beside[] = [];
  const others: PartDispatch[] = [];
  let used: SharedBytes = nothingShared;
  for (const d of parts) {
    const kernel = kernelOf(d).resized(largest);
    const own = kernel?.shared ?? nothingShared;
    const all = {
      tiles: Math.max(used.tiles, own.tiles),
      halves: Math.max(used.halves, own.halves),
      folds: Math.max(used.folds, own.folds),
    };
    if (kernel === null || all.tiles + all.halves + foldTypes * all.folds > memory) others.push(d);
    else {
      together.push({ alone: d, kernel, size: largest });
      used = all;
    }
  }
  // What is left has other sizes, or more folds than anything else.
  const rest =
    others.length < parts.length
      ? besideEachOther(others, { memory })
      : others.map((alone) => [{ alone, kernel: kernelOf(alone), size: largest }]);
  return together.length === 0 ? rest : [together, ...rest];
}
/** Arrays of different types do not share memory. */
const foldTypes = 4;

function bundleDispatch(name: string, list: readonly Beside[], args: readonly Pointer[]): BareDispatch {
  const alone = list.map((d) => d.alone);
  if (list.length === 1) return alone[0];
  // Only the pointers that these parts use.
  const used = [...new Set(alone.flatMap((d) => d.own))];
  const parts = list.map((d) => ({ kernel: d.kernel, args: d.alone.own.map((i) => used.indexOf(i)) }));
  const { size } = list[0];
  return {
    name,
    kernel: { kind: "bundle", parts, size },
    key: shortName(`${size}\n${alone.map((d, i) => `${parts[i].args.join()} ${d.key}`).join("\n")}`),
    pointers: used.map((i) => args[i]),
    groups: parts.reduce((sum, { kernel }) => sum + groupsOf(kernel, size), 0),
    words: none,
    origins: alone[0].origins,
    parts: alone,
  };
}

export function copyDispatch(from: Pointer, to: Pointer, bytes: number): BareDispatch {
  const kind = isAligned(from) && isAligned(to) && bytes % 4 === 0 ? "copy" : "copyBytes";
  return {
    name: "copy",
    kernel: { kind },
    key: kind,
    pointers: [from, to],
    // Bytes may begin and end within words.
    groups: groupsFor(kind === "copy" ? bytes / 4 : Math.ceil(bytes / 4) + 1),
    words: () => [bytes],
    origins: [],
  };
}
/** Whether a pointer is always the beginning of a word. */
function isAligned({ offset, steps }: Pointer): boolean {
  return offset % 4 === 0 && steps.every((s) => s.bytes % 4 === 0);
}

/** Opens or closes a gate. `value` is the predicate of a loop or the index of a branch; other tests have none. */
export function gateDispatch(gate: Gate, value: Pointer | null, test: GateTest): BareDispatch {
  const state = startOf(gates);
  return {
    name: "gate",
    kernel: gateKernel,
    key: "gate",
    pointers: [value ?? state, state],
    groups: 1,
    // Where the gates and their records are is known when all of them are.
    words: () => {
      const parent = gate.parent?.position ?? 0xffffffff;
      const about = test.watched?.position ?? test.branch ?? 0;
      return [parent, gate.position, modes.indexOf(test.kind), about, test.last ?? 0, gate.records.length];
    },
    origins: [],
  };
}

/**
 * How a gate decides: as the one around it (a loop starts), as long as the predicate holds, or if a branch is chosen; it closes when a loop
 * that it watches has stalled, and opens when a loop that it watches has run an odd number of rounds, or, after a stall, because the host says so.
 */
export interface GateTest {
  readonly kind: "start" | "holds" | "chosen" | "stalled" | "odd" | "resumed";
  readonly branch?: number;
  readonly last?: number;
  readonly watched?: Gate;
}
const modes: readonly GateTest["kind"][] = ["start", "holds", "chosen", "stalled", "odd", "resumed"];
