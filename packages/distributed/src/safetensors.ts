import { BackendError, type HostArray, itemsize, type StandardDType } from "@traceform/core";

/** The names of dtypes in files. Complex numbers of 128 bits have none. */
const names: Readonly<Partial<Record<StandardDType, string>>> = {
  bool: "BOOL",
  int8: "I8",
  int16: "I16",
  int32: "I32",
  int64: "I64",
  uint8: "U8",
  uint16: "U16",
  uint32: "U32",
  uint64: "U64",
  float16: "F16",
  bfloat16: "BF16",
  float32: "F32",
  float64: "F64",
  complex64: "C64",
};
const dtypes = new Map(Object.entries(names).map(([dtype, name]) => [name, dtype as StandardDType]));

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** The name of a dtype in files. @throws {BackendError} when it has none */
export function storedAs(name: string, shape: readonly number[], dtype: StandardDType): string {
  const stored = names[dtype];
  if (stored !== undefined) return stored;
  throw new BackendError("saveCheckpoint", {
    message: `${name} is ${dtype}[${shape.join(",")}], and the file format has no ${dtype}`,
    fix: "save its real and its imaginary part",
  });
}

/** Tensors as bytes, in the format of Hugging Face's safetensors: the length of a header, the header as JSON, the data. */
export function encode(tensors: Readonly<Record<string, HostArray>>, metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  const header: Record<string, Entry | Readonly<Record<string, string>>> = { __metadata__: metadata };
  let end = 0;
  for (const [name, { shape, dtype, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype: storedAs(name, shape, dtype), shape, data_offsets: [end, (end += bytes.length)] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  // Data begins at a multiple of eight; spaces after JSON are JSON.
  const length = Math.ceil(text.length / 8) * 8;
  const out = new Uint8Array(8 + length + end).fill(0x20, 8, 8 + length);
  new DataView(out.buffer).setBigUint64(0, BigInt(length), true);
  out.set(text, 8);
  let at = 8 + length;
  for (const { bytes } of Object.values(tensors)) {
    out.set(bytes, at);
    at += bytes.length;
  }
  return out;
}

/** A tensor in a file: what it is, and where its bytes are. */
export interface Stored {
  readonly shape: readonly number[];
  readonly dtype: StandardDType;
  readonly offset: number;
  readonly byteLength: number;
}

/** What the header of a file of `size` bytes says. @throws {BackendError} when it is none */
export async function decodeHeader(
  read: (at: number, length: number) => Promise<Uint8Array>,
  size: number,
  where: string,
): Promise<{ tensors: Map<string, Stored>; metadata: Readonly<Record<string, string>> }> {
  const broken = (why: string): BackendError =>
    new BackendError("loadCheckpoint", {
      message: `${where} is no checkpoint: ${why}`,
      fix: "name a folder that saveCheckpoint has written",
    });
  if (size < 8) throw broken("it has fewer than eight bytes");
  const length = Number(new DataView((await read(0, 8)).buffer).getBigUint64(0, true));
  if (8 + length > size) throw broken("its header is longer than the file");
  let header: Record<string, Entry>;
  try {
    header = JSON.parse(new TextDecoder().decode(await read(8, length))) as Record<string, Entry>;
  } catch {
    throw broken("its header is no JSON");
  }
  const tensors = new Map<string, Stored>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const dtype = dtypes.get(entry.dtype);
    if (dtype === undefined) throw broken(`${name} has the dtype ${entry.dtype}`);
    const [from, to] = entry.data_offsets;
    if (8 + length + to > size) throw broken(`${name} lies beyond its end`);
    if (to - from !== entry.shape.reduce((a, b) => a * b, itemsize(dtype)))
      throw broken(`${name} has not as many bytes as its shape`);
    tensors.set(name, { shape: entry.shape, dtype, offset: 8 + length + from, byteLength: to - from });
  }
  return { tensors, metadata: (header["__metadata__"] as unknown as Readonly<Record<string, string>> | undefined) ?? {} };
}
