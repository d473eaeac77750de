import type { NDArray, Tracer } from "./ndarray.ts";
import { TransformError, UnexpectedTracerError } from "./errors.ts";
import type { Params, Primitive } from "./primitive.ts";

/**
 * One interpreter. The interpreter stack is the chain of `parent`s that the transformations keep; the *current*
 * trace is dynamic state, and every `bind` goes to it. A trace's own tracers carry what it knows of a value;
 * everything else is a constant to it.
 */
export abstract class Trace {
  /** What errors call it: `jit(step)`, `grad(loss)`. */
  readonly name: string;
  /** False once the traced function has returned: a tracer seen after that has leaked. */
  alive = true;

  constructor(name: string) {
    this.name = name;
  }
  /** Interprets one application of a primitive. */
  abstract process(primitive: Primitive<never>, args: readonly NDArray[], params: Params): NDArray[];
}

let current: Trace | null = null;

/** The innermost active transformation, or `null` when values are computed at once. */
export function activeTrace(): Trace | null {
  return current;
}

/** Runs `fn` with `trace` as the current trace, and restores the stack however `fn` ends. */
export function withTrace<T>(trace: Trace, fn: () => T): T {
  const previous = current;
  current = trace;
  try {
    return fn();
  } finally {
    current = previous;
  }
}

/**
 * Runs a traced function under a new trace and retires the trace afterwards, so that tracers which outlive the
 * call are recognised as leaked.
 */
export function withNewTrace<T>(trace: Trace, fn: () => T): T {
  try {
    return withTrace(trace, fn);
  } finally {
    trace.alive = false;
  }
}

export function leaked(fn: string, tracer: Tracer): UnexpectedTracerError {
  return new UnexpectedTracerError(fn, {
    message: `a traced ${tracer.aval} leaked from ${tracer.tracedBy.name}, which has already returned`,
    fix: `return the value from the traced function instead of storing it elsewhere (a global, a field, a closure)`,
  });
}

/** Refuses the result of an `async` function: traced functions are synchronous. */
export function refuseAsync<T>(fn: string, result: T): T {
  if (result !== null && typeof result === "object" && typeof (result as { then?: unknown }).then === "function") {
    // The promise is not ours to await; a rejection that follows from this error must not become a second one.
    Promise.resolve(result).catch(() => {});
    throw new TransformError(fn, {
      message: "the function to transform is async, but traced functions are synchronous",
      fix: "await inputs before the call and outputs after it; inside, use only array operations",
    });
  }
  return result;
}
