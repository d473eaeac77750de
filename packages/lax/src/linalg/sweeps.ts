import {
  bind,
  bind1,
  definePrimitive,
  isComplex,
  lowerRule,
  type NDArray,
  type Primitive,
  realDType,
  scalar,
} from "@traceform/core";
import { add, bitwiseAnd, lt, mul, ne } from "../binary.ts";
import { complex, convertElementType, imag, real } from "../convert.ts";
import { iota } from "../create.ts";
import { type NoParams, noParams, result } from "../internal/infer.ts";
import { scan, whileLoop } from "../loops.ts";
import { reduceMax } from "../reduce.ts";
import { concatenate, pad, reshape, transpose } from "../shape.ts";
import { sliceInDim } from "../slice.ts";
import { batchShape, rows } from "./matrices.ts";

// What the decompositions by iteration share: sweeps over condensed matrices, whose rotations are applied to the vectors
// afterwards. See the routines of the same names in the compiler.

export interface SweepParams {
  readonly sweeps: number;
  /** The dtype of the rotations; sweeps themselves compute in that of their operands. */
  readonly rotations: "float32" | "float64";
}

const sweepPrimitive = (name: string, sides: number): Primitive<SweepParams> =>
  definePrimitive<SweepParams>(name, {
    abstractEval: ([d, e], { sweeps, rotations }) => {
      const batch = d.shape.slice(0, -1);
      const n = d.shape[d.ndim - 1];
      const angles = result([...batch, sides, sweeps, n], rotations, [d, e], false);
      return [d, e, angles, angles, result([...batch, sweeps, 2], "int32", [d, e], false), result(batch, "int32", [d, e], false)];
    },
  });

/**
 * A real array as float64, for computations in between that gain from it. A backend without float64 may leave it as it is: it
 * names the primitive among its own, and takes float64 to mean float32 where the values come from here.
 */
export const widenP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("widen", {
  abstractEval: ([x]) => [result(x.shape, "float64", [x], false)],
  rules: { [lowerRule]: ([x]: readonly NDArray[]) => [convertElementType(x, "float64")] },
});

/** Sweeps on symmetric tridiagonal matrices: (d, e) -> (d, e, cosines, sines, ranges, active). */
export const tridiagonalSweepsP: Primitive<SweepParams> = /* @__PURE__ */ sweepPrimitive("tridiagonal_sweeps", 1);
/** Sweeps on upper bidiagonal matrices, with rotations of the columns and of the rows. */
export const bidiagonalSweepsP: Primitive<SweepParams> = /* @__PURE__ */ sweepPrimitive("bidiagonal_sweeps", 2);

/** (z, cosines, sines, ranges) -> z: rotations of the columns of matrices that are given as strips of rows. */
export const applyRotationsP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("apply_rotations", {
  abstractEval: ([z]) => [z],
});

/** Runs a panel reduction over all columns: `step(a, k0)` gives the rest of the matrix and the panel's results, stacked. */
export function scanPanels(
  a: NDArray,
  count: number,
  width: number,
  step: (a: NDArray, k0: NDArray) => [rest: NDArray, results: NDArray[]],
): NDArray[] {
  if (count === 1) return step(a, scalar(0, "int32"))[1].map((x) => reshape(x, [1, ...x.shape]));
  const starts = mul(iota("int32", count), width);
  return scan((rest: NDArray, k0: NDArray) => step(rest, k0), a, starts)[1];
}

/** The panels' rows of vectors [panels, ..., width, length] as the columns of matrices [..., length, panels · width]. */
export function panelColumns(x: NDArray): NDArray {
  const batch = x.shape.slice(1, -2);
  const nb = batch.length;
  const order = [...batch.map((_, i) => i + 1), nb + 2, 0, nb + 1];
  return reshape(transpose(x, order), [...batch, x.shape[nb + 2], x.shape[0] * x.shape[nb + 1]]);
}
/** The panels' scalars [panels, ..., width] as vectors [..., panels · width]. */
export function panelElements(x: NDArray): NDArray {
  const batch = x.shape.slice(1, -1);
  const nb = batch.length;
  return reshape(transpose(x, [...batch.map((_, i) => i + 1), 0, nb + 1]), [...batch, x.shape[0] * x.shape[nb + 1]]);
}

