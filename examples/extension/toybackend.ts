import {
  type Atom,
  type Backend,
  BackendError,
  type Buffer,
  type Device,
  type Eqn,
  type Executable,
  type HostArray,
  hostFromTyped,
  type Jaxpr,
  Literal,
  type MemoryStats,
  type StandardDType,
  toTyped,
  type Var,
} from "@traceform/core";

// A backend in one file: an interpreter over lists of numbers, for a few primitives and dtypes.

interface Value {
  readonly shape: readonly number[];
  readonly dtype: StandardDType;
  readonly data: readonly number[];
}

const dtypes: readonly StandardDType[] = ["float32", "int32", "bool"];
const round: Partial<Record<StandardDType, (x: number) => number>> = {
  float32: Math.fround,
  int32: (x) => x | 0,
  bool: (x) => (x === 0 ? 0 : 1),
};

type Rule = (args: readonly Value[], params: Eqn["params"], shape: readonly number[]) => readonly number[];

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** The position in an array of the element at `index`. */
const flat = (index: readonly number[], shape: readonly number[]): number => index.reduce((at, i, d) => at * shape[d] + i, 0);

/** The elements of a new array, each from its index. */
function build(shape: readonly number[], element: (index: readonly number[]) => number): number[] {
  return Array.from({ length: count(shape) }, (_, at) => {
    const index = new Array<number>(shape.length);
    let rest = at;
    for (let d = shape.length - 1; d >= 0; d--) {
      index[d] = rest % shape[d];
      rest = Math.floor(rest / shape[d]);
    }
    return element(index);
  });
}

// #region rules
/** Operands have one shape, or none. */
const elementwise =
  (f: (...xs: number[]) => number): Rule =>
  (args, _params, shape) =>
    Array.from({ length: count(shape) }, (_, i) => f(...args.map((a) => a.data[a.data.length === 1 ? 0 : i])));

const fold =
  (f: (a: number, b: number) => number, start: number): Rule =>
  ([x], { axes }, shape) => {
    const out = new Array<number>(count(shape)).fill(start);
    const kept = x.shape.map((_, d) => d).filter((d) => !(axes as readonly number[]).includes(d));
    build(x.shape, (index) => {
      const at = flat(
        kept.map((d) => index[d]),
        shape,
      );
      out[at] = f(out[at], x.data[flat(index, x.shape)]);
      return 0;
    });
    return out;
  };

/** One line for each primitive. */
const rules: Readonly<Record<string, Rule>> = {
  neg: elementwise((x) => -x),
  sin: elementwise(Math.sin),
  cos: elementwise(Math.cos),
  exp: elementwise(Math.exp),
  log: elementwise(Math.log),
  tanh: elementwise(Math.tanh),
  add: elementwise((x, y) => x + y),
  sub: elementwise((x, y) => x - y),
  mul: (args, params, shape) => elementwise(args[0].dtype === "int32" ? Math.imul : (x, y) => x * y)(args, params, shape),
  div: elementwise((x, y) => x / y),
  gt: elementwise((x, y) => Number(x > y)),
  lt: elementwise((x, y) => Number(x < y)),
  select_n: elementwise((which, ...cases) => cases[which]),
  convert_element_type: elementwise((x) => x),
  reshape: ([x]) => x.data,
  transpose: ([x], { permutation }, shape) =>
    build(shape, (index) => {
      const source = new Array<number>(index.length);
      (permutation as readonly number[]).forEach((from, to) => (source[from] = index[to]));
      return x.data[flat(source, x.shape)];
    }),
  broadcast_in_dim: ([x], { broadcastDimensions }, shape) =>
    build(shape, (index) => {
      const source = (broadcastDimensions as readonly number[]).map((to, from) => (x.shape[from] === 1 ? 0 : index[to]));
      return x.data[flat(source, x.shape)];
    }),
  reduce_sum: fold((a, b) => a + b, 0),
  reduce_max: fold(Math.max, -Infinity),
};
// #endregion

