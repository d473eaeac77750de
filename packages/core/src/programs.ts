import type { Aval } from "./avals.ts";
import type { ClosedJaxpr } from "./closed.ts";
import { ConcreteArray } from "./concrete.ts";
import type { Backend, Buffer, CompileOptions, Device, Executable } from "./device.ts";
import { BackendError, ConcretizationTypeError, TraceformError } from "./errors.ts";
import { innerJaxprs } from "./innerjaxprs.ts";
import type { Jaxpr } from "./jaxpr.ts";
import { JaxprMemo } from "./jaxprmemo.ts";
import { expandLowerRules } from "./lowering.ts";
import { LruCache } from "./lru.ts";
import { isTracer, type NDArray, type Tracer } from "./ndarray.ts";
import { type Params, refuseRule, shardingRule } from "./primitive.ts";
import { activeRecorder, hostTrack } from "./recorder.ts";
import { jaxprId } from "./structure.ts";
import { type Sharding, SingleDeviceSharding } from "./sharding.ts";
import { leaked } from "./trace.ts";

/** A program as the eager path runs it: an executable, made when it is first needed, and the avals of its results. */
export interface Compiled {
  readonly executable: Executable;
  readonly outAvals: readonly Aval[];
  /** What was compiled: says how results are laid out over devices. */
  readonly jaxpr: Jaxpr;
  /** Whether it lays results out over several devices itself. */
  readonly laysOut: boolean;
}

/** @internal */
export interface BackendCaches {
  /** Executables by structure: what `compile` made. */
  readonly programs: LruCache<Executable>;
  /** One-primitive programs by (primitive, parameters, avals): the eager hit path. */
  readonly eager: LruCache<Compiled>;
}

let caches = new WeakMap<Backend, BackendCaches>();
const counters = { compilations: 0, found: 0 };

/** @internal */
export function cachesOf(backend: Backend): BackendCaches {
  let c = caches.get(backend);
  if (c === undefined) {
    // Evicted executables are not disposed of: a `jit`ted function may still hold one. The collector takes them.
    c = { programs: new LruCache(2048), eager: new LruCache(4096) };
    caches.set(backend, c);
  }
  return c;
}

/** Empties the executable caches of a backend, or of all. Executables that a jitted function still holds stay. */
export function clearExecutables(backend?: Backend): void {
  if (backend === undefined) caches = new WeakMap();
  else caches.delete(backend);
}

/** How often something was found in a cache, and how often it had to be made. */
export interface CacheCounts {
  readonly hits: number;
  readonly misses: number;
}

/** How often a program was asked for so far and an equal one had been compiled (hits), or not (misses), over all backends. */
export function compilationCounts(): CacheCounts {
  return { hits: counters.found, misses: counters.compilations };
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
    const begin = performance.now();
    refuseUncompilable(jaxpr);
    const program: ClosedJaxpr = { jaxpr: expandLowerRules(jaxpr, backend.capabilities.ownPrimitives), consts: [] };
    try {
      executable = backend.compile(program, options);
    } catch (error) {
      if (error instanceof TraceformError) throw error;
      throw new BackendError(options.name ?? "compile", {
        message: `the ${backend.name} backend failed to compile the program: ${error instanceof Error ? error.message : String(error)}`,
        cause: error,
        fix: "the cause says what failed; leave an operation of the program out to find the one at fault",
      });
    }
    programs.set(key, executable);
    const recorder = activeRecorder();
    if (recorder?.programs) recorder.add(hostTrack, `compile ${options.name ?? "a program"}`, begin, performance.now());
  } else counters.found++;
  return executable;
}

const meshes = new JaxprMemo<boolean>();

/** Whether some operation of a program lays its results out over a mesh. */
export function laysOut(jaxpr: Jaxpr): boolean {
  return meshes.get(jaxpr, "", () =>
    jaxpr.eqns.some(({ primitive, params }) => primitive.rules[shardingRule] !== undefined || innerJaxprs(params).some(laysOut)),
  );
}

class LazyProgram implements Compiled {
  readonly outAvals: readonly Aval[];
  readonly jaxpr: Jaxpr;
  readonly laysOut: boolean;
  readonly #compile: () => Executable;
  #executable: Executable | null = null;

  constructor(compile: () => Executable, jaxpr: Jaxpr, outAvals: readonly Aval[]) {
    this.#compile = compile;
    this.jaxpr = jaxpr;
    this.outAvals = outAvals;
    this.laysOut = laysOut(jaxpr);
  }
  get executable(): Executable {
    return (this.#executable ??= this.#compile());
  }
}

/** A program that is compiled when it is first run as it is: what runs in blocks, over processes, never is. */
export function lazily(backend: Backend, jaxpr: Jaxpr, outAvals: readonly Aval[], options: CompileOptions): Compiled {
  return new LazyProgram(() => compileProgram(backend, jaxpr, options), jaxpr, outAvals);
}

/** Throws what a primitive that cannot run has to say: see `refuseRule`. */
function refuseUncompilable(jaxpr: Jaxpr): void {
  for (const eqn of jaxpr.eqns) {
    const refuse = eqn.primitive.rules[refuseRule] as ((params: Params) => Error) | undefined;
    if (refuse !== undefined) throw refuse(eqn.params);
    innerJaxprs(eqn.params).forEach(refuseUncompilable);
  }
}

/** A device that shares the memory of another works on the other's buffers: its results are said to be on it. */
function elsewhere(buffer: Buffer, device: Device): Sharding | null {
  return buffer.device === device ? null : new SingleDeviceSharding(device);
}

/** Runs an executable on concrete arguments; `donated` handles end their life here. `shardings` are those of the results. */
export function runCompiled(
  { executable, outAvals }: Pick<Compiled, "executable" | "outAvals">,
  args: readonly NDArray[],
  device: Device,
  donated?: readonly boolean[],
  shardings?: readonly (Sharding | null)[] | null,
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
  let results: Buffer[];
  try {
    results = executable.run(buffers, device);
  } finally {
    if (donated !== undefined) {
      for (let i = 0; i < args.length; i++) if (donated[i]) buffers[i].release();
    }
  }
  const outs: NDArray[] = new Array(results.length);
  for (let i = 0; i < results.length; i++) {
    outs[i] = ConcreteArray.fromBuffer(results[i], outAvals[i], shardings?.[i] ?? elsewhere(results[i], device));
  }
  return outs;
}

/** @throws {ConcretizationTypeError} for a traced value, which has no contents yet */
export function concreteArg(x: NDArray): ConcreteArray {
  if (x instanceof ConcreteArray) return x;
  if (isTracer(x)) throw x.tracedBy.alive ? unknown(x) : leaked("eval", x);
  throw new BackendError("eval", {
    message: "an array of unknown class reached the device",
    fix: "make arrays with array(…), and keep one copy of @traceform/core",
  });
}

function unknown(x: Tracer): ConcretizationTypeError {
  return new ConcretizationTypeError("eval", {
    message: `a traced ${x.aval} of ${x.tracedBy.name} has no value yet, but the operation is to be computed now`,
    fix: "inside ensureCompileTimeEval use only values that do not depend on the arguments of the traced function",
  });
}
