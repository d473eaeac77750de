import {
  bind,
  type DType,
  fromTyped,
  type NDArray,
  type Primitive,
  type StandardDType,
  traceToJaxpr,
  makeAval,
} from "@traceform/core";
import * as lax from "@traceform/lax";

/** An operand of a test: its type, and where its values come from. */
export interface OperandSpec {
  readonly shape: readonly number[];
  readonly dtype: StandardDType;
  /** Floats are drawn from [low, high), integers too. */
  readonly low: number;
  readonly high: number;
  /** Fixed values instead of random ones, repeated to fill the shape. */
  readonly values?: readonly number[];
}

/** One application of a primitive that the tables of tests run: derivatives, batching, compilation. */
export interface PrimitiveCase {
  readonly name: string;
  readonly primitive: Primitive<never>;
  readonly params: object;
  readonly operands: readonly OperandSpec[];
  /** The operands that may be differentiated. Empty for primitives without derivatives. */
  readonly diff: readonly number[];
  /** Operands that a batch can run over; all of them unless given. */
  readonly batch?: readonly number[];
  /** Forward mode only (`while`), or reverse mode does not apply. */
  readonly forwardOnly?: boolean;
  /** Looser comparison with finite differences, with the reason in the table. */
  readonly tolerance?: number;
}

type Shape = readonly number[];

export function float(shape: Shape, low = -2, high = 2): OperandSpec {
  return { shape, dtype: "float64", low, high };
}
export function int(shape: Shape, low = -5, high = 5, dtype: StandardDType = "int32"): OperandSpec {
  return { shape, dtype, low, high };
}
export function given(shape: Shape, values: readonly number[], dtype: StandardDType = "int32"): OperandSpec {
  return { shape, dtype, low: 0, high: 0, values };
}
const bool = (shape: Shape): OperandSpec => ({ shape, dtype: "bool", low: 0, high: 2 });

/** A small reproducible generator of numbers in [0, 1). */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** An array for an operand, its shape optionally replaced (for batches). */
export function makeOperand(spec: OperandSpec, random: () => number, shape: Shape = spec.shape): NDArray {
  const size = shape.reduce((a, b) => a * b, 1);
  const draw = (i: number): number => {
    if (spec.values !== undefined) return spec.values[i % spec.values.length];
    const x = spec.low + random() * (spec.high - spec.low);
    return spec.dtype.startsWith("float") || spec.dtype.startsWith("complex") ? x : Math.floor(x);
  };
  const flat = Float64Array.from({ length: size }, (_, i) => draw(i));
  return fromTyped(
    spec.dtype.startsWith("complex") ? Float64Array.from({ length: 2 * size }, (_, i) => draw(i)) : flat,
    shape,
    spec.dtype,
  );
}

/** The case as a function of its operands. */
export function applyCase(c: PrimitiveCase): (...args: NDArray[]) => NDArray[] {
  return (...args) => bind(c.primitive, args, c.params as never);
}

interface Options extends Partial<Pick<PrimitiveCase, "diff" | "batch" | "forwardOnly" | "tolerance">> {
  readonly label?: string;
}

function makeCase<P>(primitive: Primitive<P>, params: P, operands: readonly OperandSpec[], options: Options = {}): PrimitiveCase {
  const shapes = operands.map((o) => `${o.dtype}[${o.shape.join(",")}]`).join(" ");
  return {
    name: `${primitive.name} ${shapes}${options.label === undefined ? "" : ` ${options.label}`}`,
    primitive: primitive as unknown as Primitive<never>,
    params: params as object,
    operands,
    diff: operands.flatMap((o, i) => (o.dtype.startsWith("float") ? [i] : [])),
    ...options,
  };
}

const none = {} as never;

