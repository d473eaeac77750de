import type { CpuOptions } from "@traceform/backend-cpu";
import { type Outcome, run } from "./programs.ts";

/** What a page did: what it shows, and what the test reads. */
export interface Report {
  readonly isolated: boolean;
  readonly outcome: Outcome;
}

/** Runs the programs on the page's main thread, or in a module worker, and shows what came out. */
async function runHere(options: CpuOptions, expected: number, inWorker: boolean): Promise<Report> {
  const report: Report = {
    isolated: globalThis.crossOriginIsolated,
    outcome: inWorker ? await inAWorker(options, expected) : await run(options, expected),
  };
  show(report);
  return report;
}

function inAWorker(options: CpuOptions, expected: number): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const worker = new Worker("/page.js", { type: "module" });
    worker.addEventListener("message", ({ data }: MessageEvent<Outcome | string>) =>
      typeof data === "string" ? reject(new Error(data)) : resolve(data),
    );
    worker.addEventListener("error", (event) => reject(new Error(event.message)));
    worker.postMessage([options, expected]);
  });
}

function show({ isolated, outcome }: Report): void {
  const table = element("table");
  for (const [name, text] of Object.entries(outcome.digests)) {
    table.append(element("tr", element("td", name), element("td", element("code", text.slice(-64)))));
  }
  document.body.append(
    element("h1", "Traceform in a browser"),
    element("p", `${isolated ? "cross-origin isolated" : "not isolated"}, threads: ${outcome.threads}, sleeps: ${outcome.sleeps}`),
    table,
  );
}

function element(name: string, ...content: (Node | string)[]): HTMLElement {
  const e = document.createElement(name);
  e.append(...content);
  return e;
}

// This module is the page's script and the worker's.
if (typeof document === "undefined") {
  addEventListener("message", ({ data: [options, expected] }: MessageEvent<[CpuOptions, number]>) => {
    run(options, expected).then(postMessage, (error: unknown) => postMessage(String(error)));
  });
} else Object.assign(globalThis, { run: runHere });
