/** What a worker is told. Its first message is `start`. */
export type WorkerMessage =
  | {
      readonly kind: "start";
      readonly memory: WebAssembly.Memory;
      /** Indices of the control words, and the bits of the state word: this function cannot import them. */
      readonly words: {
        readonly state: number;
        readonly sleepers: number;
        readonly posted: number;
        readonly failed: number;
        readonly ready: number;
        readonly waiting: number;
        readonly program: number;
        readonly received: number;
      };
      readonly open: number;
      readonly generation: number;
      /** How long a worker looks for the next job before it sleeps, in milliseconds. */
      readonly spin: number;
      /** Messages before this worker's first one. */
      readonly posted: number;
      /** The number of the worker's thread; the main thread is number 0. */
      readonly thread: number;
    }
  | { readonly kind: "library"; readonly module: WebAssembly.Module }
  | { readonly kind: "program"; readonly id: number; readonly module: WebAssembly.Module }
  | { readonly kind: "drop"; readonly id: number };

/**
 * The body of a worker. It is sent as text, so it refers to nothing outside itself; that spares users a file to serve and
 * bundlers a special case.
 *
 * It leaves its loop only when messages are waiting, which it takes in its event loop as workers do everywhere.
 */
export function workerBody(): void {
  interface Port {
    onmessage: ((event: { readonly data: unknown }) => void) | null;
  }
  interface NodeThreads {
    readonly parentPort: Port;
  }
  const host = globalThis as unknown as {
    readonly process?: { readonly getBuiltinModule?: (name: string) => NodeThreads | undefined };
  } & Port;
  const port: Port = host.process?.getBuiltinModule?.("node:worker_threads")?.parentPort ?? host;
  const pause = (Atomics as { pause?: () => void }).pause ?? ((): void => {});
  let start: Extract<WorkerMessage, { kind: "start" }>;
  let words: Int32Array;
  let received = 0;
  let seen = -1;
  let library: WebAssembly.ExportValue | undefined;
  const programs = new Map<number, (thread: number) => void>();

  /** Takes part in the job that `value` announced, if it is still open. */
  const join = (value: number): void => {
    const at = start.words;
    const work = programs.get(Atomics.load(words, at.program));
    // The job cannot change while somebody is counted in, nor can it have changed before that.
    if (work !== undefined && Atomics.compareExchange(words, at.state, value, value + 1) !== value) return;
    seen = value & -start.generation;
    if (work === undefined) return;
    try {
      work(start.thread);
    } catch {
      Atomics.store(words, at.failed, 1);
    }
    Atomics.sub(words, at.state, 1);
    if (Atomics.load(words, at.waiting) !== 0) Atomics.notify(words, at.state);
  };

  const serve = (): void => {
    const at = start.words;
    let since = performance.now();
    let looks = 0;
    while (Atomics.load(words, at.posted) === received) {
      const value = Atomics.load(words, at.state);
      if ((value & -start.generation) !== seen) {
        if ((value & start.open) !== 0) join(value);
        else seen = value & -start.generation;
        since = performance.now();
        continue;
      }
      pause();
      if ((++looks & 63) !== 0 || performance.now() - since < start.spin) continue;
      Atomics.add(words, at.sleepers, 1);
      if (Atomics.load(words, at.posted) === received) Atomics.wait(words, at.state, value);
      Atomics.sub(words, at.sleepers, 1);
      since = performance.now();
    }
  };

  port.onmessage = ({ data }): void => {
    const message = data as WorkerMessage;
    received++;
    switch (message.kind) {
      case "start":
        start = message;
        received = message.posted + 1;
        words = new Int32Array(message.memory.buffer, 0, 256);
        Atomics.add(words, message.words.ready, 1);
        break;
      case "library":
        library = new WebAssembly.Instance(message.module, { e: { m: start.memory } }).exports["block"];
        break;
      case "program": {
        const imports: Record<string, WebAssembly.ImportValue> = { m: start.memory, trouble: () => {}, host: () => {} };
        if (library !== undefined) imports["block"] = library;
        const { exports } = new WebAssembly.Instance(message.module, { e: imports });
        programs.set(message.id, exports["work"] as (thread: number) => void);
        break;
      }
      case "drop":
        programs.delete(message.id);
    }
    Atomics.add(words, start.words.received, 1);
    if (Atomics.load(words, start.words.posted) === received) serve();
  };
}
