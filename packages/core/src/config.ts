import { ValueError } from "./errors.ts";

/** How dtypes meet: by the lattice, or hardly at all. */
export type DTypePromotion = "standard" | "strict";

/** What `config` holds. */
export interface ConfigValues {
  /** Whether a NaN among the results of an operation or a jitted program is an error: see `debugNans`. */
  debugNans: boolean;
  /** The same for infinities. */
  debugInfs: boolean;
  /** Whether `jit` and the loops and branches of lax run as plain JavaScript: see `disableJit`. */
  disableJit: boolean;
  /** Whether every miss of the tracing cache of `jit` is explained on the console: see `explainCacheMisses`. */
  explainCacheMisses: boolean;
  /** How operands of different dtypes meet: see `numpyDtypePromotion`. */
  numpyDtypePromotion: DTypePromotion;
}

/** The settings of the library, which `update` changes for good and functions of their names for one call. */
export interface Config extends Readonly<ConfigValues> {
  /** @throws {ValueError} for a name that is no setting, or a value that it cannot have */
  update<K extends keyof ConfigValues>(name: K, value: ConfigValues[K]): void;
}

const values: ConfigValues = {
  debugNans: false,
  debugInfs: false,
  disableJit: false,
  explainCacheMisses: false,
  numpyDtypePromotion: "standard",
};
const flag: readonly unknown[] = [false, true];
const choices: { readonly [K in keyof ConfigValues]: readonly unknown[] } = {
  debugNans: flag,
  debugInfs: flag,
  disableJit: flag,
  explainCacheMisses: flag,
  numpyDtypePromotion: ["standard", "strict"],
};

/** Whether results are to be looked through for bad values. @internal */
export function looksForFloats(): boolean {
  return values.debugNans || values.debugInfs;
}

export const config: Config = {
  get debugNans(): boolean {
    return values.debugNans;
  },
  get debugInfs(): boolean {
    return values.debugInfs;
  },
  get disableJit(): boolean {
    return values.disableJit;
  },
  get explainCacheMisses(): boolean {
    return values.explainCacheMisses;
  },
  get numpyDtypePromotion(): DTypePromotion {
    return values.numpyDtypePromotion;
  },
  update(name, value) {
    if (!Object.hasOwn(values, name)) {
      throw new ValueError("config.update", {
        message: `there is no setting "${String(name)}"`,
        fix: `choose one of ${Object.keys(values).join(", ")}`,
      });
    }
    if (!choices[name].includes(value)) {
      throw new ValueError("config.update", {
        message: `${name} cannot be ${String(value)}`,
        fix: `choose one of ${choices[name].join(", ")}`,
      });
    }
    values[name] = value;
  },
};

function during<K extends keyof ConfigValues, T>(name: K, value: ConfigValues[K], fn: () => T): T {
  const before = values[name];
  config.update(name, value);
  try {
    return fn();
  } finally {
    values[name] = before;
  }
}

/**
 * Runs `fn` with the check for NaN on or off: every operation that is evaluated, and every jitted program that runs, throws a
 * `FloatingPointError` when there is a NaN among its results. A program is then run again, equation by equation, to name the
 * primitive and the line. For good: `config.update("debugNans", true)`.
 *
 * Results are read back for it, so programs are slower, and no memory is donated.
 */
export function debugNans<T>(value: boolean, fn: () => T): T {
  return during("debugNans", value, fn);
}

/** `debugNans` for infinities. */
export function debugInfs<T>(value: boolean, fn: () => T): T {
  return during("debugInfs", value, fn);
}

/**
 * Runs `fn` with `jit` switched off: jitted functions run as they are written, with concrete arguments, and `scan`,
 * `whileLoop`, `cond` and what is made of them run their functions in JavaScript loops and branches. For debugging, because values
 * can be printed and looked at everywhere. A predicate that `vmap` batches, or that a trace does not know, is staged as ever. For
 * good: `config.update("disableJit", true)`.
 */
export function disableJit<T>(fn: () => T): T {
  return during("disableJit", true, fn);
}

/**
 * Runs `fn` with strict promotion, or standard one: under `"strict"` an operation on arrays of different dtypes is an error, so that
 * every conversion is written down. Weak values (JavaScript numbers) still give way to the dtype beside them, if they keep their kind.
 * For good: `config.update("numpyDtypePromotion", "strict")`.
 */
export function numpyDtypePromotion<T>(value: DTypePromotion, fn: () => T): T {
  return during("numpyDtypePromotion", value, fn);
}