/** Elements of a strip's row: four vectors. */
const stripWidth = (dtype: unknown): number => (dtype === "float64" ? 8 : 16);

/** Matrices [..., m, n] as strips of rows [..., strips, n, width]; the planes of complex ones come one after the other. */
function toStrips(z: NDArray): NDArray {
  if (isComplex(z.dtype)) return concatenate([toStrips(real(z)), toStrips(imag(z))], z.ndim - 2);
  const [m, n] = z.shape.slice(-2);
  const width = stripWidth(z.dtype);
  const strips = Math.ceil(m / width);
  const batch = batchShape(z);
  const nb = batch.length;
  const padded = pad(z, 0, [...batch.map(() => [0, 0, 0] as const), [0, strips * width - m, 0], [0, 0, 0]]);
  return transpose(reshape(padded, [...batch, strips, width, n]), [...batch.map((_, i) => i), nb, nb + 2, nb + 1]);
}
function fromStrips(s: NDArray, m: number, isComplexResult: boolean): NDArray {
  const axis = s.ndim - 3;
  if (isComplexResult) {
    const half = s.shape[axis] / 2;
    const plane = (from: number): NDArray => fromStrips(sliceInDim(s, from, from + half, 1, axis), m, false);
    return complex(plane(0), plane(half));
  }
  const [strips, n, width] = s.shape.slice(-3);
  const batch = s.shape.slice(0, axis);
  const order = [...batch.map((_, i) => i), axis, axis + 2, axis + 1];
  return sliceInDim(reshape(transpose(s, order), [...batch, strips * width, n]), 0, m, 1, axis);
}

/** Sweeps whose rotations are kept before they are applied. */
const sweepsAtOnce = 32;
/** Two or three sweeps find an eigenvalue; this many for each mean that the iteration has failed. */
const mostSweeps = 30;

interface Swept {
  readonly d: NDArray;
  /** The matrices with their columns rotated. */
  readonly vectors: readonly NDArray[];
  /** bool[...]: whether the iteration has not come to an end. */
  readonly failed: NDArray;
}

/** Sweeps until nothing is left to do; `vectors` are the matrices whose columns each side's rotations act on. */
export function sweepAll(
  primitive: Primitive<SweepParams>,
  d: NDArray,
  e: NDArray,
  vectors: readonly NDArray[],
  dtype: NDArray["dtype"],
): Swept {
  const n = d.shape[d.ndim - 1];
  const rotations = realDType(dtype as "float32") as SweepParams["rotations"];
  const params = { sweeps: Math.min(sweepsAtOnce, 2 * n), rotations };
  const limit = Math.ceil((mostSweeps * n) / params.sweeps);
  const axis = d.ndim - 1;
  interface Carry {
    count: NDArray;
    active: NDArray;
    d: NDArray;
    e: NDArray;
    strips: readonly NDArray[];
  }
  const step = ({ count, d: d0, e: e0, strips }: Carry): Carry => {
    const [d1, e1, c, s, ranges, active] = bind(primitive, [d0, e0], params);
    const side = (x: NDArray, k: number): NDArray =>
      reshape(sliceInDim(x, k, k + 1, 1, axis), [...x.shape.slice(0, axis), ...x.shape.slice(axis + 1)]);
    const rotated = strips.map((z, k) => bind1(applyRotationsP, [z, side(c, k), side(s, k), ranges], noParams));
    return { count: add(count, 1), active, d: d1, e: e1, strips: rotated };
  };
  const axes = Array.from({ length: axis }, (_, i) => i);
  const more = ({ count, active }: Carry): NDArray =>
    bitwiseAnd(ne(axes.length === 0 ? active : reduceMax(active, axes), 0), lt(count, limit));
  const first = step({ count: scalar(0, "int32"), active: scalar(1, "int32"), d, e, strips: vectors.map(toStrips) });
  const last = whileLoop(more, step, first);
  return {
    d: last.d,
    vectors: vectors.map((z, k) => fromStrips(last.strips[k], rows(z), isComplex(z.dtype))),
    failed: ne(last.active, 0),
  };
}
