/** Where the user's code was when an equation was staged. The stack is formatted only when somebody asks. */
export interface SourceLocation {
  /** The first frame outside Traceform: `file.ts:12:5`, or `null` when the engine tells nothing. */
  readonly frame: string | null;
  /** The `namedScope`s that were open. */
  readonly scope: string;
}

const ownFrame =
  /[\\/](?:packages|@traceform)[\\/][\w-]+[\\/](?:src|dist)[\\/](?!.*\.test\.)|node_modules[\\/]traceform[\\/]|^\s*at (?:new )?<anonymous>|\(<anonymous>\)|node:internal/;

class CapturedLocation implements SourceLocation {
  readonly scope: string;
  readonly #error: Error;
  constructor(error: Error, scope: string) {
    this.#error = error;
    this.scope = scope;
  }
  get frame(): string | null {
    const lines = this.#error.stack?.split("\n") ?? [];
    const line = lines.find((l, i) => i > 0 && !ownFrame.test(l));
    const found = line?.match(/\(?([^\s()]+:\d+:\d+)\)?$/);
    return found?.[1] ?? null;
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
