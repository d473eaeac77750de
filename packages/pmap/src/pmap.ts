import {
  type ArrayLike,
  asArray,
  type Aval,
  AxisError,
  broadcastPrefix,
  canonicalAxis,
  checkArrayLeaves,
  devices as allDevices,
  type Device,
  Mesh,
  type NDArray,
  PartitionSpec,
  refuseAsync,
  tooFewDevices,
  TransformError,
  treeFlatten,
  treeFlattenWithPath,
  treeUnflatten,
} from "@traceform/core";
import { expandDims, squeeze } from "@traceform/lax";
import { jit, type JitFunction } from "@traceform/jit";
import { mapShards, type ShardProgram } from "./shardmap.ts";
import type { PmapOptions } from "./types.ts";

interface Options {
  readonly axisName?: string;
  readonly inAxes?: unknown;
  readonly outAxes?: unknown;
  readonly staticBroadcastedArgnums?: number | readonly number[];
  readonly donateArgnums?: number | readonly number[];
  readonly devices?: readonly Device[];
  readonly axisSize?: number;
}

let nextAxis = 1;

/**
 * A compiled function that runs once on each of several devices, on its part of the arguments along a mapped axis (`inAxes`); the
 * results are put together along an axis again (`outAxes`), and stay where they were made. It is `jit` of `shardMap` over a mesh
 * with one axis, the size of the mapped axes, and takes the first devices unless it is given others.
 *
 * As in JAX, values do not know along which axes they vary (`shardMap` with `checkVma: false`): the transpose of `psum` is `psum`, so
 * a gradient taken inside is that of the sum of what all devices return.
 *
 * @throws {BackendError} when there are fewer devices than the mapped axes are long
 * @throws {TransformError} when mapped axes have different sizes, or none is mapped and no `axisSize` is given
 * @example
 * ```ts
 * const normalised = pmap((x: NDArray) => div(x, psum(x, "i")), { axisName: "i" });
 * normalised(array([1, 3])).jsSync(); // => [0.25, 0.75]
 * ```
 */
export function pmap<A extends unknown[], R>(
  f: (...args: A) => R,
  options: PmapOptions<NoInfer<A>, NoInfer<R>> = {},
): JitFunction<A, R> {
  const o = options as Options;
  const label = `pmap(${f.name || "anonymous"})`;
  const axisName = o.axisName ?? `${label}#${nextAxis++}`;
  const statics = [o.staticBroadcastedArgnums ?? []].flat();
  const { [label]: mapped } = {
    [label]: (...args: unknown[]): unknown =>
      spread(label, f as unknown as (...args: unknown[]) => unknown, axisName, o, statics, args),
  };
  return jit(mapped as unknown as (...args: A) => R, { staticArgnums: statics, donateArgnums: o.donateArgnums ?? [] } as object);
}

