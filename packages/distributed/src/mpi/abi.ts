import type { ReduceOp, ReducibleDType } from "../transport.ts";

/** What differs between MPI libraries: what their handles are. */
export interface Abi {
  readonly name: "Open MPI" | "MPICH" | "MPI ABI";
  /** The C type of handles. */
  readonly handle: "uintptr_t" | "int";
  readonly world: bigint | number;
  readonly errorsReturn: bigint | number;
  readonly bytes: bigint | number;
  readonly dtypes: Readonly<Record<ReducibleDType, bigint | number>>;
  readonly ops: Readonly<Record<ReduceOp, bigint | number>>;
  /** `MPI_THREAD_MULTIPLE`. */
  readonly threadMultiple: number;
  /** Whatever the sender. */
  readonly anySource: number;
  /** Which word of a status is the sender. */
  readonly sourceWord: number;
}

/** The symbols of a loaded library: the address of one, or null. */
export type Symbols = (name: string) => bigint | null;

const openMpiDtypes: Readonly<Record<ReducibleDType, string>> = {
  float32: "float",
  float64: "double",
  int8: "int8_t",
  int16: "int16_t",
  int32: "int32_t",
  int64: "int64_t",
  uint8: "uint8_t",
  uint16: "uint16_t",
  uint32: "uint32_t",
  uint64: "uint64_t",
  complex64: "c_float_complex",
  complex128: "c_double_complex",
};

/** Handles are the addresses of objects in the library. */
function openMpi(address: (name: string) => bigint): Abi {
  const object = (name: string): bigint => address(`ompi_mpi_${name}`);
  return {
    name: "Open MPI",
    handle: "uintptr_t",
    world: object("comm_world"),
    errorsReturn: object("errors_return"),
    bytes: object("byte"),
    dtypes: Object.fromEntries(Object.entries(openMpiDtypes).map(([dtype, name]) => [dtype, object(name)])) as Abi["dtypes"],
    ops: { sum: object("op_sum"), max: object("op_max"), min: object("op_min") },
    threadMultiple: 3,
    anySource: -1,
    sourceWord: 0,
  };
}

/** Handles are integers, in which the kind and the size of the object are written. */
const mpich: Abi = {
  name: "MPICH",
  handle: "int",
  world: 0x44000000,
  errorsReturn: 0x54000001,
  bytes: 0x4c00010d,
  dtypes: {
    float32: 0x4c00040a,
    float64: 0x4c00080b,
    int8: 0x4c000137,
    int16: 0x4c000238,
    int32: 0x4c000439,
    int64: 0x4c00083a,
    uint8: 0x4c00013b,
    uint16: 0x4c00023c,
    uint32: 0x4c00043d,
    uint64: 0x4c00083e,
    complex64: 0x4c000840,
    complex128: 0x4c001041,
  },
  ops: { sum: 0x58000003, max: 0x58000001, min: 0x58000002 },
  threadMultiple: 3,
  anySource: -2,
  sourceWord: 2,
};

/** The standard's own, from MPI 5: small constants of the size of a pointer. */
const standard: Abi = {
  name: "MPI ABI",
  handle: "uintptr_t",
  world: 0x101,
  errorsReturn: 0x143,
  bytes: 0x247,
  dtypes: {
    float32: 0x210,
    float64: 0x214,
    int8: 0x240,
    int16: 0x248,
    int32: 0x250,
    int64: 0x258,
    uint8: 0x241,
    uint16: 0x249,
    uint32: 0x251,
    uint64: 0x259,
    complex64: 0x212,
    complex128: 0x216,
  },
  ops: { sum: 0x21, max: 0x23, min: 0x22 },
  threadMultiple: 4096,
  anySource: -1,
  sourceWord: 0,
};

/**
 * Which handles a library has. `version` is what its `MPI_Abi_get_version` says: the major version of the standard's interface, -1 where it
 * has another, or no such function. Symbols do not tell: libraries with the standard's interface show those of the one they are built on.
 * @see MPI: A Message-Passing Interface Standard, version 5.0 (2025), chapter 20, "Application Binary Interface"
 */
export function detectAbi(symbol: Symbols, version: number): Abi {
  if (version > 0) return standard;
  if (symbol("ompi_mpi_comm_world") !== null) {
    return openMpi((name) => {
      const address = symbol(name);
      if (address === null) throw new Error(`the library has no ${name}`);
      return address;
    });
  }
  return mpich;
}

/** Names under which MPI is installed, those of the launcher's kind first. */
export function libraryNames(env: Readonly<Record<string, string | undefined>>, platform: string): readonly string[] {
  const chosen = env["TRACEFORM_MPI_LIBRARY"];
  if (chosen !== undefined) return [chosen];
  if (platform === "darwin") return ["libmpi.dylib", "/opt/homebrew/lib/libmpi.dylib", "/usr/local/lib/libmpi.dylib"];
  const openMpiNames = ["libmpi.so.40", "libmpi.so.80"];
  const mpichNames = ["libmpich.so.12", "libmpi.so.12"];
  const neutral = ["libmpi_abi.so.1", "libmpi.so"];
  const underMpich = env["PMI_RANK"] !== undefined && env["OMPI_COMM_WORLD_RANK"] === undefined;
  return [...(underMpich ? [...mpichNames, ...openMpiNames] : [...openMpiNames, ...mpichNames]), ...neutral];
}
