import { EvalTrace } from "./eager.ts";
import { isTracer, type NDArray } from "./ndarray.ts";
import type { Params, Primitive } from "./primitive.ts";
import { activeTrace, leaked, type Trace, withTrace } from "./trace.ts";

// The bottom of the stack. It is named here, and not registered by its module, so that a bundler cannot drop it.
const bottom: Trace = /* @__PURE__ */ new EvalTrace("eval");

export function currentTrace(): Trace {
  return activeTrace() ?? bottom;
}

/** The bottom trace is the current one: no transformation is active. */
export function isEager(trace: Trace): boolean {
  return trace === bottom;
}

/** Applies a primitive to values under the current trace: the one door through which every operation goes. */
export function bind<P>(primitive: Primitive<P>, args: readonly NDArray[], params: P): NDArray[] {
  for (let i = 0; i < args.length; i++) {
    const x = args[i];
    if (isTracer(x) && !x.tracedBy.alive) throw leaked(primitive.name, x);
  }
  return currentTrace().process(primitive as unknown as Primitive<never>, args, params as Params);
}

/** `bind` for primitives with exactly one result. */
export function bind1<P>(primitive: Primitive<P>, args: readonly NDArray[], params: P): NDArray {
  return bind(primitive, args, params)[0];
}

/**
 * Runs `fn` at the bottom of the stack, even while a function is traced: operations on values that are known compute them
 * now, so they may steer an `if` or become shapes. Nothing inside may depend on what is being traced.
 *
 * @throws {TracerError} when a tracer is used inside
 * @example
 * ```ts
 * const f = jit((x: NDArray) => {
 *   const steps = ensureCompileTimeEval(() => sum(array([1, 2])).itemSync());
 *   return multiply(x, Number(steps));
 * });
 * f(array([1, 2])).jsSync(); // => [3, 6]
 * ```
 */
export function ensureCompileTimeEval<T>(fn: () => T): T {
  return withTrace(bottom, fn);
}
