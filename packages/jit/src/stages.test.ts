import {
  asArray,
  evalClosedJaxpr,
  type NDArray,
  printJaxpr,
  setDefaultBackend,
  TransformError,
  TreeError,
  DisposedError,
} from "@traceform/core";
import { cpu } from "@traceform/backend-cpu";
import { grad } from "@traceform/grad";
import { add, mul, psum, reduceSum, sin } from "@traceform/lax";
import { describe, expect, test } from "vitest";
import { evalShape, jit, makeJaxpr, ShapeDtypeStruct } from "./index.ts";

setDefaultBackend(cpu());

const x = asArray([1, 2, 3]);
const f32 = (...shape: number[]): ShapeDtypeStruct => new ShapeDtypeStruct(shape, "float32");
const step = jit((params: { w: NDArray; b: NDArray }, y: NDArray) => ({ loss: reduceSum(mul(params.w, y)), b: add(params.b, 1) }));

describe("ahead of time", () => {
  test("lower takes descriptions of arrays, compile is awaited, and the program runs for that signature", async () => {
    const lowered = step.lower({ w: f32(3), b: f32() }, f32(3));
    expect(lowered.asText()).toContain("reduce_sum");
    expect(String(lowered.outInfo.loss)).toBe("float32[]");
    const compiled = await lowered.compile();
    const out = compiled({ w: x, b: asArray(1) }, x);
    expect([out.loss.itemSync(), out.b.itemSync()]).toEqual([14, 2]);
    expect(compiled.asText()).toContain("program");
    expect([String(compiled.inTree), String(compiled.outTree)]).toEqual(["[{b: *, w: *}, *]", "{b: *, loss: *}"]);
    expect([lowered.inTree, lowered.outTree]).toEqual([compiled.inTree, compiled.outTree]);
    expect(String(compiled.outInfo.b)).toBe("float32[]");
  });
  test("a description of a whole argument stands for one array", () => {
    const f = jit((a: NDArray, n: number) => mul(a, n), { staticArgnums: 1 });
    expect(
      f
        .lower(f32(2), 3)
        .compileSync()(asArray([1, 2]), 3)
        .jsSync(),
    ).toEqual([3, 6]);
  });
  test("other types name the argument and both types", () => {
    const compiled = step.lower({ w: x, b: asArray(1) }, x).compileSync();
    const wrong = (): unknown => compiled({ w: asArray(Int32Array.of(1, 2, 3)), b: asArray(1) }, asArray([1, 2]));
    expect(wrong).toThrow(TransformError);
    expect(wrong).toThrow(
      /params\.w compiled with float32\[3\] and called with int32\[3\]\n.*y compiled with float32\[3\] and called with float32\[2\]/,
    );
    expect(() => compiled({ w: x } as never, x)).toThrow(TreeError);
  });
  test("weak types do not matter to a compiled program, dtypes do", () => {
    const compiled = jit((a: NDArray) => add(a, 1))
      .lower(1)
      .compileSync();
    expect(compiled(asArray(2)).itemSync()).toBe(3);
    expect(() => compiled(asArray(Int32Array.of(2)))).toThrow(/a compiled with float32\[\] and called with int32\[1\]/);
  });
  test("static arguments must be those it was lowered for", () => {
    const compiled = jit((a: NDArray, n: number) => mul(a, n), { staticArgnums: 1 })
      .lower(x, 2)
      .compileSync();
    expect(compiled(x, 2).jsSync()).toEqual([2, 4, 6]);
    expect(() => compiled(x, 3)).toThrow(/static argument 1 differs[\s\S]*compiled 2, called 3/);
  });
  test("transformations do not apply to a compiled program, but to what was traced", () => {
    const traced = jit((a: NDArray) => reduceSum(mul(a, a))).trace(x);
    const compiled = traced.lower().compileSync();
    expect(() => grad((a: NDArray) => compiled(a))(x)).toThrow(TransformError);
    expect(() => grad((a: NDArray) => compiled(a))(x)).toThrow(/transform the jitted function/);
    expect(grad((a: NDArray) => traced.apply(a))(x).jsSync()).toEqual([2, 4, 6]);
  });
  test("what is known of arguments and results", () => {
    const w = add(x, 1);
    const traced = jit((a: { p: NDArray }, n: NDArray) => mul(add(a.p, n), w), { donateArgnums: 0 }).trace({ p: x }, 1);
    expect(traced.funName).toBe("<anonymous>");
    expect(traced.argsInfo).toEqual([
      { p: { shape: [3], dtype: "float32", weakType: false, donated: true } },
      { shape: [], dtype: "float32", weakType: true, donated: false },
    ]);
    expect(String(traced.outInfo)).toBe("float32[3]");
    expect([String(traced.inTree), String(traced.outTree)]).toEqual(["[{p: *}, *]", "*"]);
    expect(evalClosedJaxpr(traced.closedJaxpr, [x, asArray(1)])[0].jsSync()).toEqual([4, 9, 16]);
  });
  test("costs and memory", () => {
    const lowered = jit((a: NDArray, b: NDArray) => sin(mul(a, b))).lower(f32(100), f32(100));
    const compiled = lowered.compileSync();
    expect(lowered.costAnalysis()).toEqual(compiled.costAnalysis());
    expect(compiled.costAnalysis().transcendentals).toBe(100);
    expect(compiled.memoryAnalysis()).toEqual({ argumentSizeInBytes: 800, outputSizeInBytes: 400, tempSizeInBytes: 0 });
  });
});

