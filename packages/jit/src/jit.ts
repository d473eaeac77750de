import {
  config,
  abstractEval,
  axisEnvironmentKey,
  bind,
  broadcastPrefix,
  type CacheCounts,
  clearExecutables,
  compilationCounts,
  constrain,
  constvarsToInvars,
  currentTrace,
  type Device,
  deviceFor,
  evalJaxpr,
  homeDevice,
  type Inputs,
  isEager,
  isTracer,
  type Jaxpr,
  jitP,
  type JitParams,
  LruCache,
  type NDArray,
  type Placement,
  type PositionOption,
  refuseAsync,
  traceTree,
  type Treedef,
  treeUnflatten,
  valueKey,
  withShardingConstraint,
} from "@traceform/core";
import { type ArgumentOptions, planArguments, type SplitArguments, splitArguments } from "./arguments.ts";
import { explainMiss, type Signature } from "./explain.ts";
import type { Structs } from "./inspect.ts";
import { type AbstractLeaf, toAbstractLeaf, toLeaf } from "./leaves.ts";
import { parameterNames } from "./places.ts";
import { type CompiledProgram, compileTraced, type TracedProgram } from "./program.ts";
import { type Lowered, Traced } from "./stages.ts";

export interface JitOptions extends ArgumentOptions {
  /** Positions of arguments that are compile-time constants: a new value traces anew. Negative ones count from the end. */
  readonly staticArgnums?: number | readonly number[];
  /** Names of compile-time constants among the keys of a last options object, as in `f(x, { axis: 1 })`. */
  readonly staticArgnames?: string | readonly string[];
  /** Positions of arguments whose memory the results may take over; the arguments cannot be used afterwards. */
  readonly donateArgnums?: number | readonly number[];
  /** Names of such arguments among the keys of a last options object. */
  readonly donateArgnames?: string | readonly string[];
  /** Keep arguments that the function does not read as arguments of the program. */
  readonly keepUnused?: boolean;
  /** Put the operations of the function into the jaxpr of a traced caller, not one equation for the call. */
  readonly inline?: boolean;
  /**
   * How arguments are laid out over a mesh: one `NamedSharding` for all, or a tree of them for the first levels of the list of arguments
   * that are not static, with `null` for what comes as it is.
   */
  readonly inShardings?: Placement | null;
  /** How results are laid out; what is not said follows from the arguments. */
  readonly outShardings?: Placement | null;
  /** Where to run; by default where the arguments are. */
  readonly device?: Device;
}

/** Options whose positions are of arguments `A`. */
export interface PositionsOf<A extends readonly unknown[], O extends JitOptions> {
  readonly staticArgnums?: PositionOption<A, O["staticArgnums"]>;
  readonly donateArgnums?: PositionOption<A, O["donateArgnums"]>;
}

/** A jitted function: call it like the original, or compile it ahead of time with `lower`. */
export interface JitFunction<A extends readonly unknown[], R> {
  (...args: Inputs<A>): R;
  /** Traces for these arguments without running. Arrays may be given as `ShapeDtypeStruct`s. */
  trace(...args: Structs<A>): Traced<A, R>;
  /** Traces and prepares to compile: `await jit(f).lower(x).compile()`. */
  lower(...args: Structs<A>): Lowered<A, R>;
  /** Forgets everything traced for this function. */
  clearCache(): void;
  /** For how many signatures the function is traced. */
  cacheSize(): number;
}

interface Entry extends TracedProgram {
  readonly signature: Signature;
  /** For each leaf of the arguments the layout that it gets; `null` when none was asked for. */
  readonly inShardings: readonly unknown[] | null;
  /** The device of the mesh that the program mentions, if it does. */
  readonly home: Device | null;
  compiled: CompiledProgram | null;
}

const counters = { hits: 0, misses: 0 };

/** How often `jit` traced a function so far: a cache miss of the tracing cache. */
export function traceCount(): number {
  return counters.misses;
}

/** Counts of the caches of `jit`. */
export interface JitCacheCounts {
  /** Calls whose signature had been traced, and those that traced. */
  readonly tracing: CacheCounts;
  /** Programs for which an executable of an equal one was found, and those that were compiled, eager operations included. */
  readonly compilation: CacheCounts;
}

/** How often the caches of `jit` were hit and missed so far. */
export function cacheCounts(): JitCacheCounts {
  return { tracing: { ...counters }, compilation: compilationCounts() };
}

// Function identity only skips tracing: `jit(f)` twice shares this table, and equal jaxprs share an executable.
let traced = new WeakMap<object, Map<string, LruCache<Entry>>>();
let generation = 0;
const signatureLimit = 256;

/** Forgets what `jit` traced and what was compiled, for all functions and backends. */
export function clearCaches(): void {
  traced = new WeakMap();
  generation++;
  clearExecutables();
}

