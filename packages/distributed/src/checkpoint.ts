import {
  asArray,
  type ArrayLike,
  BackendError,
  type HostArray,
  NamedSharding,
  processCount,
  processIndex,
  type Slice,
  treeFlattenWithPath,
} from "@traceform/core";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { current } from "./current.ts";
import { dtypeOfBytes, hostArray } from "./host.ts";
import { encode, storedAs } from "./safetensors.ts";

// A checkpoint is a list of files. The list is replaced when all of them have been written, in one step, so a job that is killed while
// it saves leaves the checkpoint before.

export interface SaveCheckpointOptions {
  /**
   * Every process writes a file of its own with the parts of its devices, for arrays that are laid out over a mesh; process 0 writes all
   * others. Without it process 0 writes everything.
   */
  readonly sharded?: boolean;
}

/** The file that names those of a checkpoint. */
const listName = "checkpoint.json";

/** What the list says. */
export interface CheckpointList {
  /** How many checkpoints were saved into the folder before. */
  readonly generation: number;
  readonly files: readonly string[];
}

/** Where a part of an array lies: `name@start:stop,start:stop`. */
const partName = (name: string, index: readonly Slice[]): string => `${name}@${index.map((s) => `${s.start}:${s.stop}`).join(",")}`;

/** The name of an array in files: its path in the tree, or `value` for a tree that is one array. */
export const arrayName = (path: string): string => (path === "" ? "value" : path);

/**
 * Writes the arrays of a pytree into a folder, as safetensors files named by their paths. All processes call it, on the same tree;
 * it resolves when everything has been written. A checkpoint that was in the folder is replaced.
 *
 * @throws {DTypeError} for PRNG keys (save `keyData`), and {BackendError} for complex128, and for arrays of which processes hold blocks when
 *   they are not saved in parts
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
    // In every process, also in those that would not write it.
    storedAs(name, x.shape, dtypeOfBytes("saveCheckpoint", x));
    const spread = x.sharding instanceof NamedSharding && !x.sharding.isFullyReplicated;
    if (!sharded || !spread) {
      // Where it is held in blocks it is refused in every process too.
      if (processIndex() === 0 || spread) tensors[name] = await hostArray("saveCheckpoint", x);
      continue;
    }
    shapes[name] = x.shape;
    for (const shard of x.addressableShards)
      if (shard.replicaId === 0) tensors[partName(name, shard.index)] = await hostArray("saveCheckpoint", shard.data);
  }
  const parts = sharded ? processCount() : 1;
  // What is no list is replaced as well.
  const before = processIndex() === 0 ? await listIn(folder).catch(() => null) : null;
  const generation = agreed(before === null ? 0 : before.generation + 1);
  const fileName = (part: number): string =>
    `checkpoint-${generation}-${String(part + 1).padStart(5, "0")}-of-${String(parts).padStart(5, "0")}.safetensors`;
  if (processIndex() < parts) {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, fileName(processIndex())), encode(tensors, { shapes: JSON.stringify(shapes) }));
  }
  current()?.barrier();
  if (processIndex() === 0) {
    const list: CheckpointList = { generation, files: Array.from({ length: parts }, (_, i) => fileName(i)) };
    await writeFile(join(folder, `${listName}.new`), JSON.stringify(list));
    await rename(join(folder, `${listName}.new`), join(folder, listName));
    const old = (await readdir(folder)).filter((f) => /^checkpoint-.*\.safetensors$/.test(f) && !list.files.includes(f));
    await Promise.all(old.map((f) => rm(join(folder, f))));
  }
  current()?.barrier();
}

/** What process 0 says. */
function agreed(value: number): number {
  const word = Int32Array.of(value);
  current()?.broadcast(new Uint8Array(word.buffer), 0);
  return word[0];
}

/** The list of the checkpoint in a folder; `null` when there is none. @throws {BackendError} for a file that is no list */
export async function listIn(folder: string): Promise<CheckpointList | null> {
  let text: string;
  try {
    text = await readFile(join(folder, listName), "utf8");
  } catch {
    return null;
  }
  try {
    const list = JSON.parse(text) as Partial<CheckpointList> | null;
    if (typeof list?.generation === "number" && Array.isArray(list.files)) return list as CheckpointList;
  } catch {
    // The same as a list without files.
  }
  throw new BackendError("loadCheckpoint", {
    message: `${join(folder, listName)} is no list of files`,
    fix: "name a folder that saveCheckpoint has written",
  });
}
