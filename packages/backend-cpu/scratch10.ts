import { host, check, lax, c } from "./scratch.ts";
const D = "float64";
const body = (a: any) => { const b = lax.broadcastInDim(a, [2, 3, 3], [0, 1]), cc = lax.add(lax.broadcastInDim(a, [2, 3, 3], [0, 2]), 1); return lax.add(a, lax.mul(lax.reduceSum(lax.sin(lax.mul(b, cc)), [2]), 0.1)); };
const x = host([2, 3], D);
check("body", body, [x], 1e-10);
for (const n of [0, 1, 2, 3]) check("scan" + n, (a) => lax.scan((c: any, _: null) => [body(c), null], a, null, { length: n })[0], [x], 1e-10);
for (const n of [1, 2]) check("scanr" + n, (a) => lax.reduceSum(lax.scan((c: any, _: null) => [body(c), null], a, null, { length: n })[0], [0]), [x], 1e-10);
for (const n of [1, 2]) check("scanm" + n, (a, k) => lax.reduceSum(lax.scan((c: any, _: null) => [body(c), null], lax.mul(lax.broadcastInDim(a, [2, 3], [1]), lax.broadcastInDim(k, [2, 3], [0])), null, { length: n })[0], [0]), [host([3], D), host([2], D)], 1e-10);
