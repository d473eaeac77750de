interface Host {
  readonly setImmediate?: (callback: () => void) => void;
}

/** Resolves in a task of its own, as soon as there can be one: what the engine does between tasks is done by then. */
export function nextTask(): Promise<void> {
  const { setImmediate } = globalThis as Host;
  if (setImmediate !== undefined) return new Promise((resolve) => setImmediate(resolve));
  // Timers of browsers wait for some milliseconds; messages do not.
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
