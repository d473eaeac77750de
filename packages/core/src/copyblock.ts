import type { HostArray } from "./device.ts";
import { itemsize } from "./dtypes.ts";
import type { Slice } from "./sharding.ts";

/** A host array of zeros. */
export function zerosOnHost(shape: readonly number[], dtype: HostArray["dtype"]): HostArray {
  return { shape, dtype, bytes: new Uint8Array(shape.reduce((a, b) => a * b, itemsize(dtype))) };
}

/**
 * Copies a block of one host array to a block of another of the same dtype, both given by a slice for each axis, of equal lengths.
 * Axes after the last slice, which an extended dtype adds, are taken whole.
 */
export function copyBlock(from: HostArray, at: readonly Slice[], to: HostArray, where: readonly Slice[]): void {
  const size = itemsize(from.dtype);
  const ndim = from.shape.length;
  if (ndim === 0) return to.bytes.set(from.bytes);
  const sliceOf = (slices: readonly Slice[], { shape }: HostArray, d: number): Slice => slices[d] ?? { start: 0, stop: shape[d] };
  const lengths = from.shape.map((_, d) => sliceOf(at, from, d).stop - sliceOf(at, from, d).start);
  if (lengths.includes(0)) return;
  const strides = ({ shape }: HostArray): number[] => shape.map((_, d) => shape.slice(d + 1).reduce((a, b) => a * b, size));
  const [fromStrides, toStrides] = [strides(from), strides(to)];
  /** From this axis on both blocks have all there is, so that bytes follow each other. */
  let dense = ndim;
  while (dense > 0 && lengths[dense - 1] === from.shape[dense - 1] && lengths[dense - 1] === to.shape[dense - 1]) dense--;
  const last = Math.max(0, dense - 1);
  const copy = (d: number, source: number, target: number): void => {
    if (d === last) {
      const start = source + sliceOf(at, from, d).start * fromStrides[d];
      const run = from.bytes.subarray(start, start + lengths[d] * fromStrides[d]);
      return to.bytes.set(run, target + sliceOf(where, to, d).start * toStrides[d]);
    }
    for (let i = 0; i < lengths[d]; i++) {
      copy(
        d + 1,
        source + (sliceOf(at, from, d).start + i) * fromStrides[d],
        target + (sliceOf(where, to, d).start + i) * toStrides[d],
      );
    }
  };
  copy(0, 0, 0);
}
