import { setDefaultBackend } from "@traceform/core";
import { cpu } from "@traceform/backend-cpu";
import { wgpu } from "@traceform/backend-wgpu";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { loadMnist } from "./data.ts";
import { models } from "./models.ts";
import { digitPng, writeReport } from "./report.ts";
import { confusionMatrix, formatConfusion, lossCurve } from "./terminal.ts";
import { train } from "./train.ts";

const host = cpu();
beforeAll(() => {
  setDefaultBackend(host);
});

test("the files hold the digits", () => {
  const data = loadMnist("t10k");
  expect(data.images.shape).toEqual([10_000, 28, 28]);
  expect([...data.hostLabels.subarray(0, 5)]).toEqual([7, 2, 1, 0, 4]);
  expect(loadMnist("train", 100).images.shape).toEqual([100, 28, 28]);
});

for (const [name, digits, floor] of [
  ["mlp", 4000, 0.85],
  ["cnn", 1500, 0.6],
] as const) {
  test(`the ${name} learns from a few digits`, async () => {
    const test = loadMnist("t10k", 1000);
    const epochs: number[] = [];
    const trained = await train(
      models[name],
      loadMnist("train", digits),
      test,
      { epochs: 2, batch: 64, learningRate: 2e-3, seed: 1 },
      {
        onEpoch: (e) => epochs.push(e.accuracy),
      },
    );
    expect(trained.losses[0]).toBeGreaterThan(1.5);
    expect(trained.losses.at(-1)).toBeLessThan(0.5 * trained.losses[0]);
    expect(trained.accuracy).toBeGreaterThan(floor);
    expect(epochs).toEqual(trained.accuracies);
  });
}

// SwiftShader is a CPU: beside the other suites it takes many times as long as alone.
test.each(["mlp", "cnn"])("the %s learns on the GPU what it learns on the CPU", { timeout: 240_000 }, async (name) => {
  const options = { epochs: 1, batch: 32, learningRate: 1e-3, seed: 1 };
  const run = async (): Promise<{ losses: readonly number[]; accuracy: number }> =>
    train(models[name], loadMnist("train", 96), loadMnist("t10k", 50), options);
  const expected = await run();
  const gpu = setDefaultBackend(await wgpu());
  try {
    const { losses, accuracy } = await run();
    expect(losses).toHaveLength(expected.losses.length);
    losses.forEach((loss, i) => expect(Math.abs(loss / expected.losses[i] - 1)).toBeLessThan(1e-4));
    expect(Math.abs(accuracy - expected.accuracy)).toBeLessThan(0.05);
  } finally {
    setDefaultBackend(host);
    gpu[Symbol.dispose]();
  }
});

test("training is repeatable: the same seed gives the same losses", async () => {
  const run = async (): Promise<readonly number[]> =>
    (
      await train(models["mlp"], loadMnist("train", 640), loadMnist("t10k", 100), {
        epochs: 1,
        batch: 64,
        learningRate: 1e-3,
        seed: 3,
      })
    ).losses;
  expect(await run()).toEqual(await run());
});

describe("several devices have the losses of one", () => {
  const run = async (devices?: number): Promise<readonly number[]> => {
    const options = { epochs: 2, batch: 64, learningRate: 1e-3, seed: 3, ...(devices === undefined ? {} : { devices }) };
    return (await train(models["mlp"], loadMnist("train", 1280), loadMnist("t10k", 100), options)).losses;
  };
  const compare = async (losses: readonly number[]): Promise<void> => {
    const one = await run();
    expect(losses).toHaveLength(one.length);
    losses.forEach((loss, i) => expect(Math.abs(loss - one[i])).toBeLessThan(1e-5));
  };

  test("in one process", async () => {
    setDefaultBackend(cpu({ devices: 2 }));
    try {
      await compare(await run(2));
    } finally {
      setDefaultBackend(cpu());
    }
  });

  // Left out without mpirun, as the README says.
  test.runIf(spawnSync("mpirun", ["--version"]).error === undefined)("in two processes", async () => {
    const folder = mkdtempSync(join(tmpdir(), "traceform-losses-"));
    try {
      const env = { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" };
      const script = fileURLToPath(new URL("./fixtures/losses.ts", import.meta.url));
      const { status, stderr } = spawnSync("mpirun", ["-np", "2", "--oversubscribe", process.execPath, script, folder], {
        env,
        encoding: "utf8",
      });
      expect(status, stderr).toBe(0);
      const [first, second] = [0, 1].map((i) => JSON.parse(readFileSync(join(folder, `${i}.json`), "utf8")) as number[]);
      expect(second).toEqual(first);
      await compare(first);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

test("the report holds curves, a confusion matrix and the wrong digits", () => {
  const folder = mkdtempSync(join(tmpdir(), "traceform-mnist-"));
  try {
    const { hostImages, hostLabels } = loadMnist("t10k", 20);
    const predictions = hostLabels.slice();
    predictions[3] = 9;
    const confusion = confusionMatrix(hostLabels, predictions);
    const path = join(folder, "report.html");
    writeReport(path, {
      title: "t",
      losses: [2, 1, 0.5],
      accuracies: [0.9, 0.95],
      accuracy: 0.95,
      seconds: 1,
      confusion,
      labels: hostLabels,
      predictions,
      images: hostImages,
    });
    const html = readFileSync(path, "utf8");
    expect(html.match(/class="digit"/g)).toHaveLength(1);
    expect(html).toContain("0 → 9");
    expect(digitPng(hostImages.subarray(0, 784))).toMatch(/^data:image\/png;base64,iVBOR/);
    expect(formatConfusion(confusion).split("\n")).toHaveLength(11);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the loss curve falls from the top left to the bottom right", () => {
  const lines = lossCurve([1, 0.5, 0.25, 0.125], 8, 4).split("\n").slice(1, 5);
  expect(lines[0]).toMatch(/┤[⠀-⣿]/);
  expect(lines[0].indexOf("┤")).toBe(9);
  expect(/[⠁-⣿]/.exec(lines[0].slice(10))?.index).toBe(0);
  expect(/[⠁-⣿]/.exec(lines[3].slice(10))!.index).toBeGreaterThan(3);
});
