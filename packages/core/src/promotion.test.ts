import { expect, test } from "vitest";
import goldens from "../../testing/goldens/core.json" with { type: "json" };
import {
  asArray,
  config,
  type DType,
  DTypeError,
  numpyDtypePromotion,
  promote,
  promoteTypes,
  resultType,
  type WeakDType,
} from "./index.ts";

function parse(name: string): WeakDType {
  const weakType = name.startsWith("weak ");
  return { dtype: name.replace("weak ", "") as DType, weakType };
}

test("promotion follows JAX's lattice, weak types included", () => {
  for (const [pair, expected] of Object.entries(goldens.promotion)) {
    const [, a, b] = /^((?:weak )?\w+) ((?:weak )?\w+)$/.exec(pair)!;
    const { dtype, weakType } = promote([parse(a), parse(b)]);
    expect([dtype, weakType], pair).toEqual(expected);
  }
});

test("64-bit results come from 64-bit inputs only", () => {
  expect(promoteTypes("uint32", "int32")).toBe("int32");
  expect(promoteTypes("int64", "uint32")).toBe("int64");
  expect(promoteTypes("float64", "float32")).toBe("float64");
  expect(promoteTypes("float64", "complex64")).toBe("complex128");
  expect(
    promote([
      { dtype: "uint64", weakType: false },
      { dtype: "int64", weakType: false },
    ]),
  ).toEqual({ dtype: "float32", weakType: true });
});

test("a JavaScript number adopts an integer dtype when it is integral, else the result is float32", () => {
  const ints = asArray(new Int8Array(2));
  expect(resultType(ints, 2)).toEqual({ dtype: "int8", weakType: false });
  expect(resultType(ints, 2.5)).toEqual({ dtype: "float32", weakType: true });
  expect(resultType(asArray(new Float64Array(2)), 2.5)).toEqual({ dtype: "float64", weakType: false });
  expect(resultType(asArray([true]), 2)).toEqual({ dtype: "float32", weakType: true });
  expect(resultType(3)).toEqual({ dtype: "float32", weakType: true });
  expect(resultType(3n, ints)).toEqual({ dtype: "int8", weakType: false });
});

test("strict promotion lets weak values give way within their kind, and nothing else, as in JAX", () => {
  // Recorded with jax.numpy_dtype_promotion("strict"); a dash is an error.
  const names = ["bool", "int32", "uint8", "float32", "bfloat16", "complex64", "weak int32", "weak float32", "weak complex64"];
  const table: readonly (readonly string[])[] = [
    ["bool", "-", "-", "-", "-", "-", "-", "-", "-"],
    ["-", "int32", "-", "-", "-", "-", "int32", "-", "-"],
    ["-", "-", "uint8", "-", "-", "-", "uint8", "-", "-"],
    ["-", "-", "-", "float32", "-", "-", "float32", "float32", "-"],
    ["-", "-", "-", "-", "bfloat16", "-", "bfloat16", "bfloat16", "-"],
    ["-", "-", "-", "-", "-", "complex64", "complex64", "complex64", "complex64"],
    ["-", "int32", "uint8", "float32", "bfloat16", "complex64", "int32", "float32", "complex64"],
    ["-", "-", "-", "float32", "bfloat16", "complex64", "float32", "float32", "complex64"],
    ["-", "-", "-", "-", "-", "complex64", "complex64", "complex64", "complex64"],
  ];
  names.forEach((a, i) =>
    names.forEach((b, j) => {
      const run = (): DType => numpyDtypePromotion("strict", () => promote([parse(a), parse(b)])).dtype;
      if (table[i][j] === "-") expect(run, `${a} ${b}`).toThrow(DTypeError);
      else expect(run(), `${a} ${b}`).toBe(table[i][j]);
    }),
  );
  expect(promoteTypes("int32", "float32")).toBe("float32");
  config.update("numpyDtypePromotion", "strict");
  try {
    expect(() => promoteTypes("int32", "float32")).toThrow(/strict promotion/);
  } finally {
    config.update("numpyDtypePromotion", "standard");
  }
});
