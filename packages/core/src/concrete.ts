import { type Aval, makeAval } from "./avals.ts";
import { defaultDevice } from "./backends.ts";
import { heldOf } from "./blocks.ts";
import { type Buffer, type Device, type HostArray, physical } from "./device.ts";
import { isComplex } from "./dtypes.ts";
import { BackendError, DisposedError, type TraceformError } from "./errors.ts";
import { hostFull, nest, toTyped, type TypedArray } from "./host.ts";
import { pressureToken, returnToken, unwatch, watch } from "./memory.ts";
import { type ConcreteValue, NDArray } from "./ndarray.ts";
import { ownDevice, processIndex } from "./process.ts";
import { currentScope } from "./scope.ts";
import { type Sharding, SingleDeviceSharding } from "./sharding.ts";
import { type GlobalShard, globalShardsOf, type Shard, shardsOf } from "./shards.ts";

export type ScalarValue = number | bigint | boolean;

/**
 * A handle on values: a buffer of a device, or host data that moves to a device when an operation first needs it
 * there. Constants of a program stay scalars, so that staging can write them into the jaxpr.
 */
export class ConcreteArray extends NDArray implements ConcreteValue {
  readonly aval: Aval;
  /** The value of a scalar constant, as long as it is one. */
  readonly scalarValue: ScalarValue | undefined;
  #host: HostArray | null;
  #buffer: Buffer | null = null;
  #token: ArrayBuffer | null = null;
  #ended: Ending | null = null;
  /** The layout over several devices, or the one device where it is not that of the buffer; `null` for an ordinary array. */
  #sharding: Sharding | null = null;

  private constructor(aval: Aval, host: HostArray | null, scalarValue?: ScalarValue) {
    super();
    this.aval = aval;
    this.#host = host;
    this.scalarValue = scalarValue;
  }

  /** Takes over one reference of `buffer`. */
  static fromBuffer(buffer: Buffer, aval: Aval, sharding: Sharding | null = null): ConcreteArray {
    const x = new ConcreteArray(aval, null);
    x.#own(buffer);
    x.#sharding = sharding;
    return x;
  }
  /** The block that this process holds of an array that is laid out over several. */
  static fromHeld(block: HostArray, aval: Aval, sharding: Sharding): ConcreteArray {
    const device = ownDevice(sharding.devices);
    return ConcreteArray.fromBuffer(device.backend.put(block, device), aval, sharding);
  }
  /** Values on the host; `host` must not change afterwards. */
  static fromHost(host: HostArray, aval: Aval = makeAval(host.shape, host.dtype)): ConcreteArray {
    return new ConcreteArray(aval, host);
  }
  /** A constant of rank 0. */
  static scalar(value: ScalarValue, aval: Aval): ConcreteArray {
    return new ConcreteArray(aval, null, value);
  }

