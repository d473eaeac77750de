import { workerBody } from "./worker.ts";

/** A thread as the pool sees it. */
export interface Thread {
  post(message: unknown): void;
  terminate(): void;
}

interface NodeWorker {
  postMessage(message: unknown): void;
  terminate(): void;
  unref(): void;
  on(event: "exit" | "error", listener: () => void): void;
}
interface NodeThreads {
  readonly Worker: new (
    source: string,
    options: { readonly eval: true; readonly name: string; readonly execArgv: string[] },
  ) => NodeWorker;
}

const name = "traceform";

/** Threads that this machine runs at once. */
export function hardwareThreads(): number {
  return (globalThis as { navigator?: { hardwareConcurrency?: number } }).navigator?.hardwareConcurrency ?? 1;
}

/** Whether memory can be shared with workers: in Node always, in browsers on cross-origin isolated pages. */
export function canShareMemory(): boolean {
  return typeof SharedArrayBuffer === "function" && (nodeThreads() !== null || typeof Worker === "function");
}

/** Whether this thread may sleep until others wake it. A browser's main thread may not. */
export function maySleep(): boolean {
  return nodeThreads() !== null || typeof (globalThis as { WorkerGlobalScope?: unknown }).WorkerGlobalScope === "function";
}

function nodeThreads(): NodeThreads | null {
  const { process } = globalThis as { process?: { getBuiltinModule?: (name: string) => NodeThreads | undefined } };
  return process?.getBuiltinModule?.("node:worker_threads") ?? null;
}

/**
 * Starts a worker, which keeps no process alive. `onDeath` is called when it ends by itself.
 *
 * @throws where the platform refuses at once, as pages do that ask for trusted types; a page's `worker-src` shows as a death
 */
export function startThread(onDeath: () => void): Thread {
  const source = `(${workerBody.toString()})()`;
  const node = nodeThreads();
  if (node !== null) {
    // Without the flags of this process: they may load hooks that have nothing to do here.
    const worker = new node.Worker(source, { eval: true, name, execArgv: [] });
    worker.unref();
    worker.on("error", onDeath);
    worker.on("exit", onDeath);
    return { post: (message) => worker.postMessage(message), terminate: () => void worker.terminate() };
  }
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url, { name });
  worker.addEventListener("error", (event) => {
    // Without this the page would report it, too.
    event.preventDefault();
    onDeath();
  });
  // The worker has fetched its source by the time it answers anything; a later task is early enough to let go.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  return { post: (message) => worker.postMessage(message), terminate: () => worker.terminate() };
}
