// What rules of primitives that hold jaxprs do with their operands.

/** Flags as text, for keys. */
export function bits(flags: readonly boolean[]): string {
  let text = "";
  for (const f of flags) text += f ? "1" : "0";
  return text;
}

export function or(a: readonly boolean[], b: readonly boolean[]): boolean[] {
  return a.map((x, i) => x || b[i]);
}

/** Cuts a list into pieces of the given lengths; what is left over comes last. */
export function splitList<T>(xs: readonly T[], ...lengths: readonly number[]): T[][] {
  let from = 0;
  const pieces = lengths.map((n) => xs.slice(from, (from += n)));
  pieces.push(xs.slice(from));
  return pieces;
}
