import {
  abstractEval,
  type Aval,
  bind,
  checksFloats,
  type Compiled,
  compileProgram,
  constvarsToInvars,
  currentTrace,
  type Device,
  deviceFor,
  type Inputs,
  isEager,
  isTracer,
  type Jaxpr,
  jitP,
  type JitParams,
  LruCache,
  type NDArray,
  runCompiled,
  runFloatChecked,
  traceTree,
  type Treedef,
  treeUnflatten,
  valueKey,
  axisEnvironmentKey,
} from "@traceform/core";
import { planArguments, type SplitArguments, splitArguments } from "./arguments.ts";
import { Lowered } from "./stages.ts";

export interface JitOptions {
  /** Positions of arguments that are compile-time constants: a new value traces anew. Negative ones count from the end. */
  readonly staticArgnums?: number | readonly number[];
  /** Names of compile-time constants among the keys of a last options object, as in `f(x, { axis: 1 })`. */
  readonly staticArgnames?: string | readonly string[];
  /** Positions of arguments whose memory the results may take over; the arguments cannot be used afterwards. */
  readonly donateArgnums?: number | readonly number[];
  /** Keep arguments that the function does not read as arguments of the program. */
  readonly keepUnused?: boolean;
  /** Dissolve the function into the program of a jitted caller. The compiler may do so anyway. */
  readonly inline?: boolean;
  /** Where to run; by default where the arguments are. */
  readonly device?: Device;
}

/** A jitted function: call it like the original, or compile it ahead of time with `lower`. */
export interface JitFunction<A extends readonly unknown[], R> {
  (...args: Inputs<A>): R;
  /** Traces for these arguments without running: `jit(f).lower(x).compile()`. */
  lower(...args: Inputs<A>): Lowered<A, R>;
  /** Forgets everything traced for this function. */
  clearCache(): void;
}

/** What tracing one signature of a function gave. */
interface Traced {
  readonly params: JitParams;
  readonly consts: readonly NDArray[];
  readonly outTree: Treedef;
  readonly outAvals: readonly Aval[];
  compiled: Compiled | null;
  compiledFor: Device | null;
}

const counters = { traces: 0 };

/** How often `jit` traced a function so far: a cache miss of the tracing cache. */
export function traceCount(): number {
  return counters.traces;
}

// Function identity only skips tracing: `jit(f)` twice shares this table, and equal jaxprs share an executable.
const traced = new WeakMap<object, Map<string, LruCache<Traced>>>();
const signatureLimit = 256;

function signaturesOf(f: object, optionsKey: string): LruCache<Traced> {
  let byOptions = traced.get(f);
  if (byOptions === undefined) traced.set(f, (byOptions = new Map()));
  let signatures = byOptions.get(optionsKey);
  if (signatures === undefined) byOptions.set(optionsKey, (signatures = new LruCache(signatureLimit)));
  return signatures;
}

/**
 * Compiles a pure function of pytrees of arrays: the first call with a new signature traces it, later ones run the
 * compiled program. A signature is the structure, shapes, dtypes and weak types of the arguments, and the values of the
 * static ones: by `equals`/`hash` where they bring it, by value for plain data, else by identity.
 *
 * @throws {TransformError} for async functions, and for static arguments that are arrays
 * @throws {TreeError} for arguments that are neither arrays nor pytrees
 * @example
 * ```ts
 * const step = jit((x: NDArray) => x.mul(2).add(1));
 * step(array([1, 2])).jsSync() // => [3, 5]
 * ```
 */
export function jit<A extends readonly unknown[], R>(f: (...args: A) => R, options: JitOptions = {}): JitFunction<A, R> {
  const plan = planArguments(options);
  const name = f.name === "" ? "<anonymous>" : f.name;
  const signatures = signaturesOf(f, valueKey({ ...plan, keepUnused: options.keepUnused, inline: options.inline }));

  const lookUp = (args: readonly unknown[]): [Traced, SplitArguments] => {
    const split = splitArguments(`jit(${name})`, plan, args);
    let key = `${split.treedef.id}|${split.staticKey}|${axisEnvironmentKey()}`;
    for (const leaf of split.leaves) key += `,${leaf.aval.id}`;
    let entry = signatures.get(key);
    if (entry === undefined) {
      entry = trace(f, name, split, options);
      // Captured tracers belong to this call alone.
      if (!entry.consts.some(isTracer)) signatures.set(key, entry);
    }
    return [entry, split];
  };

  const jitted = (...args: Inputs<A>): R => {
    const [entry, { leaves }] = lookUp(args);
    const operands = entry.consts.length === 0 ? leaves : [...entry.consts, ...leaves];
    const outs = isEager(currentTrace())
      ? run(entry, operands, options.device ?? deviceFor(leaves, entry.consts))
      : bind(jitP, operands, entry.params);
    return treeUnflatten(entry.outTree, outs) as R;
  };
  const members = {
    lower: (...args: Inputs<A>): Lowered<A, R> => {
      const [entry] = lookUp(args);
      return new Lowered<A, R>(
        entry.params,
        entry.consts,
        entry.outTree,
        (...xs: Inputs<A>) => splitArguments(`jit(${name})`, plan, xs).leaves,
      );
    },
    clearCache: (): void => signatures.clear(),
  };
  Object.defineProperty(jitted, "name", { value: `jit(${name})` });
  return Object.assign(jitted, members);
}

function trace<A extends readonly unknown[], R>(
  f: (...args: A) => R,
  name: string,
  split: SplitArguments,
  options: JitOptions,
): Traced {
  counters.traces++;
  const { jaxpr, consts, outTree } = traceTree(
    (...tracers) => f(...(split.rebuild(tracers) as unknown as A)),
    split.leaves.map((x) => x.aval),
    `jit(${name})`,
  );
  const closed: Jaxpr = constvarsToInvars(jaxpr);
  const params: JitParams = {
    name,
    jaxpr: closed,
    donated: [...consts.map(() => false), ...split.donated],
    inline: options.inline ?? false,
    keepUnused: options.keepUnused ?? false,
  };
  const { avals } = abstractEval(jitP as never, closed.inAvals, params as never);
  return { params, consts, outTree, outAvals: avals, compiled: null, compiledFor: null };
}

function run(entry: Traced, operands: readonly NDArray[], device: Device): NDArray[] {
  if (checksFloats()) return runFloatChecked(entry.params.jaxpr, entry.outAvals, `jit(${entry.params.name})`, operands, device);
  if (entry.compiled === null || entry.compiledFor !== device) {
    const { jaxpr, donated, name } = entry.params;
    const donate = donated.flatMap((d, i) => (d ? [i] : []));
    entry.compiled = { executable: compileProgram(device.backend, jaxpr, { name, donate }), outAvals: entry.outAvals };
    entry.compiledFor = device;
  }
  const { donated } = entry.params;
  return runCompiled(entry.compiled, operands, device, donated.includes(true) ? donated : undefined);
}
