import { type Aval, type HostArray, type HostStep, isComplex, itemsize, physical } from "@traceform/core";
import type { Program } from "@traceform/compiler";
import type { Heap } from "./heap.ts";
import { toDevice, toHost } from "./host.ts";
import { tableLayout } from "./table.ts";

/** Where an array is while a program runs: one address, or one for each plane of a complex array. */
interface Place {
  readonly shape: readonly number[];
  readonly dtype: HostArray["dtype"];
  readonly bytes: number;
  /** Positions among the pointers of the step. */
  readonly pointers: readonly number[];
}

interface Step {
  readonly operands: readonly Place[];
  readonly results: readonly Place[];
  readonly count: number;
  /** The step on the memory of the program; `null` where it is not as the host has it, as planes of complex arrays are not. */
  readonly inPlace: HostStep["place"];
}

/**
 * The host steps of a program: what it calls out to JavaScript for. Addresses and operands are read before the step runs, and
 * views of the memory are fetched anew after it, because the step may run any program, this one too, and the memory may grow.
 */
export class HostSteps {
  readonly #program: Program;
  readonly #heap: Heap;
  readonly #first: number;
  readonly #steps: readonly Step[];
  readonly #thrown = new WeakSet<object>();

  constructor(program: Program, heap: Heap) {
    this.#program = program;
    this.#heap = heap;
    this.#first = tableLayout(program).host;
    this.#steps = program.hosts.map(({ inAvals, outAvals, place }) => {
      let count = 0;
      const placeOf = (aval: Aval): Place => {
        const { shape, dtype } = physical(aval);
        const pointers = isComplex(dtype) ? [count++, count++] : [count++];
        return { shape, dtype, bytes: shape.reduce((a, b) => a * b, itemsize(dtype)), pointers };
      };
      const operands = inAvals.map(placeOf);
      const results = outAvals.map(placeOf);
      const inPlace = [...operands, ...results].every((p) => p.pointers.length === 1) ? place : null;
      return { operands, results, count, inPlace };
    });
  }

  /** Runs a step on the pointers that the program has put into its table. */
  run(step: number, table: number): void {
    const { operands, results, count, inPlace } = this.#steps[step];
    const at = (table >>> 2) + this.#first;
    const pointers = this.#heap.u32.slice(at, at + count);
    let outs: readonly HostArray[];
    try {
      if (inPlace !== null) {
        const views = (places: readonly Place[]): HostArray[] => places.map((p) => this.#view(p, pointers));
        return inPlace(views(operands), views(results));
      }
      outs = this.#program.hosts[step].run(operands.map((p) => this.#read(p, pointers)));
    } catch (error) {
      if (typeof error === "object" && error !== null) this.#thrown.add(error);
      throw error;
    }
    results.forEach((p, i) => this.#write(p, pointers, outs[i]));
  }

  /** Whether an error came out of a step. */
  threw(error: unknown): boolean {
    return typeof error === "object" && error !== null && this.#thrown.has(error);
  }

  #view({ shape, dtype, bytes, pointers: [own] }: Place, pointers: Uint32Array): HostArray {
    return { shape, dtype, bytes: this.#heap.u8.subarray(pointers[own], pointers[own] + bytes) };
  }

  #read({ shape, dtype, bytes, pointers: own }: Place, pointers: Uint32Array): HostArray {
    const plane = bytes / own.length;
    const device = new Uint8Array(bytes);
    own.forEach((p, i) => device.set(this.#heap.u8.subarray(pointers[p], pointers[p] + plane), i * plane));
    return { shape, dtype, bytes: own.length > 1 ? toHost(device, dtype) : device };
  }

  #write({ bytes, pointers: own }: Place, pointers: Uint32Array, value: HostArray): void {
    const plane = bytes / own.length;
    const device = new Uint8Array(bytes);
    toDevice(value, device);
    own.forEach((p, i) => this.#heap.u8.set(device.subarray(i * plane, (i + 1) * plane), pointers[p]));
  }
}
