import { type ArrayLike, type NDArray, ShapeError, ValueError } from "@traceform/core";
import * as lax from "@traceform/lax";
import type { DotOptions } from "./linear.ts";
import { convertAll, toArray } from "./internal/promote.ts";
import { type ContractionPath, contractionPath, type PathStrategy } from "./path.ts";

export type { ContractionPath, PathStrategy };

export interface EinsumOptions extends DotOptions {
  readonly optimize?: PathStrategy | ContractionPath;
}

/**
 * Sums of products in Einstein's notation: `einsum("ij,jk->ik", a, b)`. Letters that the output lacks are summed over,
 * repeated letters of an operand take its diagonal, `...` stands for axes that broadcast. Without `->` the output has
 * the letters that occur once, in alphabetical order. Also `einsum(a, [0, 1], b, [1, 2], [0, 2])`.
 *
 * Several operands are contracted pairwise, in the order with the fewest multiplications.
 */
export function einsum(subscripts: string, ...operands: readonly (ArrayLike | EinsumOptions)[]): NDArray;
export function einsum(...args: readonly (ArrayLike | readonly number[] | EinsumOptions)[]): NDArray;
export function einsum(...args: readonly unknown[]): NDArray {
  const { spec, operands: given, options } = readArguments(args);
  const operands = convertAll(given as ArrayLike[]);
  const { inputs, output } = parse(spec, operands);
  const sizes = sizesOf(inputs, operands);
  const path = Array.isArray(options.optimize)
    ? (options.optimize as ContractionPath)
    : contractionPath(inputs, output, sizes, (options.optimize as PathStrategy | undefined) ?? "auto");

  const list: Operand[] = operands.map((x, i) => prepare({ x, letters: inputs[i] }));
  for (const step of path) {
    const picked = [...step]
      .sort((a, b) => b - a)
      .map((i) => list.splice(i, 1)[0])
      .reverse();
    const needed = (c: string): boolean => output.includes(c) || list.some((o) => o.letters.includes(c));
    list.push(picked.length === 1 ? sumOut(picked[0], needed) : picked.reduce((a, b) => pairwise(a, b, needed, options)));
  }
  const final = sumOut(list[0], (c) => output.includes(c));
  const full = broadcastMissing(final, output, sizes);
  return lax.transpose(
    full.x,
    [...output].map((c) => full.letters.indexOf(c)),
  );
}

/** The order in which `einsum` would contract its operands. */
export function einsumPath(subscripts: string, ...args: readonly (ArrayLike | EinsumOptions)[]): ContractionPath {
  const { spec, operands: given, options } = readArguments([subscripts, ...args]);
  const operands = (given as ArrayLike[]).map((x) => toArray(x));
  const { inputs, output } = parse(spec, operands);
  return contractionPath(inputs, output, sizesOf(inputs, operands), (options.optimize as PathStrategy | undefined) ?? "auto");
}

interface Operand {
  readonly x: NDArray;
  /** One letter for each axis, all different. */
  readonly letters: string;
}

function isOptions(x: unknown): x is EinsumOptions {
  return typeof x === "object" && x !== null && !("aval" in x) && !Array.isArray(x) && !ArrayBuffer.isView(x);
}

function readArguments(args: readonly unknown[]): { spec: string; operands: unknown[]; options: EinsumOptions } {
  const last = args.at(-1);
  const options = isOptions(last) ? last : {};
  const rest = isOptions(last) ? args.slice(0, -1) : args;
  if (typeof rest[0] === "string") return { spec: rest[0].replace(/\s+/g, ""), operands: rest.slice(1), options };
  // Operands with lists of axis numbers, and a last list for the output.
  const letter = (i: number): string => String.fromCodePoint((i < 26 ? 97 : 65 - 26) + i);
  const write = (list: unknown): string => (list as number[]).map(letter).join("");
  const operands: unknown[] = [];
  const inputs: string[] = [];
  let i = 0;
  for (; i + 1 < rest.length; i += 2) {
    operands.push(rest[i]);
    inputs.push(write(rest[i + 1]));
  }
  return { spec: inputs.join(",") + (i < rest.length ? `->${write(rest[i])}` : ""), operands, options };
}

