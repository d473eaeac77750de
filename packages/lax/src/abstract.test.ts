import {
  asArray,
  AxisError,
  DTypeError,
  makeAval,
  type NDArray,
  setDefaultBackend,
  ShapeError,
  traceToJaxpr,
  withAxis,
} from "@traceform/core";
import { referenceBackend } from "@traceform/testing";
import { describe, expect, test } from "vitest";
import * as lax from "./index.ts";

setDefaultBackend(referenceBackend());
const f32 = (...shape: number[]): NDArray => lax.full(shape, 0, "float32");
/** The type of `fn()` as it is staged: nothing runs. */
function typeOf(fn: () => NDArray | readonly NDArray[]): string {
  const { jaxpr } = traceToJaxpr(() => [fn()].flat() as NDArray[], [], "test");
  return jaxpr.outAvals.map((a) => `${a}${a.weakType ? " weak" : ""}`).join(", ");
}

describe("types of results", () => {
  test("scalars broadcast in elementwise primitives, and nothing else does", () => {
    expect(typeOf(() => lax.add(f32(2, 3), 1))).toBe("float32[2,3]");
    expect(typeOf(() => lax.add(1, f32(2, 3)))).toBe("float32[2,3]");
    expect(() => typeOf(() => lax.add(f32(2, 3), f32(3)))).toThrow(ShapeError);
  });
  test("a number takes the dtype of the other operand when it fits", () => {
    expect(typeOf(() => lax.mul(lax.full([2], 1, "float16"), 2.5))).toBe("float16[2]");
    expect(typeOf(() => lax.mul(lax.full([2], 1, "uint8"), 2))).toBe("uint8[2]");
    expect(() => typeOf(() => lax.mul(lax.full([2], 1, "uint8"), 2.5))).toThrow(DTypeError);
  });
  test("results of weak operands are weak; comparisons are bool", () => {
    expect(typeOf(() => lax.add(1, 2))).toBe("float32[] weak");
    expect(typeOf(() => lax.sin(1))).toBe("float32[] weak");
    expect(typeOf(() => lax.lt(1, 2))).toBe("bool[]");
    expect(typeOf(() => lax.add(f32(), 2))).toBe("float32[]");
  });
  test("complex parts are real, magnitudes too", () => {
    const z = (): NDArray => lax.complex(f32(2), f32(2));
    expect(typeOf(() => [z(), lax.abs(z()), lax.real(z()), lax.conj(z())])).toBe(
      "complex64[2], float32[2], float32[2], complex64[2]",
    );
  });
  test("64-bit dtypes stay", () => {
    expect(typeOf(() => lax.add(lax.full([2], 1, "float64"), 1))).toBe("float64[2]");
    expect(typeOf(() => lax.reduceSum(lax.full([2], 1, "int64")))).toBe("int64[]");
  });
});

describe("errors teach", () => {
  test("dtypes that an operation does not take", () => {
    expect(() => lax.sin(asArray(Int32Array.of(1)))).toThrow(/x int32\[1\][\s\S]*fix: convert it with convertElementType/);
    expect(() => lax.add(asArray([1]), asArray(Int32Array.of(1)))).toThrow(/equal dtypes[\s\S]*lhs float32\[1\], rhs int32\[1\]/);
  });
  test("contracted axes that differ", () => {
    expect(() => lax.dot(f32(8, 3), f32(4, 5))).toThrow(
      /axis 1 of lhs has 3, axis 0 of rhs has 4[\s\S]*lhs float32\[8,3\], rhs float32\[4,5\]/,
    );
  });
  test("axes out of range", () => {
    expect(() => lax.reduceSum(f32(2), [3])).toThrow(AxisError);
    expect(() => lax.reduceSum(f32(2, 2), [0, 0])).toThrow(AxisError);
    expect(() => lax.transpose(f32(2, 2), [0])).toThrow(ShapeError);
  });
  test("a float index", () => {
    expect(() => lax.dynamicSlice(f32(3), [lax.full([], 1, "float32")], [1])).toThrow(/integer scalars/);
  });
  test("convolutions whose features differ", () => {
    expect(() => lax.conv(f32(1, 3, 8, 8), f32(4, 2, 3, 3), [1, 1], "SAME")).toThrow(/lhs has 3 features, rhs takes 2/);
  });
});

