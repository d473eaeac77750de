import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { type Command, commands, dtypes, type Known, ops, type Ready, type Start, states, textOffset, words } from "./control.ts";
import { loadMpi, MissingLibrary, type Mpi, readHandle, readInt } from "./library.ts";

// The thread that calls MPI. Its calls block: the main thread waits on a word of shared memory, with a limit, and memory that is shared
// between both needs no copies.

const port = parentPort as MessagePort;
const { control } = workerData as Start;
const word = new Int32Array(control);

function serve(mpi: Mpi): void {
  const { abi } = mpi;
  const level = readInt((out) => mpi.MPI_Init_thread(null, null, abi.threadMultiple, out));
  const { world } = abi;
  mpi.MPI_Comm_set_errhandler(world, abi.errorsReturn);
  const rank = readInt((out) => mpi.MPI_Comm_rank(world, out));
  const size = readInt((out) => mpi.MPI_Comm_size(world, out));
  const text = new Uint8Array(8192);
  const length = readInt((out) => mpi.MPI_Get_library_version(text, out));
  const [version] = new TextDecoder().decode(text.subarray(0, length)).split(/[,\n\0]/);
  const watch = level === abi.threadMultiple ? readHandle(abi, (out) => mpi.MPI_Comm_dup(world, out)) : null;
  port.postMessage({ kind: "ready", rank, size, version: version.replace("v", ""), watch } satisfies Ready);
  const thread = new MpiThread(mpi);
  while (thread.next());
}

/** How long it looks for the next command before it sleeps, in rounds of some nanoseconds. */
const rounds = 2000;

class MpiThread {
  readonly #mpi: Mpi;
  readonly #communicators: (bigint | number)[];
  readonly #memories = new Map<number, SharedArrayBuffer>();

  constructor(mpi: Mpi) {
    this.#mpi = mpi;
    this.#communicators = [mpi.abi.world];
  }

  /** Waits for a command and obeys it. False when it was the last one. */
  next(): boolean {
    for (let i = 0; i < rounds && Atomics.load(word, words.state) !== states.asked; i++);
    for (let state = Atomics.load(word, words.state); state !== states.asked; state = Atomics.load(word, words.state))
      Atomics.wait(word, words.state, state);
    const command = commands[word[words.command]];
    const error = this.#obey(command);
    word[words.error] = error;
    if (error !== 0) this.#explain(error);
    Atomics.store(word, words.state, states.done);
    Atomics.notify(word, words.state);
    return command !== "finalize";
  }

  /** A pointer into shared memory. */
  #pointer(memory: number, offset: number): Uint8Array | null {
    const id = word[memory];
    if (id < 0) return null;
    while (!this.#memories.has(id)) {
      const message = receiveMessageOnPort(port)?.message as Known | undefined;
      if (message === undefined) throw new Error("a command names memory that nobody has sent");
      this.#memories.set(message.id, message.memory);
    }
    return new Uint8Array(this.#memories.get(id)!, word[offset] >>> 0);
  }

  #obey(command: Command): number {
    const mpi = this.#mpi;
    const { abi } = mpi;
    const communicator = this.#communicators[word[words.communicator]];
    const count = word[words.count];
    const send = this.#pointer(words.sendMemory, words.sendOffset);
    const receive = this.#pointer(words.receiveMemory, words.receiveOffset);
    const dtype = abi.dtypes[dtypes[word[words.dtype]]];
    const op = abi.ops[ops[word[words.op]]];
    switch (command) {
      case "allReduce":
        return mpi.MPI_Allreduce(send, receive, count, dtype, op, communicator);
      case "allGather":
        return mpi.MPI_Allgather(send, count, abi.bytes, receive, count, abi.bytes, communicator);
      case "reduceScatter":
        return mpi.MPI_Reduce_scatter_block(send, receive, count, dtype, op, communicator);
      case "allToAll":
        return mpi.MPI_Alltoall(send, count, abi.bytes, receive, count, abi.bytes, communicator);
      case "exchange":
        return this.#exchange(send, receive, count, communicator);
      case "broadcast":
        return mpi.MPI_Bcast(send, count, abi.bytes, word[words.from], communicator);
      case "barrier":
        return mpi.MPI_Barrier(communicator);
      case "split": {
        const made = readHandle(abi, (out) => mpi.MPI_Comm_split(abi.world, word[words.color], word[words.rank], out));
        mpi.MPI_Comm_set_errhandler(made, abi.errorsReturn);
        this.#communicators.push(made);
        return 0;
      }
      case "finalize":
        return mpi.MPI_Finalize();
    }
  }

  #exchange(send: Uint8Array | null, receive: Uint8Array | null, count: number, communicator: bigint | number): number {
    const mpi = this.#mpi;
    const { bytes } = mpi.abi;
    const status = new Uint8Array(64);
    const [to, from] = [word[words.to], word[words.from]];
    if (to >= 0 && from >= 0)
      return mpi.MPI_Sendrecv(send, count, bytes, to, 0, receive, count, bytes, from, 0, communicator, status);
    if (to >= 0) return mpi.MPI_Send(send, count, bytes, to, 0, communicator);
    return from >= 0 ? mpi.MPI_Recv(receive, count, bytes, from, 0, communicator, status) : 0;
  }

  /** Puts the text of an error where the main thread finds it. */
  #explain(error: number): void {
    const text = new Uint8Array(1024);
    const length = readInt((out) => this.#mpi.MPI_Error_string(error, text, out));
    const target = new Uint8Array(control, textOffset, 1024);
    target.fill(0);
    target.set(text.subarray(0, length));
  }
}

try {
  serve(await loadMpi());
} catch (error) {
  if (!(error instanceof MissingLibrary)) throw error;
  port.postMessage({ kind: "missing", message: error.message, fix: error.fix } satisfies Ready);
}
