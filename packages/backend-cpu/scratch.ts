import { traceToJaxpr, makeAval, setDefaultBackend, type NDArray } from "@traceform/core";
import { cpu } from "./dist/index.js";
import * as lax from "../lax/dist/index.js";
import { referenceBackend } from "../testing/dist/index.js";
const c = cpu(), r = referenceBackend();
setDefaultBackend(r);
let seed = 1; const rnd = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
const sizes: any = {float32: Float32Array, float64: Float64Array, int32: Int32Array, bool: Uint8Array, uint32: Uint32Array, int8: Int8Array, uint8: Uint8Array, int64: BigInt64Array, uint64: BigUint64Array, int16: Int16Array, uint16: Uint16Array};
export function host(shape: number[], dtype: string, gen?: (i: number) => any) {
  const n = shape.reduce((a, b) => a * b, 1); const a = new sizes[dtype](n);
  for (let i = 0; i < n; i++) { const v = gen ? gen(i) : dtype === "bool" ? (rnd() < 0.5 ? 1 : 0) : dtype.startsWith("float") ? rnd() * 4 - 2 : Math.floor(rnd() * 20) - (dtype.startsWith("u") ? 0 : 10); a[i] = dtype.endsWith("64") && dtype.includes("int") ? BigInt(v) : v; }
  return { shape, dtype, bytes: new Uint8Array(a.buffer) } as any;
}
const arr = (h: any) => h.dtype === "float16" || h.dtype === "bfloat16" ? h.bytes : new (sizes[h.dtype])(h.bytes.slice().buffer);
let fails = 0;
export function check(name: string, f: (...x: any[]) => any, args: any[], tol = 2e-6) {
  try {
    const jaxpr = traceToJaxpr((...x) => { const y = f(...x); return Array.isArray(y) ? y : [y]; }, args.map((a) => makeAval(a.shape, a.dtype)), name);
    const run = (b: any) => { const e = b.compile(jaxpr, { name }); const outs = e.run(args.map((a) => b.put(a, b.devices[0]))); return outs.map((o: any) => b.readSync(o)); };
    const want = run(r); const got = run(c);
    want.forEach((w: any, i: number) => {
      const g = got[i];
      if (String(w.shape) !== String(g.shape) || w.dtype !== g.dtype) throw new Error(`type ${w.dtype}[${w.shape}] vs ${g.dtype}[${g.shape}]`);
      const a = arr(w), b = arr(g);
      for (let k = 0; k < a.length; k++) { const x = Number(a[k]), y = Number(b[k]);
        const ok = Object.is(x, y) || (x !== x && y !== y) || Math.abs(x - y) <= tol * Math.max(1, Math.abs(x), Math.abs(y));
        if (!ok) throw new Error(`out ${i} at ${k}: want ${x} got ${y}  [want ${Array.from(a).slice(Math.max(0,k-2), k + 6)} got ${Array.from(b).slice(Math.max(0,k-2), k + 6)}]`); }
    });
  } catch (e: any) { fails++; console.log("FAIL", name, e.message?.split("\n").slice(0,3).join(" "), process.env.STACK ? e.stack : ""); }
}
export { lax, c, r };
process.on("exit", () => console.log("fails", fails));