/** Letters of every operand and of the output; the axes of an ellipsis get capital letters from the end. */
function parse(spec: string, operands: readonly NDArray[]): { inputs: string[]; output: string } {
  const [left, right, extra] = spec.split("->");
  const terms = left.split(",");
  const fail = (message: string): ValueError =>
    new ValueError("einsum", { message: `${message} in "${spec}"`, fix: 'write for instance einsum("ij,jk->ik", a, b)' });
  if (extra !== undefined) throw fail("more than one ->");
  if (terms.length !== operands.length) throw fail(`${terms.length} operands named, ${operands.length} given`);
  const ellipsis = "…";
  const clean = (t: string): string => t.replace("...", ellipsis);
  const valid = /^[A-Za-z]*…?[A-Za-z]*$/;
  const counts = terms.map((t, i) => {
    const c = clean(t);
    if (!valid.test(c)) throw fail(`"${t}" is no term`);
    const named = [...c].filter((l) => l !== ellipsis).length;
    const missing = operands[i].ndim - named;
    if (missing < 0 || (missing > 0 && !c.includes(ellipsis))) {
      throw new ShapeError("einsum", {
        message: `"${t}" names ${named} axes`,
        operands: { [`operand${i}`]: operands[i] },
        fix: 'write one letter for each axis, and "..." for the rest',
      });
    }
    return c.includes(ellipsis) ? missing : 0;
  });
  const most = Math.max(0, ...counts);
  const used = new Set(spec);
  const spare = [..."ZYXWVUTSRQPONMLKJIHGFEDCBAzyxwvutsrqponmlkjihgfedcba"]
    .filter((l) => !used.has(l))
    .slice(0, most)
    .reverse();
  if (spare.length < most) throw fail("too many letters");
  const dots = (n: number): string => spare.slice(most - n).join("");
  const inputs = terms.map((t, i) => clean(t).replace(ellipsis, dots(counts[i])));
  if (right !== undefined) {
    const out = clean(right);
    if (!valid.test(out)) throw fail(`"${right}" is no term`);
    const output = out.replace(ellipsis, dots(most));
    for (const l of output) if (!inputs.some((t) => t.includes(l))) throw fail(`the output letter "${l}" is in no operand`);
    if (new Set(output).size !== output.length) throw fail("an output letter appears twice");
    return { inputs, output };
  }
  const all = inputs.join("");
  const once = [...new Set(all)].filter((l) => !spare.includes(l) && [...all].filter((m) => m === l).length === 1);
  return { inputs, output: dots(most) + once.sort().join("") };
}

function sizesOf(inputs: readonly string[], operands: readonly NDArray[]): Map<string, number> {
  const sizes = new Map<string, number>();
  inputs.forEach((letters, i) => {
    [...letters].forEach((l, d) => {
      const n = operands[i].shape[d];
      const known = sizes.get(l) ?? 1;
      if (known !== 1 && n !== 1 && known !== n) {
        throw new ShapeError("einsum", {
          message: `the letter "${l}" stands for axes of size ${known} and ${n}`,
          operands: Object.fromEntries(operands.map((x, k) => [`operand${k}`, x])),
          fix: "use different letters for axes of different sizes",
        });
      }
      sizes.set(l, n === 1 ? known : n);
    });
  });
  return sizes;
}

/** Takes diagonals for repeated letters and drops axes of size 1 that others broadcast. */
function prepare({ x, letters }: Operand): Operand {
  let out = x;
  let names = letters;
  for (const l of new Set(letters)) {
    while (names.indexOf(l) !== names.lastIndexOf(l)) {
      const [i, j] = [names.indexOf(l), names.lastIndexOf(l)];
      out = diagonalOf(out, i, j);
      names = names.slice(0, j) + names.slice(j + 1);
    }
  }
  return { x: out, letters: names };
}

