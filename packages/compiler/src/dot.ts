import { addIndex, axisIndex, constIndex, divIndex, flattenIndex, modIndex, scaleIndex, unflattenIndex } from "./affine.ts";
import { lowerBlockedDot } from "./blocked-dot.ts";
import { emitProduct } from "./contract.ts";
import { worthPacking } from "./product.ts";
import type { Ex, Index } from "./expr.ts";
import type { Node, Value } from "./graph.ts";
import { convertElement } from "./convert.ts";
import { folding, storing } from "./kernels.ts";
import type { Scope } from "./scope.ts";
import { foldMonoid, monoids } from "./reduce.ts";
import { elementRules } from "./elementwise.ts";
import { windowElement, type Windows } from "./windows.ts";
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
function elementProduct(k: KernelBuilder, node: Node, a: Ex, b: Ex): Ex {
  const [lhs, rhs] = node.ins;
  const dtype = node.outs[0].dtype;
  // 16-bit floats are already in 32 bits: no rounding of the operands.
  const to = scalarInfo(dtype).kind === "float" && scalarInfo(dtype).type === "f32" ? "float32" : dtype;
  const x = convertElement(k.e, a, lhs.dtype, to);
  const y = convertElement(k.e, b, rhs.dtype, to);
  return elementRules["mul"](k.e, [x, y], { dtypes: [to, to], out: to, params: {} });
}

/** dot_general: batch ++ free dimensions outside, contracted dimensions folded. Large ones of f32 go through panels. */
export function lowerDotGeneral(scope: Scope, node: Node): void {
  const [lhs, rhs] = node.ins;
  const [out] = node.outs;
  const d = node.params["dimensionNumbers"] as DotNumbers;
  const lhsFree = freeDims(lhs.shape.length, d.lhsContract, d.lhsBatch);
  const rhsFree = freeDims(rhs.shape.length, d.rhsContract, d.rhsBatch);
  const sizes = (v: Value, dims: readonly number[]): number[] => dims.map((i) => v.shape[i]);
  const product = (list: readonly number[]): number => list.reduce((a, b) => a * b, 1);
  const position = (rank: number, parts: readonly (readonly [readonly number[], readonly Index[]])[]): Index[] => {
    const at = new Array<Index>(rank);
    for (const [dims, indices] of parts) dims.forEach((i, j) => (at[i] = indices[j]));
    return at;
  };
  const batchShape = sizes(lhs, d.lhsBatch);
  const contractShape = sizes(lhs, d.lhsContract);
  const reader =
    (v: Value, batch: readonly number[], free: readonly number[], contract: readonly number[]) =>
    (k: KernelBuilder, b: Index, i: Index, c: Index): Ex => {
      const at = position(v.shape.length, [
        [batch, unflattenIndex(k.e, b, batchShape)],
        [free, unflattenIndex(k.e, i, sizes(v, free))],
        [contract, unflattenIndex(k.e, c, contractShape)],
      ]);
      return k.read(v, at, null);
    };
  const readLhs = reader(lhs, d.lhsBatch, lhsFree, d.lhsContract);
  const readRhs = reader(rhs, d.rhsBatch, rhsFree, d.rhsContract);
  const m = product(sizes(lhs, lhsFree));
  const n = product(sizes(rhs, rhsFree));
  const kk = product(contractShape);
  if (
    scalarInfo(out.dtype).type === "f32" &&
    scalarInfo(lhs.dtype).type === "f32" &&
    scalarInfo(rhs.dtype).type === "f32" &&
    worthPacking({ m, n, k: kk })
  ) {
    emitProduct(scope, out, {
      name: "dot_general",
      batch: product(batchShape),
      m,
      n,
      k: kk,
      depthShape: contractShape,
      batchStride: m * n,
      rowStride: n,
      a: { shared: false, read: readLhs },
      b: { shared: false, read: readRhs },
      groups: [batchShape.length, lhsFree.length, rhsFree.length],
      linear: null,
    });
    return;
  }
  const blocked = lowerBlockedDot(scope, node, {
    batch: product(batchShape),
    m,
    n,
    k: kk,
    a: readLhs,
    b: readRhs,
  });
  if (blocked) return;
  const k = scope.builder();
  const { axes: outer, position: at } = k.axes(out.shape);
  const { axes: inner, position: contracted } = k.axes(contractShape);
  const nb = batchShape.length;
  const a = position(lhs.shape.length, [
    [d.lhsBatch, at.slice(0, nb)],
    [lhsFree, at.slice(nb)],
    [d.lhsContract, contracted],
  ]);
  const b = position(rhs.shape.length, [
    [d.rhsBatch, at.slice(0, nb)],
    [rhsFree, at.slice(nb + lhsFree.length)],
    [d.rhsContract, contracted],
  ]);
  const { fold } = foldMonoid(k, monoids["sum"], out.dtype, elementProduct(k, node, k.read(lhs, a, null), k.read(rhs, b, null)), 1);
  const store = k.store(out, scope.target(out), at, roundToDType(k.e, out.dtype, fold.results[0]));
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
  if (convByProduct(scope, node)) return;
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
  const windows = convWindows(node, kernelShape);
  const lhsSpatial = d.lhsSpec.slice(2).map((i) => lhs.shape[i]);
  const window = d.outSpec.slice(2).map((i) => position[i]);
  const { at, inside } = windowElement(e, windows, lhsSpatial, window, offset);
  for (let i = 0; i < spatial; i++) a[d.lhsSpec[2 + i]] = at[i];
  a[d.lhsSpec[1]] = groups === 1 ? feature : addIndex(feature, scaleIndex(divIndex(e, f, outFeatures / groups), inFeatures));
  a[d.lhsSpec[0]] =
    batchGroups === 1
      ? n
      : addIndex(n, scaleIndex(divIndex(e, f, outFeatures / batchGroups), lhs.shape[d.lhsSpec[0]] / batchGroups));
  const b: Index[] = new Array<Index>(rhs.shape.length).fill(constIndex(0));
  b[d.rhsSpec[0]] = f;
  b[d.rhsSpec[1]] = feature;
  for (let i = 0; i < spatial; i++) b[d.rhsSpec[2 + i]] = offset[i];

  const x = k.read(lhs, a, inside);
  const safe = inside === null ? x : e.select(inside, x, constantOf(e, lhs.dtype, 0));
  const { fold } = foldMonoid(k, monoids["sum"], out.dtype, elementProduct(k, node, safe, k.read(rhs, b, null)), 1);
  const store = k.store(out, scope.target(out), position, roundToDType(e, out.dtype, fold.results[0]));
  scope.launch(
    k.nest("conv_general_dilated", outer, [folding([featureAxis, ...kernelAxes], [fold]), storing([], [store])]),
    k.slots,
  );
}

