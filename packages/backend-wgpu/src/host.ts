import { isComplex, type StandardDType } from "@traceform/core";

// On the device every element is a word, and a complex array is two planes; on the host elements lie densely, and the parts of
// complex ones alternate.

type Elements = Int8Array | Uint8Array | Int16Array | Uint16Array;

/** Dtypes of less than a word: how the host has their elements. A word holds the number, or the bits of a short float. */
const short: Readonly<Partial<Record<StandardDType, new (buffer: ArrayBuffer) => Elements>>> = {
  bool: Uint8Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
};

/** The words of a host array. */
export function toWords(dtype: StandardDType, bytes: Uint8Array): Uint32Array<ArrayBuffer> {
  const own = bytes.slice().buffer;
  const view = short[dtype];
  if (view !== undefined) return Uint32Array.from(new view(own));
  const words = new Uint32Array(own);
  return isComplex(dtype) ? words.map((_, i) => words[i < words.length / 2 ? 2 * i : 2 * i - words.length + 1]) : words;
}

/** The bytes that the host has for words of the device. */
export function fromWords(dtype: StandardDType, words: Uint32Array): Uint8Array {
  const view = short[dtype];
  if (view !== undefined) {
    const elements = new view(new ArrayBuffer(words.length * new view(new ArrayBuffer(0)).BYTES_PER_ELEMENT));
    // Numbers wrap to the width of the elements.
    elements.set(words);
    return new Uint8Array(elements.buffer);
  }
  const half = words.length / 2;
  const dense = isComplex(dtype) ? words.map((_, i) => words[(i >> 1) + (i & 1) * half]) : words.slice();
  return new Uint8Array(dense.buffer, dense.byteOffset, dense.byteLength);
}
