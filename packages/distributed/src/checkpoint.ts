import {
  asArray,
  type ArrayLike,
  BackendError,
  type HostArray,
  itemsize,
  NamedSharding,
  processCount,
  processIndex,
  type Slice,
  treeFlatten,
  treeFlattenWithPath,
  treeUnflatten,
} from "@traceform/core";
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { current } from "./current.ts";
import { arrayOf, hostArray } from "./host.ts";
import { decode, encode } from "./safetensors.ts";

export interface SaveCheckpointOptions {
  /**
   * Every process writes a file of its own with the parts of its devices, for arrays that are laid out over a mesh; process 0 writes all
   * others. Without it process 0 writes everything.
   */
  readonly sharded?: boolean;
}

/** Where a part of an array lies: `name@start:stop,start:stop`. */
const partName = (name: string, index: readonly Slice[]): string => `${name}@${index.map((s) => `${s.start}:${s.stop}`).join(",")}`;

/** The name of an array in files: its path in the tree, or `value` for a tree that is one array. */
const arrayName = (path: string): string => (path === "" ? "value" : path);

/**
 * Writes the arrays of a pytree into a folder, as safetensors files named by their paths. All processes call it, on the same tree;
 * it resolves when everything has been written.
 *
 * @throws {DTypeError} for PRNG keys (save `keyData`), and {BackendError} for complex128
 */
export async function saveCheckpoint(
  folder: string,
  tree: unknown,
  { sharded = false }: SaveCheckpointOptions = {},
): Promise<void> {
  const tensors: Record<string, HostArray> = {};
  const shapes: Record<string, readonly number[]> = {};
  for (const [path, leaf] of treeFlattenWithPath(tree)) {
    const x = asArray(leaf as ArrayLike);
    const name = arrayName(path);
    const spread = sharded && x.sharding instanceof NamedSharding && !x.sharding.isFullyReplicated;
    if (!spread) {
      if (processIndex() === 0) tensors[name] = await hostArray("saveCheckpoint", x);
      continue;
    }
    shapes[name] = x.shape;
    for (const shard of x.addressableShards)
      if (shard.replicaId === 0) tensors[partName(name, shard.index)] = await hostArray("saveCheckpoint", shard.data);
  }
  await mkdir(folder, { recursive: true });
  const [part, parts] = sharded ? [processIndex() + 1, processCount()] : [1, 1];
  if (sharded || processIndex() === 0) {
    const file = join(folder, `checkpoint-${String(part).padStart(5, "0")}-of-${String(parts).padStart(5, "0")}.safetensors`);
    // Whole or not at all: a process that dies while it writes leaves no half of a file.
    await writeFile(`${file}.part`, encode(tensors, { shapes: JSON.stringify(shapes) }));
    await rename(`${file}.part`, file);
  }
  current()?.barrier();
}

/**
 * Reads what `saveCheckpoint` has written, in any number of processes: a pytree like `like`, whose arrays say which names, shapes and
 * dtypes there should be.
 *
 * @throws {BackendError} when files are missing, or an array is not there or has another shape or dtype
 */
export async function loadCheckpoint<T>(folder: string, like: T): Promise<T> {
  const files = (await readdir(folder)).filter((f) => /^checkpoint-\d+-of-\d+\.safetensors$/.test(f)).sort();
  const parts = Number(files[0]?.match(/-of-(\d+)/)?.[1] ?? 0);
  if (files.length === 0 || files.length !== parts) {
    throw new BackendError("loadCheckpoint", {
      message:
        files.length === 0
          ? `${folder} holds no checkpoint`
          : `${folder} holds ${files.length} of the ${parts} files of a checkpoint`,
      fix: "name a folder that saveCheckpoint has written, with the files of all processes",
    });
  }
  const whole = new Map<string, HostArray>();
  for (const file of files) {
    const { tensors, metadata } = decode(new Uint8Array(await readFile(join(folder, file))), file);
    const shapes = JSON.parse(metadata["shapes"] ?? "{}") as Record<string, readonly number[]>;
    for (const [name, tensor] of tensors) {
      const at = name.lastIndexOf("@");
      const base = at < 0 ? name : name.slice(0, at);
      if (at < 0 || !(base in shapes)) whole.set(name, tensor);
      else place(whole, base, shapes[base], tensor, name.slice(at + 1));
    }
  }
  const [leaves, def] = treeFlatten(like);
  const paths = treeFlattenWithPath(like).map(([path]) => arrayName(path));
  const arrays = leaves.map((leaf, i) => {
    const { shape, dtype } = asArray(leaf as ArrayLike);
    const found = whole.get(paths[i]);
    if (found !== undefined && found.dtype === dtype && found.shape.join() === shape.join()) return arrayOf(found);
    throw new BackendError("loadCheckpoint", {
      message: `${paths[i]} should be ${String(dtype)}[${shape.join(",")}], and the checkpoint has ${found === undefined ? "no array of this name" : `${found.dtype}[${found.shape.join(",")}]`}`,
      fix: `give a tree like the one that was saved; it had ${[...whole.keys()].join(", ")}`,
    });
  });
  return treeUnflatten(def, arrays) as T;
}

/** Puts a part into the array that it belongs to. */
function place(whole: Map<string, HostArray>, name: string, shape: readonly number[], part: HostArray, index: string): void {
  const size = itemsize(part.dtype);
  let target = whole.get(name);
  if (target === undefined) {
    target = { shape, dtype: part.dtype, bytes: new Uint8Array(shape.reduce((a, b) => a * b, size)) };
    whole.set(name, target);
  }
  const { bytes } = target;
  const starts = index.split(",").map((s) => Number(s.split(":")[0]));
  const row = (part.shape.at(-1) ?? 1) * size;
  const rows = part.bytes.length / Math.max(1, row);
  for (let r = 0; r < rows; r++) {
    let rest = r;
    let at = starts.at(-1) ?? 0;
    let stride = shape.at(-1) ?? 1;
    for (let d = shape.length - 2; d >= 0; d--) {
      at += (starts[d] + (rest % part.shape[d])) * stride;
      rest = Math.floor(rest / part.shape[d]);
      stride *= shape[d];
    }
    bytes.set(part.bytes.subarray(r * row, (r + 1) * row), at * size);
  }
}
