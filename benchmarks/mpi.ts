// The sum over two processes as a program computes it, beside a program without it and a bare call of the library: what parallel.ts
// starts under mpirun.
import { cpu } from "../packages/backend-cpu/dist/index.js";
import { fromTyped, type NDArray, setDefaultBackend } from "../packages/core/dist/index.js";
import { initialize, processIndex } from "../packages/distributed/dist/index.js";
import { loadMpi } from "../packages/distributed/dist/mpi/library.js";
import { mpi } from "../packages/distributed/dist/mpi.js";
import { jit } from "../packages/jit/dist/index.js";
import * as lax from "../packages/lax/dist/index.js";
import { makeMesh, P, shardMap } from "../packages/pmap/dist/index.js";
import { median } from "./median.ts";

const transport = await mpi();
await initialize({ transport });
setDefaultBackend(cpu({ threads: 1 }));
const library = await loadMpi();
const { abi } = library;
const mesh = makeMesh([2], ["i"]);
const local = jit((x: NDArray) => lax.mul(x, 2));
const sum = jit(shardMap((x: NDArray) => lax.psum(lax.mul(x, 2), "i"), { mesh, inSpecs: P("i"), outSpecs: P() }));

const report: { bytes: number; bare: number; program: number }[] = [];
for (const bytes of [4, 2 ** 20, 2 ** 24]) {
  const n = bytes / 4;
  const [send, receive] = [0, 1].map(() => new Float32Array(new SharedArrayBuffer(bytes)).fill(1));
  const part = fromTyped(new Float32Array(n).fill(1), [n], "float32");
  const x = fromTyped(new Float32Array(2 * n).fill(1), [2 * n], "float32");
  const sides = [
    () => {
      local(part).dispose();
      library.MPI_Allreduce(send, receive, n, abi.dtypes.float32, abi.ops.sum, abi.world);
    },
    () => sum(x).dispose(),
  ];
  const rounds = bytes > 2 ** 20 ? 40 : 400;
  const samples = sides.map((): number[] => []);
  for (let r = 0; r < rounds + 20; r++) {
    sides.forEach((side, i) => {
      // Both processes begin at the same time.
      library.MPI_Barrier(abi.world);
      const begun = performance.now();
      side();
      if (r >= 20) samples[i].push(performance.now() - begun);
    });
  }
  const [bare, program] = samples.map(median);
  report.push({ bytes, bare, program });
}
if (processIndex() === 0) console.log(JSON.stringify(report));
