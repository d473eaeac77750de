import { DuplicateCoreError } from "./errors.ts";

/**
 * Two copies of core in one program cannot exchange values: their classes, symbols and traces differ. The second
 * copy warns when it loads; it does not throw, because hot reloading loads a second copy on purpose. Values of two
 * copies that meet throw.
 */
export interface CoreIdentity {
  readonly version: string;
  readonly path: string;
}

export const version = "0.1.0";
export const coreIdentity: CoreIdentity = { version, path: import.meta.url };

const loadedKey = Symbol.for("traceform.core.loaded");
const globals = globalThis as { [loadedKey]?: CoreIdentity };

const first = globals[loadedKey];
if (first === undefined) {
  globals[loadedKey] = coreIdentity;
} else if (first !== coreIdentity) {
  console.warn(`Traceform: two copies of @traceform/core are loaded:\n${describe(first)}\n${describe(coreIdentity)}`);
}

function describe({ version, path }: CoreIdentity): string {
  return `  ${version} at ${path}`;
}

/** Throws when `x` is an array made by another copy of core. */
export function checkSameCore(x: unknown): void {
  if (x === null || typeof x !== "object" || !("~traceform" in x)) return;
  const other = (x as { "~traceform": CoreIdentity })["~traceform"];
  if (other === coreIdentity) return;
  throw new DuplicateCoreError("core", {
    message: `an array of another copy of @traceform/core was used here:\n${describe(other)}\n${describe(coreIdentity)}`,
    fix: "install one version of @traceform/core (it is a peer dependency of every Traceform package) and deduplicate",
  });
}
