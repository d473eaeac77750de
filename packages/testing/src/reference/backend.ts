import {
  type Backend,
  BackendError,
  type Buffer,
  type ClosedJaxpr,
  type Device,
  type Executable,
  type HostArray,
  type MemoryStats,
  RuleError,
  standardDTypes,
  type StandardDType,
} from "@traceform/core";
import { asHeld, asOperand, interpret } from "./interpret.ts";
import { linalgRules } from "./linalg.ts";
import { fromHost, type RefArray, toHost } from "./values.ts";

/** Decompositions are computed as a whole here, so that what lax makes of them is tested against something else. */
const ownPrimitives: ReadonlySet<string> = new Set(Object.keys(linalgRules));

class RefBuffer implements Buffer {
  static #nextId = 1;
  readonly id: number = RefBuffer.#nextId++;
  readonly device: RefDevice;
  readonly byteLength: number;
  #value: RefArray | null;
  #references = 1;

  constructor(device: RefDevice, value: RefArray) {
    this.device = device;
    this.#value = value;
    this.byteLength = toHost(value).bytes.byteLength;
    device.live.set(this.id, this);
  }
  get shape(): readonly number[] {
    return this.value.shape;
  }
  get dtype(): StandardDType {
    return this.value.dtype as StandardDType;
  }
  get value(): RefArray {
    if (this.#value === null) throw new BackendError("reference", { message: "a buffer was used after its release" });
    return this.#value;
  }
  retain(): void {
    this.#references++;
  }
  release(): void {
    if (--this.#references > 0) return;
    this.#value = null;
    this.device.live.delete(this.id);
  }
}

class RefDevice implements Device {
  readonly id: number;
  readonly kind = "reference";
  readonly backend: Backend;
  readonly live = new Map<number, RefBuffer>();
  constructor(backend: Backend, id: number) {
    this.backend = backend;
    this.id = id;
  }
  releaseById(id: number): void {
    this.live.get(id)?.release();
  }
  memoryStats(): MemoryStats {
    let bytesInUse = 0;
    for (const b of this.live.values()) bytesInUse += b.byteLength;
    return { bytesInUse, liveBuffers: this.live.size, bytesLimit: Infinity, bytesReserved: bytesInUse, bytesSpilled: 0 };
  }
  toString(): string {
    return `reference:${this.id}`;
  }
}

class RefExecutable implements Executable {
  readonly #program: ClosedJaxpr;
  readonly #device: RefDevice;
  constructor(program: ClosedJaxpr, device: RefDevice) {
    this.#program = program;
    this.#device = device;
  }
  run(args: readonly Buffer[]): Buffer[] {
    const { jaxpr } = this.#program;
    const operands = args.map((b, i) => asOperand((b as RefBuffer).value, jaxpr.invars[i].aval));
    return interpret(jaxpr, operands).map((x) => new RefBuffer(this.#device, asHeld(x)));
  }
  execute(args: readonly (readonly Buffer[])[]): Buffer[][] {
    return args.map((one) => this.run(one));
  }
  inspect(): ReturnType<Executable["inspect"]> {
    const kernels = this.#program.jaxpr.eqns.map((e) => e.primitive.name);
    return {
      text: kernels.join("\n"),
      segments: [{ kind: "device", kernels }],
      cost: { flops: 0, bytesAccessed: 0, transcendentals: 0, temporaryBytes: 0 },
    };
  }
  [Symbol.dispose](): void {}
}

/**
 * A backend that interprets jaxprs in double precision, one element at a time: the oracle of the conformance suite.
 * It has every dtype and reads synchronously. Logical devices share their memory.
 */
export function referenceBackend(options: { readonly devices?: number } = {}): Backend {
  const device: RefDevice[] = [];
  const backend: Backend = {
    name: "reference",
    devices: device,
    capabilities: {
      dtypes: standardDTypes,
      syncReads: true,
      collectives: true,
      sharedMemory: true,
      maxBufferBytes: 1 << 30,
      ownPrimitives,
    },
    compile(program) {
      if (program.consts.length > 0) throw new RuleError("reference", { message: "constants are passed as arguments" });
      return new RefExecutable(program, device[0]);
    },
    put: (data: HostArray, on) => new RefBuffer(on as RefDevice, fromHost(data)),
    read: async (buffer) => toHost((buffer as RefBuffer).value),
    readSync: (buffer) => toHost((buffer as RefBuffer).value),
    [Symbol.dispose]() {
      for (const d of device) d.live.clear();
    },
  };
  for (let i = 0; i < (options.devices ?? 1); i++) device.push(new RefDevice(backend, i));
  return backend;
}
