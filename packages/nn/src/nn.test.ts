import { asArray, fromTyped, type NDArray, setDefaultBackend, ShapeError } from "@traceform/core";
import { grad } from "@traceform/grad";
import { cos, iota, mul, reshape, sin, slice } from "@traceform/lax";
import { sum } from "@traceform/numpy";
import { key } from "@traceform/random";
import { type Golden, goldenDifference, referenceBackend } from "@traceform/testing";
import { describe, expect, test } from "vitest";
import recorded from "../../testing/goldens/libraries.json" with { type: "json" };
import * as nn from "./index.ts";

setDefaultBackend(referenceBackend());

interface Entry {
  readonly value: Golden;
  readonly grad?: Golden;
}
const goldens = recorded.nn as unknown as Record<string, Entry>;
const initializers = (recorded.nn as unknown as { initializers: Record<string, Golden> }).initializers;

const x = asArray([
  [-30, -7, -2.5, -1, -0.3, -0],
  [0, 0.2, 1, 3.5, 6, 50],
]);
const m = asArray([
  [1, 2, -1],
  [1000, 1000.5, 999],
  [-Infinity, 0, 1],
]);

// JAX computes in float32 throughout, the oracle rounds each operation from double: a few units apart.
const close = { ulps: 64, absolute: 1e-6 };

const activations: Record<string, (y: NDArray) => NDArray> = {
  relu: nn.relu,
  relu6: nn.relu6,
  sigmoid: nn.sigmoid,
  tanh: nn.tanh,
  softplus: nn.softplus,
  logSigmoid: nn.logSigmoid,
  silu: nn.silu,
  swish: nn.swish,
  softSign: nn.softSign,
  elu: (y) => nn.elu(y),
  celu: (y) => nn.celu(y),
  selu: nn.selu,
  leakyRelu: (y) => nn.leakyRelu(y),
  gelu: (y) => nn.gelu(y),
  hardSigmoid: nn.hardSigmoid,
  hardSilu: nn.hardSilu,
  hardSwish: nn.hardSwish,
  hardTanh: nn.hardTanh,
  mish: nn.mish,
  squareplus: (y) => nn.squareplus(y),
};

describe("activations and their derivatives are JAX's", () => {
  test.each(Object.entries(activations))("%s", (name, f) => {
    expect(goldenDifference(f(x), goldens[name].value, close)).toBeNull();
    expect(goldenDifference(grad((y: NDArray) => sum(f(y)))(x), goldens[name].grad!, close)).toBeNull();
  });
  test("gelu, exact", () =>
    expect(goldenDifference(nn.gelu(x, { approximate: false }), goldens["gelu exact"].value, close)).toBeNull());
  test("glu", () => expect(goldenDifference(nn.glu(x), goldens["glu"].value, close)).toBeNull());
  test("relu keeps NaN", () => expect(nn.relu(asArray([NaN, -1])).jsSync()).toEqual([NaN, 0]));
});