describe("arguments that nothing reads", () => {
  const first = (a: NDArray, _b: NDArray): NDArray => mul(a, 2);
  const bytes = (keepUnused: boolean): number =>
    jit(first, { keepUnused }).lower(f32(10), f32(1000)).compileSync().memoryAnalysis().argumentSizeInBytes;
  test("are not arguments of the program, unless they are kept", () => {
    expect([bytes(false), bytes(true)]).toEqual([40, 4040]);
    expect(jit(first)(x, asArray([9])).jsSync()).toEqual([2, 4, 6]);
    expect(jit(first, { keepUnused: true })(x, asArray([9])).jsSync()).toEqual([2, 4, 6]);
  });
  test("end their life when they are donated", () => {
    const b = add(x, 1);
    jit(first, { donateArgnums: 1 })(x, b);
    expect(() => b.jsSync()).toThrow(DisposedError);
  });
});

test("inline puts the operations into the caller's jaxpr", () => {
  const inner = jit((a: NDArray) => mul(a, 2), { inline: true });
  expect(printJaxpr(makeJaxpr((a: NDArray) => add(inner(a), 1))(x))).not.toContain("jit");
  expect(inner(x).jsSync()).toEqual([2, 4, 6]);
  expect(grad((a: NDArray) => reduceSum(inner(a)))(x).jsSync()).toEqual([2, 2, 2]);
});

test("donateArgnames: keys of the options object", () => {
  const f = jit((a: NDArray, o: { state: { m: NDArray }; rate: NDArray }) => mul(add(a, o.state.m), o.rate), {
    donateArgnames: "state",
  });
  const [m, rate] = [add(x, 1), add(x, 0)];
  expect(f(x, { state: { m }, rate }).jsSync()).toEqual([3, 10, 21]);
  expect(() => m.jsSync()).toThrow(/was donated/);
  expect(rate.jsSync()).toEqual([1, 2, 3]);
  expect(() => jit((o: { n: number }) => o.n, { staticArgnames: "n", donateArgnames: "n" })).toThrow(/both static and donated/);
});

test("static arguments whose contents may change unnoticed are refused", () => {
  const f = jit((a: NDArray, _s: unknown) => a, { staticArgnums: 1 });
  for (const s of [new Float32Array(2), new Map(), new Set(), { deep: [new Map()] }]) {
    expect(() => f(x, s)).toThrow(TransformError);
    expect(() => f(x, s)).toThrow(/may change unnoticed[\s\S]*make it plain data/);
  }
});

describe("jaxprs and shapes", () => {
  test("static arguments, axis names and the shapes of results", () => {
    const f = (a: NDArray, n: number): { y: NDArray; s: [NDArray] } => ({ y: mul(a, n), s: [psum(reduceSum(a), "i")] });
    const [{ jaxpr }, shapes] = makeJaxpr(f, { staticArgnums: 1, axisEnv: [["i", 4]], returnShape: true })(f32(3), 2);
    expect(printJaxpr(jaxpr)).toMatchInlineSnapshot(`
      "{ lambda ; a:float32[3]. let
          b:float32[3] = mul a 2.0:float32[]
          c:float32[] = reduce_sum[axes=(0,)] a
          d:float32[] = psum[axes=(i,)] c
        in (d, b) }"
    `);
    expect([String(shapes.y), String(shapes.s[0])]).toEqual(["float32[3]", "float32[]"]);
    expect(() => makeJaxpr((a: NDArray) => psum(a, "i"))(x)).toThrow(/unbound axis name "i"/);
  });
  test("evalShape has the structure of the result, and computes nothing", () => {
    const out = evalShape((a: NDArray) => ({ sum: reduceSum(a), all: [a, 2] as const }), f32(50_000, 50_000));
    expect([String(out.sum), String(out.all[0]), out.all[1].weakType]).toEqual(["float32[]", "float32[50000,50000]", true]);
  });
});
