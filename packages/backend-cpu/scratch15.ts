import { traceToJaxpr, makeAval, setDefaultBackend } from "@traceform/core";
import { cpu } from "./dist/index.js";
import * as lax from "../lax/dist/index.js";
const b = cpu(); setDefaultBackend(b); const d = b.devices[0];
function bench(name: string, dt: string, f: any, shapes: number[][], work: number) {
  const e = b.compile(traceToJaxpr((...x) => [f(...x)], shapes.map((s) => makeAval(s, dt as any)), name), {});
  const args = shapes.map((s) => { const n = s.reduce((a, c) => a * c, 1); const x: any = dt === "float64" ? new Float64Array(n).fill(0.5) : dt === "int32" ? new Int32Array(n).fill(2) : new Float32Array(n).fill(0.5); return b.put({ shape: s, dtype: dt as any, bytes: new Uint8Array(x.buffer) }, d); });
  let best = 1e9; for (let i = 0; i < 5; i++) { const t = performance.now(); e.run(args).forEach((o: any) => o.release()); best = Math.min(best, performance.now() - t); }
  console.log(name, dt, best.toFixed(2), "ms", (work / best / 1e6).toFixed(2), "G/s");
}
bench("vecmat4096", "float32", lax.dot, [[4096], [4096, 4096]], 2 * 4096 ** 2); bench("4 rows", "float32", lax.dot, [[4, 4096], [4096, 4096]], 8 * 4096 ** 2); bench("matvec4096", "float32", lax.dot, [[4096, 4096], [4096]], 2 * 4096 ** 2);
bench("8 rows", "float32", lax.dot, [[8, 4096], [4096, 4096]], 16 * 4096 ** 2);
bench("f64 256", "float64", lax.dot, [[256, 256], [256, 256]], 2 * 256 ** 3); bench("f64 512", "float64", lax.dot, [[512, 512], [512, 512]], 2 * 512 ** 3); bench("i32 512", "int32", lax.dot, [[512, 512], [512, 512]], 2 * 512 ** 3);
bench("gather", "float32", (x: any) => lax.dynamicSlice(x, [3, 5], [1000, 1000]), [[1024, 1024]], 1e6);
bench("pad", "float32", (x: any) => lax.pad(x, 0, [[1, 1, 0], [1, 1, 0]]), [[1024, 1024]], 1e6);
bench("concat", "float32", (x: any) => lax.concatenate([x, x], 1), [[1024, 512]], 1e6);
bench("reduceall", "float32", (x: any) => lax.reduceSum(x, [0, 1]), [[4096, 4096]], 16e6);
