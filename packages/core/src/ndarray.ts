import type { Aval } from "./avals.ts";
import type { HostArray } from "./device.ts";
import type { DType } from "./dtypes.ts";
import { checkSameCore, type CoreIdentity, coreIdentity } from "./duplicate.ts";
import {
  ConcretizationTypeError,
  TracerArrayConversionError,
  TracerBoolConversionError,
  TracerError,
  UnexpectedTracerError,
} from "./errors.ts";
import type { TypedArray } from "./host.ts";
import { type Nested, nest } from "./host.ts";
import type { Sharding } from "./sharding.ts";
import type { GlobalShard, Shard } from "./shards.ts";
import type { Trace } from "./trace.ts";

/**
 * An immutable array: a value on a device, or a tracer that stands for one while a function is traced.
 *
 * The arithmetic methods (`x.add(y)`, `x.sum()`, `x.T`, …) come with `@traceform/numpy/methods`, which merges
 * their types into this class.
 */
export abstract class NDArray implements Disposable {
  abstract readonly aval: Aval;
  /** @internal Which copy of core made the value; see `duplicate.ts`. */
  readonly "~traceform": CoreIdentity = coreIdentity;

  get shape(): readonly number[] {
    return this.aval.shape;
  }
  get dtype(): DType {
    return this.aval.dtype;
  }
  get ndim(): number {
    return this.aval.shape.length;
  }
  get size(): number {
    return this.aval.size;
  }
  get weakType(): boolean {
    return this.aval.weakType;
  }

  /**
   * How the array is laid out over devices. @throws {TracerError} for a tracer: where a traced value will be is not known
   */
  get sharding(): Sharding {
    return this.concrete("sharding").sharding;
  }
  /** The parts that devices of this process hold, in the order of the devices. */
  get addressableShards(): readonly Shard[] {
    return this.concrete("addressableShards").addressableShards;
  }
  /** The parts that all devices hold, in the order of the devices; those of other processes have no data here. */
  get globalShards(): readonly GlobalShard[] {
    return this.concrete("globalShards").globalShards;
  }
  /** Whether all devices that hold a part of the array belong to this process. */
  get isFullyAddressable(): boolean {
    return this.sharding.isFullyAddressable;
  }
  /** Whether every device that holds the array holds all of it. */
  get isFullyReplicated(): boolean {
    return this.sharding.isFullyReplicated;
  }

  /** The array that holds the values now. @throws {TracerError} for a tracer without one */
  abstract concrete(fn: string): ConcreteValue;

  /** The values as a typed array in row-major order, copied from the device. */
  data(): Promise<TypedArray> {
    return this.concrete("data").read();
  }
  /** `data()` without awaiting, where the backend can. */
  dataSync(): TypedArray {
    return this.concrete("dataSync").readSync();
  }
  /** The values as nested JavaScript arrays; a scalar for rank 0. */
  async js(): Promise<Nested> {
    return nest(await this.concrete("js").read(), this.shape, this.dtype);
  }
  jsSync(): Nested {
    return nest(this.concrete("jsSync").readSync(), this.shape, this.dtype);
  }
  /** The one value of an array of size 1. */
  async item(): Promise<number | bigint | boolean> {
    return scalarOf(this, "item", await this.concrete("item").read());
  }
  itemSync(): number | bigint | boolean {
    return scalarOf(this, "itemSync", this.concrete("itemSync").readSync());
  }
  /** Resolves when the values have been computed; failures of the computation surface here. */
  async blockUntilReady(): Promise<this> {
    await this.concrete("blockUntilReady").ready();
    return this;
  }

  /** The values as a host array of their own, without awaiting; extended dtypes as their physical arrays. @internal */
  toHost(fn: string): HostArray {
    return this.concrete(fn).hostSync();
  }
  /** The same from devices that cannot be read without awaiting. @internal */
  awaitHost(fn: string): Promise<HostArray> {
    return this.concrete(fn).host();
  }