function signaturesOf(f: object, optionsKey: string): LruCache<Entry> {
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
export function jit<A extends readonly unknown[], R, const O extends JitOptions = JitOptions>(
  f: (...args: A) => R,
  options?: O & PositionsOf<A, O>,
): JitFunction<A, R>;
export function jit<A extends readonly unknown[], R>(f: (...args: A) => R, options: JitOptions = {}): JitFunction<A, R> {
  const plan = planArguments("jit", options);
  const name = f.name === "" ? "<anonymous>" : f.name;
  const fn = `jit(${name})`;
  const { keepUnused, inline, inShardings, outShardings } = options;
  const optionsKey = valueKey({ ...plan, keepUnused, inline, inShardings, outShardings });
  let signatures = signaturesOf(f, optionsKey);
  let born = generation;

  const current = (): LruCache<Entry> => {
    if (born !== generation) {
      signatures = signaturesOf(f, optionsKey);
      born = generation;
    }
    return signatures;
  };

  const lookUp = (split: SplitArguments<AbstractLeaf>): Entry => {
    const axes = axisEnvironmentKey();
    const promotion = config.numpyDtypePromotion;
    let key = `${split.treedef.id}|${split.staticKey}|${axes}|${promotion}`;
    for (const leaf of split.leaves) key += `,${leaf.aval.id}`;
    const table = current();
    let entry = table.get(key);
    if (entry !== undefined) {
      counters.hits++;
      return entry;
    }
    counters.misses++;
    const avals = split.leaves.map((x) => x.aval);
    const { treedef, statics, positions } = split;
    const signature: Signature = { treedef, statics, positions, avals, axes, promotion };
    explainMiss(
      name,
      f as never,
      plan,
      signature,
      Array.from(table.values(), (e) => e.signature),
    );
    entry = trace(f, name, split, signature, options);
    // Captured tracers belong to this call alone.
    if (!entry.consts.some(isTracer)) table.set(key, entry);
    return entry;
  };

  const jitted = (...args: Inputs<A>): R => {
    if (config.disableJit) return f(...(args as unknown as A));
    const split = splitArguments(fn, plan, args, toLeaf);
    const entry = lookUp(split);
    const leaves = entry.inShardings === null ? split.leaves : place(fn, split, entry.inShardings);
    const operands = entry.consts.length === 0 ? leaves : [...entry.consts, ...leaves];
    if (isEager(currentTrace())) {
      const device = options.device ?? entry.home ?? deviceFor(leaves, entry.consts);
      if (entry.compiled === null || entry.compiled.device !== device) entry.compiled = compileTraced(entry, device);
      return treeUnflatten(entry.outTree, entry.compiled.run(operands)) as R;
    }
    const { params } = entry;
    const outs = params.inline ? evalJaxpr(params.jaxpr, [], operands) : bind(jitP, operands, params);
    return treeUnflatten(entry.outTree, outs) as R;
  };
  const traceFor = (...args: Structs<A>): Traced<A, R> => {
    const split = splitArguments(fn, plan, args, toAbstractLeaf, true);
    return new Traced<A, R>(lookUp(split), split, (xs) => splitArguments(fn, plan, xs, toLeaf), parameterNames(f as never));
  };
  const members = {
    trace: traceFor,
    lower: (...args: Structs<A>): Lowered<A, R> => traceFor(...args).lower(),
    clearCache: (): void => current().clear(),
    cacheSize: (): number => current().size,
  };
  Object.defineProperty(jitted, "name", { value: fn });
  return Object.assign(jitted, members);
}

/** The arguments laid out as was asked for. What is donated keeps its handle, which ends with the call. */
function place(fn: string, { leaves, donated }: SplitArguments, shardings: readonly unknown[]): readonly NDArray[] {
  return leaves.map((x, i) => (donated[i] || isTracer(x) ? x : constrain(fn, x, shardings[i])));
}

function trace<A extends readonly unknown[], R>(
  f: (...args: A) => R,
  name: string,
  split: SplitArguments<AbstractLeaf>,
  signature: Signature,
  options: JitOptions,
): Entry {
  const fn = `jit(${name})`;
  const { inShardings: given, outShardings } = options;
  const inShardings = given === undefined || given === null ? null : layoutsOf(fn, given, split.treedef);
  const { jaxpr, consts, outTree } = traceTree(
    (...tracers) => {
      const laidOut = inShardings === null ? tracers : tracers.map((x, i) => constrain(fn, x, inShardings[i]));
      const result = f(...(split.rebuild(laidOut) as unknown as A));
      return outShardings === undefined || outShardings === null
        ? result
        : withShardingConstraint(refuseAsync(fn, result), outShardings);
    },
    signature.avals,
    fn,
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
  return { params, consts, outTree, outAvals: avals, signature, inShardings, home: homeDevice(closed), compiled: null };
}

function layoutsOf(fn: string, given: Placement, treedef: Treedef): readonly unknown[] {
  return broadcastPrefix(given, treedef, fn, "inShardings");
}