function spread(
  name: string,
  f: (...args: unknown[]) => unknown,
  axisName: string,
  options: Options,
  statics: readonly number[],
  args: readonly unknown[],
): unknown {
  const { inAxes = 0, outAxes = 0 } = options;
  const isStatic = args.map((_, i) => statics.includes(i) || statics.includes(i - args.length));
  if (Array.isArray(inAxes) && inAxes.length !== args.length) {
    throw new TransformError(name, {
      message: `inAxes has ${inAxes.length} entries, but the function was called with ${args.length} argument${args.length === 1 ? "" : "s"}`,
      fix: "give one entry for each argument (null for one that all devices get whole), or one axis for all",
    });
  }
  const dynamic = args.filter((_, i) => !isStatic[i]);
  const [leaves, inTree] = treeFlatten(dynamic);
  checkArrayLeaves(name, dynamic);
  const arrays = leaves.map((x) => asArray(x as ArrayLike));
  const prefix = Array.isArray(inAxes) ? inAxes.filter((_, i) => !isStatic[i]) : inAxes;
  const axes = broadcastPrefix(prefix, inTree, name, "inAxes") as (number | null | undefined)[];
  const place = (i: number): string => `args${treeFlattenWithPath(dynamic)[i][0]}`;
  const dims = arrays.map((x, i) => mappedAxis(name, x.aval, axes[i] ?? null, () => place(i)));
  const size = mapSize(name, arrays, dims, place, options.axisSize);
  const mesh = meshOf(name, size, axisName, options.devices);

  let outDims: readonly (number | null)[] = [];
  const run = (shards: readonly NDArray[]): unknown => {
    const own = treeUnflatten(
      inTree,
      shards.map((x, i) => (dims[i] === null ? x : squeeze(x, [dims[i]]))),
    ) as unknown[];
    let k = 0;
    const result = refuseAsync(name, f(...args.map((x, i) => (isStatic[i] ? x : own[k++]))));
    const [outs, outTree] = treeFlatten(result);
    checkArrayLeaves(name, result);
    const ys = outs.map((y) => asArray(y as ArrayLike));
    outDims = (broadcastPrefix(outAxes, outTree, name, "outAxes") as (number | null | undefined)[]).map((axis, i) =>
      axis === null || axis === undefined ? null : canonicalAxis(name, axis, ys[i].ndim + 1),
    );
    return treeUnflatten(
      outTree,
      ys.map((y, i) => (outDims[i] === null ? y : expandDims(y, [outDims[i]]))),
    );
  };
  const along = (dim: number | null): PartitionSpec =>
    dim === null ? PartitionSpec() : PartitionSpec(...new Array<null>(dim).fill(null), axisName);
  const program: ShardProgram = { name, mesh, checkVma: false, inSpecs: dims.map(along), outSpecs: () => outDims.map(along), run };
  return mapShards(program, arrays);
}

function mappedAxis(name: string, aval: Aval, axis: number | null, place: () => string): number | null {
  if (axis === null) return null;
  if (aval.ndim === 0) {
    throw new AxisError(name, {
      message: `inAxes maps axis ${axis} of ${place()}, which is a scalar`,
      operands: { [place()]: aval },
      fix: "give null for arguments that all devices get whole: pmap(f, { inAxes: [0, null] })",
    });
  }
  return canonicalAxis(name, axis, aval.ndim);
}

function mapSize(
  name: string,
  arrays: readonly NDArray[],
  dims: readonly (number | null)[],
  place: (i: number) => string,
  axisSize: number | undefined,
): number {
  const sizes = arrays.flatMap((x, i) => {
    const dim = dims[i];
    return dim === null ? [] : [{ i, dim, size: x.shape[dim] }];
  });
  const size = axisSize ?? sizes[0]?.size;
  if (size === undefined) {
    throw new TransformError(name, {
      message: "no argument is mapped, so it is not known how many devices are meant",
      fix: "give an axis to at least one argument in inAxes, or pass axisSize",
    });
  }
  if (sizes.some((s) => s.size !== size)) {
    const lines = sizes.map((s) => `    ${place(s.i)} ${arrays[s.i].aval} has size ${s.size} along axis ${s.dim}`);
    if (axisSize !== undefined) lines.unshift(`    axisSize is ${axisSize}`);
    throw new TransformError(name, {
      message: `the sizes of the mapped axes differ:\n${lines.join("\n")}`,
      fix: "give null in inAxes for arguments that all devices get whole",
    });
  }
  return size;
}

function meshOf(name: string, size: number, axisName: string, given: readonly Device[] | undefined): Mesh {
  const devices = given ?? allDevices();
  if (given !== undefined && given.length !== size) {
    throw new TransformError(name, {
      message: `the mapped axes have size ${size}, but ${given.length} devices were given`,
      operands: { devices: given.map(String) },
      fix: "give one device for each position along the mapped axes",
    });
  }
  if (devices.length < size) throw tooFewDevices(name, size, devices);
  return new Mesh(devices.slice(0, size), [axisName]);
}
