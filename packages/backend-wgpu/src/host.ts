import { isComplex, type StandardDType } from "@traceform/core";

// Elements lie densely on the device as on the host, but a complex array is two planes there; on the host the parts of complex
// ones alternate. The device's memory is words, so copies of it are whole words.

/** So many bytes as whole words. */
export function inWords(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}

/** What the device holds for the bytes of a host array, in whole words. */
export function toDevice(dtype: StandardDType, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  if (isComplex(dtype)) {
    const parts = new Uint32Array(bytes.slice().buffer);
    const half = parts.length / 2;
    return new Uint8Array(parts.map((_, i) => parts[i < half ? 2 * i : 2 * (i - half) + 1]).buffer);
  }
  const whole = new Uint8Array(inWords(bytes.length));
  whole.set(bytes);
  return whole;
}

/** The bytes that the host has for an array of the device. */
export function fromDevice(dtype: StandardDType, bytes: Uint8Array): Uint8Array {
  const own = bytes.slice();
  if (!isComplex(dtype)) return own;
  const parts = new Uint32Array(own.buffer);
  const half = parts.length / 2;
  return new Uint8Array(parts.map((_, i) => parts[(i >> 1) + (i & 1) * half]).buffer);
}