function unaryCases(): PrimitiveCase[] {
  const over = (low: number, high: number, ...ps: Primitive<never>[]): PrimitiveCase[] =>
    ps.flatMap((p) => [[], [3], [2, 3]].map((s) => makeCase(p, none, [float(s, low, high)])));
  const p = (x: unknown): Primitive<never> => x as Primitive<never>;
  return [
    ...over(
      -2,
      2,
      p(lax.negP),
      p(lax.expP),
      p(lax.exp2P),
      p(lax.expm1P),
      p(lax.squareP),
      p(lax.sinP),
      p(lax.cosP),
      p(lax.atanP),
      p(lax.sinhP),
      p(lax.coshP),
      p(lax.tanhP),
      p(lax.asinhP),
      p(lax.logisticP),
      p(lax.erfP),
      p(lax.erfcP),
      p(lax.copyP),
      p(lax.signP),
      p(lax.floorP),
      p(lax.ceilP),
    ),
    ...over(
      0.3,
      2,
      p(lax.logP),
      p(lax.log1pP),
      p(lax.sqrtP),
      p(lax.rsqrtP),
      p(lax.cbrtP),
      p(lax.absP),
      p(lax.lgammaP),
      p(lax.digammaP),
      p(lax.besselI0eP),
      p(lax.besselI1eP),
    ),
    ...over(-1.2, 1.2, p(lax.tanP)),
    ...over(-0.8, 0.8, p(lax.asinP), p(lax.acosP), p(lax.atanhP), p(lax.erfInvP)),
    ...over(1.2, 3, p(lax.acoshP)),
    ...[-3, -1, 0, 1, 2, 3].map((y) => makeCase(lax.integerPowP, { y }, [float([2, 3], 0.5, 2)], { label: `y=${y}` })),
    makeCase(lax.roundP, { roundingMethod: "AWAY_FROM_ZERO" }, [float([3])]),
    makeCase(lax.roundP, { roundingMethod: "TO_NEAREST_EVEN" }, [float([3])]),
    makeCase(lax.isFiniteP, none, [float([2, 3])]),
    makeCase(lax.notP, none, [int([2, 3])]),
    makeCase(lax.notP, none, [bool([3])]),
    makeCase(lax.populationCountP, none, [int([2, 3])]),
    makeCase(lax.clzP, none, [int([2, 3])]),
    makeCase(lax.nameP, { name: "kept" }, [float([2, 3])]),
    makeCase(lax.stopGradientP, none, [float([2, 3])], { diff: [] }),
    makeCase(lax.optimizationBarrierP, none, [float([2, 3]), float([4])]),
  ];
}

function binaryCases(): PrimitiveCase[] {
  const shapes: [Shape, Shape][] = [
    [[], []],
    [
      [2, 3],
      [2, 3],
    ],
    [[], [3]],
    [[2, 3], []],
  ];
  const over = (lhs: readonly [number, number], rhs: readonly [number, number], ...ps: unknown[]): PrimitiveCase[] =>
    ps.flatMap((p) => shapes.map(([a, b]) => makeCase(p as Primitive<never>, none, [float(a, ...lhs), float(b, ...rhs)])));
  const wide = [-2, 2] as const;
  const positive = [0.4, 2] as const;
  const ints = (...ps: unknown[]): PrimitiveCase[] =>
    ps.flatMap((p) => shapes.map(([a, b]) => makeCase(p as Primitive<never>, none, [int(a, 0, 8), int(b, 0, 8)])));
  return [
    ...over(
      wide,
      wide,
      lax.addP,
      lax.subP,
      lax.mulP,
      lax.maxP,
      lax.minP,
      lax.nextafterP,
      lax.eqP,
      lax.neP,
      lax.ltP,
      lax.leP,
      lax.gtP,
      lax.geP,
    ).map((c) => (c.primitive.name === "nextafter" ? { ...c, diff: [] } : c)),
    ...over(wide, positive, lax.divP, lax.remP, lax.atan2P),
    ...over(positive, wide, lax.powP),
    makeCase(lax.powP, none, [float([2, 3]), int([2, 3], -2, 4)]),
    makeCase(lax.powP, none, [float([3]), int([], 2, 3)]),
    ...over([0.6, 3], [0.5, 3], lax.igammaP, lax.igammacP).map((c) => ({ ...c, diff: [1] })),
    makeCase(lax.polygammaP, none, [given([3], [1, 2, 3], "float64"), float([3], 0.6, 2)], { diff: [1], tolerance: 1e-4 }),
    makeCase(lax.zetaP, none, [float([3], 2, 4), float([3], 0.6, 2)], { diff: [1] }),
    makeCase(lax.betaincP, none, [float([2, 3], 0.5, 2), float([], 0.5, 2), float([2, 3], 0.2, 0.8)], { diff: [2] }),
    ...ints(lax.andP, lax.orP, lax.xorP, lax.shiftLeftP, lax.shiftRightLogicalP, lax.shiftRightArithmeticP),
    makeCase(lax.threefry2x32P, none, [
      int([], 0, 9, "uint32"),
      int([], 0, 9, "uint32"),
      int([4], 0, 9, "uint32"),
      int([4], 0, 9, "uint32"),
    ]),
    makeCase(lax.selectNP, none, [bool([2, 3]), float([2, 3]), float([2, 3])]),
    makeCase(lax.selectNP, none, [bool([]), float([2, 3]), float([2, 3])]),
    makeCase(lax.selectNP, none, [int([2, 3], 0, 3), float([2, 3]), float([2, 3]), float([2, 3])]),
    makeCase(lax.selectNP, none, [bool([2, 3]), float([2, 3]), float([])]),
    makeCase(lax.selectNP, none, [bool([]), float([]), float([])]),
    makeCase(lax.clampP, none, [float([], -1, -0.5), float([2, 3]), float([], 0.5, 1)]),
    makeCase(lax.clampP, none, [float([2, 3], -1, -0.5), float([2, 3]), float([2, 3], 0.5, 1)]),
    makeCase(lax.complexP, none, [float([2, 3]), float([2, 3])], { diff: [] }),
  ];
}

