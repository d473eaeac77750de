/** The words of shared memory in which the main thread says what it is doing, for the watchdog. */
export const words = {
  /** The number of the call that the process is in, counted from 1; 0 while it is in none. */
  call: 0,
  /** Which call it is, of `commands`. */
  command: 1,
  /** 1 while the watchdog loads or calls MPI. */
  talking: 2,
  /** How many messages the watchdog has sent to each of the others. */
  told: 3,
  /** How many messages it has received of all of them together. */
  heard: 4,
} as const;

/** Messages of watchdogs: a call and a command. */
export const watchdogTag = 77;

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

/** Who has nothing more to do waits for the others without a limit. */
export const unlimited: ReadonlySet<Command> = new Set<Command>(["finalize"]);

/** What the watchdog is started with. */
export interface WatchdogStart {
  readonly words: SharedArrayBuffer;
  readonly rank: number;
  readonly size: number;
  /** Milliseconds that a call may take. */
  readonly limit: number;
  /** A communicator of its own; null where one thread only may call MPI. */
  readonly communicator: bigint | number | null;
}
