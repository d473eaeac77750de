import { currentTrace, type Jaxpr, type Mesh, type NDArray, type PartitionSpec, withMesh, withNewTrace } from "@traceform/core";
import {
  broadcastInDim,
  evalShard,
  indexInDim,
  type Lockstep,
  reshape,
  type ShardMapParams,
  sliceInDim,
  transpose,
} from "@traceform/lax";
import { type BatchAxis, batchJaxpr, BatchTrace, BatchTracer, type Beyond } from "@traceform/vmap";
import { sharesOf } from "./beyond.ts";
import { forgetVarying } from "./forget.ts";

// Devices that share a memory go in step: the programs of all shards are one program on batches of shards, and collectives are
// operations along the batch. So nothing can wait for anything, what is the same for all shards is computed once, sums have one
// order, loops and collectives are compiled together, and the threads of the pool share the work as in any program.

/** See `Lockstep` in lax. */
export const lockstep: Lockstep = { expand, varying };

function varying(jaxpr: Jaxpr, mesh: Mesh, inSpecs: readonly PartitionSpec[]): string[][] {
  const along = mesh.axisNames.map((name, i) => {
    const cut = inSpecs.map((spec) => spec.axes.flat().includes(name));
    return withMesh(mesh, false, () => batchJaxpr(jaxpr, batchAxis(mesh, i), cut).batchedOut);
  });
  return jaxpr.outvars.map((_, k) => mesh.axisNames.filter((_name, i) => along[i][k]));
}

const batchAxis = (mesh: Mesh, i: number): BatchAxis => ({
  ...sharesOf(mesh)[i],
  name: mesh.axisNames[i],
  spmd: [],
  isMesh: true,
});

/**
 * Computes a `shard_map` on whole arrays: operands become batches of shards, one batch axis for each mesh axis, the jaxpr of a shard
 * is evaluated under one level of batching for each of them, and batches of results become whole arrays.
 */
function expand(args: readonly NDArray[], params: ShardMapParams): NDArray[] {
  const { mesh, inSpecs, outSpecs, name } = params;
  const jaxpr = params.checkVma ? forgetVarying(params.jaxpr, mesh.axisNames) : params.jaxpr;
  const outer = currentTrace();
  const traces: BatchTrace[] = [];
  for (let i = 0; i < mesh.axisNames.length; i++) traces.push(new BatchTrace(name, traces[i - 1] ?? outer, batchAxis(mesh, i)));
  const shards = args.map((x, i) => wrap(traces, toShards(x, inSpecs[i], mesh)));
  const run = (i: number): NDArray[] =>
    i === traces.length ? evalShard({ ...params, jaxpr, checkVma: false }, shards) : withNewTrace(traces[i], () => run(i + 1));
  return run(0).map((y, i) => toWhole(unwrap(traces, y), outSpecs[i], mesh));
}

/** An array with, for each axis of a mesh, the axis along which it holds the values of all positions; `null` where all are the same. */
interface Batched {
  readonly value: NDArray;
  readonly dims: readonly (number | null)[];
}

/** A whole array as a view in which each axis is cut into one axis for every mesh axis that it is laid out over, and the rest. */
function toShards(x: NDArray, { axes }: PartitionSpec, mesh: Mesh): Batched {
  const shape: number[] = [];
  const at = new Map<string, number>();
  x.shape.forEach((size, d) => {
    const names = axes[d] ?? [];
    for (const name of names) at.set(name, shape.push(mesh.shape[name]) - 1);
    shape.push(size / mesh.axisSize(names));
  });
  let value = at.size === 0 ? x : reshape(x, shape);
  sharesOf(mesh).forEach(({ size, beyond }, i) => {
    const dim = at.get(mesh.axisNames[i]);
    if (beyond !== null && dim !== undefined) value = sliceInDim(value, beyond.index * size, (beyond.index + 1) * size, 1, dim);
  });
  return { value, dims: mesh.axisNames.map((name) => at.get(name) ?? null) };
}

/** Tracers count the axes that the levels further out have left. */
function wrap(traces: readonly BatchTrace[], { value, dims }: Batched): NDArray {
  let x = value;
  traces.forEach((trace, i) => {
    const dim = dims[i];
    if (dim === null) return;
    const before = dims.slice(0, i).filter((d) => d !== null && d < dim).length;
    x = new BatchTracer(trace, x, dim - before);
  });
  return x;
}

function unwrap(traces: readonly BatchTrace[], y: NDArray): Batched {
  let value = y;
  const dims: (number | null)[] = traces.map(() => null);
  for (let i = traces.length - 1; i >= 0; i--) {
    const [inner, dim] = traces[i].unwrap(value);
    value = inner;
    if (dim === null) continue;
    for (let k = i + 1; k < dims.length; k++) {
      const later = dims[k];
      if (later !== null && later >= dim) dims[k] = later + 1;
    }
    dims[i] = dim;
  }
  return { value, dims };
}

/** The parts of an axis that other processes have, put before and behind that of this one. */
function gatherAlong(x: NDArray, axis: number, { count, gather }: Beyond): NDArray {
  const order = [...x.shape.keys()].map((d) => d + 1).toSpliced(axis, 0, 0);
  return reshape(transpose(gather(x), order), x.shape.with(axis, count * x.shape[axis]));
}

/** The whole array from a batch of shards. Along mesh axes that the spec does not name all shards are the same: the first stands for all. */
function toWhole(batched: Batched, { axes }: PartitionSpec, mesh: Mesh): NDArray {
  const named = axes.flat();
  let { value } = batched;
  const dims = [...batched.dims];
  for (const [i, name] of mesh.axisNames.entries()) {
    const dim = dims[i];
    if (dim === null || named.includes(name)) continue;
    value = indexInDim(value, 0, dim, false);
    dims[i] = null;
    dims.forEach((d, k) => {
      if (d !== null && d > dim) dims[k] = d - 1;
    });
  }
  sharesOf(mesh).forEach(({ beyond }, i) => {
    const dim = dims[i];
    if (beyond !== null && dim !== null) value = gatherAlong(value, dim, beyond);
  });
  const places = new Map(mesh.axisNames.map((name, i) => [name, dims[i]]));
  const own = value.shape.map((_, d) => d).filter((d) => !dims.includes(d));
  // Each axis of the result: first the mesh axes it is laid out over, then that of the shard.
  const cut = own.map((d, k) => ({ names: axes[k] ?? [], d }));
  const order = cut.flatMap(({ names, d }) => [...names.flatMap((name) => places.get(name) ?? []), d]);
  const ordered = order.every((d, i) => d === i) ? value : transpose(value, order);
  const shape = cut.flatMap(({ names, d }) => [...names.map((name) => mesh.shape[name]), value.shape[d]]);
  const present = cut.flatMap(({ names }) => [...names.map((name) => places.get(name) !== null), true]);
  const kept = present.flatMap((p, i) => (p ? [i] : []));
  const full = present.includes(false) ? broadcastInDim(ordered, shape, kept) : ordered;
  return reshape(
    full,
    cut.map(({ names, d }) => mesh.axisSize(names) * value.shape[d]),
  );
}
