import { asArray, DTypeError, type NDArray, setDefaultBackend, ShapeError, TracerError } from "@traceform/core";
import { jit } from "@traceform/jit";
import { log } from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { describe, expect, test } from "vitest";
import goldens from "../../testing/goldens/core.json" with { type: "json" };
import * as random from "./index.ts";

setDefaultBackend(referenceBackend());

interface Golden {
  readonly shape: number[];
  readonly dtype: string;
  readonly values: unknown[];
}
const recorded = goldens.random as unknown as Record<string, Golden> &
  Record<"key" | "key 64" | "split" | "foldIn" | "bits", Record<string, Golden>>;

/** Equal bits, or for transformed floats equal to `ulps` units of float32 of the value or of 1. */
function same(actual: NDArray, golden: Golden, ulps = 0): void {
  expect(actual.shape).toEqual(golden.shape);
  const values = [...actual.dataSync()].map((v) => (typeof v === "bigint" ? v : actual.dtype === "bool" ? v !== 0 : v));
  const expected = golden.values.map((v) => (typeof v === "string" ? BigInt(v) : v));
  if (ulps === 0) return expect(values).toEqual(expected);
  const unit = golden.dtype === "float64" ? 2 ** -52 : 2 ** -23;
  values.forEach((v, i) => {
    const e = expected[i] as number;
    expect(Math.abs((v as number) - e), `element ${i}: ${String(v)} for ${e}`).toBeLessThanOrEqual(
      ulps * unit * Math.max(Math.abs(e), 0.125),
    );
  });
}

const key = random.key(42);

describe("keys are JAX's, bit for bit", () => {
  test.each(Object.entries(recorded.key))("key(%s)", (seed, golden) => same(random.keyData(random.key(Number(seed))), golden));
  test.each(Object.entries(recorded["key 64"]))("key(%s)", (seed, golden) =>
    same(random.keyData(random.key(BigInt(seed))), golden),
  );
  test.each(Object.entries(recorded.split))("split(key, %s)", (n, golden) =>
    same(random.keyData(random.split(key, Number(n))), golden),
  );
  test("split to a shape", () => same(random.keyData(random.split(key, [2, 3])), recorded["split 2x3"]));
  test.each(Object.entries(recorded.foldIn))("foldIn(key, %s)", (n, golden) =>
    same(random.keyData(random.foldIn(key, Number(n))), golden),
  );
  test("raw keys give the same streams and stay raw", () => {
    const raw = random.PRNGKey(42);
    expect(raw.dtype).toBe("uint32");
    same(random.split(raw, 3), recorded.split["3"]);
    same(random.bits(raw, [3, 5]), recorded["bits 3x5"]);
  });
  test("a typed key prints its dtype", () => expect(String(key.aval)).toBe("key<fry>[]"));
});

describe("bits and uniforms are JAX's, bit for bit", () => {
  for (const dtype of ["uint8", "uint16", "uint32", "uint64"] as const) {
    test(dtype, () => same(random.bits(key, [recorded.bits[dtype].shape[0]], { dtype }), recorded.bits[dtype]));
  }
  test("shapes", () => {
    same(random.bits(key, [3, 5]), recorded["bits 3x5"]);
    same(random.bits(key), recorded["bits scalar"]);
  });
  test("uniform", () => {
    same(random.uniform(key, [9]), recorded["uniform"]);
    same(random.uniform(key, [5], { dtype: "float64" }), recorded["uniform float64"]);
    same(random.uniform(key, [9], { dtype: "float16" }), recorded["uniform float16"]);
    same(random.uniform(key, [9], { dtype: "bfloat16" }), recorded["uniform bfloat16"]);
    same(random.uniform(key, [9], { minval: -2, maxval: 5 }), recorded["uniform -2 5"], 2);
  });
});

// Logarithms and inverse error functions differ in the last places between implementations.
const floats: Record<string, () => NDArray> = {
  normal: () => random.normal(key, [11]),
  truncatedNormal: () => random.truncatedNormal(key, -1, 2, [9]),
  exponential: () => random.exponential(key, [9]),
  gumbel: () => random.gumbel(key, [9]),
  laplace: () => random.laplace(key, [9]),
  logistic: () => random.logistic(key, [9]),
  "normal float64": () => random.normal(key, [5], { dtype: "float64" }),
};
describe("distributions follow JAX's streams", () => {
  // XLA's float64 erf_inv is a polynomial of a few ulp; the oracle's is exact.
  test.each(Object.entries(floats))("%s", (name, draw) => same(draw(), recorded[name], 32));
});

