/**
 * How the threads of one memory talk to each other: a few words at its start.
 *
 * The main thread publishes a job, a kernel over a range of tasks, by opening the state word under a new generation. Workers
 * join by counting themselves in while it is open, take chunks of its tasks, their own ones first, and count themselves out. The main
 * thread works too; when the tasks are used up it closes the job and waits only for those who joined. So a worker that is
 * asleep, or not there, costs nothing.
 */
export const control = {
  /** Generation, the open flag, and how many workers are inside the present job. */
  state: 64,
  /** Workers that sleep on the state word. */
  sleepers: 68,
  /** Messages sent to the workers so far; each must return to its event loop to take them. */
  posted: 72,
  /** Set by a worker in which a kernel failed. */
  failed: 76,
  /** Workers that have reported ready. */
  ready: 80,
  /** Whether the main thread sleeps until the workers of its job are done. */
  waiting: 84,
  /** Messages that workers are done with, over all of them. */
  received: 88,
  /** Which program and which of its kernels the job is, then the kernel's pointers. */
  program: 192,
  kernel: 196,
  pointers: 256,
  /** How many of the tasks of each thread are taken, by whom ever; so far apart that each has a cache line of its own. */
  taken: 1024,
  takenBytes: 64,
  end: 3072,
} as const;

/** The most pointers of a kernel that can be a job. */
export const mostPointers: number = (control.taken - control.pointers) / 4;

/** The most threads of one memory: beyond 32 they wait for each other more than they help. */
export const mostThreads: number = (control.end - control.taken) / control.takenBytes;

/** Bits of the state word. */
export const state = { active: 0xff, open: 0x100, generation: 0x200 } as const;
