import { cpu } from "@traceform/backend-cpu";
import { devicePut, fromTyped, type Jaxpr, NamedSharding, type NDArray, setDefaultBackend, treeLeaves } from "@traceform/core";
import { valueAndGrad } from "@traceform/grad";
import { jit, makeJaxpr } from "@traceform/jit";
import * as np from "@traceform/numpy";
import { afterAll, describe, expect, test } from "vitest";
import { makeMesh, P, runPartitioned, type SpecEntry } from "../index.ts";

// A language model of one layer: rows of a table, attention, a layer, the logits of the same table, the loss of labels.
const backend = setDefaultBackend(cpu({ devices: 4 }));
afterAll(() => backend[Symbol.dispose]());
const [vocabulary, batch, length, heads, width, hidden] = [12, 4, 3, 2, 8, 16];

interface Model {
  readonly table: NDArray;
  /** Queries, keys and values of each head. */
  readonly attention: NDArray;
  readonly out: NDArray;
  readonly up: NDArray;
  readonly down: NDArray;
}
type Specs = { readonly [K in keyof Model]: readonly SpecEntry[] };

const values = (...shape: number[]): NDArray =>
  fromTyped(
    Float64Array.from({ length: shape.reduce((x, y) => x * y, 1) }, (_, i) => Math.sin(3 * i + shape.length)),
    shape,
    "float64",
  );
const model: Model = {
  table: values(vocabulary, width),
  attention: values(3, heads, width, width / heads),
  out: values(heads, width / heads, width),
  up: values(width, hidden),
  down: values(hidden, width),
};
const tokens = (step: number): NDArray =>
  fromTyped(
    Int32Array.from({ length: batch * length }, (_, i) => (i * step) % vocabulary),
    [batch, length],
    "int32",
  );
const [inputs, labels] = [tokens(5), tokens(7)];

const normalized = (x: NDArray): NDArray => {
  const centred = np.subtract(x, np.mean(x, -1, { keepdims: true }));
  return np.divide(centred, np.sqrt(np.add(np.mean(np.square(centred), -1, { keepdims: true }), 1e-6)));
};
const softmax = (x: NDArray): NDArray => {
  const e = np.exp(np.subtract(x, np.max(x, -1, { keepdims: true })));
  return np.divide(e, np.sum(e, -1, { keepdims: true }));
};

function loss(m: Model, xs: NDArray, ys: NDArray): NDArray {
  const x = np.take(m.table, xs, 0);
  const qkv = np.einsum("btd,chde->cbhte", normalized(x), m.attention);
  const [q, k, v] = [0, 1, 2].map((i) => np.take(qkv, i, 0));
  const causal = np.tril(np.ones([length, length]));
  const scores = np.where(np.greater(causal, 0), np.einsum("bhte,bhse->bhts", q, k), -1e9);
  const mixed = np.add(x, np.einsum("bhts,bhse,hed->btd", softmax(scores), v, m.out));
  const after = np.add(mixed, np.matmul(np.maximum(np.matmul(normalized(mixed), m.up), 0), m.down));
  const logits = np.einsum("btd,vd->btv", after, m.table);
  const chosen = np.takeAlongAxis(logits, np.expandDims(ys, -1), -1);
  const shifted = np.subtract(logits, np.max(logits, -1, { keepdims: true }));
  const total = np.add(np.log(np.sum(np.exp(shifted), -1)), np.squeeze(np.max(logits, -1, { keepdims: true }), -1));
  return np.mean(np.subtract(total, np.squeeze(chosen, -1)));
}
const step = valueAndGrad(loss);

/** What is cut along "model", by how the table is. */
const layouts: Record<string, Specs> = {
  "by vocabulary": { table: ["model"], attention: [null, "model"], out: ["model"], up: [null, "model"], down: ["model"] },
  "by features": {
    table: [null, "model"],
    attention: [null, null, "model"],
    out: [null, null, "model"],
    up: ["model"],
    down: [null, "model"],
  },
};

describe("a step of a model whose table is cut", () => {
  for (const [name, specs] of Object.entries(layouts)) {
    for (const sizes of [
      [2, 2],
      [1, 4],
      [4, 1],
    ]) {
      // Two heads cannot be cut in four.
      if (sizes[1] === 4 && name === "by vocabulary") continue;
      test(`${name}, over ${sizes.join(" x ")} devices`, () => {
        const mesh = makeMesh(sizes, ["data", "model"]);
        const on = (...entries: SpecEntry[]): NamedSharding => new NamedSharding(mesh, P(...entries));
        const place = Object.fromEntries(Object.entries(specs).map(([key, spec]) => [key, on(...spec)])) as {
          readonly [K in keyof Model]: NamedSharding;
        };
        const data = on("data");
        const expected = treeLeaves(step(model, inputs, labels)) as NDArray[];
        const close = (got: readonly NDArray[]): void =>
          got.forEach((x, i) => {
            const want = expected[i].dataSync();
            [...x.dataSync()].forEach((y, j) => expect(Math.abs(Number(y) - Number(want[j]))).toBeLessThan(1e-10));
          });
        // One memory.
        const laid = jit(step, { inShardings: [place, data, data], outShardings: [on(), place] });
        const [value, grads] = laid(model, inputs, labels);
        close([value, ...(treeLeaves(grads) as NDArray[])]);
        expect(grads.table.sharding.key).toBe(place.table.key);
        // Memories of their own.
        const flat = (...xs: NDArray[]): NDArray[] => {
          const [table, attention, out, up, down, x, y] = xs;
          return treeLeaves(step({ table, attention, out, up, down }, x, y)) as NDArray[];
        };
        const args = [...Object.values(model), inputs, labels] as NDArray[];
        const ins = [...Object.keys(model).map((key) => place[key as keyof Model]), data, data];
        const { jaxpr } = makeJaxpr(flat)(...args) as { readonly jaxpr: Jaxpr };
        const outs = [on(), ...(treeLeaves(place) as NamedSharding[])];
        const split = (...xs: NDArray[]): NDArray[] => runPartitioned(jaxpr, xs, mesh, ins, outs);
        close(split(...args.map((x, i) => devicePut(x, ins[i]))));
        // No device computes all of what is cut; zeros are cut where they are used.
        const whole = [
          ...(sizes[0] > 1
            ? [
                [batch, length, width],
                [batch, length, vocabulary],
              ]
            : []),
          ...(sizes[1] > 1 ? [[vocabulary, width]] : []),
        ];
        const shard = makeJaxpr(split)(...args).jaxpr.eqns.find((e) => e.primitive.name === "shard_map")!;
        const made = (shard.params as { readonly jaxpr: Jaxpr }).jaxpr.eqns
          .filter((e) => e.primitive.name !== "broadcast_in_dim")
          .flatMap((e) => e.outvars.map((v) => v.aval.shape.join()));
        expect(made.length).toBeGreaterThan(100);
        for (const shape of whole) expect(made).not.toContain(shape.join());
      });
    }
  }
});