function shapeCases(): PrimitiveCase[] {
  return [
    makeCase(lax.broadcastInDimP, { shape: [2, 3], broadcastDimensions: [] }, [float([])]),
    makeCase(lax.broadcastInDimP, { shape: [2, 3, 4], broadcastDimensions: [1] }, [float([3])]),
    makeCase(lax.broadcastInDimP, { shape: [2, 3], broadcastDimensions: [0, 1] }, [float([2, 1])]),
    makeCase(lax.reshapeP, { newSizes: [3, 2] }, [float([2, 3])]),
    makeCase(lax.reshapeP, { newSizes: [] }, [float([1, 1])]),
    makeCase(lax.squeezeP, { dimensions: [0, 2] }, [float([1, 3, 1])]),
    makeCase(lax.transposeP, { permutation: [2, 0, 1] }, [float([2, 3, 4])]),
    makeCase(lax.revP, { dimensions: [1] }, [float([2, 3])]),
    makeCase(lax.sliceP, { startIndices: [0, 1], limitIndices: [2, 4], strides: null }, [float([2, 5])]),
    makeCase(lax.sliceP, { startIndices: [1, 0], limitIndices: [6, 5], strides: [2, 3] }, [float([6, 5])]),
    makeCase(lax.sliceP, { startIndices: [2], limitIndices: [2], strides: null }, [float([4])], { label: "empty" }),
    makeCase(
      lax.padP,
      {
        paddingConfig: [
          [1, 2, 0],
          [0, 1, 2],
        ],
      },
      [float([2, 3]), float([])],
    ),
    makeCase(
      lax.padP,
      {
        paddingConfig: [
          [-1, 2, 0],
          [1, -1, 1],
        ],
      },
      [float([3, 3]), float([])],
      { label: "negative" },
    ),
    makeCase(lax.concatenateP, { dimension: 1 }, [float([2, 1]), float([2, 3]), float([2, 2])]),
    makeCase(lax.convertElementTypeP, { newDtype: "float64", weakType: false, sharding: null }, [int([2, 3])]),
    makeCase(lax.convertElementTypeP, { newDtype: "int32", weakType: false, sharding: null }, [float([2, 3])], { diff: [] }),
    makeCase(lax.reducePrecisionP, { exponentBits: 11, mantissaBits: 52 }, [float([3])]),
    makeCase(lax.bitcastConvertTypeP, { newDtype: "int64" }, [float([3])], { diff: [] }),
    makeCase(lax.bitcastConvertTypeP, { newDtype: "uint8" }, [int([3])]),
    makeCase(lax.bitcastConvertTypeP, { newDtype: "uint32" }, [int([3, 4], 0, 200, "uint8")]),
    makeCase(lax.iotaP, { shape: [2, 3], dtype: "int32", dimension: 1 }, []),
    makeCase(lax.dotGeneralP, dot([1], [0]), [float([2, 3]), float([3, 4])]),
    makeCase(lax.dotGeneralP, dot([0], [0]), [float([3]), float([3])]),
    makeCase(lax.dotGeneralP, dot([], []), [float([2]), float([3])], { label: "outer" }),
    makeCase(lax.dotGeneralP, dot([2], [1], [0], [0]), [float([2, 3, 4]), float([2, 4, 3])]),
    makeCase(lax.dotGeneralP, dot([0, 3], [2, 1], [2], [0]), [float([2, 5, 3, 4]), float([3, 4, 2, 3])], {
      label: "two contracted",
    }),
    makeCase(lax.dotGeneralP, dot([2, 1], [1, 3], [0], [2]), [float([2, 3, 4]), float([5, 4, 2, 3])], { label: "crossed" }),
  ];
}

