import { cpu } from "./dist/index.js";
import { bind, traceToJaxpr, makeAval, setDefaultBackend } from "@traceform/core";
import * as lax from "../lax/dist/index.js";
import { writeFileSync } from "node:fs";
const b = cpu(); const d = b.devices[0]; setDefaultBackend(b); const L: any = lax;
const ranges: any = { exp: [-85, 85], exp2: [-120, 120], expm1: [-20, 20], log: [1e-5, 100], log1p: [-0.99, 20], sin: [-100, 100], cos: [-100, 100], tan: [-100, 100], asin: [-1, 1], acos: [-1, 1], atan: [-20, 20], sinh: [-20, 20], cosh: [-20, 20], tanh: [-10, 10], asinh: [-100, 100], acosh: [1, 100], atanh: [-1, 1], erf: [-4, 4], erfc: [-4, 9], erfInv: [-1, 1], lgamma: [0.01, 40], digamma: [0.01, 40], logistic: [-30, 30], cbrt: [-100, 100], besselI0e: [-30, 30], besselI1e: [-30, 30], rsqrt: [1e-3, 100] };
const out: any = {};
for (const dt of ["float32", "float64"]) for (const p in ranges) {
  const n = 400; const x: any = dt === "float32" ? new Float32Array(n) : new Float64Array(n); const [lo, hi] = ranges[p];
  let s = 12345; for (let i = 0; i < n; i++) { s = (s * 16807) % 2147483647; x[i] = i % 4 === 0 ? Math.max(lo, Math.min(hi, ((s / 2147483647) * 2 - 1) * 0.5)) : lo + (hi - lo) * (s / 2147483647); }
  const e = b.compile(traceToJaxpr((y) => bind(L[p + "P"], [y], {} as any), [makeAval([n], dt as any)], p), {});
  const r = b.readSync!(e.run([b.put({ shape: [n], dtype: dt as any, bytes: new Uint8Array(x.buffer) }, d)])[0]);
  const y: any = dt === "float32" ? new Float32Array(r.bytes.buffer) : new Float64Array(r.bytes.buffer);
  out[p + ":" + dt] = [Array.from(x), Array.from(y).map(String)];
}
for (const dt of ["float32", "float64"]) for (const p of ["pow", "atan2"]) { const n = 400; const A: any = dt === "float32" ? Float32Array : Float64Array; const x = new A(n), z = new A(n); let s = 777; for (let i = 0; i < n; i++) { s = (s * 16807) % 2147483647; x[i] = (s / 2147483647) * 20; s = (s * 16807) % 2147483647; z[i] = (s / 2147483647 - 0.5) * 40; }
  const e = b.compile(traceToJaxpr((y, w) => bind(L[p + "P"], [y, w], {} as any), [makeAval([n], dt as any), makeAval([n], dt as any)], p), {});
  const r = b.readSync!(e.run([x, z].map((v) => b.put({ shape: [n], dtype: dt as any, bytes: new Uint8Array(v.buffer) }, d)))[0]);
  out[p + ":" + dt] = [Array.from(x).map((v, i) => [v, z[i]]), Array.from(new A(r.bytes.buffer)).map(String)]; }
writeFileSync("/tmp/ulp.json", JSON.stringify(out));
