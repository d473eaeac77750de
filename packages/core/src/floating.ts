import type { Aval } from "./avals.ts";
import { literalValue } from "./arrays.ts";
import { config, looksForFloats } from "./config.ts";
import type { Device, HostArray } from "./device.ts";
import { isFloat, isComplex } from "./dtypes.ts";
import { FloatingPointError } from "./errors.ts";
import { type Atom, type Eqn, type Jaxpr, Literal, type Var } from "./jaxpr.ts";
import { runsOnHost } from "./hoststep.ts";
import type { NDArray } from "./ndarray.ts";
import { type Params, type Primitive, stepsRule, type StepsRule } from "./primitive.ts";
import { laysOut, resultShardings } from "./propagation.ts";
import { compileProgram, runCompiled } from "./programs.ts";
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
  const compiled = { executable: compileProgram(device.backend, jaxpr, { name }), outAvals, jaxpr, laysOut: laysOut(jaxpr) };
  const outs = runCompiled(compiled, args, device, undefined, resultShardings(compiled, args, name));
  if (outs.every((x) => badValue(x) === null)) return outs;
  replay.program(jaxpr, args);
  const [bad] = outs.flatMap((x) => badValue(x) ?? []);
  throw new FloatingPointError(name, {
    message: `${bad} among the results of the compiled program, but not in any of its equations when they run one by one`,
    fix: "compilation may have changed the rounding; debug.print intermediate values to find where they leave the range",
  });
}

/** Throws when results of one operation hold what they must not. */
export function checkFloats(name: string, outs: readonly NDArray[], frame: string | null = null): void {
  outs.forEach((x, i) => {
    const bad = badValue(x);
    if (bad === null) return;
    throw new FloatingPointError(name, {
      message: `${bad} among the values of ${outs.length > 1 ? `result ${i}, ` : "the result, "}${x.aval}`,
      ...(frame === null ? {} : { at: frame }),
      fix: "look at its operands with debug.print; where(...) guards both branches only if its operands are safe in both",
    });
  });
}

function badValue(x: NDArray): string | null {
  if (typeof x.dtype !== "string" || !(isFloat(x.dtype) || isComplex(x.dtype))) return null;
  const { nan, infinite } = specials(x.toHost("debugNans"));
  if (config.debugNans && nan) return "a NaN";
  return config.debugInfs && infinite ? "an infinity" : null;
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
