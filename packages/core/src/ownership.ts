import { currentTrace, isEager } from "./bind.ts";
import { ConcreteArray } from "./concrete.ts";
import type { NDArray } from "./ndarray.ts";
import type { Params, Primitive } from "./primitive.ts";
import { Trace } from "./trace.ts";

/**
 * The arrays that a transformation makes for itself while it runs eagerly: residuals, intermediate cotangents, batches
 * behind tracers. Nobody else sees them, so their memory is given back when the transformation returns, without waiting
 * for the collector.
 *
 * Whatever reaches user code (a result, a value that does not depend on what is differentiated, anything that a custom
 * rule makes or gets) is *revealed*, and left to the collector.
 */
export class Ownership {
  readonly trace: Trace;
  readonly #arrays = new Set<NDArray>();
  #paused = 0;

  private constructor(parent: Trace) {
    this.trace = new OwningTrace(parent, this);
  }
  /** Ownership of what the current trace evaluates; `null` unless it evaluates at once. */
  static begin(): Ownership | null {
    const trace = currentTrace();
    return isEager(trace) ? new Ownership(trace) : null;
  }
  add(xs: readonly NDArray[]): void {
    if (this.#paused === 0) for (const x of xs) this.#arrays.add(x);
  }
  reveal(xs: Iterable<unknown>): void {
    for (const x of xs) this.#arrays.delete(x as NDArray);
  }
  /** Runs a rule that is user code: what it makes is not ours. */
  whileUserCode<T>(fn: () => T): T {
    this.#paused++;
    try {
      return fn();
    } finally {
      this.#paused--;
    }
  }
  /** Gives the memory back, except that of `kept`. */
  end(kept: Iterable<unknown>): void {
    this.reveal(kept);
    for (const x of this.#arrays) if (x instanceof ConcreteArray) x.release();
    this.#arrays.clear();
  }
}

class OwningTrace extends Trace {
  readonly #parent: Trace;
  readonly #owner: Ownership;
  constructor(parent: Trace, owner: Ownership) {
    super(parent.name);
    this.#parent = parent;
    this.#owner = owner;
  }
  process(primitive: Primitive<never>, args: readonly NDArray[], params: Params): NDArray[] {
    const outs = this.#parent.process(primitive, args, params);
    this.#owner.add(outs);
    return outs;
  }
}