/** The diagonal of axes i < j, in place of axis i. */
function diagonalOf(x: NDArray, i: number, j: number): NDArray {
  const shape = x.shape;
  const mask = lax.broadcastInDim(
    lax.eq(lax.broadcastedIota("int32", [shape[i], shape[j]], 0), lax.broadcastedIota("int32", [shape[i], shape[j]], 1)),
    shape,
    [i, j],
  );
  // Masking and summing keeps the layout and has simple derivatives; diagonals in einsum are rare and small.
  const zero = lax.fullLike(x, x.dtype === "bool" ? false : 0, { shape: [] });
  const masked = lax.select(mask, x, zero);
  return x.dtype === "bool" ? lax.reduceOr(masked, [j]) : lax.reduceSum(masked, [j]);
}

function sumOut({ x, letters }: Operand, needed: (c: string) => boolean): Operand {
  const axes = [...letters].flatMap((c, i) => (needed(c) ? [] : [i]));
  if (axes.length === 0) return { x, letters };
  const out = x.dtype === "bool" ? lax.reduceOr(x, axes) : lax.reduceSum(x, axes);
  return { x: out, letters: [...letters].filter(needed).join("") };
}

/** Drops axes of size 1 where the other operand has the letter with another size. */
function dropBroadcast(a: Operand, b: Operand): Operand {
  const axes = [...a.letters].flatMap((c, i) => {
    const j = b.letters.indexOf(c);
    return a.x.shape[i] === 1 && j >= 0 && b.x.shape[j] !== 1 ? [i] : [];
  });
  if (axes.length === 0) return a;
  return { x: lax.squeeze(a.x, axes), letters: [...a.letters].filter((_, i) => !axes.includes(i)).join("") };
}

/** Contracts two operands: shared letters that nobody needs are summed, shared ones that somebody needs are batch axes. */
function pairwise(a0: Operand, b0: Operand, needed: (c: string) => boolean, options: EinsumOptions): Operand {
  const a1 = dropBroadcast(a0, b0);
  const b1 = dropBroadcast(b0, a0);
  // Letters that only one operand has and nobody needs are summed before the product.
  const a = sumOut(a1, (c) => needed(c) || b1.letters.includes(c));
  const b = sumOut(b1, (c) => needed(c) || a.letters.includes(c));
  const shared = [...a.letters].filter((c) => b.letters.includes(c));
  const batch = shared.filter(needed);
  const summed = shared.filter((c) => !needed(c));
  const axes = (o: Operand, list: readonly string[]): number[] => list.map((c) => o.letters.indexOf(c));
  const free = (o: Operand): string[] => [...o.letters].filter((c) => !shared.includes(c));
  const letters = [...batch, ...free(a), ...free(b)].join("");
  if (a.x.dtype === "bool") {
    const int = (x: NDArray): NDArray => lax.convertElementType(x, "int32");
    const { x } = pairwise({ ...a, x: int(a.x) }, { ...b, x: int(b.x) }, needed, {});
    return { x: lax.ne(x, 0), letters };
  }
  // A product without sums is elementwise: cheaper, and fused with what surrounds it.
  if (
    summed.length === 0 &&
    free(b).length === 0 &&
    batch.length === b.letters.length &&
    batch.length > 0 &&
    b.x.ndim === a.x.ndim
  ) {
    return { x: lax.mul(a.x, lax.transpose(b.x, axes(b, [...a.letters]))), letters: a.letters };
  }
  if (a.x.ndim === 0 || b.x.ndim === 0) return { x: lax.mul(a.x, b.x), letters };
  const x = lax.dotGeneral(
    a.x,
    b.x,
    { lhsContract: axes(a, summed), rhsContract: axes(b, summed), lhsBatch: axes(a, batch), rhsBatch: axes(b, batch) },
    { precision: options.precision, preferredElementType: options.preferredElementType },
  );
  return { x, letters };
}

/** Letters lost because every operand that had them was broadcast come back. */
function broadcastMissing(o: Operand, output: string, sizes: ReadonlyMap<string, number>): Operand {
  const missing = [...output].filter((c) => !o.letters.includes(c));
  if (missing.length === 0) return o;
  const letters = missing.join("") + o.letters;
  const shape = [...letters].map((c) => sizes.get(c)!);
  return {
    x: lax.broadcastInDim(
      o.x,
      shape,
      o.x.shape.map((_, i) => i + missing.length),
    ),
    letters,
  };
}
