import type { NDArray, Tracer } from "./ndarray.ts";
import { TransformError, UnexpectedTracerError } from "./errors.ts";
import type { Params, Primitive } from "./primitive.ts";
import { setActiveTrace } from "./stack.ts";

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
  /** Whether what it processes becomes equations, now or in a trace further out, which have sources. */
  get stages(): boolean {
    return false;
  }

  constructor(name: string) {
    this.name = name;
  }
  /** Interprets one application of a primitive. */
  abstract process(primitive: Primitive<never>, args: readonly NDArray[], params: Params): NDArray[];
}

export { activeTrace } from "./stack.ts";

/** Runs `fn` with `trace` as the current trace, and restores the stack however `fn` ends. */
export function withTrace<T>(trace: Trace, fn: () => T): T {
  return under(trace, fn);
}

/** Runs `fn` as if no transformation were active: what it computes, it computes at once. */
export function withoutTrace<T>(fn: () => T): T {
  return under(null, fn);
}

function under<T>(trace: Trace | null, fn: () => T): T {
  const previous = setActiveTrace(trace);
  try {
    return fn();
  } finally {
    setActiveTrace(previous);
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

let customRule: string | null = null;

/** Runs the derivative that a user gave to the function `name`, so that errors can say where they come from. */
export function withCustomRule<T>(name: string, rule: () => T): T {
  const outer = customRule;
  customRule = name;
  try {
    return rule();
  } finally {
    customRule = outer;
  }
}

export function leaked(fn: string, tracer: Tracer): UnexpectedTracerError {
  if (customRule !== null) {
    return new UnexpectedTracerError(fn, {
      message: `the derivative rule of ${customRule} closes over a traced ${tracer.aval} of ${tracer.tracedBy.name}, which it cannot see: it runs outside of it`,
      fix: `make the value an argument of ${customRule} (its rule gets it then, or has it as a residual), or compute it outside of what is transformed`,
    });
  }
  return new UnexpectedTracerError(fn, {
    message: `a traced ${tracer.aval} leaked from ${tracer.tracedBy.name}, which has already returned${tracer.madeBy()}`,
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
