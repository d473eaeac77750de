import { asArray, type ArrayLike } from "./arrays.ts";
import { type Aval, makeAval, updateAval } from "./avals.ts";
import { heldOf, heldShape } from "./blocks.ts";
import { ConcreteArray } from "./concrete.ts";
import { copyBlock } from "./copyblock.ts";
import { type HostArray, physical } from "./device.ts";
import { ShapeError } from "./errors.ts";
import { hostFromTyped, isTypedArray, typedArrayDType } from "./host.ts";
import type { NDArray } from "./ndarray.ts";
import { ownDevice } from "./process.ts";
import { assembleHeld } from "./cutting.ts";
import { NamedSharding, type Sharding, type Slice, wholeSlices } from "./sharding.ts";

// Arrays over several processes, of which each gives its own part, so that nobody needs to have all of it.

/** An array from the block of it that this process holds. */
function fromBlock(block: HostArray, aval: Aval, sharding: Sharding): NDArray {
  if (heldOf(sharding) !== null) return ConcreteArray.fromHeld(block, aval, sharding);
  return ConcreteArray.fromHost(block, aval).withSharding(sharding);
}

/** A part as a callback gives it: typed arrays stay on the host. */
interface Part {
  readonly aval: Aval;
  host(): HostArray;
}

function partOf(fn: string, data: ArrayLike, shape: readonly number[]): Part {
  if (isTypedArray(data)) {
    const host = hostFromTyped(data, shape, typedArrayDType(data)!);
    return { aval: makeAval(shape, host.dtype), host: () => host };
  }
  const x = asArray(data);
  return { aval: x.aval, host: () => x.toHost(fn) };
}

/**
 * An array laid out as `sharding` says, of parts that `data` gives: it is asked for each part that a device of this process holds, by the
 * slices of the whole array that the part is. All parts have one dtype. A typed array holds its part in row-major order, and takes no
 * memory of a device on the way.
 *
 * @throws {ShapeError} for a part that has not the shape of its slices, or another dtype than the one before
 * @example
 * ```ts
 * const rows = new NamedSharding(makeMesh([2], ["data"]), PartitionSpec("data"));
 * const x = makeArrayFromCallback([4, 3], rows, ([r]) => new Float32Array(6).fill(r.start));
 * x.jsSync(); // => [[0, 0, 0], [0, 0, 0], [2, 2, 2], [2, 2, 2]]
 * ```
 */
export function makeArrayFromCallback(
  shape: readonly number[],
  sharding: Sharding,
  data: (index: readonly Slice[]) => ArrayLike,
): NDArray {
  const fn = "makeArrayFromCallback";
  const partShape = sharding.shardShape(shape);
  const ask = (index: readonly Slice[]): Part => partOf(fn, data(index), partShape);
  const firstIndex = sharding.devicesIndicesMap(shape).get(ownDevice(sharding.devices))!;
  const first = ask(firstIndex);
  const stored = physical(first.aval);
  const block = assembleHeld(shape, sharding, stored.dtype, stored.shape.slice(first.aval.ndim), ({ index, inside }, into) => {
    const part = index.every((s, d) => s.start === firstIndex[d].start) ? first : ask(index);
    if (part.aval.shape.join() !== partShape.join() || part.aval.dtype !== first.aval.dtype) {
      throw new ShapeError(fn, {
        message: `the part at [${index.map((s) => `${s.start}:${s.stop}`).join(", ")}] must be ${String(first.aval.dtype)}[${partShape.join(",")}]`,
        operands: { part: part.aval },
        fix: "give an array with the shape of the slices, of one dtype for all parts",
      });
    }
    const host = part.host();
    copyBlock(host, wholeSlices(host.shape), into, inside);
  });
  return fromBlock(block, updateAval(first.aval, { shape }), sharding);
}

/**
 * An array laid out over processes, from the data that each of them has: along every axis either its own part (the parts of its devices
 * one after the other), or all of it. `globalShape` says which; without it all processes have parts along the axes that are cut
 * between them.
 *
 * @throws {ShapeError} for data that is neither the part of this process nor the whole along some axis
 * @example
 * ```ts
 * const rows = new NamedSharding(makeMesh([2], ["data"]), PartitionSpec("data"));
 * makeArrayFromProcessLocalData(rows, array([[1, 2], [3, 4]])).shape; // => [2, 2]
 * ```
 */
export function makeArrayFromProcessLocalData(
  sharding: NamedSharding,
  localData: ArrayLike,
  globalShape: readonly number[] | null = null,
): NDArray {
  const fn = "makeArrayFromProcessLocalData";
  const local = asArray(localData);
  const blocks = heldOf(sharding)?.blocks ?? [];
  const shape = globalShape ?? local.shape.map((n, d) => n * (blocks[d] ?? 1));
  sharding.shardShape(shape);
  const held = heldShape(shape, sharding);
  const fits = shape.length === local.ndim && local.shape.every((n, d) => n === held[d] || n === shape[d]);
  if (!fits) {
    throw new ShapeError(fn, {
      message: `of an array of shape [${shape.join(",")}] this process has a block of shape [${held.join(",")}], and the data has another`,
      operands: { localData: local, sharding: String(sharding) },
      fix: "give the data of this process, or, along axes where all processes give all of it, the whole",
    });
  }
  const host = local.toHost(fn);
  const block = assembleHeld(shape, sharding, host.dtype, host.shape.slice(local.ndim), ({ index, inside }, into) =>
    copyBlock(
      host,
      inside.map((s, d) => (local.shape[d] === held[d] ? s : index[d])),
      into,
      inside,
    ),
  );
  return fromBlock(block, updateAval(local.aval, { shape }), sharding);
}

/**
 * An array laid out as `sharding` says, of the parts that the devices of this process hold, in the order of `sharding.addressableDevices`.
 * @throws {ShapeError} when there is not one part for each of these devices, or one has another shape or dtype
 */
export function makeArrayFromSingleDeviceArrays(shape: readonly number[], sharding: Sharding, arrays: readonly NDArray[]): NDArray {
  const { addressableDevices } = sharding;
  if (arrays.length !== addressableDevices.length) {
    throw new ShapeError("makeArrayFromSingleDeviceArrays", {
      message: `needs one part for each of the ${addressableDevices.length} devices of this process, and there are ${arrays.length}`,
      operands: { sharding: String(sharding) },
      fix: "give one array for each of sharding.addressableDevices",
    });
  }
  const indices = sharding.devicesIndicesMap(shape);
  const parts = new Map(addressableDevices.map((device, i) => [JSON.stringify(indices.get(device)), arrays[i]]));
  return makeArrayFromCallback(shape, sharding, (index) => parts.get(JSON.stringify(index))!);
}
