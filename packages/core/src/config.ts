import { ValueError } from "./errors.ts";

/** What `config` holds. */
export interface ConfigValues {
  /** Whether a NaN among the results of an operation or a jitted program is an error: see `debugNans`. */
  debugNans: boolean;
  /** The same for infinities. */
  debugInfs: boolean;
}

/** The settings of the library, which `update` changes for good and functions of their names for one call. */
export interface Config extends Readonly<ConfigValues> {
  /** @throws {ValueError} for a name that is no setting, or a value of another type */
  update<K extends keyof ConfigValues>(name: K, value: ConfigValues[K]): void;
}

const values: ConfigValues = { debugNans: false, debugInfs: false };

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
  update(name, value) {
    if (!Object.hasOwn(values, name)) {
      throw new ValueError("config.update", {
        message: `there is no setting "${String(name)}"`,
        fix: `choose one of ${Object.keys(values).join(", ")}`,
      });
    }
    if (typeof value !== typeof values[name]) {
      throw new ValueError("config.update", {
        message: `${name} is a ${typeof values[name]}, not ${String(value)}`,
        fix: `pass a ${typeof values[name]}`,
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
