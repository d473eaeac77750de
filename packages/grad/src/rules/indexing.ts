import { bind, bind1, type NDArray, type Primitive, RuleError, scalar } from "@traceform/core";
import {
  add,
  broadcastedIota,
  broadcastInDim,
  convertElementType,
  div,
  dynamicSliceP,
  dynamicUpdateSliceP,
  eq,
  expandDims,
  type GatherDimensionNumbers,
  type GatherMode,
  gatherP,
  iota,
  mul,
  reshape,
  scatterAddP,
  type ScatterDimensionNumbers,
  scatterMaxP,
  scatterMinP,
  scatterMulP,
  scatterP,
  type ScatterParams,
  select,
  sortP,
  topKP,
} from "@traceform/lax";
import { instantiate } from "../internal/zeros.ts";
import {
  isLinear,
  type JvpEntry,
  jvpEntry,
  type LinearOperand,
  type Tangent,
  type TransposeEntry,
  transposeEntry,
} from "../rule.ts";

type Operand = NDArray | LinearOperand;

function zerosOf(x: Operand): NDArray {
  return broadcastInDim(scalar(0, x.aval.dtype), x.aval.shape, []);
}

/** The scatter that writes where the gather read. */
function scatterNumbers(d: GatherDimensionNumbers): ScatterDimensionNumbers {
  return {
    updateWindowDims: d.offsetDims,
    insertedWindowDims: d.collapsedSliceDims,
    scatterDimsToOperandDims: d.startIndexMap,
    operandBatchingDims: d.operandBatchingDims,
    scatterIndicesBatchingDims: d.startIndicesBatchingDims,
  };
}

/** Reads, from an array like the operand of a scatter, the elements that its updates go to; 0 where they are dropped. */
function gatherLike(x: NDArray, indices: NDArray, updateShape: readonly number[], p: ScatterParams): NDArray {
  const d = p.dimensionNumbers;
  let window = 0;
  const sliceSizes = x.shape.map((_, i) =>
    d.insertedWindowDims.includes(i) || d.operandBatchingDims.includes(i) ? 1 : updateShape[d.updateWindowDims[window++]],
  );
  return bind1(gatherP, [x, indices], {
    dimensionNumbers: {
      offsetDims: d.updateWindowDims,
      collapsedSliceDims: d.insertedWindowDims,
      startIndexMap: d.scatterDimsToOperandDims,
      operandBatchingDims: d.operandBatchingDims,
      startIndicesBatchingDims: d.scatterIndicesBatchingDims,
    },
    sliceSizes,
    mode: p.mode,
    fillValue: p.mode === "fill" ? 0 : null,
    indicesAreSorted: p.indicesAreSorted,
    uniqueIndices: p.uniqueIndices,
  });
}

/**
 * Which update of several for one place wins is the backend's choice. To follow it, every update is numbered, the
 * numbers are scattered the same way, and what arrives says who won.
 */
function scatterTangent(primals: readonly NDArray[], dx: NDArray, du: NDArray, p: ScatterParams): NDArray {
  const [x, indices, updates] = primals;
  if (p.uniqueIndices) return bind1(scatterP, [dx, indices, du], p);
  const windows = p.dimensionNumbers.updateWindowDims;
  const idShape = updates.shape.map((n, i) => (windows.includes(i) ? 1 : n));
  const count = idShape.reduce((a, b) => a * b, 1);
  const ids = broadcastInDim(
    reshape(add(iota("int32", count), 1), idShape),
    updates.shape,
    updates.shape.map((_, i) => i),
  );
  const winners = bind1(scatterP, [broadcastInDim(scalar(0, "int32"), x.shape, []), indices, ids], p);
  const won = eq(ids, gatherLike(winners, indices, updates.shape, p));
  const kept = select(eq(winners, 0), dx, zerosOf(dx));
  return bind1(scatterAddP, [kept, indices, select(won, du, zerosOf(du))], p);
}

/** The tangent of the winner; several equal winners, the operand's element included, share evenly. */
function extremalTangent(out: NDArray, primals: readonly NDArray[], dx: NDArray, du: NDArray, p: ScatterParams): NDArray {
  const [x, indices, updates] = primals;
  const read = (a: NDArray): NDArray => gatherLike(a, indices, updates.shape, p);
  const target = read(out);
  const won = convertElementType(eq(updates, target), x.dtype);
  const stays = convertElementType(eq(x, out), x.dtype);
  const winners = add(bind1(scatterAddP, [zerosOf(x), indices, won], p), stays);
  const share = div(won, read(winners));
  // Places that no update went to keep their tangent: there is one winner, the operand itself.
  const kept = mul(dx, div(stays, winners));
  return bind1(scatterAddP, [kept, indices, mul(du, select(eq(won, 0), zerosOf(won), share))], p);
}

function extremal(primitive: Primitive<ScatterParams>): JvpEntry {
  return jvpEntry(primitive, (primals, [dx, , du], params) => {
    const out = bind1(primitive, primals, params);
    if (dx === null && du === null) return [[out], [null]];
    const [x, , updates] = primals;
    return [[out], [extremalTangent(out, primals, instantiate(dx, x.aval), instantiate(du, updates.aval), params)]];
  });
}

/** Numbers of a gather along one axis with an index for every element: `out[.., i, ..] = x[.., index[.., i, ..], ..]`. */
function alongAxis(ndim: number, axis: number): GatherDimensionNumbers {
  const batch = Array.from({ length: ndim }, (_, i) => i).filter((i) => i !== axis);
  return {
    offsetDims: [],
    collapsedSliceDims: [axis],
    startIndexMap: [axis],
    operandBatchingDims: batch,
    startIndicesBatchingDims: batch,
  };
}