  /** Releases the device memory now. Disposing twice is harmless. */
  abstract dispose(): void;
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Concrete scalars convert; everything else throws, because JavaScript has no operators for arrays. */
  [Symbol.toPrimitive](hint: string): number | bigint | boolean | string {
    if (hint === "string") return this.toString();
    if (this.size !== 1 || this.ndim !== 0) {
      throw new TracerError("toPrimitive", {
        message: `${this.aval} was used as a JavaScript number; operators work on scalars only`,
        fix: "use the functions instead: add(a, b) for a + b, greater(a, b) for a > b, sin(a) for Math.sin(a)",
      });
    }
    return scalarOf(this, "toPrimitive", this.concrete("toPrimitive").readSync());
  }
  abstract toString(): string;
}

// `console.log(x)` in Node. A computed member name cannot be declared under isolatedDeclarations.
Object.defineProperty(NDArray.prototype, Symbol.for("nodejs.util.inspect.custom"), {
  value(this: NDArray): string {
    return this.toString();
  },
});

/** What a value on a device can do; implemented by `ConcreteArray`. */
export interface ConcreteValue {
  readonly sharding: Sharding;
  readonly addressableShards: readonly Shard[];
  readonly globalShards: readonly GlobalShard[];
  read(): Promise<TypedArray>;
  readSync(): TypedArray;
  host(): Promise<HostArray>;
  hostSync(): HostArray;
  ready(): Promise<void>;
}

function scalarOf(x: NDArray, fn: string, data: TypedArray): number | bigint | boolean {
  if (x.size !== 1) {
    throw new TracerError(fn, { message: `needs an array of size 1`, operands: { x }, fix: "index it first, or use js()" });
  }
  const value = data[0];
  return x.dtype === "bool" ? Boolean(value) : value;
}

/** A stand-in for a value while a function is traced. It belongs to one trace and dies with it. */
export abstract class Tracer extends NDArray {
  abstract override readonly aval: Aval;
  /** The trace it belongs to. (`trace` is the method that sums a diagonal.) */
  readonly tracedBy: Trace;
  constructor(trace: Trace) {
    super();
    this.tracedBy = trace;
  }
  /** Traces that know the value (eager differentiation) override this. */
  concrete(fn: string): ConcreteValue {
    if (!this.tracedBy.alive) {
      throw new UnexpectedTracerError(fn, {
        message: `a traced ${this.aval} leaked from ${this.tracedBy.name}, which has already returned${this.madeBy()}`,
        fix: "return the value from the traced function instead of storing it elsewhere",
      });
    }
    throw new (conversionError(fn, this.dtype))(fn, {
      message: `needs a concrete value, but x is a traced ${this.aval} inside ${this.tracedBy.name}${this.madeBy()}`,
      fix: "use where(...) or cond(...) instead of branching on it, or mark the argument static",
    });
  }
  /** The origin as the end of a sentence. @internal */
  madeBy(): string {
    const origin = this.origin();
    return origin === null ? "" : `; it was ${origin}`;
  }
  /** Where it came from: "made by sin at model.ts:12:5", "argument 0 of jit(step)"; `null` where that is not known. */
  origin(): string | null {
    return null;
  }
  dispose(): void {}
  toString(): string {
    return `Traced<${this.aval}> with ${this.tracedBy.name}`;
  }
}

const readers: readonly string[] = ["data", "dataSync", "js", "jsSync", "readSync"];

/** What was tried: to read an array, to branch, or to get a number. */
function conversionError(fn: string, dtype: DType): typeof TracerError {
  if (readers.includes(fn)) return TracerArrayConversionError;
  return dtype === "bool" ? TracerBoolConversionError : ConcretizationTypeError;
}

export function isTracer(x: unknown): x is Tracer {
  return x instanceof Tracer;
}

/** True for arrays and tracers of this copy of core. @throws {DuplicateCoreError} for those of another copy */
export function isNDArray(x: unknown): x is NDArray {
  if (x instanceof NDArray) return true;
  checkSameCore(x);
  return false;
}
