import {
  asArray,
  type ArrayLike,
  BackendError,
  ConcreteArray,
  copyBlock,
  devicePut,
  heldOf,
  heldShape,
  makeAval,
  NamedSharding,
  type NDArray,
  ownParts,
  type Sharding,
  type Slice,
  type StandardDType,
  treeFlatten,
  treeFlattenWithPath,
  treeUnflatten,
  wholeSlices,
  zerosOnHost,
} from "@traceform/core";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { arrayName, listIn } from "./checkpoint.ts";
import { arrayOf } from "./host.ts";
import { decodeHeader, type Stored } from "./safetensors.ts";

/** A part of an array in a file: which, and where its bytes are. */
interface Piece {
  readonly file: FileHandle;
  readonly stored: Stored;
  readonly index: readonly Slice[];
}

/** An array in files. */
interface Saved {
  readonly shape: readonly number[];
  readonly dtype: StandardDType;
  readonly pieces: Piece[];
}

/**
 * Reads what `saveCheckpoint` has written, in any number of processes: a pytree like `like`, whose arrays say which names, shapes and
 * dtypes there should be, and how they are laid out: of those that are laid out over processes each reads its part only.
 *
 * @throws {BackendError} when files are missing, or an array is not there or has another shape or dtype
 */
export async function loadCheckpoint<T>(folder: string, like: T): Promise<T> {
  const list = await listIn(folder);
  if (list === null) {
    throw new BackendError("loadCheckpoint", {
      message: `${folder} holds no checkpoint`,
      fix: "name a folder that saveCheckpoint has written",
    });
  }
  const files: FileHandle[] = [];
  try {
    const saved = new Map<string, Saved>();
    for (const name of list.files) await addFile(join(folder, name), saved, files);
    const [leaves, def] = treeFlatten(like);
    const paths = treeFlattenWithPath(like).map(([path]) => arrayName(path));
    const arrays: NDArray[] = [];
    for (const [i, leaf] of leaves.entries()) {
      const { shape, dtype, sharding } = asArray(leaf as ArrayLike);
      const found = saved.get(paths[i]);
      if (found === undefined || found.dtype !== dtype || found.shape.join() !== shape.join()) {
        throw new BackendError("loadCheckpoint", {
          message: `${paths[i]} should be ${String(dtype)}[${shape.join(",")}], and the checkpoint has ${found === undefined ? "no array of this name" : `${found.dtype}[${found.shape.join(",")}]`}`,
          fix: `give a tree like the one that was saved; it had ${[...saved.keys()].join(", ")}`,
        });
      }
      arrays.push(await read(paths[i], found, sharding));
    }
    return treeUnflatten(def, arrays) as T;
  } finally {
    await Promise.all(files.map((f) => f.close()));
  }
}

/** Notes what a file holds; whoever opened `files` closes them. */
async function addFile(path: string, saved: Map<string, Saved>, files: FileHandle[]): Promise<void> {
  let file: FileHandle;
  try {
    file = await open(path);
  } catch (cause) {
    throw new BackendError("loadCheckpoint", {
      message: `${path} is missing, a file of the checkpoint`,
      fix: "name a folder that saveCheckpoint has written, with the files of all processes",
      cause,
    });
  }
  files.push(file);
  const { size } = await file.stat();
  const { tensors, metadata } = await decodeHeader((at, length) => bytesAt(file, at, length), size, path);
  const shapes = JSON.parse(metadata["shapes"] ?? "{}") as Record<string, readonly number[]>;
  for (const [name, stored] of tensors) {
    const at = name.lastIndexOf("@");
    const base = at < 0 ? name : name.slice(0, at);
    const isPart = at >= 0 && base in shapes;
    const index = isPart ? slicesOf(name.slice(at + 1)) : wholeSlices(stored.shape);
    const key = isPart ? base : name;
    const entry = saved.get(key) ?? { shape: isPart ? shapes[base] : stored.shape, dtype: stored.dtype, pieces: [] };
    entry.pieces.push({ file, stored, index });
    saved.set(key, entry);
  }
}

const slicesOf = (text: string): Slice[] =>
  text.split(",").map((s) => {
    const [start, stop] = s.split(":").map(Number);
    return { start, stop };
  });

async function bytesAt(file: FileHandle, at: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, at + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes;
}

/** An array laid out as is asked for, from the pieces that this process needs of it. */
async function read(name: string, { shape, dtype, pieces }: Saved, sharding: Sharding): Promise<NDArray> {
  const held = heldOf(sharding);
  const full = wholeSlices(shape);
  const needs = held === null ? [{ index: full, inside: full }] : ownParts(shape, sharding);
  const block = zerosOnHost(heldShape(shape, sharding), dtype);
  const volume = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);
  if (pieces.reduce((n, { stored }) => n + volume(stored.shape), 0) !== volume(shape)) {
    throw new BackendError("loadCheckpoint", {
      message: `the parts of ${name} do not make ${dtype}[${shape.join(",")}]`,
      fix: "save it again; a file was changed after saveCheckpoint has written it",
    });
  }
  for (const { file, stored, index } of pieces) {
    const common = needs.flatMap(({ index: wanted, inside }) => {
      const both = wanted.map((w, d) => ({ start: Math.max(w.start, index[d].start), stop: Math.min(w.stop, index[d].stop) }));
      return both.some((s) => s.stop <= s.start) ? [] : [{ both, wanted, inside }];
    });
    if (common.length === 0) continue;
    // Of the rows of a piece those that are needed.
    const [first, last] = shape.length === 0 ? [0, 1] : rowsOf(common.map((c) => c.both[0]));
    const origin = index.map((s, d) => (d === 0 ? first : s.start));
    const row = stored.byteLength / Math.max(1, stored.shape[0] ?? 1);
    const from = stored.offset + (shape.length === 0 ? 0 : (first - index[0].start) * row);
    const rows = shape.length === 0 ? [] : [last - first, ...stored.shape.slice(1)];
    const part = { shape: rows, dtype, bytes: await bytesAt(file, from, (last - first) * row) };
    for (const { both, wanted, inside } of common) {
      copyBlock(
        part,
        both.map((s, d) => ({ start: s.start - origin[d], stop: s.stop - origin[d] })),
        block,
        both.map((s, d) => {
          const shift = inside[d].start - wanted[d].start;
          return { start: s.start + shift, stop: s.stop + shift };
        }),
      );
    }
  }
  if (held !== null) return ConcreteArray.fromHeld(block, makeAval(shape, dtype), sharding);
  return sharding instanceof NamedSharding ? devicePut(arrayOf(block), sharding) : arrayOf(block);
}

const rowsOf = (slices: readonly Slice[]): readonly [first: number, last: number] => [
  Math.min(...slices.map((s) => s.start)),
  Math.max(...slices.map((s) => s.stop)),
];
