import { addIndex, axisIndex, constIndex, divIndex, scaleIndex } from "./affine.ts";
import type { Ex, Index } from "./expr.ts";
import type { Node } from "./graph.ts";
import { convertElement } from "./convert.ts";
import { folding, storing } from "./kernels.ts";
import type { Scope } from "./lower.ts";
import { foldMonoid, monoids } from "./reduce.ts";
import { elementRules } from "./elementwise.ts";
import { windowElement } from "./windows.ts";
import { roundToDType, scalarInfo, constantOf } from "./scalars.ts";
import type { KernelBuilder } from "./kernels.ts";

export interface DotNumbers {
  readonly lhsContract: readonly number[];
  readonly rhsContract: readonly number[];
  readonly lhsBatch: readonly number[];
  readonly rhsBatch: readonly number[];
}

/** The dimensions of an operand that are neither contracted nor batched. */
export function freeDims(rank: number, contract: readonly number[], batch: readonly number[]): number[] {
  return Array.from({ length: rank }, (_, i) => i).filter((i) => !contract.includes(i) && !batch.includes(i));
}

/** The product of two elements, in the dtype of the result. */
function product(k: KernelBuilder, node: Node, a: Ex, b: Ex): Ex {
  const [lhs, rhs] = node.ins;
  const dtype = node.outs[0].dtype;
  // 16-bit floats are already in 32 bits: no rounding of the operands.
  const to = scalarInfo(dtype).kind === "float" && scalarInfo(dtype).type === "f32" ? "float32" : dtype;
  const x = convertElement(k.e, a, lhs.dtype, to);
  const y = convertElement(k.e, b, rhs.dtype, to);
  return elementRules["mul"](k.e, [x, y], { dtypes: [to, to], out: to, params: {} });
}

/** dot_general as a nest: batch ++ free dimensions outside, contracted dimensions folded. */
export function lowerDotGeneral(scope: Scope, node: Node): void {
  const [lhs, rhs] = node.ins;
  const [out] = node.outs;
  const d = node.params["dimensionNumbers"] as DotNumbers;
  const k = scope.builder();
  const { axes: outer, position } = k.axes(out.shape);
  const { axes: inner, position: contracted } = k.axes(d.lhsContract.map((i) => lhs.shape[i]));
  const a: Index[] = [];
  const b: Index[] = [];
  let next = 0;
  d.lhsBatch.forEach((i, j) => {
    a[i] = position[next];
    b[d.rhsBatch[j]] = position[next++];
  });
  for (const i of freeDims(lhs.shape.length, d.lhsContract, d.lhsBatch)) a[i] = position[next++];
  for (const i of freeDims(rhs.shape.length, d.rhsContract, d.rhsBatch)) b[i] = position[next++];
  d.lhsContract.forEach((i, j) => (a[i] = contracted[j]));
  d.rhsContract.forEach((i, j) => (b[i] = contracted[j]));
  const fold = foldMonoid(k, monoids["sum"], out.dtype, product(k, node, k.read(lhs, a, null), k.read(rhs, b, null)));
  const store = k.store(out, scope.target(out), position, roundToDType(k.e, out.dtype, fold.results[0]));
  scope.launch(k.nest("dot_general", outer, [folding(inner, [fold]), storing([], [store])]), k.slots);
}

export interface ConvNumbers {
  readonly lhsSpec: readonly number[];
  readonly rhsSpec: readonly number[];
  readonly outSpec: readonly number[];
}

/** conv_general_dilated as a nest: output positions outside, input features and kernel positions folded. */
export function lowerConv(scope: Scope, node: Node): void {
  const [lhs, rhs] = node.ins;
  const [out] = node.outs;
  const p = node.params as Record<string, unknown>;
  const d = p["dimensionNumbers"] as ConvNumbers;
  const groups = Number(p["featureGroupCount"] ?? 1);
  const batchGroups = Number(p["batchGroupCount"] ?? 1);
  const k = scope.builder();
  const { e } = k;
  const spatial = d.lhsSpec.length - 2;
  const { axes: outer, position } = k.axes(out.shape);
  const inFeatures = rhs.shape[d.rhsSpec[1]];
  const kernelShape = d.rhsSpec.slice(2).map((i) => rhs.shape[i]);
  const featureAxis = k.e.axis(inFeatures);
  const feature = axisIndex(e, featureAxis);
  const { axes: kernelAxes, position: offset } = k.axes(kernelShape);
  const outFeatures = out.shape[d.outSpec[1]];
  const f = position[d.outSpec[1]];
  const n = position[d.outSpec[0]];

  const a: Index[] = new Array<Index>(lhs.shape.length).fill(constIndex(0));
  const windows = {
    sizes: kernelShape,
    strides: p["windowStrides"] as readonly number[],
    padding: p["padding"] as readonly (readonly [number, number])[],
    baseDilation: (p["lhsDilation"] as readonly number[] | null) ?? kernelShape.map(() => 1),
    windowDilation: (p["rhsDilation"] as readonly number[] | null) ?? kernelShape.map(() => 1),
  };
  const lhsSpatial = d.lhsSpec.slice(2).map((i) => lhs.shape[i]);
  const window = d.outSpec.slice(2).map((i) => position[i]);
  const { at, inside } = windowElement(e, windows, lhsSpatial, window, offset);
  for (let i = 0; i < spatial; i++) a[d.lhsSpec[2 + i]] = at[i];
  a[d.lhsSpec[1]] = groups === 1 ? feature : addIndex(e, feature, scaleIndex(divIndex(e, f, outFeatures / groups), inFeatures));
  a[d.lhsSpec[0]] = batchGroups === 1 ? n : addIndex(e, n, scaleIndex(divIndex(e, f, outFeatures / batchGroups), lhs.shape[d.lhsSpec[0]] / batchGroups));
  const b: Index[] = new Array<Index>(rhs.shape.length).fill(constIndex(0));
  b[d.rhsSpec[0]] = f;
  b[d.rhsSpec[1]] = feature;
  for (let i = 0; i < spatial; i++) b[d.rhsSpec[2 + i]] = offset[i];

  const x = k.read(lhs, a, inside);
  const safe = inside === null ? x : e.select(inside, x, constantOf(e, lhs.dtype, 0));
  const fold = foldMonoid(k, monoids["sum"], out.dtype, product(k, node, safe, k.read(rhs, b, null)));
  const store = k.store(out, scope.target(out), position, roundToDType(e, out.dtype, fold.results[0]));
  scope.launch(k.nest("conv_general_dilated", outer, [folding([featureAxis, ...kernelAxes], [fold]), storing([], [store])]), k.slots);
}

