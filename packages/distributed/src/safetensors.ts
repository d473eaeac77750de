import { BackendError, type HostArray, type StandardDType } from "@traceform/core";

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

/** Tensors as bytes, in the format of Hugging Face's safetensors: the length of a header, the header as JSON, the data. */
export function encode(tensors: Readonly<Record<string, HostArray>>, metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  const header: Record<string, Entry | Readonly<Record<string, string>>> = { __metadata__: metadata };
  let end = 0;
  for (const [name, { shape, dtype, bytes }] of Object.entries(tensors)) {
    const stored = names[dtype];
    if (stored === undefined) {
      throw new BackendError("saveCheckpoint", {
        message: `${name} is ${dtype}[${shape.join(",")}], and the file format has no ${dtype}`,
        fix: "save its real and its imaginary part",
      });
    }
    header[name] = { dtype: stored, shape, data_offsets: [end, (end += bytes.length)] };
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

/** The tensors of a file, as views of its bytes. @throws {BackendError} when it is none */
export function decode(
  file: Uint8Array,
  where: string,
): { tensors: Map<string, HostArray>; metadata: Readonly<Record<string, string>> } {
  const broken = (why: string): BackendError =>
    new BackendError("loadCheckpoint", {
      message: `${where} is no checkpoint: ${why}`,
      fix: "name a folder that saveCheckpoint has written",
    });
  if (file.length < 8) throw broken("it has fewer than eight bytes");
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  if (8 + length > file.length) throw broken("its header is longer than the file");
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length))) as Record<string, Entry>;
  const tensors = new Map<string, HostArray>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const dtype = dtypes.get(entry.dtype);
    if (dtype === undefined) throw broken(`${name} has the dtype ${entry.dtype}`);
    const [from, to] = entry.data_offsets;
    if (8 + length + to > file.length) throw broken(`${name} lies beyond its end`);
    tensors.set(name, { shape: entry.shape, dtype, bytes: file.slice(8 + length + from, 8 + length + to) });
  }
  return { tensors, metadata: (header["__metadata__"] as unknown as Readonly<Record<string, string>> | undefined) ?? {} };
}