describe("normalisations are JAX's", () => {
  const functions: Record<string, (y: NDArray, axis: number) => NDArray> = {
    softmax: (y, axis) => nn.softmax(y, axis),
    logSoftmax: (y, axis) => nn.logSoftmax(y, axis),
    logsumexp: (y, axis) => nn.logsumexp(y, axis),
  };
  test.each(Object.entries(functions))("%s", (name, f) => {
    expect(goldenDifference(f(m, -1), goldens[name].value, close)).toBeNull();
    expect(goldenDifference(f(m, 0), goldens[`${name} axis 0`].value, close)).toBeNull();
    const rows = reshape(asArray([1, 2, -1, 1000, 1000.5, 999]), [2, 3]);
    expect(
      goldenDifference(grad((y: NDArray) => sum(sin(f(y, -1))))(rows), goldens[name].grad!, { ulps: 64, absolute: 1e-5 }),
    ).toBeNull();
  });
  test("over all axes, and masked", () => {
    expect(goldenDifference(nn.logsumexp(m), goldens["logsumexp all"].value, close)).toBeNull();
    expect(
      goldenDifference(nn.softmax(m, -1, { where: asArray([true, false, true]) }), goldens["softmax where"].value, close),
    ).toBeNull();
  });
  test("logsumexp with signs", () => {
    const [value, sign] = nn.logsumexp(asArray([1, 2]), null, { b: asArray([1, -1]), returnSign: true });
    expect(value.itemSync()).toBeCloseTo(Math.log(Math.E ** 2 - Math.E), 5);
    expect(sign.itemSync()).toBe(-1);
    expect(nn.logsumexp(asArray([-Infinity, -Infinity])).itemSync()).toBe(-Infinity);
  });
  test("standardize", () => expect(goldenDifference(nn.standardize(x), goldens["standardize"].value, close)).toBeNull());
  test("oneHot", () => {
    const ids = fromTyped(Int32Array.of(0, 2, 5, -1), [4], "int32");
    expect(goldenDifference(nn.oneHot(ids, 4), goldens["oneHot"].value)).toBeNull();
    const row = fromTyped(Int32Array.of(0, 2, 1), [1, 3], "int32");
    expect(goldenDifference(nn.oneHot(row, 4, { axis: 0 }), goldens["oneHot axis 0"].value)).toBeNull();
  });
});

describe("attention is JAX's", () => {
  const wave = (f: (a: NDArray) => NDArray, keys: number, factor = 1): NDArray =>
    reshape(f(mul(iota("float32", 2 * keys * 4 * 3), factor)), [2, keys, 4, 3]);
  const q = wave(sin, 5);
  const k = wave(cos, 7);
  const v = wave(sin, 7, 0.7);
  const cut = (a: NDArray, keys: number, heads: number): NDArray => slice(a, [0, 0, 0, 0], [2, keys, heads, 3]);
  test("plain, masked, causal and grouped", () => {
    expect(goldenDifference(nn.dotProductAttention(q, k, v), goldens["attention"].value, close)).toBeNull();
    const mask = reshape(asArray([0, 1, 2, 3, 4, 5, 6].map((i) => i % 3 !== 0)), [1, 1, 1, 7]);
    expect(goldenDifference(nn.dotProductAttention(q, k, v, { mask }), goldens["attention mask"].value, close)).toBeNull();
    const causal = nn.dotProductAttention(q, cut(k, 5, 4), cut(v, 5, 4), { isCausal: true });
    expect(goldenDifference(causal, goldens["attention causal"].value, close)).toBeNull();
    const grouped = nn.dotProductAttention(q, cut(k, 7, 2), cut(v, 7, 2), { scale: 0.3 });
    expect(goldenDifference(grouped, goldens["attention grouped"].value, close)).toBeNull();
  });
  test("shapes that do not fit are named", () => {
    expect(() => nn.dotProductAttention(q, k, q)).toThrow(ShapeError);
    expect(() => nn.dotProductAttention(q, k, q)).toThrow(/float32\[2,5,4,3\]/);
  });
});

describe("initializers follow JAX's streams", () => {
  const {
    constant,
    uniform,
    normal,
    truncatedNormal,
    glorotNormal,
    glorotUniform,
    heNormal,
    heUniform,
    lecunNormal,
    lecunUniform,
    zeros,
    ones,
  } = nn.initializers;
  const made: Record<string, nn.Initializer> = {
    zeros,
    ones,
    constant: constant(0.5),
    uniform: uniform(),
    normal: normal(),
    truncatedNormal: truncatedNormal(),
    glorotUniform: glorotUniform(),
    glorotNormal: glorotNormal(),
    heUniform: heUniform(),
    heNormal: heNormal(),
    lecunUniform: lecunUniform(),
    lecunNormal: lecunNormal(),
  };
  test.each(Object.entries(made))("%s", (name, init) =>
    expect(goldenDifference(init(key(7), [3, 4]), initializers[name], close)).toBeNull(),
  );
  test("a bias has no fan", () => expect(() => heNormal()(key(0), [3])).toThrow(/at least two axes/));
});
