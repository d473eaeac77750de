import { fromTyped } from "@traceform/core";
import { byteType } from "../mnist/bytes.ts";
import type { Dataset } from "../mnist/data.ts";

/** Digits on the host: labels, and images of 784 bytes each. */
export interface Digits {
  readonly size: number;
  readonly labels: Uint8Array;
  readonly images: Uint8Array;
}

/** Reads what `vite.config.ts` has packed. */
export function unpackDigits(file: ArrayBuffer): { readonly training: Digits; readonly test: Digits } {
  const header = new DataView(file);
  const counts = [header.getUint32(0, true), header.getUint32(4, true)];
  const total = counts[0] + counts[1];
  const [training, test] = [0, counts[0]].map((first, i) => ({
    size: counts[i],
    labels: new Uint8Array(file, 8 + first, counts[i]),
    images: new Uint8Array(file, 8 + total + first * 784, counts[i] * 784),
  }));
  return { training, test };
}

/** The first digits as arrays of the default backend. */
export function place({ labels, images, size }: Digits, count: number = size): Dataset {
  const [hostLabels, hostImages] = [labels.subarray(0, count), images.subarray(0, count * 784)];
  const dtype = byteType();
  return {
    size: count,
    hostLabels,
    hostImages,
    images: fromTyped(hostImages, [count, 28, 28], dtype),
    labels: fromTyped(hostLabels, [count], dtype),
  };
}
