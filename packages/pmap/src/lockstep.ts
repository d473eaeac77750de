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

/** Computes a `shard_map` on whole arrays; those of several processes give each other what they have. */
function expand(args: readonly NDArray[], params: ShardMapParams): NDArray[] {
  const whole = args.map(() => false);
  return expandBlocks(args, params, whole).map((y, i) => gatherBlocks(y, params.outSpecs[i], params.mesh));
}

/**
 * Computes a `shard_map` on what this process holds: operands become batches of shards, one batch axis for each mesh axis, the jaxpr of a
 * shard is evaluated under one level of batching for each of them, and batches of results become arrays again.
 *
 * @param inBlocks for each operand, whether it is the block that this process holds; the others are whole
 * @returns the block of each result that this process holds
 */
export function expandBlocks(args: readonly NDArray[], params: ShardMapParams, inBlocks: readonly boolean[]): NDArray[] {
  const { mesh, inSpecs, outSpecs, name } = params;
  const jaxpr = params.checkVma ? forgetVarying(params.jaxpr, mesh.axisNames) : params.jaxpr;
  const outer = currentTrace();
  const traces: BatchTrace[] = [];
  for (let i = 0; i < mesh.axisNames.length; i++) traces.push(new BatchTrace(name, traces[i - 1] ?? outer, batchAxis(mesh, i)));
  const shards = args.map((x, i) => wrap(traces, toShards(inBlocks[i] ? x : blockOfWhole(x, inSpecs[i], mesh), inSpecs[i], mesh)));
  const run = (i: number): NDArray[] =>
    i === traces.length ? evalShard({ ...params, jaxpr, checkVma: false }, shards) : withNewTrace(traces[i], () => run(i + 1));
  return run(0).map((y, i) => fromShards(unwrap(traces, y), outSpecs[i], mesh));
}

/** An array with, for each axis of a mesh, the axis along which it holds the values of all positions; `null` where all are the same. */
interface Batched {
  readonly value: NDArray;
  readonly dims: readonly (number | null)[];
}

/** How an array is cut: for each of its axes the positions in mesh axes, and the mesh axes themselves, as axes of a view. */
interface View {
  readonly shape: readonly number[];
  /** The axis of the view for each mesh axis that cuts the array. */
  readonly at: ReadonlyMap<string, number>;
}

function viewOf(shape: readonly number[], { axes }: PartitionSpec, sizeOf: (name: string) => number): View {
  const view: number[] = [];
  const at = new Map<string, number>();
  shape.forEach((size, d) => {
    const names = axes[d] ?? [];
    for (const name of names) at.set(name, view.push(sizeOf(name)) - 1);
    view.push(size / names.reduce((n, name) => n * sizeOf(name), 1));
  });
  return { shape: view, at };
}

/** What this process holds of a whole array. */
function blockOfWhole(x: NDArray, spec: PartitionSpec, mesh: Mesh): NDArray {
  const shares = sharesOf(mesh);
  if (shares.every(({ beyond }, i) => beyond === null || !spec.axes.flat().includes(mesh.axisNames[i]))) return x;
  const { shape, at } = viewOf(x.shape, spec, (name) => mesh.shape[name]);
  let value = reshape(x, shape);
  shares.forEach(({ size, beyond }, i) => {
    const dim = at.get(mesh.axisNames[i]);
    if (beyond !== null && dim !== undefined) value = sliceInDim(value, beyond.index * size, (beyond.index + 1) * size, 1, dim);
  });
  return reshape(
    value,
    x.shape.map((n, d) => n / beyondOf(spec.axes[d] ?? [], mesh)),
  );
}

/** Into how many blocks, one for each process, mesh axes cut what is laid out along them. */
function beyondOf(names: readonly string[], mesh: Mesh): number {
  const shares = sharesOf(mesh);
  return names.reduce((n, name) => n * (shares[mesh.axisNames.indexOf(name)].beyond?.count ?? 1), 1);
}

/** A block as a view in which each axis is cut into one axis for every mesh axis that it is laid out over, and the rest. */
function toShards(x: NDArray, spec: PartitionSpec, mesh: Mesh): Batched {
  const { shape, at } = viewOf(x.shape, spec, (name) => localSize(name, mesh));
  const value = at.size === 0 ? x : reshape(x, shape);
  return { value, dims: mesh.axisNames.map((name) => at.get(name) ?? null) };
}

/** How many positions this process has along a mesh axis. */
const localSize = (name: string, mesh: Mesh): number => sharesOf(mesh)[mesh.axisNames.indexOf(name)].size;

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

/** The whole of an array that is laid out over processes, from the blocks that they hold. */
function gatherBlocks(x: NDArray, spec: PartitionSpec, mesh: Mesh): NDArray {
  const { shape, at } = viewOf(x.shape, spec, (name) => localSize(name, mesh));
  const names = [...at.keys()].filter((name) => beyondOf([name], mesh) > 1);
  if (names.length === 0) return x;
  const gathered = names.reduce(
    (y, name) => {
      const { beyond } = sharesOf(mesh)[mesh.axisNames.indexOf(name)];
      return gatherAlong(y, at.get(name)!, beyond!);
    },
    reshape(x, shape),
  );
  return reshape(
    gathered,
    x.shape.map((n, d) => n * beyondOf(spec.axes[d] ?? [], mesh)),
  );
}

/** The parts of an axis that other processes have, put before and behind that of this one. */
function gatherAlong(x: NDArray, axis: number, { count, gather }: Beyond): NDArray {
  const order = [...x.shape.keys()].map((d) => d + 1).toSpliced(axis, 0, 0);
  return reshape(transpose(gather(x), order), x.shape.with(axis, count * x.shape[axis]));
}

/** The block of an array from a batch of shards. Along mesh axes that the spec does not name all shards are the same: the first stands for all. */
function fromShards(batched: Batched, { axes }: PartitionSpec, mesh: Mesh): NDArray {
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
  const places = new Map(mesh.axisNames.map((name, i) => [name, dims[i]]));
  const own = value.shape.map((_, d) => d).filter((d) => !dims.includes(d));
  // Each axis of the result: first the mesh axes it is laid out over, then that of the shard.
  const cut = own.map((d, k) => ({ names: axes[k] ?? [], d }));
  const order = cut.flatMap(({ names, d }) => [...names.flatMap((name) => places.get(name) ?? []), d]);
  const ordered = order.every((d, i) => d === i) ? value : transpose(value, order);
  const shape = cut.flatMap(({ names, d }) => [...names.map((name) => localSize(name, mesh)), value.shape[d]]);
  const present = cut.flatMap(({ names }) => [...names.map((name) => places.get(name) !== null), true]);
  const kept = present.flatMap((p, i) => (p ? [i] : []));
  const full = present.includes(false) ? broadcastInDim(ordered, shape, kept) : ordered;
  return reshape(
    full,
    cut.map(({ names, d }) => names.reduce((n, name) => n * localSize(name, mesh), value.shape[d])),
  );
}
