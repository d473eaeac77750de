import { check, host, lax } from "./scratch.ts";
import { bind } from "@traceform/core";
const L: any = lax;
const F = "float32", D = "float64", I = "int32";
const P = (p: string, params: any, ...args: any[]) => check(p + JSON.stringify(params) + args.map((a) => a.dtype).join(), (...x) => bind(L[p + "P"], x, params), args, tol);
let tol = 3e-6;
const special = (s: number[]) => host(s, F, (i) => [0, -0, 1, -1, NaN, Infinity, -Infinity, 0.5, -0.5, 2, 1e-40, 1e30, -1e30, 3.5, 2.5, -2.5, 1.5, 100, -100, 88, 0.1][i % 21]);
for (const dt of [F, D]) {
  for (const p of ["neg","sign","floor","ceil","isFinite","exp","exp2","expm1","log","log1p","sqrt","rsqrt","cbrt","square","sin","cos","tan","asin","acos","atan","sinh","cosh","tanh","asinh","acosh","atanh","logistic","erf","erfc","erfInv","lgamma","digamma","abs","besselI0e","besselI1e"]) {
    if (!L[p + "P"]) { console.log("no", p); continue; }
    tol = dt === F ? 3e-6 : 1e-12;
    P(p, {}, host([3, 11], dt));
    P(p, {}, host([43], dt, (i) => [0, -0, 1, -1, NaN, Infinity, -Infinity, 0.5, -0.5, 2, 1e-40, 1e30, -1e30, 3.5, 2.5, -2.5, 1.5, 100, -100, 88, 0.1, 1000.5, 5e6, 0.999999][i % 24]));
  }
  P("round", { roundingMethod: "AWAY_FROM_ZERO" }, host([21], dt, (i) => (i - 10) / 2)); P("round", { roundingMethod: "TO_NEAREST_EVEN" }, host([21], dt, (i) => (i - 10) / 2));
  for (const p of ["add","sub","mul","div","rem","pow","max","min","atan2","nextafter","eq","ne","lt","le","gt","ge"]) {
    P(p, {}, host([31], dt), host([31], dt));
    const sp = [0, -0, 1, -1, NaN, Infinity, -Infinity, 0.5, 2, 3, -3];
    P(p, {}, host([121], dt, (i) => sp[i % 11]), host([121], dt, (i) => sp[Math.floor(i / 11)]));
  }
  for (const y of [0, 1, 2, 3, 5, -1, -2, -3]) P("integerPow", { y }, host([9], dt));
  P("reducePrecision", { exponentBits: 5, mantissaBits: 10 }, host([43], dt));
}
for (const dt of ["int8","int16","int32","int64","uint8","uint16","uint32","uint64"]) {
  for (const p of ["add","sub","mul","div","rem","max","min","and","or","xor","shiftLeft","shiftRightLogical","shiftRightArithmetic","eq","ne","lt","le","gt","ge"]) {
    P(p, {}, host([41], dt), host([41], dt)); P(p, {}, host([41], dt, (i) => (i * 37) % 127), host([41], dt, (i) => i % 9));
  }
  for (const p of ["neg","sign","abs","not","populationCount","clz","square"]) if ((!dt.startsWith("u") || !["neg"].includes(p))) P(p, {}, host([23], dt));
  for (const y of [0, 1, 2, 3]) P("integerPow", { y }, host([9], dt));
  for (const to of ["int8","int16","int32","int64","uint8","uint16","uint32","uint64","float32","float64","bool","float16","bfloat16"]) P("convertElementType", { newDtype: to, weakType: false, sharding: null }, host([19], dt));
}
for (const to of ["int8","int16","int32","int64","uint8","uint16","uint32","uint64","float32","float64","bool","float16","bfloat16"]) for (const dt of [F, D])
  P("convertElementType", { newDtype: to, weakType: false, sharding: null }, host([43], dt, (i) => [0, -0, 1, -1, NaN, Infinity, -Infinity, 300, -300, 1e10, -1e10, 1e20, 65504, 65520, 1e-8, 2.5][i % 16]));
