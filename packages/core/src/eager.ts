import type { Aval } from "./avals.ts";
import { defaultDevice } from "./backends.ts";
import type { ClosedJaxpr } from "./closed.ts";
import { ConcreteArray } from "./concrete.ts";
import type { Backend, Buffer, CompileOptions, Device, Executable } from "./device.ts";
import { innerJaxprs } from "./check.ts";
import { BackendError, TraceformError } from "./errors.ts";
import { type Eqn, Jaxpr, Var } from "./jaxpr.ts";
import { jitP, type JitParams } from "./jit.ts";
import { expandLowerRules } from "./lowering.ts";
import { leaked, setBottomTrace, Trace } from "./trace.ts";
import { isTracer, type NDArray } from "./ndarray.ts";
import { type Params, type Primitive, refuseRule } from "./primitive.ts";
import { abstractEval } from "./staging.ts";
import { jaxprId, paramsKey } from "./structure.ts";

/** A map that forgets what was used longest ago. */
export class LruCache<V> {
  readonly #entries = new Map<string, V>();
  readonly #limit: number;
  readonly #evict: (value: V) => void;
  constructor(limit: number, evict: (value: V) => void = () => {}) {
    this.#limit = limit;
    this.#evict = evict;
  }
  get size(): number {
    return this.#entries.size;
  }
  get(key: string): V | undefined {
    const value = this.#entries.get(key);
    // Moving an entry to the end costs a delete and a set, so it is done only when eviction may be near.
    if (value !== undefined && this.#entries.size > this.#limit / 2) {
      this.#entries.delete(key);
      this.#entries.set(key, value);
    }
    return value;
  }
  set(key: string, value: V): void {
    this.#entries.set(key, value);
    if (this.#entries.size <= this.#limit) return;
    const [oldest, evicted] = this.#entries.entries().next().value as [string, V];
    this.#entries.delete(oldest);
    this.#evict(evicted);
  }
  clear(): void {
    for (const value of this.#entries.values()) this.#evict(value);
    this.#entries.clear();
  }
}

/** A program as the eager path runs it: an executable and the avals of its results. */
export interface Compiled {
  readonly executable: Executable;
  readonly outAvals: readonly Aval[];
}

interface BackendCaches {
  /** Executables by structure: what `compile` made. */
  readonly programs: LruCache<Executable>;
  /** One-primitive programs by (primitive, parameters, avals): the eager hit path. */
  readonly eager: LruCache<Compiled>;
}

const caches = new WeakMap<Backend, BackendCaches>();
const counters = { compilations: 0 };

function cachesOf(backend: Backend): BackendCaches {
  let c = caches.get(backend);
  if (c === undefined) {
    // Evicted executables are not disposed of: a `jit`ted function may still hold one. The collector takes them.
    c = { programs: new LruCache(2048), eager: new LruCache(4096) };
    caches.set(backend, c);
  }
  return c;
}

/** Empties the executable caches of a backend, or of every program `jit` compiled there. */
export function clearExecutables(backend: Backend): void {
  caches.delete(backend);
}

/** How many programs were compiled so far, over all backends. */
export function compilationCount(): number {
  return counters.compilations;
}

/**
 * Compiles a program, or finds the executable of an equal one: programs are equal by structure, with their constants
 * passed as arguments, so an inline function given to `jit` in a loop compiles once.
 */
export function compileProgram(backend: Backend, jaxpr: Jaxpr, options: CompileOptions = {}): Executable {
  const { programs } = cachesOf(backend);
  const key = `${jaxprId(jaxpr)}|${options.donate?.join(",") ?? ""}|${options.devices?.map((d) => d.id).join(",") ?? ""}`;
  let executable = programs.get(key);
  if (executable === undefined) {
    counters.compilations++;
    refuseUncompilable(jaxpr);
    const program: ClosedJaxpr = { jaxpr: expandLowerRules(jaxpr), consts: [] };
    try {
      executable = backend.compile(program, options);
    } catch (error) {
      if (error instanceof TraceformError) throw error;
      throw new BackendError(options.name ?? "compile", {
        message: `the ${backend.name} backend failed to compile the program: ${error instanceof Error ? error.message : String(error)}`,
        cause: error,
      });
    }
    programs.set(key, executable);
  }
  return executable;
}

/** Throws what a primitive that cannot run has to say: see `refuseRule`. */
function refuseUncompilable(jaxpr: Jaxpr): void {
  for (const eqn of jaxpr.eqns) {
    const refuse = eqn.primitive.rules[refuseRule] as ((params: Params) => Error) | undefined;
    if (refuse !== undefined) throw refuse(eqn.params);
    innerJaxprs(eqn.params).forEach(refuseUncompilable);
  }
}

/** Runs an executable on concrete arguments; `donated` handles end their life here. */
export function runCompiled(
  { executable, outAvals }: Compiled,
  args: readonly NDArray[],
  device: Device,
  donated?: readonly boolean[],
): NDArray[] {
  const buffers: Buffer[] = new Array(args.length);
  for (let i = 0; i < args.length; i++) {
    const x = concreteArg(args[i]);
    buffers[i] = donated?.[i] ? x.donatedBuffer(device) : x.bufferOn(device);
  }
  // A donated handle ends first: the executable may reuse memory only while it holds the last reference.
  if (donated !== undefined) {
    for (let i = 0; i < args.length; i++) if (donated[i]) (args[i] as ConcreteArray).end("was donated to a jitted function");
  }
  const results = executable.run(buffers);
  if (donated !== undefined) {
    for (let i = 0; i < args.length; i++) if (donated[i]) buffers[i].release();
  }
  const outs: NDArray[] = new Array(results.length);
  for (let i = 0; i < results.length; i++) outs[i] = ConcreteArray.fromBuffer(results[i], outAvals[i]);
  return outs;
}

function concreteArg(x: NDArray): ConcreteArray {
  if (x instanceof ConcreteArray) return x;
  if (isTracer(x)) throw leaked("eval", x);
  throw new BackendError("eval", { message: "an array of unknown class reached the device" });
}

function deviceFor(args: readonly NDArray[]): Device {
  for (let i = 0; i < args.length; i++) {
    const device = (args[i] as ConcreteArray).device;
    if (device != null) return device;
  }
  return defaultDevice();
}

/** The bottom of the stack: compiles and runs each primitive at once. */
class EvalTrace extends Trace {
  process(primitive: Primitive<never>, args: readonly NDArray[], params: Params): NDArray[] {
    const device = deviceFor(args);
    const { eager } = cachesOf(device.backend);
    let key = `${primitive.id}|${paramsKey(params)}`;
    for (let i = 0; i < args.length; i++) key += `|${args[i].aval.id}`;
    let compiled = eager.get(key);
    if (compiled === undefined) {
      compiled = compileEqn(device.backend, primitive, args.map((x) => x.aval), params);
      eager.set(key, compiled);
    }
    const donated = (primitive as unknown) === jitP ? (params as unknown as JitParams).donated : undefined;
    return runCompiled(compiled, args, device, donated?.includes(true) ? donated : undefined);
  }
}

function compileEqn(backend: Backend, primitive: Primitive<never>, inAvals: readonly Aval[], params: Params): Compiled {
  const { avals, effects } = abstractEval(primitive, inAvals, params);
  if ((primitive as unknown) === jitP) {
    const { jaxpr, donated, name } = params as unknown as JitParams;
    const donate = donated.flatMap((d, i) => (d ? [i] : []));
    return { executable: compileProgram(backend, jaxpr, { name, donate }), outAvals: avals };
  }
  const invars = inAvals.map((aval) => new Var(aval));
  const outvars = avals.map((aval) => new Var(aval));
  const eqn: Eqn = { primitive, invars, outvars, params, effects: new Set(effects ?? []), source: null };
  const jaxpr = new Jaxpr([], invars, [eqn], outvars);
  // The description of the operands is part of the program's structure, so avals need no place in the key.
  return { executable: compileProgram(backend, jaxpr, { name: primitive.name }), outAvals: avals };
}

setBottomTrace(() => new EvalTrace("eval"));

/** The bottom trace is the current one: no transformation is active. */
export function isEager(trace: Trace): boolean {
  return trace instanceof EvalTrace;
}