// #region run
function run(jaxpr: Jaxpr, args: readonly Value[]): Value[] {
  const env = new Map<Var, Value>(jaxpr.invars.map((v, i) => [v, args[i]]));
  const read = (a: Atom): Value =>
    a instanceof Literal ? { shape: [], dtype: a.aval.dtype as StandardDType, data: [Number(a.value)] } : env.get(a)!;
  for (const { primitive, invars, outvars, params } of jaxpr.eqns) {
    const operands = invars.map(read);
    if (primitive.name === "jit") {
      run(params["jaxpr"] as Jaxpr, operands).forEach((v, i) => env.set(outvars[i], v));
      continue;
    }
    const [{ aval }] = outvars;
    const dtype = aval.dtype as StandardDType;
    const data = rules[primitive.name](operands, params, aval.shape).map(round[dtype]!);
    env.set(outvars[0], { shape: aval.shape, dtype, data });
  }
  return jaxpr.outvars.map(read);
}

/** What the backend cannot do it says when it compiles, by name, and not in the middle of a run. */
function check(jaxpr: Jaxpr): void {
  for (const { primitive, outvars, params } of jaxpr.eqns) {
    if (primitive.name === "jit") check(params["jaxpr"] as Jaxpr);
    else if (!(primitive.name in rules)) throw new BackendError("toy", { message: `has no kernel for ${primitive.name}` });
    for (const { aval } of outvars) {
      if (!dtypes.includes(aval.dtype as StandardDType))
        throw new BackendError("toy", { message: `has no dtype ${String(aval.dtype)}` });
    }
  }
}
// #endregion

class ToyDevice implements Device {
  readonly id = 0;
  readonly kind = "toy";
  readonly backend: Backend;
  readonly live = new Map<number, ToyBuffer>();
  constructor(backend: Backend) {
    this.backend = backend;
  }
  /** What the handle of a collected array calls. */
  releaseById(id: number): void {
    this.live.get(id)?.release();
  }
  memoryStats(): MemoryStats {
    const bytesInUse = [...this.live.values()].reduce((n, b) => n + b.byteLength, 0);
    return { bytesInUse, liveBuffers: this.live.size, bytesLimit: Infinity, bytesReserved: bytesInUse, bytesSpilled: 0 };
  }
  toString(): string {
    return "toy:0";
  }
}

// #region buffer
let nextId = 1;

/** Memory with a count of references: who makes or retains a buffer releases it once. */
class ToyBuffer implements Buffer {
  readonly id = nextId++;
  readonly device: ToyDevice;
  readonly value: Value;
  #references = 1;
  constructor(device: ToyDevice, value: Value) {
    this.device = device;
    this.value = value;
    device.live.set(this.id, this);
  }
  get shape(): readonly number[] {
    return this.value.shape;
  }
  get dtype(): StandardDType {
    return this.value.dtype;
  }
  get byteLength(): number {
    return 8 * this.value.data.length;
  }
  retain(): void {
    this.#references++;
  }
  release(): void {
    if (--this.#references === 0) this.device.live.delete(this.id);
  }
}
// #endregion

// #region factory
function compile(jaxpr: Jaxpr, device: ToyDevice): Executable {
  check(jaxpr);
  const kernels = jaxpr.eqns.map((e) => e.primitive.name);
  const executable: Executable = {
    run: (args) =>
      run(
        jaxpr,
        args.map((b) => (b as ToyBuffer).value),
      ).map((v) => new ToyBuffer(device, v)),
    execute: (lists) => lists.map((args) => executable.run(args)),
    inspect: () => ({
      text: kernels.join("\n"),
      segments: [{ kind: "device", kernels }],
      cost: { flops: 0, bytesAccessed: 0, transcendentals: 0, temporaryBytes: 0 },
    }),
    [Symbol.dispose]() {},
  };
  return executable;
}

/** A backend is what a factory returns. */
export function toy(): Backend {
  const devices: ToyDevice[] = [];
  const read = (buffer: Buffer): HostArray => {
    const { data, shape, dtype } = (buffer as ToyBuffer).value;
    const typed = dtype === "float32" ? Float32Array.from(data) : dtype === "int32" ? Int32Array.from(data) : Uint8Array.from(data);
    return hostFromTyped(typed, shape, dtype);
  };
  const backend: Backend = {
    name: "toy",
    devices,
    capabilities: { dtypes, syncReads: true, collectives: false, maxBufferBytes: 1 << 30 },
    compile: ({ jaxpr }) => compile(jaxpr, devices[0]),
    put: (host) => new ToyBuffer(devices[0], { shape: host.shape, dtype: host.dtype, data: Array.from(toTyped(host), Number) }),
    read: async (buffer) => read(buffer),
    readSync: read,
    [Symbol.dispose]: () => devices[0].live.clear(),
  };
  devices.push(new ToyDevice(backend));
  return backend;
}
// #endregion
