import {
  type ArrayLike,
  asArray,
  ConcreteArray,
  DTypeError,
  fromTyped,
  type HostArray,
  type NDArray,
  type StandardDType,
} from "@traceform/core";

/** The dtype of the bytes of an array. @throws {DTypeError} for extended dtypes, as of PRNG keys */
export function dtypeOfBytes(fn: string, x: NDArray): StandardDType {
  if (typeof x.dtype === "string") return x.dtype;
  throw new DTypeError(fn, {
    message: "has no bytes of its own",
    operands: { x },
    fix: "for PRNG keys, pass random.keyData(key)",
  });
}

/** The bytes of an array, on the host. @throws {DTypeError} for extended dtypes, as of PRNG keys */
export async function hostArray(fn: string, leaf: unknown): Promise<HostArray> {
  const x = asArray(leaf as ArrayLike);
  const dtype = dtypeOfBytes(fn, x);
  // The values as their dtype stores them: 16-bit floats come out wider where the engine has no array of them.
  return fromTyped(await x.data(), x.shape, dtype).toHost(fn);
}

/** An array of bytes that came from elsewhere. */
export function arrayOf({ shape, dtype, bytes }: HostArray): NDArray {
  return ConcreteArray.fromHost({ shape, dtype, bytes });
}