function dot(lhsContract: number[], rhsContract: number[], lhsBatch: number[] = [], rhsBatch: number[] = []): lax.DotGeneralParams {
  return { dimensionNumbers: { lhsContract, rhsContract, lhsBatch, rhsBatch }, precision: null, preferredElementType: null };
}

function conv(over: Partial<lax.ConvGeneralDilatedParams>): lax.ConvGeneralDilatedParams {
  const spec = [0, 1, 2, 3];
  return {
    windowStrides: [1, 1],
    padding: [
      [0, 0],
      [0, 0],
    ],
    lhsDilation: [1, 1],
    rhsDilation: [1, 1],
    dimensionNumbers: { lhsSpec: spec, rhsSpec: spec, outSpec: spec },
    featureGroupCount: 1,
    batchGroupCount: 1,
    precision: null,
    preferredElementType: null,
    ...over,
  };
}

function convCases(): PrimitiveCase[] {
  const nhwc = { lhsSpec: [0, 3, 1, 2], rhsSpec: [3, 2, 0, 1], outSpec: [0, 3, 1, 2] };
  return [
    makeCase(lax.convGeneralDilatedP, conv({}), [float([2, 3, 4, 4]), float([2, 3, 2, 3])]),
    makeCase(
      lax.convGeneralDilatedP,
      conv({
        windowStrides: [2, 1],
        padding: [
          [1, 2],
          [0, 1],
        ],
      }),
      [float([1, 2, 5, 4]), float([3, 2, 2, 2])],
      { label: "strides" },
    ),
    makeCase(
      lax.convGeneralDilatedP,
      conv({
        lhsDilation: [2, 1],
        rhsDilation: [1, 2],
        padding: [
          [1, 1],
          [2, 1],
        ],
      }),
      [float([1, 2, 3, 4]), float([2, 2, 2, 2])],
      { label: "dilations" },
    ),
    makeCase(
      lax.convGeneralDilatedP,
      conv({
        windowStrides: [2, 2],
        padding: [
          [1, 1],
          [-1, 1],
        ],
        lhsDilation: [1, 2],
        rhsDilation: [2, 1],
      }),
      [float([1, 1, 5, 4]), float([1, 1, 2, 3])],
      { label: "everything" },
    ),
    makeCase(
      lax.convGeneralDilatedP,
      conv({
        dimensionNumbers: nhwc,
        padding: [
          [1, 1],
          [1, 1],
        ],
      }),
      [float([2, 3, 3, 2]), float([3, 3, 2, 2])],
      { label: "nhwc" },
    ),
    makeCase(lax.convGeneralDilatedP, conv({ featureGroupCount: 2 }), [float([2, 4, 3, 3]), float([6, 2, 2, 2])], {
      label: "feature groups",
    }),
    makeCase(
      lax.convGeneralDilatedP,
      conv({ dimensionNumbers: nhwc, featureGroupCount: 3 }),
      [float([2, 3, 3, 3]), float([2, 2, 1, 6])],
      { label: "depthwise nhwc" },
    ),
    makeCase(lax.convGeneralDilatedP, conv({ batchGroupCount: 2 }), [float([4, 3, 3, 3]), float([4, 3, 2, 2])], {
      label: "batch groups",
    }),
  ];
}

