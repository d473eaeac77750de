import type { Aval } from "./avals.ts";
import { innerJaxprs } from "./check.ts";
import type { ClosedJaxpr } from "./closed.ts";
import { ConcreteArray } from "./concrete.ts";
import type { Backend, Buffer, CompileOptions, Device, Executable } from "./device.ts";
import { BackendError, TraceformError } from "./errors.ts";
import type { Jaxpr } from "./jaxpr.ts";
import { expandLowerRules } from "./lowering.ts";
import { LruCache } from "./lru.ts";
import { isTracer, type NDArray } from "./ndarray.ts";
import { type Params, refuseRule } from "./primitive.ts";
import { jaxprId } from "./structure.ts";
import { leaked } from "./trace.ts";

/** A program as the eager path runs it: an executable and the avals of its results. */
export interface Compiled {
  readonly executable: Executable;
  readonly outAvals: readonly Aval[];
}

/** @internal */
export interface BackendCaches {
  /** Executables by structure: what `compile` made. */
  readonly programs: LruCache<Executable>;
  /** One-primitive programs by (primitive, parameters, avals): the eager hit path. */
  readonly eager: LruCache<Compiled>;
}

const caches = new WeakMap<Backend, BackendCaches>();
const counters = { compilations: 0 };

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
    const program: ClosedJaxpr = { jaxpr: expandLowerRules(jaxpr, backend.capabilities.ownPrimitives), consts: [] };
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
  let results: Buffer[];
  try {
    results = executable.run(buffers);
  } finally {
    if (donated !== undefined) {
      for (let i = 0; i < args.length; i++) if (donated[i]) buffers[i].release();
    }
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
