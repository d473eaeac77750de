import type { Trace } from "./trace.ts";

// The interpreter stack's one piece of state, in a module without imports: errors ask for it, and traces throw errors.
let current: Trace | null = null;

/** The innermost active transformation, or `null` when values are computed at once. */
export function activeTrace(): Trace | null {
  return current;
}

/** Makes a trace the current one; returns what was, to be put back. */
export function setActiveTrace(trace: Trace | null): Trace | null {
  const before = current;
  current = trace;
  return before;
}