  #own(buffer: Buffer): void {
    this.#buffer = buffer;
    this.#token = pressureToken(buffer.byteLength);
    watch(this, buffer.device, buffer.id);
    currentScope()?.add(this);
  }

  /** Where the values are; `null` while they are on the host only. */
  get device(): Device | null {
    return this.#sharding === null ? (this.#buffer?.device ?? null) : ownDevice(this.#sharding.devices);
  }
  /** The layout that the array was given; `null` for one that is where its buffer is. */
  get givenSharding(): Sharding | null {
    return this.#sharding;
  }
  override get sharding(): Sharding {
    return this.#sharding ?? new SingleDeviceSharding(this.#buffer?.device ?? defaultDevice());
  }
  override get addressableShards(): readonly Shard[] {
    this.#check("addressableShards");
    return shardsOf(this, (part, aval, device) =>
      "release" in part
        ? ConcreteArray.#laidOut(part, aval, new SingleDeviceSharding(device))
        : ConcreteArray.#on(device, part, aval),
    );
  }
  override get globalShards(): readonly GlobalShard[] {
    return globalShardsOf(this);
  }
  static #on(device: Device, host: HostArray, aval: Aval): ConcreteArray {
    const x = ConcreteArray.fromHost(host, aval);
    x.bufferOn(device);
    return x;
  }
  /** Whether this process holds a block of the array only, and others the rest. */
  get isPartial(): boolean {
    return heldOf(this.#sharding) !== null;
  }
  /**
   * The same values laid out otherwise, on devices that share the memory they are in: a handle of its own on the same buffer. The
   * first device gets the values if they are on the host or in another memory. An array that is held in blocks can get equivalent
   * layouts only, and one that is not none in blocks: see `cutBlock`.
   */
  withSharding(sharding: Sharding): ConcreteArray {
    if (this.isPartial) {
      if (!sharding.isEquivalentTo(this.#sharding!, this.ndim)) throw this.#partialError("devicePut");
      return this.#shared(this.#buffer!, sharding);
    }
    const device = ownDevice(sharding.devices);
    const { backend } = device;
    if (backend.layOut !== undefined) {
      const buffer = this.#buffer;
      const data = buffer?.device.backend === backend ? buffer : this.hostSync();
      return ConcreteArray.#laidOut(backend.layOut(data, sharding), this.aval, sharding);
    }
    if (this.#sharesWith(device)) return this.#shared(this.bufferOn(device), sharding);
    const there = ConcreteArray.#on(device, this.hostSync(), this.aval);
    const laidOut = there.#shared(there.bufferOn(device), sharding);
    there.dispose();
    return laidOut;
  }
  #shared(buffer: Buffer, sharding: Sharding): ConcreteArray {
    buffer.retain();
    return ConcreteArray.#laidOut(buffer, this.aval, sharding);
  }
  static #laidOut(buffer: Buffer, aval: Aval, sharding: Sharding): ConcreteArray {
    const plain = sharding instanceof SingleDeviceSharding && buffer.device === sharding.devices[0];
    return ConcreteArray.fromBuffer(buffer, aval, plain ? null : sharding);
  }
  #sharesWith(device: Device): boolean {
    const own = this.#buffer?.device;
    return own !== undefined && sharesMemory(own, device);
  }
  get isDisposed(): boolean {
    return this.#ended !== null;
  }
  /** Bytes that the handle keeps on a device. */
  get deviceBytes(): number {
    return this.#token === null ? 0 : (this.#buffer?.byteLength ?? 0);
  }

  /** The buffer on `device`, copied there first when the values are elsewhere. The handle keeps its reference. */
  bufferOn(device: Device): Buffer {
    const buffer = this.#buffer;
    if (buffer !== null) {
      if (sharesMemory(buffer.device, device)) return buffer;
      return this.#moveTo(device, buffer);
    }
    this.#check("use");
    this.#own(device.backend.put(this.#hostArray(), device));
    this.#host = null;
    return this.#buffer!;
  }

  /** A buffer of its own for a donation: the caller releases it. */
  donatedBuffer(device: Device): Buffer {
    if (this.scalarValue !== undefined) return device.backend.put(this.#hostArray(), device);
    const buffer = this.bufferOn(device);
    buffer.retain();
    return buffer;
  }

  #moveTo(device: Device, buffer: Buffer): Buffer {
    this.#checkWhole("devicePut");
    const { backend } = buffer.device;
    if (backend.readSync === undefined && this.scalarValue === undefined) {
      throw new BackendError("devicePut", {
        message: `an array on ${buffer.device} cannot move to ${device} without awaiting`,
        fix: "read its values first and make an array of them there: devicePut(array(await x.js(), { dtype: x.dtype }), device)",
      });
    }
    const moved = device.backend.put(this.scalarValue === undefined ? backend.readSync!(buffer) : this.#hostArray(), device);
    unwatch(this);
    returnToken(this.#token!, buffer.byteLength);
    buffer.release();
    this.#own(moved);
    this.#sharding = null;
    return moved;
  }

  #hostArray(): HostArray {
    if (this.#host !== null) return this.#host;
    const { shape, dtype } = physical(this.aval);
    return hostFull(shape, this.scalarValue!, dtype);
  }

  #check(fn: string): void {
    if (this.#ended !== null) throw this.#endedError(fn);
  }
  #checkWhole(fn: string): void {
    if (this.isPartial) throw this.#partialError(fn);
  }
  #partialError(fn: string): TraceformError {
    return new BackendError(fn, {
      message: `needs all of ${this.aval}, of which process ${processIndex()} holds a block only, and others the rest`,
      operands: { sharding: String(this.#sharding) },
      fix: "gather it with `await processAllgather(x)` of @traceform/distributed, in all processes; x.addressableShards are the parts of this one",
    });
  }
  #endedError(fn: string): TraceformError {
    return new DisposedError(fn, {
      message: `this ${this.aval} ${describe(this.#ended!)}`,
      fix: "keep a result instead, or do not dispose of (or donate) an array that is still needed",
    });
  }

  concrete(fn: string): ConcreteValue {
    this.#check(fn);
    return this;
  }
  /** Where the values are read; `null` while the host has them. */
  get #source(): Buffer | null {
    return this.scalarValue === undefined ? this.#buffer : null;
  }
  async read(): Promise<TypedArray> {
    this.#checkWhole("data");
    const source = this.#source;
    return toTyped(source === null ? this.#hostArray() : await source.device.backend.read(source));
  }
  readSync(): TypedArray {
    this.#check("readSync");
    this.#checkWhole("dataSync");
    const source = this.#source;
    return toTyped(source === null ? this.#hostArray() : readBuffer(source));
  }
  async host(): Promise<HostArray> {
    this.#check("data");
    this.#checkWhole("data");
    const source = this.#source;
    return source === null ? this.storedSync() : source.device.backend.read(source);
  }
  hostSync(): HostArray {
    this.#checkWhole("data");
    return this.storedSync();
  }
  /** What this process holds: all of it, or its block. */
  storedSync(): HostArray {
    this.#check("hostSync");
    const source = this.#source;
    if (source !== null) return readBuffer(source);
    const host = this.#hostArray();
    return { ...host, bytes: host.bytes.slice() };
  }
  async ready(): Promise<void> {
    // A one-element read would do, but only a real read shows a pending failure on every backend.
    if (this.#buffer !== null) await this.#buffer.device.backend.read(this.#buffer);
  }

  dispose(): void {
    this.end("was disposed of");
  }
  /**
   * Ends the handle's life: `how` completes "this float32[3] …" in the error of a later use. Scalar constants are
   * shared between all who use the value, so they live on.
   */
  end(how: string): void {
    if (this.#ended !== null || this.scalarValue !== undefined) return;
    this.#finish({ how, stack: captureStack() });
  }
  /** Ends the life of an intermediate value of a transformation, which nobody has seen. @internal */
  release(): void {
    if (this.#ended === null && this.scalarValue === undefined) this.#finish(released);
  }
  #finish(ending: Ending): void {
    this.#ended = ending;
    this.#host = null;
    if (this.#buffer !== null) {
      returnToken(this.#token!, this.#buffer.byteLength);
      this.#token = null;
      unwatch(this);
      this.#buffer.release();
      this.#buffer = null;
    }
  }

  toString(): string {
    if (this.#ended !== null) return `Array<${this.aval}> (${describe(this.#ended)})`;
    const small = this.size <= 64 && typeof this.aval.dtype === "string" && !isComplex(this.aval.dtype);
    const readable = this.#buffer === null || this.#buffer.device.backend.readSync !== undefined;
    if (this.isPartial) return `Array<${this.aval}> (a block of it, ${this.#sharding})`;
    if (!small || !readable) return `Array<${this.aval}>`;
    return `Array<${this.aval}> ${formatNested(nest(this.readSync(), this.shape, this.dtype))}`;
  }
}

function readBuffer(buffer: Buffer): HostArray {
  const { backend } = buffer.device;
  if (backend.readSync === undefined) {
    throw new BackendError("dataSync", {
      message: `the ${backend.name} backend cannot read without awaiting`,
      fix: "use await x.data(), await x.js() or await x.item()",
    });
  }
  return backend.readSync(buffer);
}

/** Whether a buffer of one device is a buffer of the other. */
function sharesMemory(a: Device, b: Device): boolean {
  return a === b || (a.backend === b.backend && a.backend.capabilities.sharedMemory === true);
}

function formatNested(x: unknown): string {
  if (Array.isArray(x)) return `[${x.map(formatNested).join(", ")}]`;
  if (typeof x === "number" && !Number.isInteger(x)) return String(Number(x.toPrecision(7)));
  return String(x);
}

/** How a handle's life ended, and where. Formatting the stack costs ten times as much as capturing it, so it waits. */
interface Ending {
  readonly how: string;
  readonly stack: Error | null;
}

const released: Ending = { how: "was an intermediate value of a transformation that has returned", stack: null };

/**
 * How many places are still noted. It takes as long as the rest of a small operation: a program that ends more lives than this
 * has a loop, and the first rounds of it have told where that is.
 */
let placesLeft = 10_000;

function captureStack(): Error | null {
  if (placesLeft === 0) return null;
  placesLeft--;
  const engine = Error as { stackTraceLimit?: number };
  const limit = engine.stackTraceLimit;
  engine.stackTraceLimit = 5;
  const stack = new Error();
  engine.stackTraceLimit = limit;
  return stack;
}

function describe({ how, stack }: Ending): string {
  const line = stack?.stack?.split("\n").find((l, i) => i > 2 && !/[\\/]core[\\/](?:src|dist)[\\/](?!.*\.test\.)/.test(l));
  const place = line?.match(/([^\s()/\\]+:\d+:\d+)\)?$/)?.[1];
  return place === undefined ? how : `${how} at ${place}`;
}
