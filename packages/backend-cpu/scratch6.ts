import { cpu } from "./dist/index.js";
import { traceToJaxpr, makeAval, setDefaultBackend } from "@traceform/core";
import * as lax from "../lax/dist/index.js";
const b = cpu({ maxMemoryBytes: 512 << 20 }); const d = b.devices[0]; setDefaultBackend(b);
const n = 2 << 20; const data = new Uint8Array(n * 4);
let t = performance.now();
for (let i = 0; i < 1280; i++) { const x = b.put({ shape: [n], dtype: "float32", bytes: data }, d); if (i % 200 === 0) console.log(i, process.memoryUsage().rss >> 20, d.memoryStats().bytesSpilled / 2 ** 30); }
console.log("put 10GB", performance.now() - t, process.memoryUsage().rss >> 20);
// with executable outputs
const e = b.compile(traceToJaxpr((x) => [lax.add(x, 1)], [makeAval([n], "float32")], "a"), {});
let x = b.put({ shape: [n], dtype: "float32", bytes: data }, d); const keep = [x];
t = performance.now();
for (let i = 0; i < 1280; i++) { x = e.run([x])[0] as any; if (i % 300 === 0) { keep.push(x); console.log(i, process.memoryUsage().rss >> 20); } }
console.log("run", performance.now() - t, new Float32Array(b.readSync!(x).bytes.buffer)[5], keep.map((k) => new Float32Array(b.readSync!(k).bytes.buffer)[7]));
// tiny program latency
const e2 = b.compile(traceToJaxpr((x) => [lax.add(x, 1)], [makeAval([4], "float32")], "a"), {});
let y = b.put({ shape: [4], dtype: "float32", bytes: new Uint8Array(16) }, d);
for (let r = 0; r < 3; r++) { t = performance.now(); for (let i = 0; i < 100000; i++) { const z = e2.run([y])[0]; y.release(); y = z as any; } console.log("us per run", (performance.now() - t) / 100); }
t = performance.now(); for (let i = 0; i < 100; i++) { const k = i; b.compile(traceToJaxpr((x) => [lax.add(x, k)], [makeAval([4], "float32")], "a"), {}); } console.log("ms per compile", (performance.now() - t) / 100);
