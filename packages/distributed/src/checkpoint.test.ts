import { cpu } from "@traceform/backend-cpu";
import {
  devicePut,
  fromTyped,
  makeMesh,
  NamedSharding,
  type NDArray,
  PartitionSpec,
  setDefaultBackend,
  standardDTypes,
} from "@traceform/core";
import { array } from "@traceform/numpy";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { assertEqual, broadcastOneToAll, loadCheckpoint, processAllgather, saveCheckpoint, syncGlobalDevices } from "./index.ts";

let folder = "";
beforeEach(() => {
  setDefaultBackend(cpu({ devices: 4 }));
  folder = mkdtempSync(join(tmpdir(), "traceform-checkpoint-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const dtypes = standardDTypes.filter((d) => d !== "complex128");
const ones = (dtype: (typeof dtypes)[number]): NDArray => array([[1, 0, 1]], { dtype });

test("arrays of every dtype come back as they were", async () => {
  const tree = Object.fromEntries(dtypes.map((d) => [d, ones(d)]));
  await saveCheckpoint(folder, tree);
  const back = await loadCheckpoint(folder, tree);
  for (const d of dtypes) {
    expect(back[d].dtype).toBe(d);
    expect(back[d].jsSync()).toEqual(tree[d].jsSync());
  }
  expect(readdirSync(folder)).toEqual(["checkpoint-0-00001-of-00001.safetensors", "checkpoint.json"]);
});

test("trees keep their structure, scalars and empty arrays too", async () => {
  const tree = {
    layers: [{ w: fromTyped(Float32Array.of(1.5, -0, NaN), [3], "float32") }, { w: array(2) }],
    none: fromTyped(new Float32Array(0), [0, 4], "float32"),
  };
  await saveCheckpoint(folder, tree);
  const back = await loadCheckpoint(folder, tree);
  expect([...(back.layers[0].w.dataSync() as Float32Array)]).toEqual([1.5, -0, NaN]);
  expect(back.layers[1].w.itemSync()).toBe(2);
  expect(back.none.shape).toEqual([0, 4]);
  await saveCheckpoint(folder, array([7, 8]));
  expect((await loadCheckpoint(folder, array([0, 0]))).jsSync()).toEqual([7, 8]);
});

test("parts of arrays that are laid out over a mesh are put together again", async () => {
  const mesh = makeMesh([2, 2], ["a", "b"]);
  const values = fromTyped(
    Float32Array.from({ length: 2 * 6 * 4 }, (_, i) => i),
    [2, 6, 4],
    "float32",
  );
  for (const spec of [
    PartitionSpec(null, "a", "b"),
    PartitionSpec("b"),
    PartitionSpec(null, ["b", "a"].slice(0, 1)),
    PartitionSpec(null, null, ["a", "b"]),
  ]) {
    const x = devicePut(values, new NamedSharding(mesh, spec)) as NDArray;
    await saveCheckpoint(folder, { x, whole: values }, { sharded: true });
    const back = await loadCheckpoint(folder, { x, whole: values });
    expect(back.x.jsSync()).toEqual(values.jsSync());
    expect(back.whole.jsSync()).toEqual(values.jsSync());
  }
});

test("what is not there is named", async () => {
  await expect(loadCheckpoint(folder, { w: array(1) })).rejects.toThrow("holds no checkpoint");
  await saveCheckpoint(folder, { w: array([1, 2]), b: array(0) });
  await expect(loadCheckpoint(folder, { w: array([1, 2, 3]) })).rejects.toThrow(
    /\.w should be float32\[3\], and the checkpoint has float32\[2\]/,
  );
  await expect(loadCheckpoint(folder, { v: array([1, 2]) })).rejects.toThrow(
    /\.v should be .* no array of this name[\s\S]*it had \.b, \.w/,
  );
  await expect(saveCheckpoint(folder, { z: array([1], { dtype: "complex128" }) })).rejects.toThrow(
    "the file format has no complex128",
  );
  const file = join(folder, "checkpoint-0-00001-of-00001.safetensors");
  writeFileSync(file, "short");
  await expect(loadCheckpoint(folder, { w: array(1) })).rejects.toThrow("fewer than eight bytes");
  writeFileSync(file, Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4));
  await expect(loadCheckpoint(folder, { w: array(1) })).rejects.toThrow("its header is no JSON");
  rmSync(file);
  await expect(loadCheckpoint(folder, { w: array(1) })).rejects.toThrow("checkpoint-0-00001-of-00001.safetensors is missing");
  writeFileSync(join(folder, "checkpoint.json"), "{");
  await expect(loadCheckpoint(folder, { w: array(1) })).rejects.toThrow("checkpoint.json is no list of files");
  // Written over, and not in the way of a new one.
  writeFileSync(join(folder, "checkpoint.json"), "{}");
  await expect(loadCheckpoint(folder, { w: array(1) })).rejects.toThrow("checkpoint.json is no list of files");
  await saveCheckpoint(folder, { w: array([3]) });
  expect((await loadCheckpoint(folder, { w: array([0]) })).w.jsSync()).toEqual([3]);
});

test("saving again leaves no file of before, of however many processes that was", async () => {
  writeFileSync(join(folder, "checkpoint-4-00002-of-00003.safetensors"), "of a job with three processes");
  writeFileSync(join(folder, "checkpoint.json"), JSON.stringify({ generation: 4, files: [] }));
  await saveCheckpoint(folder, { w: array([1, 2]) });
  expect(readdirSync(folder)).toEqual(["checkpoint-5-00001-of-00001.safetensors", "checkpoint.json"]);
  expect((await loadCheckpoint(folder, { w: array([0, 0]) })).w.jsSync()).toEqual([1, 2]);
});

test("what a job has begun to write when it is killed does not touch the checkpoint before", async () => {
  await saveCheckpoint(folder, { w: array([1, 2]) });
  // All that is written before the list is replaced.
  writeFileSync(join(folder, "checkpoint-1-00001-of-00001.safetensors"), "half of a fi");
  writeFileSync(join(folder, "checkpoint.json.new"), "");
  expect((await loadCheckpoint(folder, { w: array([0, 0]) })).w.jsSync()).toEqual([1, 2]);
});

test("arrays come back laid out as those that say what there should be", async () => {
  const rows = new NamedSharding(makeMesh([4], ["i"]), PartitionSpec("i"));
  await saveCheckpoint(folder, { w: array([1, 2, 3, 4]) });
  const { w } = await loadCheckpoint(folder, { w: devicePut(array([0, 0, 0, 0]), rows) });
  expect(w.sharding.equals(rows)).toBe(true);
  expect(w.addressableShards.map((s) => s.data.jsSync())).toEqual([[1], [2], [3], [4]]);
});

test("alone, a process has what all have", async () => {
  const tree = { a: array([1, 2]) };
  expect(await broadcastOneToAll(tree)).toBe(tree);
  expect((await processAllgather(tree)).a.jsSync()).toEqual([[1, 2]]);
  expect((await processAllgather(tree, { tiled: true })).a.jsSync()).toEqual([1, 2]);
  expect((await processAllgather(array(3), { tiled: true })).jsSync()).toEqual([3]);
  await assertEqual(tree);
  syncGlobalDevices();
});
