(globalThis as any).TIMES = 1;
import { traceToJaxpr, makeAval, setDefaultBackend } from "@traceform/core";
import { cpu } from "./dist/index.js";
import * as lax from "../lax/dist/index.js";
import * as G from "../grad/dist/index.js";
const b = cpu(); setDefaultBackend(b); const d = b.devices[0]; const F = "float32";
const put = (shape: readonly number[]) => { const n = shape.reduce((a, c) => a * c, 1); const x = new Float32Array(n); for (let i = 0; i < n; i++) x[i] = Math.sin(i * 12.9898) * 0.05; return b.put({ shape, dtype: F, bytes: new Uint8Array(x.buffer) } as any, d); };
function model(name: string, f: any, shapes: number[][], show = false) {
  const t0 = performance.now(); const j = traceToJaxpr((...x: any[]) => f(...x).flat(), shapes.map((s) => makeAval(s, F)), name);
  const t1 = performance.now(); const e = b.compile(j, { name }); const t2 = performance.now();
  const args = shapes.map(put); let t = performance.now(); e.run(args).forEach((o: any) => o.release()); const first = performance.now() - t;
  let best = 1e9; for (let i = 0; i < 20; i++) { t = performance.now(); e.run(args).forEach((o: any) => o.release()); best = Math.min(best, performance.now() - t); }
  const inf = e.inspect(); console.log(name, "eqns", j.jaxpr.eqns.length, "trace", (t1 - t0).toFixed(1), "compile", (t2 - t1).toFixed(1), "first", first.toFixed(2), "best", best.toFixed(3), "kernels", inf.segments[0].kernels.length, "arena MB", (inf.cost.temporaryBytes / 2 ** 20).toFixed(2), "GF/s", (inf.cost.flops / best / 1e6).toFixed(1));
  if (show) console.log(inf.text);
}
const bias = (y: any, bb: any) => lax.add(y, lax.broadcastInDim(bb, y.shape, [y.shape.length - 1]));
const mlp = (ws: any[], x: any, t: any) => { let h = x; for (let i = 0; i < ws.length; i += 2) { h = bias(lax.dot(h, ws[i]), ws[i + 1]); if (i + 2 < ws.length) h = lax.max(h, 0); } const dd = lax.sub(h, t); return lax.div(lax.reduceSum(lax.mul(dd, dd), [0, 1]), 1280); };
const sh = [[784, 256], [256], [256, 128], [128], [128, 10], [10]];
model("mlp train", (...a: any[]) => { const ws = a.slice(0, 6); const g = G.grad((...w: any[]) => mlp(w, a[6], a[7]), { argnums: [0, 1, 2, 3, 4, 5] } as any)(...ws) as any; return ws.map((w, i) => lax.sub(w, lax.mul(g[i], 0.01))); }, [...sh, [128, 784], [128, 10]], process.argv[2] === "mlp");
const D = 128, T = 64, H = 4;
const ln = (x: any) => { const n = x.shape[1]; const mu = lax.div(lax.reduceSum(x, [1]), n); const c = lax.sub(x, lax.broadcastInDim(mu, x.shape, [0])); const v = lax.div(lax.reduceSum(lax.mul(c, c), [1]), n); return lax.mul(c, lax.broadcastInDim(lax.rsqrt(lax.add(v, 1e-5)), x.shape, [0])); };
const softmax = (x: any) => { const r = x.shape.length - 1; const dims = x.shape.map((_: any, i: number) => i).slice(0, r); const e = lax.exp(lax.sub(x, lax.broadcastInDim(lax.stopGradient(lax.reduceMax(x, [r])), x.shape, dims))); return lax.div(e, lax.broadcastInDim(lax.reduceSum(e, [r]), x.shape, dims)); };
const gelu = (x: any) => lax.mul(lax.mul(x, 0.5), lax.add(lax.erf(lax.mul(x, 0.7071067)), 1));
const block = (x: any, w: any[]) => { const h = ln(x); const qkv = lax.reshape(lax.dot(h, w[0]), [T, 3, H, D / H]); const part = (i: number) => lax.transpose(lax.reshape(lax.slice(qkv, [0, i, 0, 0], [T, i + 1, H, D / H]), [T, H, D / H]), [1, 0, 2]); const [q, k, v] = [0, 1, 2].map(part); const s = softmax(lax.mul(lax.batchMatmul(q, lax.transpose(k, [0, 2, 1])), 0.17)); const o = lax.reshape(lax.transpose(lax.batchMatmul(s, v), [1, 0, 2]), [T, D]); const x2 = lax.add(x, lax.dot(o, w[1])); return lax.add(x2, lax.dot(gelu(lax.dot(ln(x2), w[2])), w[3])); };
const wsh = [[D, 3 * D], [D, D], [D, 4 * D], [4 * D, D]];
for (const L of [1, 6]) { const shapes = Array.from({ length: L }, () => wsh).flat(); const net = (x: any, w: any[]) => { for (let i = 0; i < L; i++) x = block(x, w.slice(4 * i, 4 * i + 4)); return x; };
  model("transformer fwd " + L, (x: any, ...w: any[]) => [net(x, w)], [[T, D], ...shapes], process.argv[2] === "tf" && L === 1);
  model("transformer grad " + L, (x: any, ...w: any[]) => { const g = G.grad((...ww: any[]) => lax.reduceSum(lax.square(net(x, ww)), [0, 1]), { argnums: w.map((_, i) => i) } as any)(...w) as any; return [...g]; }, [[T, D], ...shapes], process.argv[2] === "tfg" && L === 1); }
