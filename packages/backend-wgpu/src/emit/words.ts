// The words that every dispatch brings: infinity, NaN, zero, one that is free, one for each pointer of the kernel, and what it is
// given beside them.

/** Where they come from: immediates are part of the commands, and the fastest; uniforms are in a buffer, as many as there need be. */
export type WordSource = "immediate" | "uniform";

export const specials: readonly number[] = [0x7f800000, 0x7fc00000, 0, 0];
/** The word of the first pointer. */
export const firstPointer: number = specials.length;

/** The text of a word. */
export function wordAt(source: WordSource, i: number): string {
  return source === "uniform" ? `words[${i >> 2}][${i & 3}]` : `words.w${i >> 2}[${i & 3}]`;
}

/** The head of a module whose kernel has so many words. Immediates are no arrays. */
export function declareWords(source: WordSource, count: number): string[] {
  const vectors = Math.ceil(count / 4);
  if (source === "uniform") return [`@group(0) @binding(0) var<uniform> words: array<vec4<u32>, ${vectors}>;`];
  const members = Array.from({ length: vectors }, (_, i) => `w${i}: vec4<u32>`);
  return ["requires immediate_address_space;", `struct Words { ${members.join(", ")} }`, "var<immediate> words: Words;"];
}
