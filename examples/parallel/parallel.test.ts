import { cpu } from "@traceform/backend-cpu";
import { devicePut, NamedSharding, type NDArray, setDefaultBackend } from "@traceform/core";
import { grad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import { arange, cos, reshape, sum } from "@traceform/numpy";
import { makeMesh, PartitionSpec as P } from "@traceform/pmap";
import { key, normal, split } from "@traceform/random";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { attention, ringAttention } from "./attention.ts";
import { heat, parallelHeat } from "./heat.ts";
import { descend, network } from "./fsdp.ts";
import { apply, gradient, type Layers, predict, wholeGradient } from "./mlp.ts";

const backend = setDefaultBackend(cpu({ devices: 4 }));
afterAll(() => backend[Symbol.dispose]());
const [k0, k1, k2, k3] = split(key(0), 4);
const close = (x: NDArray, y: NDArray, tolerance: number): void => {
  expect(x.shape).toEqual(y.shape);
  const [a, b] = [x.dataSync(), y.dataSync()];
  a.forEach((v: number | bigint, i: number) => expect(Math.abs(Number(v) - Number(b[i]))).toBeLessThan(tolerance));
};

test("a network cut by hidden units and examples predicts and learns like the whole one", () => {
  const mesh = makeMesh([2, 2], ["data", "model"]);
  const whole: Layers = { up: normal(k0, [8, 16]), down: normal(k1, [16, 4]) };
  const [x, y] = [normal(k2, [6, 8]), normal(k3, [6, 4])];
  const cut = devicePut(whole, { up: new NamedSharding(mesh, P(null, "model")), down: new NamedSharding(mesh, P("model")) });
  close(jit(predict(mesh))(cut, x), apply(whole, x), 1e-4);
  const g = jit(gradient(mesh))(cut, x, y);
  const expected = wholeGradient(whole, x, y);
  close(g.up, expected.up, 1e-4);
  close(g.down, expected.down, 1e-4);
  expect(g.up.addressableShards[0].data.shape).toEqual([8, 8]);
  expect(g.down.addressableShards[0].data.shape).toEqual([8, 4]);
});

test("attention in a ring is attention, and has its gradients", () => {
  const mesh = makeMesh([2, 2], ["sequence", "heads"]);
  const [q, k, v] = [k0, k1, k2].map((r) => normal(r, [12, 2, 8]));
  const ring = ringAttention(mesh);
  close(jit(ring)(q, k, v), attention(q, k, v), 1e-5);
  const weight = normal(k3, [12, 2, 8]);
  const gradients = (f: typeof attention): [NDArray, NDArray, NDArray] =>
    jit(grad((a: NDArray, b: NDArray, c: NDArray) => sum(f(a, b, c).mul(weight)), { argnums: [0, 1, 2] }))(q, k, v);
  const expected = gradients(attention);
  gradients(ring).forEach((g, i) => close(g, expected[i], 1e-4));
});

test("heat spreads over the borders between devices", () => {
  const mesh = makeMesh([2, 2], ["y", "x"]);
  const plate = normal(k0, [16, 12]);
  const spread = jit(parallelHeat(mesh, 50));
  close(spread(plate), jit((u: NDArray) => heat(u, 50))(plate), 1e-6);
  expect(spread(plate).addressableShards[3].data.shape).toEqual([8, 6]);
});

/** The losses of some steps on a mesh of so many devices of this process. */
function losses(devices: number): number[] {
  const mesh = makeMesh([devices], ["data"]);
  const [x, y] = [256, 8].map((n) => reshape(cos(arange(16 * n)), [16, n]));
  const step = descend(mesh, 0.2);
  let weights = network(mesh, 256, 1024, 8);
  return Array.from({ length: 10 }, () => {
    const [loss, next] = step(weights, x, y);
    weights = next;
    return Number(loss.itemSync());
  });
}

test("weights that are cut over the devices are learned as whole ones", () => {
  const alone = losses(1);
  expect(alone[9]).toBeLessThan(0.5 * alone[0]);
  losses(4).forEach((l, i) => expect(Math.abs(l - alone[i])).toBeLessThan(1e-5));
});

// Left out without mpirun, as the README says.
test.runIf(spawnSync("mpirun", ["--version"]).error === undefined)("a process has its part of the weights only", () => {
  const alone = losses(1);
  const env = { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" };
  const script = fileURLToPath(new URL("./fixtures/fsdp.ts", import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), "traceform-fsdp-"));
  try {
    const args = ["-np", "2", "--oversubscribe", process.execPath, script, "2", folder];
    const { status, stderr } = spawnSync("mpirun", args, { env, encoding: "utf8" });
    expect(status, stderr).toBe(0);
    for (const i of [0, 1]) {
      const said = JSON.parse(readFileSync(join(folder, `${i}.json`), "utf8")) as { losses: number[]; bytes: number };
      said.losses.forEach((l, k) => expect(Math.abs(l - alone[k])).toBeLessThan(1e-5));
      expect(said.bytes).toBe((4 * (256 * 1024 + 1024 * 8)) / 2);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
