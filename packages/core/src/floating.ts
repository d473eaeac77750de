import type { Aval } from "./avals.ts";
import type { ConcreteArray } from "./concrete.ts";
import { literalValue } from "./arrays.ts";
import { config, looksForFloats } from "./config.ts";
import type { Device, HostArray } from "./device.ts";
import { isFloat, isComplex } from "./dtypes.ts";
import { FloatingPointError } from "./errors.ts";
import type { Effect } from "./effects.ts";
import { type Atom, type Eqn, Jaxpr, Literal, type Var } from "./jaxpr.ts";
import { hostRule, runsOnHost } from "./hoststep.ts";
import type { NDArray } from "./ndarray.ts";
import { definePrimitive, type Params, type Primitive, stepsRule, type StepsRule } from "./primitive.ts";
import { runProgram } from "./propagation.ts";
import { lazily } from "./programs.ts";
import { withSource } from "./source.ts";
import { withoutTrace } from "./trace.ts";

let replaying = false;

/** Whether results are looked through: `debugNans`, `debugInfs`. */
export function checksFloats(): boolean {
  return looksForFloats() && !replaying;
}

/** Runs a program without donation, and finds the equation at fault when its results hold what they must not. */
export function runChecked(
  jaxpr: Jaxpr,
  outAvals: readonly Aval[],
  name: string,
  args: readonly NDArray[],
  device: Device,
  replay: Replay,
): NDArray[] {
  if (device.backend.readSync === undefined) return runWatched(jaxpr, outAvals, name, args, device);
  const compiled = lazily(device.backend, jaxpr, outAvals, { name });
  const outs = runProgram(compiled, args, device, name);
  if (outs.every((x) => badValue(x) === null)) return outs;
  // What runs over processes runs in all of them, and others may have no bad value.
  if (outs.some((x) => !x.isFullyAddressable)) checkFloats(name, outs);
  replay.program(jaxpr, args);
  const [bad] = outs.flatMap((x) => badValue(x) ?? []);
  throw new FloatingPointError(name, {
    message: `${bad} among the results of the compiled program, but not in any of its equations when they run one by one`,
    fix: "compilation may have changed the rounding; debug.print intermediate values to find where they leave the range",
  });
}

/**
 * Runs a program on a device whose values cannot be read at once: a host step after each of its equations looks at the results, so
 * the first bad one is the failure of the program's results.
 */
export function runWatched(
  jaxpr: Jaxpr,
  outAvals: readonly Aval[],
  name: string,
  args: readonly NDArray[],
  device: Device,
): NDArray[] {
  const { debugNans, debugInfs } = config;
  const compiled = lazily(device.backend, watched(jaxpr, { debugNans, debugInfs }), outAvals, { name });
  return runProgram(compiled, args, device, name);
}

export interface WatchParams extends Wanted {
  readonly of: string;
  readonly frame: string | null;
}
const watching: Effect = { name: "watching", ordered: false, mayRepeat: true };
/** A look at values, which may be blocks of arrays, or batches: all of their elements count. */
export const watchP: Primitive<WatchParams> = /* @__PURE__ */ definePrimitive<WatchParams>("watch", {
  abstractEval: () => ({ avals: [], effects: [watching] }),
  rules: {
    [hostRule]: (outs: readonly NDArray[], { of, frame, ...wanted }: WatchParams) => {
      checkFloats(of, outs, frame, wanted);
      return [];
    },
  },
});

/** The jaxpr with a look at the results after each equation, in the jaxprs of those that consist of steps too. */
function watched(jaxpr: Jaxpr, wanted: Wanted): Jaxpr {
  const eqns = jaxpr.eqns.flatMap((eqn): Eqn[] => {
    const { primitive, params, outvars, effects, source } = eqn;
    if (primitive.rules[stepsRule] !== undefined) {
      const inner = (x: unknown): unknown => (x instanceof Jaxpr ? watched(x, wanted) : Array.isArray(x) ? x.map(inner) : x);
      const own = Object.fromEntries(Object.entries(params).map(([k, v]) => [k, inner(v)]));
      return [{ ...eqn, params: own, effects: new Set([...effects, watching]) }];
    }
    const seen = outvars.filter((v) => v !== null);
    if (!seen.some(({ aval }) => isFloat(aval.dtype) || isComplex(aval.dtype))) return [eqn];
    const look = { ...wanted, of: primitive.name, frame: source?.frame ?? null };
    const watch = watchP as unknown as Primitive<never>;
    return [eqn, { primitive: watch, invars: seen, outvars: [], params: look as never, effects: new Set([watching]), source }];
  });
  return new Jaxpr(jaxpr.constvars, jaxpr.invars, eqns, jaxpr.outvars);
}

