import type { StandardDType } from "@traceform/core";

// On the host a bool is a byte; on the device every element is a word.

/** The words of a host array. */
export function toWords(dtype: StandardDType, bytes: Uint8Array): Uint32Array<ArrayBuffer> {
  if (dtype === "bool") return Uint32Array.from(bytes);
  const words = new Uint32Array(bytes.byteLength / 4);
  new Uint8Array(words.buffer).set(bytes);
  return words;
}

/** The bytes that the host has for words of the device. */
export function fromWords(dtype: StandardDType, words: Uint32Array): Uint8Array {
  return dtype === "bool" ? Uint8Array.from(words) : new Uint8Array(words.buffer, words.byteOffset, words.byteLength).slice();
}
