/**
 * The one queue of a device: programs, puts, reads, donation and frees happen in the order in which they were
 * submitted. It runs a task inline when it is empty, so a synchronous device stays synchronous; once a task is
 * asynchronous, the following ones wait for it.
 */
export class DeviceQueue {
  #tail: Promise<void> | null = null;
  /** Whether a task that had to wait runs now: what it submits (a host step may use the library) is a part of it. */
  #inTask = false;

  /** True when the next task will run inline. */
  get isIdle(): boolean {
    return this.#tail === null || this.#inTask;
  }

  submit<T>(task: () => T | Promise<T>): T | Promise<T> {
    if (this.isIdle) {
      const result = task();
      return result instanceof Promise ? this.#follow(result) : result;
    }
    return this.#follow(this.#tail!.then(() => this.#inTurn(task)));
  }

  #inTurn<T>(task: () => T | Promise<T>): T | Promise<T> {
    this.#inTask = true;
    try {
      return task();
    } finally {
      // What follows an `await` in it comes at no foreseeable time, so it waits like everybody else.
      this.#inTask = false;
    }
  }

  /** Resolves when everything submitted so far has ended, well or badly. */
  async idle(): Promise<void> {
    while (this.#tail !== null) await this.#tail;
  }

  #follow<T>(result: Promise<T>): Promise<T> {
    // A failure belongs to whoever reads the result; it must not stop the queue.
    // What a task submits must not overtake what waits already.
    const all = this.#inTask ? Promise.allSettled([result, this.#tail]) : result;
    const tail: Promise<void> = all.then(
      () => this.#settle(tail),
      () => this.#settle(tail),
    );
    this.#tail = tail;
    busy.add(this);
    return result;
  }
  #settle(tail: Promise<void>): void {
    if (this.#tail !== tail) return;
    this.#tail = null;
    busy.delete(this);
  }
}

/** The queues, of any backend, in which something waits. */
const busy = new Set<DeviceQueue>();

/**
 * Resolves when all that was asked for so far has been computed on all devices, so when its effects have happened: what
 * `debug.print` and callbacks do, results that nobody reads included. Failures surface where results are read. On a device that
 * computes synchronously effects have happened when a call returns.
 *
 * @example
 * ```ts
 * step(x); // a jitted function that prints
 * await effectsBarrier();
 * ```
 */
export async function effectsBarrier(): Promise<void> {
  await Promise.all([...busy].map((queue) => queue.idle()));
}