for (const p of ["and","or","xor","eq","ne","lt","gt","max","min"]) P(p, {}, host([23], "bool"), host([23], "bool"));
P("not", {}, host([23], "bool"));
for (const dt of [F, I, "bool", D, "int8"]) { P("selectN", {}, host([23], "bool"), host([23], dt), host([23], dt)); P("selectN", {}, host([], "bool"), host([23], dt), host([23], dt)); }
P("selectN", {}, host([23], I, (i) => i % 3), host([23], F), host([23], F), host([23], F));
P("clamp", {}, host([], F, () => -0.5), host([23], F), host([], F, () => 0.5)); P("clamp", {}, host([23], F), host([23], F), host([23], F));
for (const to of [I, "uint32"]) P("bitcastConvertType", { newDtype: to }, host([7], F));
P("bitcastConvertType", { newDtype: "uint16" }, host([7], F)); P("bitcastConvertType", { newDtype: "uint8" }, host([7], D));
P("bitcastConvertType", { newDtype: "uint32" }, host([7, 2], "uint16")); 
// structural
P("broadcastInDim", { shape: [4, 5, 6], broadcastDimensions: [1] }, host([5], F)); P("broadcastInDim", { shape: [4, 5, 6], broadcastDimensions: [0, 2] }, host([4, 1], F)); P("broadcastInDim", { shape: [4, 5], broadcastDimensions: [] }, host([], F));
P("reshape", { newSizes: [6, 4], dimensions: null }, host([4, 6], F)); P("reshape", { newSizes: [24], dimensions: null }, host([4, 6], F));
P("squeeze", { dimensions: [0, 2] }, host([1, 6, 1, 3], F)); P("transpose", { permutation: [2, 0, 1] }, host([3, 4, 5], F)); P("rev", { dimensions: [0, 1] }, host([3, 7], F));
for (const pc of [[[1, 2, 0], [0, 1, 0]], [[-1, 2, 1], [2, -1, 0]], [[0, 0, 2], [0, 0, 1]], [[3, -5, 0], [0, 0, 0]]]) P("pad", { paddingConfig: pc }, host([4, 5], F), host([], F));
P("slice", { startIndices: [1, 2], limitIndices: [4, 9], strides: null }, host([5, 10], F)); P("slice", { startIndices: [1, 0], limitIndices: [5, 9], strides: [2, 3] }, host([5, 10], F));
for (const s of [-3, 0, 2, 10]) { P("dynamicSlice", { sliceSizes: [2, 3] }, host([5, 10], F), host([], I, () => s), host([], I, () => s + 1)); P("dynamicUpdateSlice", {}, host([5, 10], F), host([2, 3], F), host([], I, () => s), host([], I, () => s + 1)); }
P("concatenate", { dimension: 1 }, host([3, 2], F), host([3, 5], F), host([3, 1], F)); P("concatenate", { dimension: 0 }, host([3], I), host([2], I));
for (const dt of [F, I, "int64", "uint8", D]) P("iota", { shape: [3, 7], dtype: dt, dimension: 1, sharding: null });
// reductions
for (const sh of [[4, 33], [33, 5], [3, 4, 50], [1000], [3, 0], [2, 40, 3]]) for (const dt of [F, D, I, "int8", "uint8", "int64", "bool"]) for (const axes of [[0], [sh.length - 1], sh.map((_, i) => i)]) {
  tol = 1e-5;
  if (dt !== "bool") { P("reduceSum", { axes, outSharding: null }, host(sh, dt)); P("reduceProd", { axes }, host(sh, dt, (i) => 1 + (i % 7 === 0 ? 1 : 0))); }
  if (!sh.includes(0)) { P("reduceMax", { axes }, host(sh, dt)); P("reduceMin", { axes }, host(sh, dt)); }
  if (!dt.startsWith("f")) { P("reduceAnd", { axes }, host(sh, dt)); P("reduceOr", { axes }, host(sh, dt)); P("reduceXor", { axes }, host(sh, dt)); }
  if (axes.length === 1 && !sh.includes(0)) for (const ix of [I, "int64", "uint32"]) { P("argmax", { axes, indexDtype: ix }, host(sh, dt)); P("argmin", { axes, indexDtype: ix }, host(sh, dt)); }
}
P("argmax", { axes: [0], indexDtype: I }, special([41])); P("argmin", { axes: [0], indexDtype: I }, special([41])); P("reduceMax", { axes: [0] }, special([41]));
for (const rev of [false, true]) for (const axis of [0, 1]) for (const p of ["cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"]) { P(p, { axis, reverse: rev }, host([7, 12], F)); P(p, { axis, reverse: rev }, host([7, 12], D)); if (p !== "cumlogsumexp") P(p, { axis, reverse: rev }, host([7, 12], I, (i) => i % 3)); }
