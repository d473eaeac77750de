import { asArray, makeAval, type NDArray, setDefaultBackend, traceToJaxpr } from "@traceform/core";
import * as lax from "@traceform/lax";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { cpu } from "./index.ts";

// Short forms of `npm run soak`.

async function collect(): Promise<void> {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  // Finalizers are tasks.
  for (let i = 0; i < 3; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("an executable that nobody refers to any more gives its tables back", async () => {
  const backend = cpu({ threads: 1, maxMemoryBytes: 8 << 20 });
  // A transform of this length has 0.6 MB of factors, so the heap has room for a dozen of such programs.
  const jaxpr = traceToJaxpr((x) => [lax.fft(x, "FFT", [1 << 16])], [makeAval([1 << 16], "complex64")], "f");
  for (let i = 0; i < 60; i++) {
    backend.compile(jaxpr, {});
    if (i % 6 === 5) await collect();
  }
});

test("a loop that only awaits reads keeps the heap small", async () => {
  const backend = setDefaultBackend(cpu({ threads: 1 }));
  let x: NDArray = lax.exp(asArray(new Float32Array(1 << 18)));
  // 1 GB of results; nothing but the reads lets the engine run finalizers.
  for (let i = 0; i < 1000; i++) {
    x = lax.mul(x, 0.5);
    if (i % 4 === 0) await x.data();
  }
  expect(backend.devices[0].memoryStats().bytesReserved).toBeLessThan(512 << 20);
});
