import type { StandardDType } from "@traceform/core";

/** How elements are reduced. */
export type ReduceOp = "sum" | "max" | "min";

/** The dtypes whose elements transports reduce; all others only travel. */
export type ReducibleDType = Exclude<StandardDType, "bool" | "float16" | "bfloat16">;

/**
 * Groups of processes that communicate among themselves, each process in exactly one; `null` for one group of all. The order within a
 * group is that of its parts in gathered arrays.
 */
export type Groups = readonly (readonly number[])[] | null;

/**
 * How processes exchange data. All calls are synchronous, and collective: every process of a group makes the same calls in the same order,
 * on views of the same size.
 *
 * @throws {BackendError} when the transport fails, another process makes a different call, or one does not come within the time limit
 */
export interface Transport extends Disposable {
  /** For messages: `MPI (Open MPI 4.1.4)`. */
  readonly name: string;
  readonly processIndex: number;
  readonly processCount: number;
  /** Reduces the elements of all members of a group: every one gets the result. */
  allReduce(send: Uint8Array, receive: Uint8Array, dtype: ReducibleDType, op: ReduceOp, groups?: Groups): void;
  /** What the members send, one after the other. */
  allGather(send: Uint8Array, receive: Uint8Array, groups?: Groups): void;
  /** Of the reduced elements, cut into as many parts as there are members, each gets its part. */
  reduceScatter(send: Uint8Array, receive: Uint8Array, dtype: ReducibleDType, op: ReduceOp, groups?: Groups): void;
  /** The j-th part of what the i-th member sends becomes the i-th part of what the j-th receives. */
  allToAll(send: Uint8Array, receive: Uint8Array, groups?: Groups): void;
  /** Sends to one process and receives from another; `null` for none, of which zeros are received. */
  exchange(send: Uint8Array, to: number | null, receive: Uint8Array, from: number | null): void;
  /** Gives everybody what `root` has, in place. */
  broadcast(data: Uint8Array, root: number): void;
  /** Returns when every process has called it. */
  barrier(): void;
}
