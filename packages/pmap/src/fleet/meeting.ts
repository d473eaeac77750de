import { BackendError, type HostArray, type Seat } from "@traceform/core";

/** Members of a group who come to one of their collectives. */
interface Round {
  readonly what: string;
  readonly group: readonly number[];
  readonly given: Map<number, HostArray>;
  readonly all: Promise<readonly HostArray[]>;
  resolve(all: readonly HostArray[]): void;
  reject(failure: unknown): void;
}

/**
 * One run of a program by several members of a fleet. The n-th collective of one member in a group is the n-th of the others: programs of
 * one run are the same, so whoever comes to something else, or not at all, is an error of all who wait for it.
 */
export class Meeting {
  /** One for each member. */
  readonly seats: readonly Seat[];
  /** The collectives to which somebody has come, and not all: by group, and how many the group had before. */
  readonly #open = new Map<string, Round>();
  /** How often each member has come to each group. */
  readonly #come: readonly Map<string, number>[];
  /** The members whose programs have ended, and what went wrong there. */
  readonly #left = new Map<number, unknown>();
  readonly #name: string;

  constructor(name: string, count: number) {
    this.#name = name;
    this.#come = Array.from({ length: count }, () => new Map());
    this.seats = this.#come.map((_, index) => ({
      index,
      meet: (what, group, own) => this.#meet(index, what, group, own),
      leave: (failure) => this.#leave(index, failure),
    }));
  }

  #meet(index: number, what: string, group: readonly number[], own: HostArray): Promise<readonly HostArray[]> {
    const members = group.join();
    const before = this.#come[index].get(members) ?? 0;
    this.#come[index].set(members, before + 1);
    const key = `${members}:${before}`;
    const round = this.#open.get(key) ?? begin(what, group);
    this.#open.set(key, round);
    if (round.what !== what) {
      round.reject(this.#error(`GPUs come to different collectives: ${round.what} and ${what}`, "run one program on all of them"));
    }
    round.given.set(index, own);
    if (round.given.size === group.length) {
      this.#open.delete(key);
      round.resolve(group.map((m) => round.given.get(m)!));
    } else this.#giveUp(round);
    return round.all;
  }

  #leave(index: number, failure: unknown): void {
    this.#left.set(index, failure);
    for (const round of this.#open.values()) this.#giveUp(round);
  }

  /** A collective to which somebody cannot come any more fails. */
  #giveUp({ what, group, given, reject }: Round): void {
    const absent = group.find((m) => !given.has(m) && this.#left.has(m));
    if (absent === undefined) return;
    const failure = this.#left.get(absent);
    reject(
      failure ?? this.#error(`the program of GPU ${absent} has ended without the ${what} that others wait for`, "report this"),
    );
  }
  #error(message: string, fix: string): BackendError {
    return new BackendError(this.#name, { message, fix });
  }
}

function begin(what: string, group: readonly number[]): Round {
  const { promise, resolve, reject } = Promise.withResolvers<readonly HostArray[]>();
  // Those who have not come hear of it when they do.
  promise.catch(() => null);
  return { what, group, given: new Map(), all: promise, resolve, reject };
}
