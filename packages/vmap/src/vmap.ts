import {
  type ArrayLike,
  asArray,
  AxisError,
  broadcastPrefix,
  canonicalAxis,
  checkArrayLeaves,
  isNDArray,
  type NDArray,
  Ownership,
  refuseAsync,
  TransformError,
  treeFlatten,
  treeFlattenWithPath,
  treeUnflatten,
  type Inputs,
} from "@traceform/core";
import { runBatched } from "./batch.ts";
import { moveAxis, repeat } from "./internal/axes.ts";
import type { BatchDim } from "./rule.ts";
import type { VmapOptions } from "./types.ts";

interface Options {
  readonly inAxes?: unknown;
  readonly outAxes?: unknown;
  readonly axisName?: string;
  readonly axisSize?: number;
  readonly spmdAxisName?: string | readonly string[];
}

/**
 * A function over whole batches from a function of one member: arguments gain an axis (`inAxes`), results gain one
 * (`outAxes`), and every operation inside becomes one operation on the batch.
 *
 * @throws {TransformError} when the sizes of the mapped axes differ, when nothing is mapped and no `axisSize` is given,
 *   and when `outAxes` is `null` for a result that differs between members
 * @throws {AxisError} for an axis that an argument or result does not have
 * @example
 * ```ts
 * const xs = array([[1, 2], [3, 4]]);
 * vmap((x: NDArray, y: NDArray) => dot(x, y))(xs, xs).jsSync(); // => [5, 25]
 * vmap((x: NDArray, y: NDArray) => multiply(x, y), { inAxes: [1, null] })(xs, 10).jsSync(); // => [[10, 30], [20, 40]]
 * ```
 */
export function vmap<A extends unknown[], R>(f: (...args: A) => R, options: VmapOptions<A, R> = {}): (...args: Inputs<A>) => R {
  const name = `vmap(${f.name || "anonymous"})`;
  return (...args) =>
    vectorise(name, f as unknown as (...args: unknown[]) => unknown, options as Options, args as readonly unknown[]) as R;
}

function vectorise(name: string, f: (...args: unknown[]) => unknown, options: Options, args: readonly unknown[]): unknown {
  const { inAxes = 0, outAxes = 0, axisName = null, spmdAxisName = [] } = options;
  const list = [...args];
  const [leaves, inTree] = treeFlatten(list);
  if (Array.isArray(inAxes) && inAxes.length !== args.length) {
    throw new TransformError(name, {
      message: `inAxes has ${inAxes.length} entries, but the function was called with ${args.length} argument${args.length === 1 ? "" : "s"}`,
      fix: "give one entry for each argument (null for one that is not mapped), or one axis for all",
    });
  }
  const axes = broadcastPrefix(inAxes, inTree, name, "inAxes");
  const paths = axes.every((a) => a === null || a === undefined) ? [] : treeFlattenWithPath(list).map(([path]) => `args${path}`);
  const dims: BatchDim[] = [];
  const values = leaves.map((leaf, i) => {
    const axis = axes[i] as number | null | undefined;
    dims[i] = null;
    if (axis === null || axis === undefined) return isOpaque(leaf) ? null : asArray(leaf as ArrayLike);
    if (isOpaque(leaf)) checkArrayLeaves(name, list);
    const x = asArray(leaf as ArrayLike);
    dims[i] = mappedAxis(name, paths[i], x, axis);
    return x;
  });
  const size = batchSize(name, values, dims, paths, options.axisSize);

  let outTree = inTree;
  const ownership = Ownership.begin();
  const [outs, outDims] = runBatched(
    name,
    { size, name: axisName, spmd: typeof spmdAxisName === "string" ? [spmdAxisName] : spmdAxisName },
    (inputs) => {
      let k = 0;
      // Leaves that are no arrays (functions, strings) reach the function as they are.
      const full = leaves.map((leaf, i) => (values[i] === null ? leaf : inputs[k++]));
      const result = refuseAsync(name, f(...(treeUnflatten(inTree, full) as unknown[])));
      const [outs, def] = treeFlatten(result);
      outTree = def;
      if (outs.some(isOpaque)) checkArrayLeaves(name, result);
      return outs.map((x) => asArray(x as ArrayLike));
    },
    values.filter((x) => x !== null),
    dims.filter((_, i) => values[i] !== null),
    ownership,
  );

  const outSpec = broadcastPrefix(outAxes, outTree, name, "outAxes") as (number | null | undefined)[];
  const placed = outs.map((x, i) =>
    placeOut(name, x, outDims[i], outSpec[i] ?? null, size, () => treeFlattenWithPath(treeUnflatten(outTree, outs))[i][0]),
  );
  ownership?.end(placed);
  return treeUnflatten(outTree, placed);
}

/** A leaf that is neither an array nor becomes one. */
function isOpaque(x: unknown): boolean {
  return !(typeof x === "number" || typeof x === "boolean" || typeof x === "bigint" || ArrayBuffer.isView(x) || isNDArray(x));
}

function mappedAxis(name: string, path: string, x: NDArray, axis: number): number {
  if (x.ndim > 0) {
    try {
      return canonicalAxis(name, axis, x.ndim);
    } catch (cause) {
      throw new AxisError(name, {
        message: `inAxes maps axis ${axis} of ${path}, which has ${x.ndim} ax${x.ndim === 1 ? "is" : "es"}`,
        operands: { [path]: x },
        fix: "name an axis that the array has",
        cause,
      });
    }
  }
  throw new AxisError(name, {
    message: `inAxes maps axis ${axis} of ${path}, which is a scalar`,
    operands: { [path]: x },
    fix: "give null for arguments that are the same for the whole batch: vmap(f, { inAxes: [0, null] })",
  });
}

function batchSize(
  name: string,
  values: readonly (NDArray | null)[],
  dims: readonly BatchDim[],
  paths: readonly string[],
  axisSize: number | undefined,
): number {
  const sizes = values.flatMap((x, i) =>
    x === null || dims[i] === null ? [] : [{ path: paths[i], x, dim: dims[i], size: x.shape[dims[i]] }],
  );
  const size = axisSize ?? sizes[0]?.size;
  if (size === undefined) {
    throw new TransformError(name, {
      message: "no argument is mapped, so the size of the batch is not known",
      fix: "give an axis to at least one argument in inAxes, or pass axisSize",
    });
  }
  if (sizes.some((s) => s.size !== size)) {
    const lines = sizes.map((s) => `    ${s.path} ${s.x.aval} has size ${s.size} along axis ${s.dim}`);
    if (axisSize !== undefined) lines.unshift(`    axisSize is ${axisSize}`);
    throw new TransformError(name, {
      message: `the sizes of the mapped axes differ:\n${lines.join("\n")}`,
      fix: "give null in inAxes for arguments that are the same for the whole batch",
    });
  }
  return size;
}

function placeOut(name: string, x: NDArray, dim: BatchDim, axis: number | null, size: number, path: () => string): NDArray {
  if (axis === null) {
    if (dim === null) return x;
    throw new TransformError(name, {
      message: `outAxes is null for the result${path()}, but it differs between members of the batch`,
      fix: "give it an axis, or reduce it over the batch: psum(x, axisName)",
    });
  }
  const to = canonicalAxis(name, axis, dim === null ? x.ndim + 1 : x.ndim);
  return dim === null ? repeat(x, size, to) : moveAxis(x, dim, to);
}
