import { readFileSync } from "node:fs";
import {
  asArray,
  checkJaxpr,
  constvarsToInvars,
  evalClosedJaxpr,
  isNDArray,
  type NDArray,
  setDefaultBackend,
  traceToJaxpr,
  TracerError,
  treeFlatten,
  treeStructure,
  treeUnflatten,
} from "@traceform/core";
import { referenceBackend } from "@traceform/testing";
import { goldenFiles } from "@traceform/testing/goldenfiles";
import {
  call,
  decode,
  describeCase,
  difference,
  type Encoded,
  isEncodedArray,
  type NumpyCase,
} from "@traceform/testing/numpygoldens";
import { describe, expect, test } from "vitest";

// Every case was recorded from JAX by the scripts in packages/testing/goldens.

const read = (name: string): readonly NumpyCase[] =>
  JSON.parse(readFileSync(new URL(`../../testing/goldens/${name}`, import.meta.url), "utf8")) as readonly NumpyCase[];
const cases = goldenFiles.flatMap(({ values }) => read(values));
setDefaultBackend(referenceBackend());

const run = ([name, args]: NumpyCase): unknown => call(name, args.map(decode));

const byName = Map.groupBy(cases, (c) => c[0]);
describe("values recorded from JAX", () => {
  for (const [name, list] of byName) {
    test(name, () => {
      const failures: string[] = [];
      for (const c of list) {
        const throws = typeof c[2] === "object" && c[2] !== null && "error" in c[2];
        try {
          const got = run(c);
          const d = throws ? "expected an error" : difference(got, c[2], c[3]);
          if (d !== null) failures.push(`${describeCase(c)}: ${d}`);
        } catch (error) {
          if (!throws)
            failures.push(`${describeCase(c)}: ${(error as Error).stack?.split("\n").slice(0, 6).join(" | ") ?? String(error)}`);
          else if ((error as { code?: string }).code === undefined)
            failures.push(`${describeCase(c)}: not an error of ours: ${String(error)}`);
        }
      }
      expect(failures).toEqual([]);
    });
  }
});

/** Functions whose results have shapes, or whose index has a meaning, that depend on values. */
const needsValues = new Set(["unique", "union1d", "intersect1d", "setdiff1d", "setxor1d", "extract", "compress", "delete_", "ix_"]);

/** Functions that can be traced only when `size` or `length` is given. */
const needsSize = new Set(["bincount", "nonzero", "argwhere", "flatnonzero"]);

describe("the same values when traced", () => {
  for (const [name, list] of byName) {
    if (needsValues.has(name) || !list.some((c) => holdsArrays(c[2]))) continue;
    test(name, () => {
      const failures: string[] = [];
      for (const c of list) {
        if (typeof c[2] === "object" && c[2] !== null && "error" in c[2]) continue;
        const args = c[1].map(decode);
        // Masks in an index and repeats choose shapes, so they stay concrete.
        const [leaves, tree] = treeFlatten(args, (x) => isMask(x));
        const arrays = leaves.flatMap((x, i) => (isNDArray(x) && !isMask(x) && !(name === "repeat" && i > 0) ? [i] : []));
        try {
          let outTree = treeStructure(null);
          const closed = traceToJaxpr(
            (...xs) => {
              const filled = leaves.map((x, i) => (arrays.includes(i) ? xs[arrays.indexOf(i)] : x));
              const [outs, def] = treeFlatten(call(name, treeUnflatten(tree, filled) as unknown[]));
              outTree = def;
              return outs.map((x) => asArray(x as NDArray));
            },
            arrays.map((i) => (leaves[i] as NDArray).aval),
            name,
          );
          checkJaxpr(constvarsToInvars(closed.jaxpr));
          const outs = evalClosedJaxpr(
            closed,
            arrays.map((i) => leaves[i] as NDArray),
          );
          const d = difference(treeUnflatten(outTree, outs), c[2], c[3]);
          if (d !== null) failures.push(`${describeCase(c)}: ${d}`);
        } catch (error) {
          if (error instanceof TracerError && needsSize.has(name)) continue;
          failures.push(`${describeCase(c)}: ${(error as Error).stack?.split("\n").slice(0, 6).join(" | ") ?? String(error)}`);
        }
      }
      expect(failures).toEqual([]);
    });
  }
});

function isMask(x: unknown): boolean {
  return isNDArray(x) && x.dtype === "bool";
}

function holdsArrays(x: Encoded): boolean {
  return isEncodedArray(x) || (Array.isArray(x) && x.some(holdsArrays));
}
