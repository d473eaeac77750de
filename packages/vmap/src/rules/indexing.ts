import { bind1, type NDArray, type Primitive, scalar } from "@traceform/core";
import {
  broadcastInDim,
  concatenate,
  convertElementType,
  dynamicSliceP,
  dynamicUpdateSliceP,
  type GatherParams,
  gatherP,
  reshape,
  scatterAddP,
  scatterMaxP,
  scatterMinP,
  scatterMulP,
  scatterP,
  type ScatterParams,
} from "@traceform/lax";
import { insert, moveAxis, toFront } from "../internal/axes.ts";
import { type BatchContext, type BatchDim, type BatchEntry, entry } from "../rule.ts";

const plusOne = (axes: readonly number[]): number[] => axes.map((a) => a + 1);

type Result = readonly [NDArray[], BatchDim[]];

/** The batch becomes part of each slice, an axis of the indices, or a batching axis of both. */
function gather(x: NDArray, indices: NDArray, dx: BatchDim, di: BatchDim, params: GatherParams): Result {
  const d = params.dimensionNumbers;
  if (di === null) {
    const front = moveAxis(x, dx!, 0);
    return [
      [
        bind1(gatherP, [front, indices], {
          ...params,
          sliceSizes: [front.shape[0], ...params.sliceSizes],
          dimensionNumbers: {
            offsetDims: [0, ...plusOne(d.offsetDims)],
            collapsedSliceDims: plusOne(d.collapsedSliceDims),
            startIndexMap: plusOne(d.startIndexMap),
            operandBatchingDims: plusOne(d.operandBatchingDims),
            startIndicesBatchingDims: d.startIndicesBatchingDims,
          },
        }),
      ],
      [0],
    ];
  }
  const places = moveAxis(indices, di, 0);
  if (dx === null) {
    return [
      [
        bind1(gatherP, [x, places], {
          ...params,
          indicesAreSorted: false,
          uniqueIndices: false,
          dimensionNumbers: {
            ...d,
            offsetDims: plusOne(d.offsetDims),
            startIndicesBatchingDims: plusOne(d.startIndicesBatchingDims),
          },
        }),
      ],
      [0],
    ];
  }
  return [
    [
      bind1(gatherP, [moveAxis(x, dx, 0), places], {
        ...params,
        sliceSizes: [1, ...params.sliceSizes],
        indicesAreSorted: false,
        dimensionNumbers: {
          offsetDims: plusOne(d.offsetDims),
          collapsedSliceDims: plusOne(d.collapsedSliceDims),
          startIndexMap: plusOne(d.startIndexMap),
          operandBatchingDims: [0, ...plusOne(d.operandBatchingDims)],
          startIndicesBatchingDims: [0, ...plusOne(d.startIndicesBatchingDims)],
        },
      }),
    ],
    [0],
  ];
}

function scatter(
  primitive: Primitive<ScatterParams>,
  args: readonly NDArray[],
  dims: readonly BatchDim[],
  params: ScatterParams,
  { axisSize }: BatchContext,
): Result {
  const d = params.dimensionNumbers;
  const x = toFront(args[0], dims[0], axisSize);
  const updates = toFront(args[2], dims[2], axisSize);
  const di = dims[1];
  if (di === null) {
    return [
      [
        bind1(primitive, [x, args[1], updates], {
          ...params,
          dimensionNumbers: {
            updateWindowDims: [0, ...plusOne(d.updateWindowDims)],
            insertedWindowDims: plusOne(d.insertedWindowDims),
            scatterDimsToOperandDims: plusOne(d.scatterDimsToOperandDims),
            operandBatchingDims: plusOne(d.operandBatchingDims),
            scatterIndicesBatchingDims: d.scatterIndicesBatchingDims,
          },
        }),
      ],
      [0],
    ];
  }
  return [
    [
      bind1(primitive, [x, moveAxis(args[1], di, 0), updates], {
        ...params,
        indicesAreSorted: false,
        dimensionNumbers: {
          updateWindowDims: plusOne(d.updateWindowDims),
          insertedWindowDims: plusOne(d.insertedWindowDims),
          scatterDimsToOperandDims: plusOne(d.scatterDimsToOperandDims),
          operandBatchingDims: [0, ...plusOne(d.operandBatchingDims)],
          scatterIndicesBatchingDims: [0, ...plusOne(d.scatterIndicesBatchingDims)],
        },
      }),
    ],
    [0],
  ];
}

/** Start indices, one scalar for each axis and member, as index vectors: int32[n, axes]. */
function stackStarts(starts: readonly NDArray[], dims: readonly BatchDim[], size: number): NDArray {
  const columns = starts.map((s, i) => {
    const index = convertElementType(s, "int32");
    return dims[i] === null ? broadcastInDim(index, [size, 1], []) : reshape(index, [size, 1]);
  });
  return concatenate(columns, 1);
}

const axesOf = (x: NDArray, dim: BatchDim): number[] => Array.from({ length: x.ndim - (dim === null ? 0 : 1) }, (_, i) => i);

export const indexingRules = (): BatchEntry[] => [
  entry(gatherP, ([x, indices], [dx, di], params) => gather(x, indices, dx, di, params)),
  ...[scatterP, scatterAddP, scatterMulP, scatterMinP, scatterMaxP].map((primitive) =>
    entry(primitive, (args, dims, params, context) => scatter(primitive, args, dims, params, context)),
  ),
  entry(dynamicSliceP, ([x, ...starts], [dx, ...ds], { sliceSizes }, { axisSize }) => {
    if (ds.every((d) => d === null)) {
      const at = insert(starts, dx!, scalar(0, "int32"));
      return [[bind1(dynamicSliceP, [x, ...at], { sliceSizes: insert(sliceSizes, dx!, axisSize) })], [dx]];
    }
    // Different starts: a gather, whose mode `clip` moves starts as a dynamic slice does.
    const axes = axesOf(x, dx);
    return gather(x, stackStarts(starts, ds, axisSize), dx, 0, {
      dimensionNumbers: {
        offsetDims: axes,
        collapsedSliceDims: [],
        startIndexMap: axes,
        operandBatchingDims: [],
        startIndicesBatchingDims: [],
      },
      sliceSizes,
      mode: "clip",
      fillValue: null,
      indicesAreSorted: true,
      uniqueIndices: true,
    });
  }),
  entry(dynamicUpdateSliceP, ([x, update, ...starts], [dx, du, ...ds], _params, context) => {
    const { axisSize } = context;
    if (ds.every((d) => d === null)) {
      const operands = [toFront(x, dx, axisSize), toFront(update, du, axisSize), scalar(0, "int32"), ...starts];
      return [[bind1(dynamicUpdateSliceP, operands, {})], [0]];
    }
    const axes = axesOf(x, dx);
    return scatter(
      scatterP,
      [x, stackStarts(starts, ds, axisSize), update],
      [dx, 0, du],
      {
        dimensionNumbers: {
          updateWindowDims: axes,
          insertedWindowDims: [],
          scatterDimsToOperandDims: axes,
          operandBatchingDims: [],
          scatterIndicesBatchingDims: [],
        },
        indicesAreSorted: true,
        uniqueIndices: true,
        mode: "clip",
      },
      context,
    );
  }),
];
