import {
  type ArrayLike,
  asArray,
  type Aval,
  batchRule,
  bind1,
  complexDType,
  definePrimitive,
  DTypeError,
  dtypeKind,
  dtypeName,
  isComplex,
  jvpRule,
  type NDArray,
  type Primitive,
  realDType,
  sameShape,
  ShapeError,
  toInexact,
  transposeRule,
  ValueError,
} from "@traceform/core";
import { bitwiseOr, eq, mul } from "./binary.ts";
import { conj, convertElementType } from "./convert.ts";
import { broadcastedIota, fullLike } from "./create.ts";
import { moveAxis } from "./internal/axes.ts";
import { result } from "./internal/infer.ts";
import { select } from "./select.ts";

/** Which transform: complex to complex, its inverse, real to the first half of its spectrum, and back. */
export const FftType = { FFT: "FFT", IFFT: "IFFT", RFFT: "RFFT", IRFFT: "IRFFT" } as const;
export type FftType = keyof typeof FftType;

export interface FftParams {
  readonly fftType: FftType;
  /** Lengths of the transformed axes, the trailing ones, as they are before RFFT and after IRFFT. */
  readonly fftLengths: readonly number[];
}

/**
 * The discrete Fourier transform along the trailing axes: `y[k] = sum_j x[j] exp(-2 pi i j k / n)`; inverses divide by the
 * number of elements. It carries its rules itself, so that programs without it do not hold them.
 */
export const fftP: Primitive<FftParams> = /* @__PURE__ */ definePrimitive<FftParams>("fft", {
  abstractEval: ([x], params) => [fftAval(x, params)],
  rules: {
    [jvpRule]: {
      symbolicZeros: true,
      rule: ([x]: readonly NDArray[], [dx]: readonly (NDArray | null)[], params: FftParams) => [
        [bind1(fftP, [x], params)],
        [dx === null ? null : bind1(fftP, [dx], params)],
      ],
    },
    [transposeRule]: ([ct]: readonly NDArray[], _operands: unknown, params: FftParams) => [transposed(ct, params)],
    [batchRule]: ([x]: readonly NDArray[], [dim]: readonly number[], params: FftParams) => [
      [bind1(fftP, [moveAxis(x, dim, 0)], params)],
      [0],
    ],
  },
});

/**
 * The discrete Fourier transform of the trailing axes of `x`, as many as there are `fftLengths`. FFT, IFFT: complex[...b, ...n] to the same. RFFT: float[...b, ...n] to
 * complex[...b, ...n with n/2 + 1 last], whose other half is the mirror image. IRFFT: back, with the length of the result
 * given. Real operands become complex where that is needed.
 *
 * @throws {ValueError} for an unknown type
 * @throws {DTypeError} for RFFT of complex or 16-bit operands
 * @throws {ShapeError} when the lengths are not those of the operand's axes
 */
export function fft(x: ArrayLike, fftType: FftType | Lowercase<FftType>, fftLengths: readonly number[]): NDArray {
  const type = fftType.toUpperCase() as FftType;
  if (!(type in FftType))
    throw new ValueError("fft", {
      message: `${fftType} is no type of transform`,
      fix: `use one of ${Object.keys(FftType).join(", ")}`,
    });
  const a = asArray(x);
  if (type === "RFFT" && isComplex(a.dtype)) {
    throw new DTypeError("fft", {
      message: "RFFT takes real operands",
      operands: { x: a },
      fix: 'use "FFT", or transform real(x)',
    });
  }
  const operand = convertElementType(a, type === "RFFT" ? toInexact(a.dtype) : complexDType(a.dtype));
  return fftLengths.length === 0 ? operand : bind1(fftP, [operand], { fftType: type, fftLengths: [...fftLengths] });
}

function fftAval(x: Aval, { fftType, fftLengths }: FftParams): Aval {
  const count = fftLengths.length;
  if (count > x.ndim) {
    throw new ShapeError("fft", {
      message: `${count} axes are to be transformed, and the operand has ${x.ndim}`,
      operands: { x },
      fix: "pass as many lengths as there are axes, or fewer",
    });
  }
  const wanted = fftType === "RFFT" ? "float" : "complex";
  if (dtypeKind(x.dtype) !== wanted || x.dtype === "float16" || x.dtype === "bfloat16") {
    throw new DTypeError("fft", {
      message: `${fftType} takes ${wanted === "float" ? "float32 or float64" : "complex64 or complex128"}, got ${dtypeName(x.dtype)}`,
      operands: { x },
      fix: `convert it with convertElementType(x, "${wanted === "float" ? "float32" : "complex64"}")`,
    });
  }
  const before = [...fftLengths];
  const last = before.pop()!;
  const half = Math.floor(last / 2) + 1;
  const expected = [...before, fftType === "IRFFT" ? half : last];
  if (last === 0 || !sameShape(x.shape.slice(x.ndim - count), expected)) {
    throw new ShapeError("fft", {
      message: `the trailing axes must be [${expected.join(",")}] for ${fftType} of lengths [${fftLengths.join(",")}]`,
      operands: { x },
      fix:
        last === 0
          ? "transform axes of at least one element"
          : "pass the lengths of the trailing axes; cut or pad them first to change these",
    });
  }
  const shape = [...x.shape.slice(0, x.ndim - count), ...before, fftType === "RFFT" ? half : last];
  const dtype = fftType === "RFFT" ? complexDType(x.dtype) : fftType === "IRFFT" ? realDType(x.dtype) : x.dtype;
  return result(shape, dtype, [x], false);
}

/**
 * The complex transforms are symmetric matrices. The real ones leave out half of the spectrum, so what was left in counts
 * twice, except where it is its own mirror image.
 */
function transposed(ct: NDArray, params: FftParams): NDArray {
  const { fftType, fftLengths } = params;
  if (fftType === "FFT" || fftType === "IFFT") return bind1(fftP, [ct], params);
  const size = fftLengths.reduce((a, b) => a * b, 1);
  if (fftType === "RFFT") {
    const weighted = mul(conj(ct), multiplicity(ct, fftLengths, size, size / 2));
    return bind1(fftP, [weighted], { fftType: "IRFFT", fftLengths });
  }
  const spectrum = bind1(fftP, [ct], { fftType: "RFFT", fftLengths });
  return conj(mul(spectrum, multiplicity(spectrum, fftLengths, 1 / size, 2 / size)));
}

/** `once` for the elements of a half spectrum that are their own mirror images along the last axis, else `twice`. */
function multiplicity(spectrum: NDArray, fftLengths: readonly number[], once: number, twice: number): NDArray {
  const n = fftLengths[fftLengths.length - 1];
  const k = broadcastedIota("int32", spectrum.shape, spectrum.ndim - 1);
  const own = eq(k, 0);
  const itself = n % 2 === 0 ? bitwiseOr(own, eq(k, n / 2)) : own;
  return select(itself, fullLike(spectrum, once), fullLike(spectrum, twice));
}