const probabilities = asArray([0.1, 0.2, 0.3, 0.15, 0.25]);
const table = asArray([
  [0, 1],
  [2, 3],
  [4, 5],
  [6, 7],
  [8, 9],
  [10, 11],
]);
const discrete: Record<string, () => NDArray> = {
  rademacher: () => random.rademacher(key, [9]),
  bernoulli: () => random.bernoulli(key, 0.3, [16]),
  "randint 0 10": () => random.randint(key, [16], 0, 10),
  "randint -5 1000": () => random.randint(key, [16], -5, 1000),
  "randint uint8": () => random.randint(key, [16], 0, 256, { dtype: "uint8" }),
  "randint empty": () => random.randint(key, [4], 5, 5),
  "permutation 17": () => random.permutation(key, 17),
  "permutation rows": () => random.permutation(key, table),
  "permutation independent": () => random.permutation(key, table, { independent: true }),
  "choice 10": () => random.choice(key, 10, [8]),
  "choice no replace": () => random.choice(key, 10, [8], { replace: false }),
  "choice p": () => random.choice(key, 5, [12], { p: probabilities }),
  "choice p no replace": () => random.choice(key, 5, [3], { replace: false, p: probabilities }),
  categorical: () =>
    random.categorical(
      key,
      log(
        asArray([
          [0.1, 0.6, 0.3],
          [0.5, 0.25, 0.25],
        ]),
      ),
    ),
  "categorical 5": () => random.categorical(key, asArray([0, 1, 2]), { shape: [5] }),
};
const matrices: Record<string, () => NDArray> = {
  multivariateNormal: () =>
    random.multivariateNormal(
      key,
      asArray([1, -2]),
      asArray([
        [2, 0.5],
        [0.5, 1],
      ]),
      [4],
    ),
  orthogonal: () => random.orthogonal(key, 4),
  "orthogonal 4x2": () => random.orthogonal(key, 4, [2], { m: 2 }),
  "orthogonal 2x3": () => random.orthogonal(key, 2, [], { m: 3 }),
};
describe("samples that need linear algebra are JAX's", () => {
  test.each(Object.entries(matrices))("%s", (name, draw) => same(draw(), recorded[name], 64));
  test("the methods of multivariateNormal agree in distribution", () => {
    const cov = asArray([
      [2, 0.5],
      [0.5, 1],
    ]);
    for (const method of ["cholesky", "eigh", "svd"] as const) {
      const x = random.multivariateNormal(key, asArray([0, 0]), cov, [4000], { method }).jsSync() as number[][];
      const moment = (i: number, j: number): number => x.reduce((s, v) => s + v[i] * v[j], 0) / x.length;
      [moment(0, 0) - 2, moment(0, 1) - 0.5, moment(1, 1) - 1].forEach((d) => expect(Math.abs(d)).toBeLessThan(0.15));
    }
    expect(() => random.multivariateNormal(key, asArray([0, 0]), asArray([[1]]))).toThrow(ShapeError);
  });
});

describe("discrete samples are JAX's", () => {
  test.each(Object.entries(discrete))("%s", (name, draw) => same(draw(), recorded[name]));
});

test("sampling inside jit gives the same numbers", () => {
  const draw = (k: NDArray): NDArray => random.uniform(random.foldIn(k, 3), [4]);
  expect(jit(draw)(key).jsSync()).toEqual(draw(key).jsSync());
});

test("misuse is refused", () => {
  expect(() => random.uniform(asArray([1, 2]))).toThrow(DTypeError);
  expect(() => random.uniform("seed" as never)).toThrow(/make one with key\(seed\)/);
  expect(() => random.uniform(random.split(key))).toThrow(ShapeError);
  expect(() => random.uniform(key, [2], { dtype: "int32" })).toThrow(/needs a float dtype/);
  expect(() => random.randint(key, [2], 0, 5, { dtype: "float32" })).toThrow(DTypeError);
  expect(() => random.key(1.5)).toThrow(/integer/);
  expect(() => random.choice(key, 3, [5], { replace: false })).toThrow(/5 of 3/);
  expect(() => jit((k: NDArray) => Number(random.uniform(k)))(key)).toThrow(TracerError);
});
