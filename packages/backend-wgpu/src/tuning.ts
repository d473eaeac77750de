import { extentOf } from "@traceform/compiler";
import type { TileTable } from "./emit/candidates.ts";
import type { Product } from "./emit/tiles.ts";

/** What was measured in this process, unless the backend was given a table of its own. */
const measured: TileTable = {};

/** Below so many products of elements all tiles are about as fast as waiting for the kernel to begin. */
const leastWork = 2 ** 25;

/** The tiles that were found to be the fastest on an adapter. */
export class Tuning {
  readonly #known: Record<string, string>;
  /** Whether anything is measured here. */
  readonly #measures: boolean;
  readonly #waiting = new Map<string, Promise<void>>();

  /** Without a table nothing is measured, and nothing known. */
  constructor(device: GPUDevice, table: TileTable | null = measured) {
    this.#known = table === null ? {} : (table[adapterKey(device)] ??= {});
    // A GPU that the CPU imitates takes long for each of them.
    const { adapterInfo: info } = device as { readonly adapterInfo?: { readonly isFallbackAdapter?: boolean } };
    this.#measures = table !== null && info?.isFallbackAdapter !== true;
  }

  isWorthwhile({ batches, rows, columns, depth, others }: Product): boolean {
    return this.#measures && others.length > 1 && extentOf([...batches, ...rows, ...columns, ...depth]) >= leastWork;
  }

  /** The name of the tile for a class of products; undefined where nothing was measured. */
  chosen(productClass: string): string | undefined {
    return this.#known[productClass];
  }

  /**
   * Measures candidates, one after the other, and remembers the fastest; once for each class. `time` is how long a candidate takes, or
   * infinity where it does not run. Of equals the first one is taken.
   */
  async choose(productClass: string, names: readonly string[], time: (index: number) => Promise<number>): Promise<void> {
    if (this.chosen(productClass) !== undefined) return;
    let waiting = this.#waiting.get(productClass);
    if (waiting === undefined) {
      waiting = this.#measure(productClass, names, time).finally(() => this.#waiting.delete(productClass));
      this.#waiting.set(productClass, waiting);
    }
    return waiting;
  }
  async #measure(productClass: string, names: readonly string[], time: (index: number) => Promise<number>): Promise<void> {
    let [best, least] = [-1, Infinity];
    for (let i = 0; i < names.length; i++) {
      const t = await time(i);
      if (t < least) [best, least] = [i, t];
    }
    if (best >= 0) this.#known[productClass] = names[best];
  }
}

/** What makes adapters of one model equal, as far as platforms tell. */
function adapterKey(device: GPUDevice): string {
  const { adapterInfo: info } = device as { readonly adapterInfo?: GPUAdapterInfo };
  const names = [info?.vendor, info?.architecture, info?.device, info?.description].filter(Boolean);
  const { maxComputeInvocationsPerWorkgroup: most, maxComputeWorkgroupStorageSize: bytes } = device.limits;
  return [...names, `${most} invocations`, `${bytes} bytes`].join(", ");
}
