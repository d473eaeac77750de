import type { Jaxpr, NDArray, Params, Primitive } from "@traceform/core";

/** The axis of an array along which the batch runs; `null` for an array that is the same for all of it. */
export type BatchDim = number | null;

export interface BatchContext {
  /** The primitive being batched, so that one rule can serve many. */
  readonly primitive: Primitive<never>;
  readonly axisSize: number;
  /** The name that collectives know the axis by. */
  readonly axisName: string | null;
  /** The mesh axes over which the batch is spread: rules of what knows of meshes add them to theirs. */
  readonly spmdAxisName: readonly string[];
  /** Whether the members of the batch are devices: no collective may be under a predicate that differs between them. */
  readonly isMesh: boolean;
  /** The members of the batch that other processes have; `null` where all are here. */
  readonly beyond: Beyond | null;
  /** A jaxpr batched along leading axes: see `batch.ts`. Memoised. */
  batchJaxpr(
    jaxpr: Jaxpr,
    batched: readonly boolean[],
    instantiate?: boolean | readonly boolean[],
    share?: BatchShare,
  ): BatchedJaxpr;
  /** Runs a function of arrays whose operands are batched along leading axes where `batched` says so. */
  batched(
    fn: (...args: NDArray[]) => readonly NDArray[],
    args: readonly NDArray[],
    batched: readonly boolean[],
  ): [outs: NDArray[], dims: BatchDim[]];
}

/** The rest of a batch that is spread over processes, each of which has as many members: those of this one follow each other. */
export interface Beyond {
  /** How many processes there are along the axis, and which of them this one is. */
  readonly count: number;
  readonly index: number;
  /** Equal for equal places. */
  readonly key: string;
  /** Arrays that every process has one of, reduced element by element. */
  reduce(op: "sum" | "max" | "min", xs: readonly NDArray[]): NDArray[];
  /** An array with a part for each process along its first axis: the sum of the parts that are for this one. */
  reduceScatter(x: NDArray): NDArray;
  /** The arrays of all processes along a new first axis. */
  gather(x: NDArray): NDArray;
  /** An array with a part for each process along its first axis: the parts that are for this one. */
  allToAll(x: NDArray): NDArray;
  /** An array with the members of this process along its first axis: those that come to their places, of all members of the batch. */
  permute(x: NDArray, perm: readonly (readonly [from: number, to: number])[]): NDArray;
}

/** The part of a batch that one device has, where the batch is spread over devices. */
export interface BatchShare {
  /** Over how many devices. */
  readonly parts: number;
  /** The mesh axes along which what is batched varies for that reason. */
  readonly varying: readonly string[];
}

export interface BatchedJaxpr {
  /** (consts, operands) -> results; what is batched has a leading axis. */
  readonly jaxpr: Jaxpr;
  /** Arrays that custom rules close over; operands of whoever holds the jaxpr. */
  readonly consts: readonly NDArray[];
  readonly batchedOut: readonly boolean[];
}

/** An axis that `vmap` adds: how long it is, and by which names it is known. */
export interface BatchAxis {
  readonly size: number;
  readonly name: string | null;
  readonly spmd: readonly string[];
  /** Whether the members are devices that go in step: see `lockstep.ts` in pmap. */
  readonly isMesh?: boolean;
  readonly beyond?: Beyond | null;
}

/** Operands with the places of their batch axes, and parameters, in; results with the places of theirs out. */
export type BatchRule<P = Params> = (
  args: readonly NDArray[],
  dims: readonly BatchDim[],
  params: P,
  context: BatchContext,
) => readonly [outs: readonly NDArray[], dims: readonly BatchDim[]];

/** A rule with the primitive it belongs to. */
export type BatchEntry = readonly [primitive: Primitive<never>, rule: BatchRule<never>];

export function entry<P>(primitive: Primitive<P>, rule: BatchRule<P>): BatchEntry {
  return [primitive as unknown as Primitive<never>, rule as BatchRule<never>];
}

/** A table that is put together when it is first read, so that importing the package does no work. */
export class BatchTable {
  readonly #families: () => readonly (readonly BatchEntry[])[];
  #rules: Map<Primitive<never>, BatchRule<never>> | null = null;
  constructor(families: () => readonly (readonly BatchEntry[])[]) {
    this.#families = families;
  }
  get(primitive: Primitive<never>): BatchRule<never> | undefined {
    this.#rules ??= new Map(this.#families().flat());
    return this.#rules.get(primitive);
  }
  /** The primitives that have a rule. */
  primitives(): Primitive<never>[] {
    this.#rules ??= new Map(this.#families().flat());
    return [...this.#rules.keys()];
  }
}
