import { BackendError } from "@traceform/core";
import { type Abi, detectAbi, libraryNames } from "./abi.ts";

/** A function of the library: returns an MPI error code. */
type Call = (...args: readonly unknown[]) => number;

/** The functions that are used, with the types of their parameters: `H` is a handle, `P` a pointer, `i` an int. */
const signatures = {
  MPI_Init_thread: "PPiP",
  MPI_Finalize: "",
  MPI_Abort: "Hi",
  MPI_Comm_rank: "HP",
  MPI_Comm_size: "HP",
  MPI_Comm_dup: "HP",
  MPI_Comm_split: "HiiP",
  MPI_Comm_set_errhandler: "HH",
  MPI_Error_string: "iPP",
  MPI_Get_library_version: "PP",
  MPI_Allreduce: "PPiHHH",
  MPI_Allgather: "PiHPiHH",
  MPI_Reduce_scatter_block: "PPiHHH",
  MPI_Alltoall: "PiHPiHH",
  MPI_Bcast: "PiHiH",
  MPI_Barrier: "H",
  MPI_Send: "PiHiiH",
  MPI_Recv: "PiHiiHP",
  MPI_Sendrecv: "PiHiiPiHiiHP",
  MPI_Iprobe: "iiHPP",
} as const;

export type Mpi = { readonly [K in keyof typeof signatures]: Call } & { readonly abi: Abi };

/** What is used of the package `koffi`. */
interface Koffi {
  load(
    path: string,
    options: { readonly global: boolean },
  ): {
    func(name: string, result: string, parameters: readonly string[]): Call;
    symbol(name: string): unknown;
  };
  address(value: unknown): bigint;
}

/**
 * Loads MPI. A library that is loaded twice is one library.
 * @throws {BackendError} when there is none, or no koffi; it says what to install
 */
export async function loadMpi(): Promise<Mpi> {
  let koffi: Koffi;
  try {
    koffi = ((await import("koffi")) as unknown as { default: Koffi }).default;
  } catch (error) {
    throw new BackendError("initialize", {
      message: `the package koffi, through which MPI is called, could not be loaded: ${String(error)}`,
      fix: "npm install koffi",
      cause: error,
    });
  }
  const names = libraryNames(process.env, process.platform);
  for (const name of names) {
    let library;
    try {
      // With its symbols visible to the plugins that it loads itself.
      library = koffi.load(name, { global: true });
    } catch {
      continue;
    }
    const symbol = (s: string): bigint | null => {
      try {
        return koffi.address(library.symbol(s));
      } catch {
        return null;
      }
    };
    const version =
      symbol("MPI_Abi_get_version") === null
        ? -1
        : readInt((out) => library.func("MPI_Abi_get_version", "int", ["void *", "void *"])(out, new Int32Array(1)));
    const abi = detectAbi(symbol, version);
    const types: Readonly<Record<string, string>> = { P: "void *", i: "int", H: abi.handle };
    const calls = Object.entries(signatures).map(([f, parameters]) => [
      f,
      library.func(
        f,
        "int",
        [...parameters].map((p) => types[p]),
      ),
    ]);
    return { ...(Object.fromEntries(calls) as Mpi), abi };
  }
  throw new BackendError("initialize", {
    message: `no MPI library was found under the names ${names.join(", ")}`,
    fix: "install MPI (Debian and Ubuntu: apt-get install openmpi-bin libopenmpi3), or name the library in TRACEFORM_MPI_LIBRARY",
  });
}

/** One number that a call writes. */
export function readInt(write: (out: Int32Array) => number): number {
  const out = new Int32Array(1);
  write(out);
  return out[0];
}

/** A handle that a call writes, of the size that handles have. */
export function readHandle(abi: Abi, write: (out: Int32Array | BigUint64Array) => number): bigint | number {
  const out = abi.handle === "int" ? new Int32Array(1) : new BigUint64Array(1);
  write(out);
  return out[0];
}
