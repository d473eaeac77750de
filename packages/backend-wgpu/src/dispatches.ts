import { BackendError, invariant } from "@traceform/core";
import { type BufferInfo, kernelKey, type Kernel, type Origin, type Program, type Step, type View } from "@traceform/compiler";
import { type GpuKernel, groupsFor, groupsOf, type Schedule, type Scheduled, scheduleNest } from "./emit/kernel.ts";

/** A pointer of a dispatch, in bytes from the start of a buffer. */
export interface Pointer {
  readonly buffer: BufferInfo;
  readonly offset: number;
}

/** One dispatch of a program. */
export interface Dispatch {
  readonly name: string;
  readonly kernel: GpuKernel;
  /** Equal keys are equal code. */
  readonly key: string;
  readonly pointers: readonly Pointer[];
  /** How many workgroups. */
  readonly groups: number;
  /** Of a copy, how many words. */
  readonly words: number;
  /** The equations that it computes. */
  readonly origins: readonly Origin[];
}

const copy: GpuKernel = { kind: "copy" };

/** Keys of kernels that are not compared. */
const ownKeys = new WeakMap<Kernel, string>();
let nextKey = 0;
function ownKey(kernel: Kernel): string {
  let key = ownKeys.get(kernel);
  if (key === undefined) ownKeys.set(kernel, (key = `kernel ${nextKey++}`));
  return key;
}

/** More than this take longer to encode than anybody would wait for. */
const mostDispatches = 1 << 18;

/**
 * The dispatches of a program, in order. Loops of a known number of trips are written out, with the addresses of every trip; all
 * else that depends on values is refused.
 *
 * @throws {BackendError} for loops of unknown length, branches, calls out to JavaScript, and kernels that are no nests
 */
export function planDispatches(program: Program, schedule: Schedule): Dispatch[] {
  const out: Dispatch[] = [];
  /** Which trip each loop is at. */
  const trips = new Map<number, number>();
  /** Where the buffers are that have traded places. */
  const places = new Map<BufferInfo, BufferInfo>();
  const pointer = ({ buffer, offset, steps }: View): Pointer => ({
    buffer: places.get(buffer) ?? buffer,
    offset: steps.reduce((sum, s) => sum + trips.get(s.loop)! * s.bytes, offset),
  });
  const push = (d: Dispatch): void => {
    if (d.groups === 0) return;
    if (out.push(d) > mostDispatches) {
      throw new BackendError(program.name, {
        message: `the program has more than ${mostDispatches} dispatches when its loops are written out`,
        fix: "make the loops shorter, or run the program on the CPU backend",
      });
    }
  };
  const launch = (kernel: Kernel, args: readonly Pointer[], origins: readonly Origin[]): void => {
    switch (kernel.kind) {
      case "bundle":
        for (const { nest, args: own } of kernel.parts) {
          const pointers = own.map((i) => args[i]);
          launch(nest, pointers, origins);
        }
        return;
      case "contraction":
        return invariant(false, "the compiler was told that there is no micro-kernel") as never;
      default: {
        const gpu: Scheduled =
          kernel.kind === "nest" ? scheduleNest(kernel, schedule) : { kind: "routine", routine: kernel.routine };
        const { name } = kernel;
        const key = kernelKey(kernel) ?? ownKey(kernel);
        push({ name, kernel: gpu, key, pointers: args, groups: groupsOf(gpu), words: 0, origins });
      }
    }
  };
  const refuse = (name: string, what: string): never => {
    throw new BackendError(name, {
      message: `${what}, which the WebGPU backend cannot run yet`,
      fix: "run this part on the CPU backend",
    });
  };
  const walk = (steps: readonly Step[]): void => {
    for (const s of steps) {
      switch (s.kind) {
        case "launch":
          launch(s.kernel, s.args.map(pointer), s.origins);
          break;
        case "copy": {
          const [from, to] = [pointer(s.from), pointer(s.to)];
          const words = s.bytes / 4;
          push({ name: "copy", kernel: copy, key: "copy", pointers: [from, to], groups: groupsFor(words), words, origins: [] });
          break;
        }
        case "loop":
          if (s.trips === null) return refuse("while", "a loop of unknown length needs values of the GPU on the host");
          for (let i = 0; i < s.trips; i++) {
            trips.set(s.loop, i);
            walk(s.body);
            for (const [a, b] of s.swaps) {
              const [x, y] = [places.get(a) ?? a, places.get(b) ?? b];
              places.set(a, y).set(b, x);
            }
          }
          break;
        case "branch":
          return refuse("cond", "a branch needs values of the GPU on the host");
        case "host":
          return refuse(program.hosts[s.step].name, `${program.hosts[s.step].name} calls out to JavaScript`);
      }
    }
  };
  walk(program.steps);
  return out;
}