function reduceCases(): PrimitiveCase[] {
  const floats = [lax.reduceSumP, lax.reduceProdP, lax.reduceMaxP, lax.reduceMinP];
  const bitwise = [lax.reduceAndP, lax.reduceOrP, lax.reduceXorP];
  const cumulative = [lax.cumsumP, lax.cumprodP, lax.cummaxP, lax.cumminP, lax.cumlogsumexpP];
  const scalar = makeAval([], "float64");
  const pairs = traceToJaxpr((s, p, x, y) => [lax.add(s, x), lax.mul(p, y)], [scalar, scalar, scalar, scalar], "reducer").jaxpr;
  const product = traceToJaxpr((a, b) => [lax.mul(a, b)], [scalar, scalar], "reducer").jaxpr;
  return [
    ...floats.flatMap((p) => [
      makeCase(p, { axes: [0] }, [float([4])]),
      makeCase(p, { axes: [0, 2] }, [float([2, 3, 2])]),
      makeCase(p, { axes: [1] }, [float([2, 3])]),
      makeCase(p, { axes: [] }, [float([2, 3])]),
    ]),
    makeCase(lax.reduceProdP, { axes: [0] }, [given([4], [2, 0, 3, 1], "float64")], { label: "one zero" }),
    ...bitwise.flatMap((p) => [makeCase(p, { axes: [1] }, [int([2, 3])]), makeCase(p, { axes: [0] }, [bool([3])])]),
    ...[lax.argmaxP, lax.argminP].map((p) => makeCase(p, { axes: [1], indexDtype: "int32" as DType }, [float([2, 4])])),
    ...cumulative.flatMap((p) => [
      makeCase(p, { axis: 0, reverse: false }, [float([5])]),
      makeCase(p, { axis: 1, reverse: true }, [float([2, 4])]),
    ]),
    makeCase(lax.reduceP, { dimensions: [1], jaxpr: product }, [float([2, 3]), float([])], { label: "product" }),
    makeCase(lax.reduceP, { dimensions: [0, 2], jaxpr: pairs }, [float([2, 2, 3]), float([2, 2, 3]), float([]), float([])], {
      label: "sum and product",
    }),
    ...fftCases(),
    makeCase(lax.sortP, { dimension: 1, isStable: true, numKeys: 1 }, [float([2, 5])]),
    makeCase(lax.sortP, { dimension: 0, isStable: true, numKeys: 1 }, [float([5, 2]), float([5, 2]), int([5, 2])]),
    makeCase(lax.sortP, { dimension: 0, isStable: true, numKeys: 2 }, [int([6], 0, 2), float([6])]),
    makeCase(lax.topKP, { k: 2, axis: 1 }, [float([3, 5])]),
  ];
}

function fftCases(): PrimitiveCase[] {
  const complex = (shape: Shape): OperandSpec => ({ shape, dtype: "complex128", low: -2, high: 2 });
  return [
    makeCase(lax.fftP, { fftType: "FFT", fftLengths: [5] }, [complex([2, 5])]),
    makeCase(lax.fftP, { fftType: "IFFT", fftLengths: [2, 3] }, [complex([2, 3])]),
    makeCase(lax.fftP, { fftType: "RFFT", fftLengths: [6] }, [float([2, 6])]),
    makeCase(lax.fftP, { fftType: "RFFT", fftLengths: [3, 5] }, [float([3, 5])]),
    makeCase(lax.fftP, { fftType: "IRFFT", fftLengths: [6] }, [complex([2, 4])]),
    makeCase(lax.fftP, { fftType: "IRFFT", fftLengths: [2, 5] }, [complex([2, 3])]),
  ];
}