/** Throws when results of one operation hold what they must not. */
export function checkFloats(name: string, outs: readonly NDArray[], frame: string | null = null, wanted: Wanted = config): void {
  outs.forEach((x, i) => {
    const bad = badValue(x, wanted);
    if (bad === null) return;
    throw new FloatingPointError(name, {
      message: `${bad} among the values of ${outs.length > 1 ? `result ${i}, ` : "the result, "}${x.aval}`,
      ...(frame === null ? {} : { at: frame }),
      fix: "look at its operands with debug.print; where(...) guards both branches only if its operands are safe in both",
    });
  });
}

/** What is looked for. */
type Wanted = Readonly<Pick<typeof config, "debugNans" | "debugInfs">>;

function badValue(x: NDArray, wanted: Wanted = config): string | null {
  if (typeof x.dtype !== "string" || !(isFloat(x.dtype) || isComplex(x.dtype))) return null;
  const { nan, infinite } = specials((x.concrete("debugNans") as ConcreteArray).storedSync());
  if (wanted.debugNans && nan) return "a NaN";
  return wanted.debugInfs && infinite ? "an infinity" : null;
}

/** The exponent of float16 and bfloat16, all of whose bits are set in NaN and infinities. */
const halfExponent: Partial<Record<string, number>> = { float16: 0x7c00, bfloat16: 0x7f80 };

function specials({ dtype, bytes }: HostArray): { nan: boolean; infinite: boolean } {
  let nan = false;
  let infinite = false;
  const exponent = halfExponent[dtype];
  const { buffer, byteOffset, byteLength } = bytes;
  if (exponent !== undefined) {
    for (const bits of new Uint16Array(buffer, byteOffset, byteLength / 2)) {
      if ((bits & exponent) !== exponent) continue;
      if ((bits & 0x7fff) === exponent) infinite = true;
      else nan = true;
    }
    return { nan, infinite };
  }
  const single = dtype === "float32" || dtype === "complex64";
  for (const v of single
    ? new Float32Array(buffer, byteOffset, byteLength / 4)
    : new Float64Array(buffer, byteOffset, byteLength / 8)) {
    if (Number.isFinite(v)) continue;
    if (Number.isNaN(v)) nan = true;
    else infinite = true;
  }
  return { nan, infinite };
}

/**
 * Runs programs again, equation by equation, until one gives what it must not. Callbacks for debugging are left out; where one with
 * side effects has a result that is needed, the search ends.
 */
export class Replay {
  /** Evaluates one operation without looking at its results. */
  readonly #evaluate: (primitive: Primitive<never>, args: readonly NDArray[], params: Params) => NDArray[];
  constructor(evaluate: (primitive: Primitive<never>, args: readonly NDArray[], params: Params) => NDArray[]) {
    this.#evaluate = evaluate;
  }

  /** @throws {FloatingPointError} naming the first equation with a bad result, if there is one */
  program(jaxpr: Jaxpr, args: readonly NDArray[]): void {
    this.#search(() => this.#run(jaxpr, args));
  }
  /** The same for one operation that holds jaxprs. */
  operation(primitive: Primitive<never>, args: readonly NDArray[], params: Params): void {
    const steps = primitive.rules[stepsRule] as StepsRule | undefined;
    if (steps !== undefined) this.#search(() => steps(args, params, (jaxpr, xs) => this.#run(jaxpr, xs)));
  }
  #search(fn: () => unknown): void {
    replaying = true;
    try {
      withoutTrace(fn);
    } finally {
      replaying = false;
    }
  }

  #run(jaxpr: Jaxpr, args: readonly NDArray[]): NDArray[] {
    const env = new Map<Var, NDArray>();
    const read = (a: Atom): NDArray => (a instanceof Literal ? literalValue(a) : env.get(a)!);
    [...jaxpr.constvars, ...jaxpr.invars].forEach((v, i) => env.set(v, args[i]));
    for (const eqn of jaxpr.eqns) {
      const outs = withSource(eqn.source, () => this.#equation(eqn, eqn.invars.map(read)));
      eqn.outvars.forEach((v, i) => env.set(v, outs[i]));
    }
    return jaxpr.outvars.map(read);
  }

  #equation({ primitive, params, outvars, effects, source }: Eqn, args: readonly NDArray[]): NDArray[] {
    if (runsOnHost(primitive) && effects.size > 0) {
      if (outvars.length === 0) return [];
      throw new FloatingPointError(primitive.name, {
        message: "somewhere after this callback there is a bad value, but the callback has side effects and is not called again",
        ...(source?.frame == null ? {} : { at: source.frame }),
        fix: "look at the values that follow with debug.print",
      });
    }
    const steps = primitive.rules[stepsRule] as StepsRule | undefined;
    const stepped = steps?.(args, params, (jaxpr, xs) => this.#run(jaxpr, xs)) ?? null;
    if (stepped !== null) return stepped;
    const outs = this.#evaluate(primitive, args, params);
    checkFloats(primitive.name, outs, source?.frame ?? null);
    return outs;
  }
}
