import {
  type Aval,
  ConcreteArray,
  type HostArray,
  makeAval,
  type NDArray,
  physical,
  pytreeNode,
  type PytreeNode,
  TraceformError,
} from "@traceform/core";

/** The kinds of checks: those that users write, and those that `checkify` adds. */
export type ErrorCategory = "user" | "nan" | "index" | "div";

/** A place in a program that may fail: what the error value refers to by its code. */
export interface CheckSite {
  /** Above zero. */
  readonly code: number;
  readonly category: ErrorCategory;
  /** The user's line. */
  readonly at: string | null;
  /** The slot of the values that the message shows; `null` when it shows none. */
  readonly slot: string | null;
  /** What happened, from concrete values; from `null` where they were not kept. */
  describe(payload: readonly NDArray[] | null): string;
}

// Sites are interned: tracing a function again finds those of the first time, so error values of both are of one structure,
// and what is compiled for one serves the other. There are as many as there are checks in the text of programs.
const sites: CheckSite[] = [];
const siteOf = new Map<string, CheckSite>();

/** The site of a check. Equal keys are one site. */
export function internSite(key: string, make: (code: number) => CheckSite): CheckSite {
  let site = siteOf.get(key);
  if (site === undefined) {
    site = make(sites.length + 1);
    sites.push(site);
    siteOf.set(key, site);
  }
  return site;
}

const slotAvals = new Map<string, readonly Aval[]>();

/** The slot for values of these types: checks of different messages share it. */
export function slotFor(avals: readonly Aval[]): string | null {
  if (avals.length === 0) return null;
  const key = avals.map((a) => String(a)).join();
  if (!slotAvals.has(key))
    slotAvals.set(
      key,
      avals.map((a) => makeAval(a.shape, a.dtype)),
    );
  return key;
}
export function avalsOf(slot: string): readonly Aval[] {
  return slotAvals.get(slot)!;
}

/** A check failed. */
export class JaxRuntimeError extends TraceformError {
  readonly code = "TRACEFORM_CHECK";
}

/**
 * The outcome of the checks of a run, as a value: a pytree of arrays that transformations carry along. The first check that
 * failed is what it tells; in a batch, the first of each member.
 */
class CheckError {
  /** The number of the site that failed, or 0. int32[]; int32[...batch] under vmap. */
  readonly failure: NDArray;
  /** For each slot, the values of the failed site, if that is its slot. */
  readonly payload: ReadonlyMap<string, readonly NDArray[]>;

  constructor(failure: NDArray, payload: ReadonlyMap<string, readonly NDArray[]>) {
    this.failure = failure;
    this.payload = payload;
  }

  /**
   * The same error with its values on the host: for devices that cannot be read without awaiting, such as WebGPU's. JAX waits in `get`.
   *
   * @example
   * ```ts
   * (await err.onHost()).throw();
   * ```
   */
  async onHost(): Promise<CheckError> {
    const move = async (x: NDArray): Promise<NDArray> => ConcreteArray.fromHost(await x.awaitHost("onHost"), x.aval);
    const moved = async ([slot, values]: readonly [string, readonly NDArray[]]) =>
      [slot, await Promise.all(values.map(move))] as const;
    // Together, so that it is one read.
    const [failure, payload] = await Promise.all([move(this.failure), Promise.all([...this.payload].map(moved))]);
    return new CheckError(failure, new Map(payload));
  }

  /** What failed, or `null`. In a batch, one line for each member that failed. Needs concrete values. */
  get(): string | null {
    const lines = this.#failures().map(({ index, text }) =>
      index.length === 0 ? text : `at mapped index ${index.join(", ")}: ${text}`,
    );
    return lines.length === 0 ? null : lines.join("\n");
  }
  /** The error that `throw` throws, or `null`. */
  getException(): JaxRuntimeError | null {
    const message = this.get();
    if (message === null) return null;
    const { at } = this.#failures()[0].site;
    return new JaxRuntimeError("check", {
      message,
      ...(at === null ? {} : { at }),
      fix: "look at the values that the check is about; err.get() tells without throwing",
    });
  }
  /** Throws when a check failed. @throws {JaxRuntimeError} */
  throw(): void {
    const error = this.getException();
    if (error !== null) throw error;
  }

  #failures(): { readonly index: readonly number[]; readonly text: string; readonly site: CheckSite }[] {
    const { shape } = this.failure;
    const codes = this.failure.dataSync();
    return Array.from(codes as Int32Array).flatMap((code, flat) => {
      if (code === 0) return [];
      const site = sites[code - 1];
      const values = site.slot === null ? [] : (this.payload.get(site.slot) ?? null);
      return [
        { index: unravel(flat, shape), text: site.describe(values?.map((x) => member(x, flat, shape.length)) ?? null), site },
      ];
    });
  }

  toString(): string {
    return `Error<${this.failure.aval}>`;
  }
  // A computed member name cannot be declared under isolatedDeclarations.
  static {
    const node: PytreeNode<CheckError, string> = {
      flatten: ({ failure, payload }) => [[failure, ...[...payload.values()].flat()], JSON.stringify([...payload.keys()])],
      unflatten: (aux, [failure, ...rest]) => {
        let from = 0;
        const slots = JSON.parse(aux) as string[];
        return new CheckError(
          failure as NDArray,
          new Map(slots.map((slot) => [slot, rest.slice(from, (from += avalsOf(slot).length)) as NDArray[]])),
        );
      },
    };
    Object.defineProperty(this, pytreeNode, { value: node });
  }
}

/** One member of a batch along so many leading axes. */
function member(x: NDArray, flat: number, axes: number): NDArray {
  const host: HostArray = x.toHost("get");
  const shape = x.shape.slice(axes);
  const aval = makeAval(shape, x.dtype);
  const { shape: own, dtype } = physical(aval);
  const count = x.shape.slice(0, axes).reduce((a, b) => a * b, 1);
  const bytes = host.bytes.byteLength / count;
  return ConcreteArray.fromHost({ shape: own, dtype, bytes: host.bytes.slice(flat * bytes, (flat + 1) * bytes) }, aval);
}

function unravel(flat: number, shape: readonly number[]): number[] {
  const index: number[] = [];
  let rest = flat;
  for (let d = shape.length - 1; d >= 0; d--) {
    index.unshift(rest % shape[d]);
    rest = Math.floor(rest / shape[d]);
  }
  return index;
}

export { CheckError as Error };
