import { namedScopes } from "./scopes.ts";

/** Where the user's code was when an equation was staged. The stack is formatted only when somebody asks. */
export interface SourceLocation {
  /** The first frame outside Traceform: `/home/me/file.ts:12:5`, or `null` when the engine tells nothing. */
  readonly frame: string | null;
  /** The `namedScope`s that were open. */
  readonly scope: string;
}

/** Frames of installed packages of ours, and those that have no place. */
const ownFrame =
  /[\\/]@traceform[\\/][\w-]+[\\/]|node_modules[\\/]traceform[\\/]|^\s*at (?:new )?<anonymous>|\(<anonymous>\)|node:internal/;
/** The packages beside this one in its repository: known by their place, because others have folders of these names too. */
const beside = /^(?:file:\/\/)?(.*\/)core\/(?:src|dist)\/source\.[jt]s$/.exec(import.meta.url)?.[1] ?? null;
const insideBeside = /^[\w-]+\/(?:src|dist)\/(?!.*\.test\.)/;

function isOwn(line: string): boolean {
  if (ownFrame.test(line)) return true;
  if (beside === null) return false;
  const path = line.replaceAll("\\", "/");
  const at = path.indexOf(beside);
  return at >= 0 && insideBeside.test(path.slice(at + beside.length));
}

class CapturedLocation implements SourceLocation {
  readonly scope: string;
  readonly #error: Error;
  constructor(error: Error, scope: string) {
    this.#error = error;
    this.scope = scope;
  }
  get frame(): string | null {
    const lines = this.#error.stack?.split("\n") ?? [];
    const line = lines.find((l, i) => i > 0 && !isOwn(l));
    const found = line?.match(/\(?([^\s()]+:\d+:\d+)\)?$/);
    return found?.[1].replace(/^file:\/\/(?=\/)/, "") ?? null;
  }
}

let inherited: SourceLocation | null = null;

/**
 * Where an equation that is staged now comes from: while a jaxpr is evaluated, which is how transformations rewrite it, the
 * equation it is made from; otherwise the line that runs.
 */
export function currentSource(): SourceLocation {
  return inherited ?? captureSource(namedScopes());
}

/** The equation that what is staged now is made from, if any. */
export function inheritedSource(): SourceLocation | null {
  return inherited;
}

/** Says that what is staged from now on comes from `source`; returns what it came from before, to be put back. */
export function inheritSource(source: SourceLocation | null): SourceLocation | null {
  const before = inherited;
  inherited = source;
  return before;
}

/** Runs code that is made from an equation with this source; without one, from what it is made from already. */
export function withSource<T>(source: SourceLocation | null, fn: () => T): T {
  return source === null ? fn() : inheriting(source, fn);
}

/** Runs code that is not made from any equation. */
export function withoutSource<T>(fn: () => T): T {
  return inheriting(null, fn);
}

function inheriting<T>(source: SourceLocation | null, fn: () => T): T {
  const before = inheritSource(source);
  try {
    return fn();
  } finally {
    inherited = before;
  }
}

/** Captures the current location. Costs about a microsecond: call it while staging, never while running. */
export function captureSource(scope = ""): SourceLocation {
  // V8 only; elsewhere the property does nothing.
  const engine = Error as { stackTraceLimit?: number };
  const limit = engine.stackTraceLimit;
  engine.stackTraceLimit = 24;
  const error = new Error();
  engine.stackTraceLimit = limit;
  return new CapturedLocation(error, scope);
}