/** Decompositions. Matrices are fixed: eigenvalues and singular values far apart, pivots that small changes do not move. */
function linalgCases(): PrimitiveCase[] {
  const { linalg } = lax;
  const symmetric: OperandSpec = { ...float([3, 3]), values: [4, 1, -0.5, 1, 3, 0.7, -0.5, 0.7, 1.5] };
  const general: OperandSpec = { ...float([3, 3]), values: [2, -1, 0.5, 3, 1, -0.25, -1, 0.75, 1.5] };
  const tall: OperandSpec = { ...float([4, 2]), values: [2, -1, 0.5, 3, 1, -0.25, -1, 0.75] };
  const wide: OperandSpec = { ...tall, shape: [2, 4] };
  const triangular = { leftSide: true, lower: true, transposeA: false, conjugateA: false, unitDiagonal: false };
  return [
    makeCase(linalg.choleskyP, none, [symmetric]),
    ...[triangular, { ...triangular, lower: false, transposeA: true }, { ...triangular, unitDiagonal: true }].map((p) =>
      makeCase(linalg.triangularSolveP, p, [symmetric, float([3, 2])]),
    ),
    makeCase(linalg.triangularSolveP, { ...triangular, leftSide: false, conjugateA: true }, [symmetric, float([2, 3])]),
    ...[general, tall, wide].map((x) => makeCase(linalg.luP, none, [x])),
    ...[general, tall, wide].map((x) => makeCase(linalg.qrP, { fullMatrices: false }, [x])),
    makeCase(linalg.qrP, { fullMatrices: true }, [tall]),
    ...[true, false].map((lower) => makeCase(linalg.eighP, { lower, sortEigenvalues: true, computeV: true }, [symmetric])),
    makeCase(linalg.eighP, { lower: true, sortEigenvalues: true, computeV: false }, [symmetric]),
    ...[general, tall, wide].map((x) => makeCase(linalg.svdP, { fullMatrices: false, computeUv: true }, [x])),
    makeCase(linalg.svdP, { fullMatrices: false, computeUv: false }, [tall]),
    // Reflections have no derivative of their own, as in JAX; qr has.
    makeCase(linalg.geqrfP, none, [tall], { diff: [] }),
    makeCase(linalg.householderProductP, none, [tall, float([2])], { diff: [] }),
    makeCase(linalg.eigP, { computeLeftEigenvectors: false, computeRightEigenvectors: false }, [general], { diff: [] }),
    makeCase(linalg.eigP, { computeLeftEigenvectors: true, computeRightEigenvectors: true }, [general], { diff: [] }),
    makeCase(linalg.hessenbergP, none, [general], { diff: [] }),
    makeCase(linalg.schurP, { computeSchurVectors: true }, [{ ...general, dtype: "complex128" }], { diff: [] }),
    makeCase(linalg.luPivotsToPermutationP, { permutationSize: 4 }, [given([3], [2, 3, 2])]),
  ];
}

function indexingCases(): PrimitiveCase[] {
  const rows: lax.GatherDimensionNumbers = {
    offsetDims: [1],
    collapsedSliceDims: [0],
    startIndexMap: [0],
    operandBatchingDims: [],
    startIndicesBatchingDims: [],
  };
  const rowsTo: lax.ScatterDimensionNumbers = {
    updateWindowDims: [1],
    insertedWindowDims: [0],
    scatterDimsToOperandDims: [0],
    operandBatchingDims: [],
    scatterIndicesBatchingDims: [],
  };
  const gatherParams = (over: Partial<lax.GatherParams>): lax.GatherParams => ({
    dimensionNumbers: rows,
    sliceSizes: [1, 3],
    mode: "clip",
    fillValue: null,
    indicesAreSorted: false,
    uniqueIndices: false,
    ...over,
  });
  const scatterParams = (over: Partial<lax.ScatterParams>): lax.ScatterParams => ({
    dimensionNumbers: rowsTo,
    indicesAreSorted: false,
    uniqueIndices: false,
    mode: "fill",
    ...over,
  });
  const windows: lax.ScatterDimensionNumbers = {
    updateWindowDims: [1, 2],
    insertedWindowDims: [],
    scatterDimsToOperandDims: [0, 1],
    operandBatchingDims: [],
    scatterIndicesBatchingDims: [],
  };
  const batching: lax.ScatterDimensionNumbers = {
    updateWindowDims: [],
    insertedWindowDims: [1],
    scatterDimsToOperandDims: [1],
    operandBatchingDims: [0],
    scatterIndicesBatchingDims: [0],
  };
  const scatters = [lax.scatterP, lax.scatterAddP, lax.scatterMinP, lax.scatterMaxP];
  return [
    makeCase(lax.dynamicSliceP, { sliceSizes: [2, 1] }, [float([4, 3]), int([], 0, 3), int([], 0, 3)]),
    makeCase(lax.dynamicSliceP, { sliceSizes: [3] }, [float([5]), given([], [4])], { label: "clamped" }),
    makeCase(lax.dynamicUpdateSliceP, none, [float([4, 3]), float([2, 1]), int([], 0, 3), int([], 0, 3)]),
    makeCase(lax.dynamicUpdateSliceP, none, [float([5]), float([3]), given([], [4])], { label: "clamped" }),
    makeCase(lax.gatherP, gatherParams({}), [float([5, 3]), int([4, 1], 0, 5)]),
    makeCase(lax.gatherP, gatherParams({ mode: "fill" }), [float([5, 3]), given([4, 1], [0, 7, 2, -1])], {
      label: "fill",
      diff: [],
    }),
    makeCase(lax.gatherP, gatherParams({ mode: "fill", fillValue: 5 }), [float([5, 3]), given([4, 1], [0, 7, 2, 2])], {
      label: "fill 5",
    }),
    makeCase(lax.gatherP, gatherParams({ mode: "clip" }), [float([5, 3]), given([4, 1], [0, 7, 2, -1])], { label: "clip" }),
    makeCase(
      lax.gatherP,
      gatherParams({
        dimensionNumbers: {
          offsetDims: [1, 2],
          collapsedSliceDims: [],
          startIndexMap: [0, 1],
          operandBatchingDims: [],
          startIndicesBatchingDims: [],
        },
        sliceSizes: [2, 2],
      }),
      [float([4, 3]), int([3, 2], 0, 2)],
      { label: "windows" },
    ),
    makeCase(
      lax.gatherP,
      gatherParams({
        dimensionNumbers: {
          offsetDims: [],
          collapsedSliceDims: [1],
          startIndexMap: [1],
          operandBatchingDims: [0],
          startIndicesBatchingDims: [0],
        },
        sliceSizes: [1, 1],
      }),
      [float([2, 4]), int([2, 3, 1], 0, 4)],
      { label: "batching dims" },
    ),
    ...scatters.flatMap((p) => [
      makeCase(p, scatterParams({}), [float([5, 3]), given([3, 1], [0, 3, 1]), float([3, 3])]),
      makeCase(p, scatterParams({}), [float([5, 3]), given([4, 1], [1, 7, 1, -2]), float([4, 3])], {
        label: "repeated and dropped",
      }),
      makeCase(
        p,
        scatterParams({ mode: "clip", dimensionNumbers: windows }),
        [float([4, 3]), given([2, 2], [0, 0, 3, 2]), float([2, 2, 2])],
        { label: "windows" },
      ),
      makeCase(
        p,
        scatterParams({ dimensionNumbers: batching, uniqueIndices: true }),
        [float([2, 4]), given([2, 2, 1], [0, 2, 3, 1]), float([2, 2])],
        { label: "batching dims" },
      ),
    ]),
    makeCase(lax.scatterMulP, scatterParams({ uniqueIndices: true }), [float([5, 3]), given([3, 1], [0, 3, 1]), float([3, 3])]),
    makeCase(lax.scatterMulP, scatterParams({}), [float([5, 3]), given([3, 1], [1, 3, 1]), float([3, 3])], {
      diff: [0],
      label: "repeated",
    }),
  ];
}