/**
 * A convolution as a product of matrices: rows are output positions, columns output features, and the packing of the
 * windows reads the image in place. False when it is too small, grouped by batch, or not of f32.
 */
function convByProduct(scope: Scope, node: Node): boolean {
  const [lhs, rhs] = node.ins;
  const [out] = node.outs;
  const p = node.params as Record<string, unknown>;
  const d = p["dimensionNumbers"] as ConvNumbers;
  const groups = Number(p["featureGroupCount"] ?? 1);
  if (Number(p["batchGroupCount"] ?? 1) !== 1 || [lhs, rhs, out].some((v) => scalarInfo(v.dtype).type !== "f32")) return false;
  const batch = out.shape[d.outSpec[0]];
  const features = out.shape[d.outSpec[1]] / groups;
  const inFeatures = rhs.shape[d.rhsSpec[1]];
  const outSpatial = d.outSpec.slice(2).map((i) => out.shape[i]);
  const kernelShape = d.rhsSpec.slice(2).map((i) => rhs.shape[i]);
  const positions = outSpatial.reduce((a, b) => a * b, 1);
  const depth = [inFeatures, ...kernelShape].reduce((a, b) => a * b, 1);
  // Features last: all positions of all images are rows. Otherwise features are rows and each image is a batch.
  const lastFeature = d.outSpec[1] === out.shape.length - 1;
  if (!worthPacking(lastFeature ? { m: batch * positions, n: features, k: depth } : { m: features, n: positions, k: depth }))
    return false;
  const windows = convWindows(node, kernelShape);
  const lhsSpatial = d.lhsSpec.slice(2).map((i) => lhs.shape[i]);
  // The order in which the contracted positions run is that of the image's memory as far as possible.
  const featureInner = d.lhsSpec[1] === lhs.shape.length - 1;
  const depthShape = featureInner ? [...kernelShape, inFeatures] : [inFeatures, ...kernelShape];
  const image = (k: KernelBuilder, n: Index, group: Index, spatial: readonly Index[], c: Index): Ex => {
    const { e } = k;
    const parts = unflattenIndex(e, c, depthShape);
    const feature = featureInner ? parts[parts.length - 1] : parts[0];
    const offset = featureInner ? parts.slice(0, -1) : parts.slice(1);
    const { at, inside } = windowElement(e, windows, lhsSpatial, spatial, offset);
    const position = new Array<Index>(lhs.shape.length);
    position[d.lhsSpec[0]] = n;
    position[d.lhsSpec[1]] = addIndex(feature, scaleIndex(group, inFeatures));
    at.forEach((x, i) => (position[d.lhsSpec[2 + i]] = x));
    const x = k.read(lhs, position, inside);
    return inside === null ? x : e.select(inside, x, e.f32(0));
  };
  const kernel = (k: KernelBuilder, group: Index, f: Index, c: Index): Ex => {
    const { e } = k;
    const parts = unflattenIndex(e, c, depthShape);
    const position = new Array<Index>(rhs.shape.length);
    position[d.rhsSpec[0]] = addIndex(f, scaleIndex(group, features));
    position[d.rhsSpec[1]] = featureInner ? parts[parts.length - 1] : parts[0];
    const offset = featureInner ? parts.slice(0, -1) : parts.slice(1);
    offset.forEach((x, i) => (position[d.rhsSpec[2 + i]] = x));
    return k.read(rhs, position, null);
  };
  const natural = lastFeature
    ? [d.outSpec[0], ...d.outSpec.slice(2), d.outSpec[1]]
    : [d.outSpec[0], d.outSpec[1], ...d.outSpec.slice(2)];
  const inOrder = natural.every((x, i) => x === i);
  const spatial = outSpatial.length;
  const result = {
    name: "conv_general_dilated",
    depthShape,
    k: depth,
    linear: inOrder
      ? null
      : (_: KernelBuilder, position: readonly Index[]): Index =>
          flattenIndex(
            natural.map((i) => position[i]),
            natural.map((i) => out.shape[i]),
          ),
  } as const;
  // With groups, a dimension of the result belongs to both batches and rows or columns.
  const joinable = inOrder && groups === 1;
  if (lastFeature) {
    emitProduct(scope, out, {
      ...result,
      batch: groups,
      m: batch * positions,
      n: features,
      batchStride: features,
      rowStride: features * groups,
      a: {
        shared: false,
        read: (k, g, row, c) => {
          const [n, ...rest] = unflattenIndex(k.e, row, [batch, ...outSpatial]);
          return image(k, n, g, rest, c);
        },
      },
      b: { shared: false, read: kernel },
      groups: joinable ? [0, 1 + spatial, 1] : null,
    });
  } else {
    emitProduct(scope, out, {
      ...result,
      batch: batch * groups,
      m: features,
      n: positions,
      batchStride: features * positions,
      rowStride: positions,
      a: { shared: groups === 1, read: (k, b, f, c) => kernel(k, modIndex(k.e, b, groups), f, c) },
      b: {
        shared: false,
        read: (k, b, column, c) =>
          image(k, divIndex(k.e, b, groups), modIndex(k.e, b, groups), unflattenIndex(k.e, column, outSpatial), c),
      },
      groups: joinable ? [1, 1, spatial] : null,
    });
  }
  return true;
}

/** How the windows of a convolution lie over the image. */
function convWindows(node: Node, sizes: readonly number[]): Windows {
  const p = node.params as Record<string, unknown>;
  const ones = sizes.map(() => 1);
  return {
    sizes,
    strides: p["windowStrides"] as readonly number[],
    padding: p["padding"] as readonly (readonly [number, number])[],
    baseDilation: (p["lhsDilation"] as readonly number[] | null) ?? ones,
    windowDilation: (p["rhsDilation"] as readonly number[] | null) ?? ones,
  };
}
