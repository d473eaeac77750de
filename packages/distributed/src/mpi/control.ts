import type { ReduceOp, ReducibleDType } from "../transport.ts";

/** The words of shared memory through which the main thread and the thread that calls MPI talk. */
export const words = {
  state: 0,
  command: 1,
  error: 2,
  /** Which of the communicators, in the order in which they were made. */
  communicator: 3,
  dtype: 4,
  op: 5,
  /** Elements, or bytes where there is no dtype, that one member sends to each other one. */
  count: 6,
  sendMemory: 7,
  sendOffset: 8,
  receiveMemory: 9,
  receiveOffset: 10,
  /** Processes, or -1. */
  to: 11,
  from: 12,
  /** Of a new communicator: which group, and which place in it. */
  color: 13,
  rank: 14,
} as const;

export const controlBytes = 4096;
/** The text of an error lies behind the words. */
export const textOffset = 256;

/** Idle, or done with what was asked; asked; done. */
export const states = { idle: 0, asked: 1, done: 2 } as const;

export const commands = [
  "allReduce",
  "allGather",
  "reduceScatter",
  "allToAll",
  "exchange",
  "broadcast",
  "barrier",
  "split",
  "finalize",
] as const;
export type Command = (typeof commands)[number];

export const dtypes: readonly ReducibleDType[] = [
  "float32",
  "float64",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
  "uint16",
  "uint32",
  "uint64",
  "complex64",
  "complex128",
];
export const ops: readonly ReduceOp[] = ["sum", "max", "min"];

/** What the thread is started with. */
export interface Start {
  readonly control: SharedArrayBuffer;
}
/** Memory that later commands name by its number. */
export interface Known {
  readonly id: number;
  readonly memory: SharedArrayBuffer;
}
/** What the thread says when it is ready, or why it is not. */
export type Ready =
  | {
      readonly kind: "ready";
      readonly rank: number;
      readonly size: number;
      readonly version: string;
      /** A communicator for messages of the watchdog; null where only one thread may call MPI. */
      readonly watch: bigint | number | null;
    }
  | { readonly kind: "missing"; readonly message: string; readonly fix: string };
