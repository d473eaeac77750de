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
    return result;
  }
  #settle(tail: Promise<void>): void {
    if (this.#tail === tail) this.#tail = null;
  }
}
