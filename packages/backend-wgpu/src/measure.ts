import type { Program } from "@traceform/compiler";
import type { WgpuDevice } from "./device.ts";
import { type Dispatch, likelyBindings, type Pointer, withTile } from "./dispatches.ts";
import { productClass, tileName } from "./emit/candidates.ts";
import { gates } from "./gates.ts";
import type { Piece } from "./memory.ts";
import type { Pipelines } from "./pipelines.ts";
import { Run } from "./run.ts";
import type { Tuning } from "./tuning.ts";

/** Where dispatches are run. */
interface Place {
  readonly program: Program;
  readonly device: WgpuDevice;
  readonly pipelines: Pipelines;
}

/** Measures the products of classes of which nothing is known. Whether some of them have other tiles now. */
export async function measureProducts(dispatches: readonly Dispatch[], tuning: Tuning, place: Place): Promise<boolean> {
  const products = dispatches.flatMap((dispatch) => {
    const { kernel } = dispatch;
    const product = kernel.kind === "product" ? kernel.product : undefined;
    return product !== undefined && tuning.isWorthwhile(product) ? [{ dispatch, product }] : [];
  });
  const most = place.device.gpu.limits.maxComputeWorkgroupsPerDimension;
  for (const { dispatch, product } of products) {
    const { others } = product;
    await tuning.choose(productClass(product), others.map(tileName), async (i) => {
      const candidate = withTile(dispatch, product, others[i], most);
      try {
        await place.pipelines.pipeline(candidate, likelyBindings(candidate.pointers)).compiled.prepare();
        return await timeOf({ ...candidate, gate: null }, place);
      } catch {
        // It does not run here, or there is no memory to try it in.
        return Infinity;
      }
    });
  }
  return products.some(({ product }) => tileName(product.tile) !== tuning.chosen(productClass(product)));
}

/** How long a dispatch takes, in memory that nobody else has: arrays may not be there yet. */
async function timeOf(dispatch: Dispatch, place: Place): Promise<number> {
  const { memory, gpu } = place.device;
  const pieces = new Map<Pointer["buffer"], Piece>();
  try {
    for (const { buffer } of dispatch.pointers)
      if (buffer !== gates && !pieces.has(buffer)) pieces.set(buffer, memory.allocate(buffer.bytes, "a measurement"));
    const bare = { ...dispatch, pointers: dispatch.pointers.map((p) => ({ ...p, steps: [] })) };
    const pieceOf = (buffer: Pointer["buffer"]): Piece => pieces.get(buffer)!;
    return await timeRuns(gpu, (times) => {
      const run = new Run({ ...place, pieceOf, seat: null });
      run.add(new Array<Dispatch>(times).fill(bare));
      run.submit();
    });
  } finally {
    for (const piece of pieces.values()) memory.free(piece);
  }
}

/** A candidate is run as often as this many milliseconds take, but not more than so many times. */
const enough = 5;
const mostRuns = 64;

/** Milliseconds of a run, of which `run` submits so many: the least of a few, after one that nobody counts. */
export async function timeRuns(gpu: GPUDevice, run: (times: number) => void): Promise<number> {
  const once = async (times: number): Promise<number> => {
    await gpu.queue.onSubmittedWorkDone();
    const begin = performance.now();
    run(times);
    await gpu.queue.onSubmittedWorkDone();
    return (performance.now() - begin) / times;
  };
  await once(1);
  const times = Math.max(1, Math.min(mostRuns, Math.ceil(enough / (await once(1)))));
  return Math.min(await once(times), await once(times));
}
