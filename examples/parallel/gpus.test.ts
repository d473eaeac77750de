import { requestAdapter, wgpu } from "@traceform/backend-wgpu";
import { type Backend, devicePut, NamedSharding, type NDArray, setDefaultBackend } from "@traceform/core";
import { grad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import { arange, cos, reshape, sum } from "@traceform/numpy";
import { makeMesh, PartitionSpec as P } from "@traceform/pmap";
import { key, normal } from "@traceform/random";
import { afterAll, beforeAll, expect, test } from "vitest";
import { attention, ringAttention } from "./attention.ts";
import { descend, network } from "./fsdp.ts";
import { heat, parallelHeat } from "./heat.ts";
import { apply, gradient, type Layers, predict, wholeGradient } from "./mlp.ts";

// The same programs on two GPUs with two places each: along one axis of the mesh they share memory, along the other they do not.
let backend: Backend;
beforeAll(async () => {
  const adapter = [await requestAdapter(), await requestAdapter()];
  backend = setDefaultBackend(await wgpu({ adapter, devices: 2, schedule: "tiny" }));
});
afterAll(() => backend[Symbol.dispose]());

const random = (seed: number, ...shape: number[]): NDArray => normal(key(seed), shape);
async function close(x: NDArray, y: NDArray, tolerance: number): Promise<void> {
  expect(x.shape).toEqual(y.shape);
  const [a, b] = await Promise.all([x.data(), y.data()]);
  a.forEach((v: number | bigint, i: number) => expect(Math.abs(Number(v) - Number(b[i]))).toBeLessThan(tolerance));
}

test("a network cut by hidden units and examples", async () => {
  const mesh = makeMesh([2, 2], ["data", "model"]);
  const whole: Layers = { up: random(0, 8, 16), down: random(1, 16, 4) };
  const [x, y] = [random(2, 6, 8), random(3, 6, 4)];
  const cut = devicePut(whole, { up: new NamedSharding(mesh, P(null, "model")), down: new NamedSharding(mesh, P("model")) });
  await close(jit(predict(mesh))(cut, x), apply(whole, x), 1e-4);
  const g = jit(gradient(mesh))(cut, x, y);
  const expected = wholeGradient(whole, x, y);
  await close(g.up, expected.up, 1e-4);
  await close(g.down, expected.down, 1e-4);
});

test("attention in a ring, and its gradients", async () => {
  const ring = ringAttention(makeMesh([2, 2], ["sequence", "heads"]));
  const [q, k, v, weight] = [0, 1, 2, 3].map((seed) => random(seed, 12, 2, 8));
  await close(jit(ring)(q, k, v), attention(q, k, v), 1e-5);
  const gradients = (f: typeof attention): [NDArray, NDArray, NDArray] =>
    jit(grad((a: NDArray, b: NDArray, c: NDArray) => sum(f(a, b, c).mul(weight)), { argnums: [0, 1, 2] }))(q, k, v);
  const expected = gradients(attention);
  for (const [i, g] of gradients(ring).entries()) await close(g, expected[i], 1e-4);
});

test("heat over the borders between devices", async () => {
  const plate = random(0, 16, 12);
  const spread = jit(parallelHeat(makeMesh([2, 2], ["y", "x"]), 10));
  await close(spread(plate), jit((u: NDArray) => heat(u, 10))(plate), 1e-6);
});

test("weights that are cut over the devices", async () => {
  const losses = async (devices: number): Promise<number[]> => {
    const mesh = makeMesh([devices], ["data"]);
    const [x, y] = [64, 8].map((n) => reshape(cos(arange(16 * n)), [16, n]));
    const step = descend(mesh, 0.2);
    let weights = network(mesh, 64, 128, 8);
    const seen: number[] = [];
    for (let i = 0; i < 4; i++) {
      const [loss, next] = step(weights, x, y);
      weights = next;
      seen.push(Number(await loss.item()));
    }
    return seen;
  };
  const alone = await losses(1);
  expect(alone[3]).toBeLessThan(alone[0]);
  (await losses(4)).forEach((l, i) => expect(Math.abs(l - alone[i])).toBeLessThan(1e-5));
});