describe("named axes", () => {
  test("collectives need a bound name", () => {
    expect(() => typeOf(() => lax.psum(f32(2), "i"))).toThrow(/unbound axis name "i"/);
    expect(withAxis("i", 4, () => typeOf(() => [lax.psum(f32(2), "i"), lax.pmean(f32(2), "i"), lax.axisIndex("i")]))).toBe(
      "float32[2], float32[2], int32[]",
    );
    expect(withAxis("i", 4, () => lax.psum(1, "i"))).toBe(4);
  });
  test("what is summed over an axis no longer varies over it", () => {
    const varying = makeAval([2], "float32", { varying: ["i"] });
    const { jaxpr } = withAxis("i", 4, () => traceToJaxpr((x) => [lax.sin(x), lax.psum(x, "i")], [varying], "test"));
    expect(jaxpr.outAvals.map(String)).toEqual(["float32[2]{V:i}", "float32[2]"]);
  });
});

describe("small helpers", () => {
  test("shapes and dtypes", () => {
    expect(typeOf(() => lax.broadcastLike(f32(3), f32(2, 3)))).toBe("float32[2,3]");
    expect(typeOf(() => lax.stack([f32(3), f32(3)], 1))).toBe("float32[3,2]");
    expect(typeOf(() => lax.unstack(f32(2, 3), 1))).toBe("float32[2], float32[2], float32[2]");
    expect(typeOf(() => lax.optimizationBarrier([f32(2), f32(3)]))).toBe("float32[2], float32[3]");
    const dims = { lhsContractingDims: [1], rhsContractingDims: [1], lhsBatchDims: [0], rhsBatchDims: [0] };
    expect(typeOf(() => lax.dot(f32(2, 3, 4), f32(2, 3, 5), dims))).toBe("float32[2,4,5]");
    expect(lax.dtype(f32(2))).toBe("float32");
    expect(lax.convDimensionNumbers([1, 8, 8, 3], [3, 3, 3, 4], ["NHWC", "HWIO", "NHWC"])).toEqual({
      lhsSpec: [0, 3, 1, 2],
      rhsSpec: [3, 2, 0, 1],
      outSpec: [0, 3, 1, 2],
    });
    expect([lax.GatherScatterMode.FILL_OR_DROP, lax.Precision.HIGHEST]).toEqual(["fill", "highest"]);
  });
});

describe("fft", () => {
  const c64 = (...shape: number[]): NDArray => lax.complex(f32(...shape), f32(...shape));
  test("shapes and dtypes of the four types", () => {
    expect(typeOf(() => lax.fft(c64(2, 6), "FFT", [6]))).toBe("complex64[2,6]");
    expect(typeOf(() => lax.fft(c64(2, 6), "ifft", [2, 6]))).toBe("complex64[2,6]");
    expect(typeOf(() => lax.fft(f32(2, 6), "RFFT", [6]))).toBe("complex64[2,4]");
    expect(typeOf(() => lax.fft(lax.full([3, 7], 0, "float64"), "rfft", [3, 7]))).toBe("complex128[3,4]");
    expect(typeOf(() => lax.fft(c64(2, 4), lax.FftType.IRFFT, [7]))).toBe("float32[2,7]");
  });
  test("what is real becomes complex where that is needed, also without axes", () => {
    expect(typeOf(() => lax.fft(f32(4), "FFT", [4]))).toBe("complex64[4]");
    expect(typeOf(() => lax.fft(lax.full([3], 1, "int32"), "RFFT", [3]))).toBe("complex64[2]");
    expect(typeOf(() => lax.fft(lax.full([3], 1, "float64"), "FFT", []))).toBe("complex128[3]");
  });
  test("wrong lengths, dtypes and types are errors", () => {
    expect(() => lax.fft(c64(2, 6), "FFT", [5])).toThrow(ShapeError);
    expect(() => lax.fft(c64(2, 6), "FFT", [1, 2, 6])).toThrow(ShapeError);
    expect(() => lax.fft(c64(2, 6), "IRFFT", [6])).toThrow(ShapeError);
    expect(() => lax.fft(c64(2, 0), "FFT", [0])).toThrow(ShapeError);
    expect(() => lax.fft(c64(6), "RFFT", [6])).toThrow(DTypeError);
    expect(() => lax.fft(lax.full([6], 1, "float16"), "RFFT", [6])).toThrow(DTypeError);
    expect(() => lax.fft(c64(6), "DFT" as "FFT", [6])).toThrow("DFT is no type of transform");
  });
});
