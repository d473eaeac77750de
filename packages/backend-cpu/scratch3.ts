import { check, host, lax } from "./scratch.ts";
import { bind, traceToJaxpr, makeAval } from "@traceform/core";
const L: any = lax; const F = "float32", D = "float64", I = "int32";
let tol = 1e-5;
const P = (p: string, params: any, ...args: any[]) => { if (!L[p + "P"]) return console.log("no", p); check(p + JSON.stringify(params, (k, v) => k === "jaxpr" ? 0 : v) + args.map((a) => a.dtype).join(), (...x) => bind(L[p + "P"], x, params), args, tol); };
const dn = (lc: number[], rc: number[], lb: number[] = [], rb: number[] = []) => ({ dimensionNumbers: { lhsContract: lc, rhsContract: rc, lhsBatch: lb, rhsBatch: rb }, precision: null, preferredElementType: null });
for (const dt of [F, D, I]) {
  P("dotGeneral", dn([1], [0]), host([5, 9], dt), host([9, 13], dt)); P("dotGeneral", dn([0], [0]), host([9, 5], dt), host([9, 13], dt)); P("dotGeneral", dn([1], [1]), host([5, 9], dt), host([13, 9], dt));
  P("dotGeneral", dn([2], [1], [0], [0]), host([3, 5, 9], dt), host([3, 9, 4], dt)); P("dotGeneral", dn([0, 2], [2, 0], [1], [1]), host([3, 5, 9], dt), host([9, 5, 3], dt)); P("dotGeneral", dn([0], [0]), host([9], dt), host([9], dt)); P("dotGeneral", dn([], []), host([3], dt), host([4], dt)); P("dotGeneral", dn([1], [0]), host([64, 70], dt), host([70], dt));
  P("dotGeneral", dn([1], [0]), host([70, 300], dt), host([300, 90], dt));P("dotGeneral", dn([1], [0]), host([7, 0], dt), host([0, 9], dt));
  P("dotGeneral", dn([2], [2], [0, 1], [0, 1]), host([2, 3, 40, ].concat([50]).slice(0,4).filter((_, i) => i !== 3), dt), host([2, 3, 40], dt));
}
P("dotGeneral", { ...dn([1], [0]), preferredElementType: I }, host([5, 9], "int8"), host([9, 13], "int8"));
// conv
const cv = (o: any) => ({ windowStrides: [1, 1], padding: [[0, 0], [0, 0]], lhsDilation: [1, 1], rhsDilation: [1, 1], dimensionNumbers: { lhsSpec: [0, 1, 2, 3], rhsSpec: [0, 1, 2, 3], outSpec: [0, 1, 2, 3] }, featureGroupCount: 1, batchGroupCount: 1, precision: null, preferredElementType: null, ...o });
P("convGeneralDilated", cv({}), host([2, 3, 8, 9], F), host([4, 3, 3, 2], F));
P("convGeneralDilated", cv({ windowStrides: [2, 1], padding: [[1, 2], [0, 1]] }), host([2, 3, 8, 9], F), host([4, 3, 3, 2], F));
P("convGeneralDilated", cv({ lhsDilation: [2, 1], rhsDilation: [1, 2], padding: [[1, 2], [3, 1]] }), host([2, 3, 8, 9], F), host([4, 3, 3, 2], F));
P("convGeneralDilated", cv({ featureGroupCount: 3, padding: [[1, 1], [1, 1]] }), host([2, 6, 8, 9], F), host([9, 2, 3, 3], F));
P("convGeneralDilated", cv({ batchGroupCount: 2 }), host([4, 3, 8, 9], F), host([4, 3, 3, 2], F));
P("convGeneralDilated", cv({ dimensionNumbers: { lhsSpec: [0, 3, 1, 2], rhsSpec: [3, 2, 0, 1], outSpec: [0, 3, 1, 2] }, padding: [[1, 1], [1, 1]] }), host([2, 8, 9, 3], F), host([3, 3, 3, 4], F));
P("convGeneralDilated", cv({ windowStrides: [2], padding: [[1, 1]], lhsDilation: [1], rhsDilation: [1], dimensionNumbers: { lhsSpec: [0, 1, 2], rhsSpec: [0, 1, 2], outSpec: [0, 1, 2] } }), host([2, 3, 11], D), host([4, 3, 3], D));
P("convGeneralDilated", cv({ padding: [[-1, 1], [1, -1]] }), host([2, 3, 8, 9], F), host([4, 3, 3, 2], F));
// windows
const w = { windowDimensions: [1, 3, 2], windowStrides: [1, 2, 1], padding: [[0, 0], [1, 1], [0, 1]], baseDilation: [1, 1, 1], windowDilation: [1, 1, 2] };
for (const p of ["reduceWindowSum", "reduceWindowMax", "reduceWindowMin"]) { P(p, w, host([2, 9, 8], F)); P(p, { ...w, baseDilation: [1, 2, 1] }, host([2, 9, 8], F)); P(p, w, host([2, 9, 8], I)); }
const w2 = { selectPrim: "ge", windowDimensions: [1, 3, 2], windowStrides: [1, 2, 2], padding: [[0, 0], [1, 1], [0, 0]] };
P("selectAndScatterAdd", w2, host([2, 5, 4], F), host([2, 9, 8], F)); P("selectAndScatterAdd", { ...w2, selectPrim: "le" }, host([2, 5, 4], F), host([2, 9, 8], F));
P("selectAndGatherAdd", { ...w2, baseDilation: [1, 1, 1], windowDilation: [1, 1, 1] }, host([2, 9, 8], F), host([2, 9, 8], F));
// gather scatter
const gd = (o: any) => ({ dimensionNumbers: { offsetDims: [1], collapsedSliceDims: [0], startIndexMap: [0], operandBatchingDims: [], startIndicesBatchingDims: [], ...o.d }, sliceSizes: [1, 6], mode: "clip", fillValue: null, indicesAreSorted: false, uniqueIndices: false, ...o });
for (const mode of ["clip", "fill"]) for (const it of [I, "int64", "uint32", "int8"]) { P("gather", gd({ mode }), host([8, 6], F), host([5, 1], it)); P("gather", gd({ mode, sliceSizes: [2, 3], d: { offsetDims: [1, 2], collapsedSliceDims: [], startIndexMap: [0, 1] } }), host([8, 6], F), host([5, 2], it)); P("gather", gd({ mode }), host([8, 6], I), host([5, 1], it)); }
P("gather", gd({ sliceSizes: [1, 1, 6], d: { offsetDims: [2], collapsedSliceDims: [1], startIndexMap: [1], operandBatchingDims: [0], startIndicesBatchingDims: [0] } }), host([3, 8, 6], F), host([3, 5, 1], I));
const sd = (o: any) => ({ dimensionNumbers: { updateWindowDims: [1], insertedWindowDims: [0], scatterDimsToOperandDims: [0], operandBatchingDims: [], scatterIndicesBatchingDims: [], ...o.d }, indicesAreSorted: false, uniqueIndices: false, mode: "fill", ...o });
for (const p of ["scatter", "scatterAdd", "scatterMul", "scatterMin", "scatterMax"]) for (const mode of ["clip", "fill"]) for (const dt of [F, I, D]) { P(p, sd({ mode }), host([8, 6], dt), host([12, 1], I), host([12, 6], dt)); P(p, sd({ mode, d: { updateWindowDims: [], insertedWindowDims: [0, 1], scatterDimsToOperandDims: [0, 1] } }), host([8, 6], dt), host([12, 2], I), host([12], dt)); P(p, sd({ mode, d: { updateWindowDims: [1, 2], insertedWindowDims: [], scatterDimsToOperandDims: [0, 1] } }), host([8, 6], dt), host([5, 2], I), host([5, 2, 3], dt)); }
P("scatterAdd", sd({ d: { updateWindowDims: [2], insertedWindowDims: [1], scatterDimsToOperandDims: [1], operandBatchingDims: [0], scatterIndicesBatchingDims: [0] } }), host([3, 8, 6], F), host([3, 5, 1], I), host([3, 5, 6], F));
// sort
for (const dt of [F, D, I, "int8", "uint32", "int64", "uint64", "bool"]) for (const n of [1, 7, 64, 65, 300]) { P("sort", { dimension: 1, isStable: true, numKeys: 1 }, host([3, n], dt)); P("sort", { dimension: 0, isStable: true, numKeys: 1 }, host([n, 3], dt), host([n, 3], I, (i) => i)); }
P("sort", { dimension: 0, isStable: true, numKeys: 2 }, host([200], I), host([200], F), host([200], I, (i) => i));
P("sort", { dimension: 0, isStable: true, numKeys: 1 }, host([40], F, (i) => [NaN, 0, -0, 1, -Infinity, Infinity, -NaN][i % 7]), host([40], I, (i) => i));
for (const dt of [F, I]) P("topK", { k: 4, axis: 1 }, host([3, 90], dt)); P("topK", { k: 4, axis: 0 }, host([9, 3], F));
P("threefry2x32", {}, host([], "uint32"), host([], "uint32"), host([33], "uint32"), host([33], "uint32"));
// general reduce
const s = makeAval([], F), si = makeAval([], I);
const jr = traceToJaxpr((a: any, b: any) => [lax.add(lax.mul(a, b), b)], [s, s], "r").jaxpr;
P("reduce", { dimensions: [1], jaxpr: jr }, host([3, 9], F), host([], F));
const jr2 = traceToJaxpr((a: any, ai: any, b: any, bi: any) => { const t = lax.gt(b, a); return [lax.select(t, b, a), lax.select(t, bi, ai)]; }, [s, si, s, si], "r").jaxpr;
P("reduce", { dimensions: [0], jaxpr: jr2 }, host([13, 9], F), host([13, 9], I), host([], F, () => -100), host([], I, () => -1));