function takeAlong(t: NDArray, index: NDArray, axis: number): NDArray {
  const mode: GatherMode = "promise_in_bounds";
  return bind1(gatherP, [t, expandDims(index, [index.ndim])], {
    dimensionNumbers: alongAxis(t.ndim, axis),
    sliceSizes: t.shape.map(() => 1),
    mode,
    fillValue: null,
    indicesAreSorted: false,
    uniqueIndices: true,
  });
}

export const indexingJvps = (): JvpEntry[] => [
  jvpEntry(dynamicSliceP, ([x, ...starts], [dx], params) => {
    const slice = (a: NDArray): NDArray => bind1(dynamicSliceP, [a, ...starts], params);
    return [[slice(x)], [dx === null ? null : slice(dx)]];
  }),
  jvpEntry(dynamicUpdateSliceP, ([x, update, ...starts], [dx, du]) => {
    const write = (a: NDArray, b: NDArray): NDArray => bind1(dynamicUpdateSliceP, [a, b, ...starts], {});
    const out = write(x, update);
    if (dx === null && du === null) return [[out], [null]];
    return [[out], [write(instantiate(dx, x.aval), instantiate(du, update.aval))]];
  }),
  jvpEntry(gatherP, ([x, indices], [dx], params) => {
    const out = bind1(gatherP, [x, indices], params);
    const fillValue = params.mode === "fill" ? 0 : null;
    return [[out], [dx === null ? null : bind1(gatherP, [dx, indices], { ...params, fillValue })]];
  }),
  jvpEntry(scatterAddP, ([x, indices, updates], [dx, , du], params) => {
    const out = bind1(scatterAddP, [x, indices, updates], params);
    if (du === null) return [[out], [dx]];
    return [[out], [bind1(scatterAddP, [instantiate(dx, x.aval), indices, du], params)]];
  }),
  jvpEntry(scatterP, (primals, [dx, , du], params) => {
    const out = bind1(scatterP, primals, params);
    if (dx === null && du === null) return [[out], [null]];
    const [x, , updates] = primals;
    return [[out], [scatterTangent(primals, instantiate(dx, x.aval), instantiate(du, updates.aval), params)]];
  }),
  jvpEntry(scatterMulP, ([x, indices, updates], [dx, , du], params) => {
    const out = bind1(scatterMulP, [x, indices, updates], params);
    const left: Tangent = dx === null ? null : bind1(scatterMulP, [dx, indices, updates], params);
    if (du === null) return [[out], [left]];
    if (!params.uniqueIndices) {
      throw new RuleError("scatterMul", {
        message: "the derivative with respect to the updates needs distinct places",
        fix: "pass { uniqueIndices: true } when they are distinct",
      });
    }
    const right = mul(x, bind1(scatterAddP, [zerosOf(x), indices, du], params));
    return [[out], [left === null ? right : add(left, right)]];
  }),
  extremal(scatterMinP),
  extremal(scatterMaxP),
  jvpEntry(sortP, (primals, tangents, params) => {
    if (tangents.every((t) => t === null)) return [bind(sortP, primals, params), primals.map(() => null)];
    const { dimension } = params;
    const positions = broadcastedIota("int32", primals[0].shape, dimension);
    const outs = bind(sortP, [...primals, positions], params);
    const index = outs[primals.length];
    return [outs.slice(0, -1), tangents.map((t) => (t === null ? null : takeAlong(t, index, dimension)))];
  }),
  jvpEntry(topKP, ([x], [dx], params) => {
    const [values, index] = bind(topKP, [x], params);
    return [
      [values, index],
      [dx === null ? null : takeAlong(dx, index, params.axis), null],
    ];
  }),
];

export const indexingTransposes = (): TransposeEntry[] => [
  transposeEntry(dynamicSliceP, ([ct], [x, ...starts]) => [
    bind1(dynamicUpdateSliceP, [zerosOf(x), ct!, ...(starts as NDArray[])], {}),
    ...starts.map(() => null),
  ]),
  transposeEntry(dynamicUpdateSliceP, ([ct], [x, update, ...starts]) => {
    const at = starts as NDArray[];
    return [
      isLinear(x) ? bind1(dynamicUpdateSliceP, [ct!, zerosOf(update), ...at], {}) : null,
      isLinear(update) ? bind1(dynamicSliceP, [ct!, ...at], { sliceSizes: update.aval.shape }) : null,
      ...starts.map(() => null),
    ];
  }),
  transposeEntry(gatherP, ([ct], [x, indices], { dimensionNumbers, indicesAreSorted, uniqueIndices, mode }) => [
    bind1(scatterAddP, [zerosOf(x), indices as NDArray, ct!], {
      dimensionNumbers: scatterNumbers(dimensionNumbers),
      indicesAreSorted,
      uniqueIndices,
      mode,
    }),
    null,
  ]),
  transposeEntry(scatterAddP, ([ct], [x, indices, updates], params) => [
    isLinear(x) ? ct : null,
    null,
    isLinear(updates) ? gatherLike(ct!, indices as NDArray, updates.aval.shape, params) : null,
  ]),
  transposeEntry(scatterP, ([ct], [x, indices, updates], params) => [
    isLinear(x) ? bind1(scatterP, [ct!, indices as NDArray, zerosOf(updates)], params) : null,
    null,
    isLinear(updates) ? gatherLike(ct!, indices as NDArray, updates.aval.shape, params) : null,
  ]),
  transposeEntry(scatterMulP, ([ct], [x, indices, updates], params) => [
    isLinear(x) ? bind1(scatterMulP, [ct!, indices as NDArray, updates as NDArray], params) : null,
    null,
    isLinear(updates) ? gatherLike(mul(ct!, x as NDArray), indices as NDArray, updates.aval.shape, params) : null,
  ]),
];