function windowCases(): PrimitiveCase[] {
  const base = {
    windowDimensions: [2, 3],
    windowStrides: [1, 2],
    padding: [
      [0, 1],
      [1, 1],
    ] as const,
    baseDilation: [1, 1],
    windowDilation: [1, 1],
  };
  const dilatedBase = { ...base, windowDimensions: [2, 2], baseDilation: [2, 1] };
  const dilatedWindow = { ...base, windowDimensions: [2, 2], windowDilation: [1, 2] };
  const scalar = makeAval([], "float64");
  const largest = traceToJaxpr((a, b) => [lax.max(a, b)], [scalar, scalar], "reducer").jaxpr;
  const smooth = traceToJaxpr((a, b) => [lax.add(lax.sin(a), lax.mul(b, a))], [scalar, scalar], "reducer").jaxpr;
  return [
    ...[lax.reduceWindowSumP, lax.reduceWindowMaxP, lax.reduceWindowMinP].flatMap((p) => [
      makeCase(p, base, [float([4, 5])]),
      makeCase(p, dilatedBase, [float([3, 5])], { label: "base dilation" }),
      makeCase(p, dilatedWindow, [float([4, 5])], { label: "window dilation", forwardOnly: p !== lax.reduceWindowSumP }),
    ]),
    makeCase(lax.reduceWindowP, { ...base, jaxpr: largest }, [float([4, 5]), given([], [-10], "float64")]),
    makeCase(lax.reduceWindowP, { ...base, jaxpr: smooth }, [float([4, 5]), float([])], { label: "smooth function" }),
    makeCase(lax.reduceWindowP, { ...dilatedBase, jaxpr: smooth }, [float([3, 5]), float([])], { label: "base dilation" }),
    makeCase(lax.reduceWindowP, { ...dilatedWindow, jaxpr: smooth }, [float([4, 5]), float([])], { label: "window dilation" }),
    makeCase(
      lax.selectAndScatterAddP,
      {
        selectPrim: "ge",
        windowDimensions: [2, 2],
        windowStrides: [2, 2],
        padding: [
          [0, 0],
          [0, 0],
        ],
      },
      [float([2, 2]), float([4, 4])],
      { diff: [0] },
    ),
    makeCase(
      lax.selectAndScatterAddP,
      { selectPrim: "le", windowDimensions: [3], windowStrides: [1], padding: [[1, 1]] },
      [float([5]), float([5])],
      { diff: [0] },
    ),
    makeCase(lax.selectAndGatherAddP, { selectPrim: "ge", ...base }, [float([4, 5]), float([4, 5])], { diff: [0] }),
  ];
}

