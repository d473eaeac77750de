import { cpu } from "./dist/index.js";
import { traceToJaxpr, makeAval, setDefaultBackend } from "@traceform/core";
import * as lax from "../lax/dist/index.js";
const b = cpu(); const d = b.devices[0]; setDefaultBackend(b); const F = "float32";
const put = (shape: number[]) => { const n = shape.reduce((a, c) => a * c, 1); const x = new Float32Array(n); for (let i = 0; i < n; i++) x[i] = Math.sin(i) ; return b.put({ shape, dtype: F, bytes: new Uint8Array(x.buffer) } as any, d); };
export function bench(name: string, f: any, shapes: number[][], work: number, unit: string) {
  const only = process.argv[2]; if (only && !name.includes(only)) return;
  const t00 = performance.now(); const jx = traceToJaxpr((...x) => { const y = f(...x); return Array.isArray(y) ? y : [y]; }, shapes.map((s) => makeAval(s, F)), name);
  const t0 = performance.now(); const e = b.compile(jx, { name }); const t1 = performance.now();
  const args = shapes.map(put); const first0 = performance.now(); e.run(args).forEach((o: any) => o.release()); const first = performance.now() - first0;
  let best = Infinity; const end = performance.now() + 400; let n = 0; while (performance.now() < end || n < 3) { const t = performance.now(); e.run(args).forEach((o: any) => o.release()); best = Math.min(best, performance.now() - t); n++; }
  args.forEach((a: any) => a.release());
  console.log(name.padEnd(22), `compile ${(t1 - t0).toFixed(1)} first ${first.toFixed(1)} best ${best.toFixed(3)} ms`, (work / best / 1e6).toFixed(2), unit, e.inspect().segments[0].kernels.join(" "));
}
const M = 1 << 20; const sh = [M]; const L: any = lax;
bench("add", (x: any, y: any) => lax.add(x, y), [sh, sh], M, "G/s");
bench("chain4", (x: any, y: any) => lax.mul(lax.add(lax.mul(x, y), x), lax.sub(y, x)), [sh, sh], M, "G/s");
for (const p of ["exp", "log", "tanh", "logistic", "sin", "cos", "erf", "log1p", "expm1", "sqrt", "rsqrt"]) bench(p, (x: any) => L[p](x), [sh], M, "G/s");
bench("pow", (x: any, y: any) => lax.pow(x, y), [sh, sh], M, "G/s");
bench("sumall", (x: any) => lax.reduceSum(x, [0]), [sh], M, "G/s");
bench("sumrows", (x: any) => lax.reduceSum(x, [1]), [[1024, 1024]], M, "G/s");
bench("sumcols", (x: any) => lax.reduceSum(x, [0]), [[1024, 1024]], M, "G/s");
bench("maxrows", (x: any) => lax.reduceMax(x, [1]), [[1024, 1024]], M, "G/s");
bench("argmaxrows", (x: any) => lax.argmax(x, 1, "int32"), [[1024, 1024]], M, "G/s");
bench("transpose", (x: any) => lax.transpose(x, [1, 0]), [[1024, 1024]], M, "G/s");
bench("bias", (x: any, y: any) => lax.add(x, lax.broadcastInDim(y, [1024, 1024], [1])), [[1024, 1024], [1024]], M, "G/s");
bench("softmax", (x: any) => { const m = lax.reduceMax(x, [1]); const e = lax.exp(lax.sub(x, lax.broadcastInDim(m, [1024, 1024], [0]))); return lax.div(e, lax.broadcastInDim(lax.reduceSum(e, [1]), [1024, 1024], [0])); }, [[1024, 1024]], M, "G/s");
bench("layernorm", (x: any) => { const n = 1024; const mu = lax.div(lax.reduceSum(x, [1]), n); const c = lax.sub(x, lax.broadcastInDim(mu, [1024, 1024], [0])); const v = lax.div(lax.reduceSum(lax.mul(c, c), [1]), n); return lax.mul(c, lax.broadcastInDim(lax.rsqrt(lax.add(v, 1e-5)), [1024, 1024], [0])); }, [[1024, 1024]], M, "G/s");
bench("cumsum", (x: any) => L.cumsum(x, 0), [sh], M, "G/s");
bench("sort", (x: any) => L.sort(x), [sh], M, "G/s");
for (const n of [64, 256, 512, 1024]) bench("dot" + n, (x: any, y: any) => lax.dot(x, y), [[n, n], [n, n]], 2 * n ** 3, "GF/s");
bench("dotT512", (x: any, y: any) => lax.dot(lax.transpose(x, [1, 0]), y), [[512, 512], [512, 512]], 2 * 512 ** 3, "GF/s");
bench("dotBT512", (x: any, y: any) => lax.dot(x, lax.transpose(y, [1, 0])), [[512, 512], [512, 512]], 2 * 512 ** 3, "GF/s");
bench("matvec", (x: any, y: any) => lax.dot(x, y), [[1024, 1024], [1024]], 2 * 1024 ** 2, "GF/s");
bench("vecmat", (x: any, y: any) => lax.dot(x, y), [[1024], [1024, 1024]], 2 * 1024 ** 2, "GF/s");
const cv = (o: any) => ({ windowStrides: [1, 1], padding: [[1, 1], [1, 1]], lhsDilation: [1, 1], rhsDilation: [1, 1], dimensionNumbers: { lhsSpec: [0, 1, 2, 3], rhsSpec: [0, 1, 2, 3], outSpec: [0, 1, 2, 3] }, featureGroupCount: 1, batchGroupCount: 1, precision: null, preferredElementType: null, ...o });
import { bind } from "@traceform/core";
bench("conv", (x: any, y: any) => bind(L.convGeneralDilatedP, [x, y], cv({})), [[8, 32, 32, 32], [64, 32, 3, 3]], 2 * 8 * 32 * 32 * 64 * 32 * 9, "GF/s");
bench("convNHWC", (x: any, y: any) => bind(L.convGeneralDilatedP, [x, y], cv({ dimensionNumbers: { lhsSpec: [0, 3, 1, 2], rhsSpec: [3, 2, 0, 1], outSpec: [0, 3, 1, 2] } })), [[8, 32, 32, 32], [3, 3, 32, 64]], 2 * 8 * 32 * 32 * 64 * 32 * 9, "GF/s");
