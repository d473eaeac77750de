import { asArray, setDefaultBackend, makeAval, traceToJaxpr } from "@traceform/core";
import { cpu } from "./dist/index.js";
import * as lax from "../lax/dist/index.js";
import { lowerProgram, programText } from "../compiler/dist/index.js";
setDefaultBackend(cpu());
const x = asArray([[1, 2], [3, 4]]);
console.log(JSON.stringify(lax.dot(x, lax.exp(x)).jsSync()));
const f32 = makeAval([64, 256], "float32");
const jaxpr = traceToJaxpr((x) => [lax.reduceSum(lax.exp(x), [1])], [f32], "f");
console.log(programText(lowerProgram(jaxpr, "f", { tile: { m: 6, n: 16 }, wideSums: true })));
// eager speed
const y = asArray(new Float32Array(16)); let z = y;
for (let r = 0; r < 4; r++) { const t = performance.now(); for (let i = 0; i < 20000; i++) { z = lax.add(z, y); } console.log("eager us", (performance.now() - t) / 20); await 0; }
