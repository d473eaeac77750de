import { commands } from "./control.ts";
import { loadMpi, type Mpi, readInt } from "./library.ts";

/** Messages of the watchdog: which call it is that a process waits in, counted from the first one. */
const tag = 77;

interface Arrival {
  readonly call: number;
  readonly command: number;
}

/**
 * Tells the other processes, past the thread that waits in MPI, in which call this one waits, and listens to what they say: so a call
 * that does not end can name who is missing.
 */
export class Watch {
  readonly #mpi: Mpi;
  readonly #communicator: bigint | number;
  readonly #rank: number;
  readonly #size: number;
  readonly #arrivals = new Map<number, Arrival>();

  private constructor(mpi: Mpi, communicator: bigint | number, rank: number, size: number) {
    this.#mpi = mpi;
    this.#communicator = communicator;
    this.#rank = rank;
    this.#size = size;
  }

  static async open(communicator: bigint | number, rank: number, size: number): Promise<Watch> {
    return new Watch(await loadMpi(), communicator, rank, size);
  }

  /** Says that this process waits in a call. Messages of this size are on their way at once. */
  announce(call: number, command: number): void {
    const message = Int32Array.of(call, command);
    const { MPI_Send, abi } = this.#mpi;
    for (let other = 0; other < this.#size; other++)
      if (other !== this.#rank) MPI_Send(message, 8, abi.bytes, other, tag, this.#communicator);
  }

  #listen(): void {
    const { MPI_Iprobe, MPI_Recv, abi } = this.#mpi;
    const status = new Int32Array(16);
    while (readInt((flag) => MPI_Iprobe(abi.anySource, tag, this.#communicator, flag, status)) !== 0) {
      const message = new Int32Array(2);
      const own = new Int32Array(16);
      const source = this.#sourceOf(status);
      MPI_Recv(message, 8, abi.bytes, source, tag, this.#communicator, own);
      this.#arrivals.set(source, { call: message[0], command: message[1] });
    }
  }
  /** MPICH begins a status with two words of its own. */
  #sourceOf(status: Int32Array): number {
    return this.#mpi.abi.name === "MPICH" ? status[2] : status[0];
  }

  /** A process that waits in another call of the same number, as a sentence; null if there is none. */
  mismatch(call: number, command: number): string | null {
    this.#listen();
    for (const [rank, a] of this.#arrivals)
      if (a.call === call && a.command !== command) return `process ${rank} calls ${commands[a.command]} there`;
    return null;
  }

  /** The processes that have not said that they wait in the call. */
  missing(call: number): number[] {
    this.#listen();
    return Array.from({ length: this.#size }, (_, i) => i).filter(
      (i) => i !== this.#rank && (this.#arrivals.get(i)?.call ?? -1) < call,
    );
  }

  /** Ends all processes. */
  abort(code: number): void {
    this.#mpi.MPI_Abort(this.#mpi.abi.world, code);
  }
}
