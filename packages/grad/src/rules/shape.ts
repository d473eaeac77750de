import { bind, bind1, type NDArray, scalar } from "@traceform/core";
import {
  broadcastInDimP,
  concatenate,
  concatenateP,
  copyP,
  iotaP,
  nameP,
  optimizationBarrierP,
  pad,
  padP,
  reduceSum,
  reshape,
  reshapeP,
  rev,
  revP,
  slice,
  sliceP,
  squeezeP,
  stopGradientP,
  sub,
  transpose,
  transposeP,
  broadcastInDim,
} from "@traceform/lax";
import { linearInFirst } from "../internal/entries.ts";
import { instantiate } from "../internal/zeros.ts";
import { isLinear, type JvpEntry, jvpEntry, type LinearOperand, type TransposeEntry, transposeEntry } from "../rule.ts";

type Operand = NDArray | LinearOperand;
const shapeOf = (x: Operand): readonly number[] => x.aval.shape;

export const shapeJvps = (): JvpEntry[] => [
  linearInFirst(broadcastInDimP),
  linearInFirst(reshapeP),
  linearInFirst(transposeP),
  linearInFirst(revP),
  linearInFirst(sliceP),
  linearInFirst(copyP),
  linearInFirst(nameP),
  linearInFirst(squeezeP),
  jvpEntry(stopGradientP, ([x]) => [[bind1(stopGradientP, [x], {})], [null]]),
  jvpEntry(iotaP, (_primals, _tangents, params) => [[bind1(iotaP, [], params)], [null]]),
  jvpEntry(optimizationBarrierP, (primals, tangents) => {
    const outs = bind(optimizationBarrierP, primals, {});
    const dots = bind(
      optimizationBarrierP,
      tangents.filter((t) => t !== null),
      {},
    );
    let k = 0;
    return [outs, tangents.map((t) => (t === null ? null : dots[k++]))];
  }),
  jvpEntry(concatenateP, (primals, tangents, { dimension }) => {
    const out = concatenate(primals, dimension);
    return [
      [out],
      [
        concatenate(
          tangents.map((t, i) => instantiate(t, primals[i].aval)),
          dimension,
        ),
      ],
    ];
  }),
  jvpEntry(padP, ([x, value], [dx, dvalue], { paddingConfig }) => {
    const out = pad(x, value, paddingConfig);
    return [[out], [pad(instantiate(dx, x.aval), instantiate(dvalue, value.aval), paddingConfig)]];
  }),
];

/** The sum over the axes that a broadcast added or repeated. */
function broadcastTranspose(ct: NDArray, shape: readonly number[], dims: readonly number[]): NDArray {
  const added = ct.shape.map((_, i) => i).filter((i) => !dims.includes(i));
  const repeated = dims.filter((d, i) => shape[i] === 1 && ct.shape[d] !== 1);
  const axes = [...added, ...repeated].sort((a, b) => a - b);
  const summed = axes.length === 0 ? ct : reduceSum(ct, axes);
  return reshape(summed, shape);
}

/** Writes the cotangent of a slice back into zeros. */
export function sliceTranspose(
  ct: NDArray,
  shape: readonly number[],
  starts: readonly number[],
  strides: readonly number[] | null,
): NDArray {
  return pad(
    ct,
    scalar(0, ct.dtype),
    shape.map((n, i) => {
      const stride = strides?.[i] ?? 1;
      const covered = ct.shape[i] === 0 ? 0 : (ct.shape[i] - 1) * stride + 1;
      // An empty slice may start anywhere; all of the axis is padding then.
      return ct.shape[i] === 0 ? [n, 0, stride - 1] : [starts[i], n - starts[i] - covered, stride - 1];
    }),
  );
}

/** The cotangent of a padded operand: what lies where its elements were put. */
function padOperandTranspose(
  ct: NDArray,
  config: readonly (readonly [number, number, number])[],
  shape: readonly number[],
): NDArray {
  if (shape.includes(0)) return broadcastInDim(scalar(0, ct.dtype), shape, []);
  // Padding away what was added (negative low and high), then taking every (interior + 1)-th element.
  const inner = pad(
    ct,
    scalar(0, ct.dtype),
    config.map(([low, high]) => [-low, -high, 0]),
  );
  const strides = config.map(([, , interior]) => interior + 1);
  return slice(
    inner,
    shape.map(() => 0),
    inner.shape,
    strides,
  );
}

export const shapeTransposes = (): TransposeEntry[] => [
  transposeEntry(broadcastInDimP, ([ct], [x], { broadcastDimensions }) => [
    broadcastTranspose(ct!, shapeOf(x), broadcastDimensions),
  ]),
  transposeEntry(reshapeP, ([ct], [x]) => [reshape(ct!, shapeOf(x))]),
  transposeEntry(squeezeP, ([ct], [x]) => [reshape(ct!, shapeOf(x))]),
  transposeEntry(transposeP, ([ct], _x, { permutation }) => [
    transpose(
      ct!,
      permutation.map((_, i) => permutation.indexOf(i)),
    ),
  ]),
  transposeEntry(revP, ([ct], _x, { dimensions }) => [rev(ct!, dimensions)]),
  transposeEntry(copyP, ([ct]) => [bind1(copyP, [ct!], {})]),
  transposeEntry(nameP, ([ct]) => [ct]),
  transposeEntry(stopGradientP, () => [null]),
  transposeEntry(optimizationBarrierP, (cts) => {
    const present = cts.filter((ct) => ct !== null);
    const outs = bind(optimizationBarrierP, present, {});
    let k = 0;
    return cts.map((ct) => (ct === null ? null : outs[k++]));
  }),
  transposeEntry(sliceP, ([ct], [x], { startIndices, strides }) => [sliceTranspose(ct!, shapeOf(x), startIndices, strides)]),
  transposeEntry(concatenateP, ([ct], operands, { dimension }) => {
    let from = 0;
    return operands.map((x) => {
      const start = from;
      from += shapeOf(x)[dimension];
      if (!isLinear(x)) return null;
      const at = (size: number): number[] => ct!.shape.map((n, i) => (i === dimension ? size : n));
      return slice(
        ct!,
        ct!.shape.map((_, i) => (i === dimension ? start : 0)),
        at(from),
      );
    });
  }),
  transposeEntry(padP, ([ct], [x, value], { paddingConfig }) => {
    const dx = padOperandTranspose(ct!, paddingConfig, shapeOf(x));
    return [isLinear(x) ? dx : null, isLinear(value) ? sub(reduceSum(ct!), reduceSum(dx)) : null];
  }),
];
