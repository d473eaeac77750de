import { type HostArray, isComplex } from "@traceform/core";

// On the device a complex array is two planes; on the host its parts alternate.

/** Writes a host array as the device holds it. */
export function toDevice(data: HostArray, target: Uint8Array): void {
  if (!isComplex(data.dtype)) {
    target.set(data.bytes);
    return;
  }
  const bytes = data.dtype === "complex64" ? 4 : 8;
  const n = data.bytes.length / (2 * bytes);
  for (let i = 0; i < n; i++) {
    for (let part = 0; part < 2; part++) {
      const from = (2 * i + part) * bytes;
      target.set(data.bytes.subarray(from, from + bytes), (part * n + i) * bytes);
    }
  }
}

/** The bytes of a device array as the host has them. */
export function toHost(source: Uint8Array, dtype: HostArray["dtype"]): Uint8Array<ArrayBuffer> {
  if (!isComplex(dtype)) return source.slice() as Uint8Array<ArrayBuffer>;
  const bytes = dtype === "complex64" ? 4 : 8;
  const out = new Uint8Array(source.length);
  const n = source.length / (2 * bytes);
  for (let i = 0; i < n; i++) {
    for (let part = 0; part < 2; part++) {
      const from = (part * n + i) * bytes;
      out.set(source.subarray(from, from + bytes), (2 * i + part) * bytes);
    }
  }
  return out;
}