function controlCases(): PrimitiveCase[] {
  const scalar = makeAval([], "float64");
  const index = makeAval([], "int32");
  const vec = makeAval([3], "float64");
  const sinTimes = traceToJaxpr((a, x) => [lax.mul(lax.sin(x), a)], [scalar, vec], "branch").jaxpr;
  const plus = traceToJaxpr((a, x) => [lax.add(lax.mul(x, x), a)], [scalar, vec], "branch").jaxpr;
  const third = traceToJaxpr((_a, x) => [x], [scalar, vec], "branch").jaxpr;
  const body = traceToJaxpr(
    (w, c, i, x) => {
      const next = lax.tanh(lax.add(lax.mul(c, lax.cos(w)), x));
      return [next, lax.add(i, 1), lax.mul(next, x)];
    },
    [scalar, vec, index, vec],
    "scan",
  ).jaxpr;
  const cond = traceToJaxpr((n, i, _c) => [lax.lt(i, n)], [index, index, vec], "while cond").jaxpr;
  const loop = traceToJaxpr((w, i, c) => [lax.add(i, 1), lax.mul(lax.sin(c), w)], [scalar, index, vec], "while body").jaxpr;
  return [
    makeCase(lax.condP, { branches: [sinTimes, plus] }, [int([], 0, 2), float([]), float([3])]),
    makeCase(lax.condP, { branches: [sinTimes, plus, third] }, [given([], [5]), float([]), float([3])], { label: "clamped" }),
    ...[false, true].map((reverse) =>
      makeCase(
        lax.scanP,
        { jaxpr: body, length: 4, reverse, unroll: 1, numConsts: 1, numCarry: 2 },
        [float([]), float([3]), int([], 0, 1), float([4, 3])],
        { label: reverse ? "reverse" : "" },
      ),
    ),
    makeCase(
      lax.whileP,
      { condNconsts: 1, condJaxpr: cond, bodyNconsts: 1, bodyJaxpr: loop },
      [int([], 2, 5), float([]), int([], 0, 2), float([3])],
      { forwardOnly: true },
    ),
    makeCase(lax.checkpointP, { jaxpr: sinTimes, policy: null, preventCse: true }, [float([]), float([3])]),
    makeCase(lax.checkpointP, { jaxpr: plus, policy: (p) => p.name === "mul", preventCse: true }, [float([]), float([3])], {
      label: "policy",
    }),
  ];
}

/** Every primitive of lax, applied to several shapes. */
export function primitiveCases(): PrimitiveCase[] {
  return [
    ...unaryCases(),
    ...binaryCases(),
    ...shapeCases(),
    ...convCases(),
    ...reduceCases(),
    ...indexingCases(),
    ...linalgCases(),
    ...windowCases(),
    ...controlCases(),
  ];
}

/** Primitives that need more than arrays to apply (rules, keys, named axes) and have tests of their own. */
export const untabledPrimitives: readonly string[] = [
  "custom_jvp_call",
  "custom_vjp_call",
  "custom_vmap_call",
  "custom_linear_solve",
  "custom_root",
  "linear_call",
  "tangent_call",
  "transposed_call",
  "random_wrap",
  "random_unwrap",
  "psum",
  "pvary",
  "shard_map",
  "sharding_constraint",
  "all_gather_invariant",
  "pmax",
  "pmin",
  "axis_index",
  "all_gather",
  "reduce_scatter",
  "all_to_all",
  "ppermute",
  "real",
  "imag",
  "conj",
  // What JavaScript computes: see callbacks.test.ts.
  "pure_callback",
  "io_callback",
  "debug_callback",
];
