import { addIndex, divIndex, flattenIndex, modIndex, offsetIndex, scaleIndex, unflattenIndex } from "./affine.ts";
import { emitProduct, emitProducts } from "./contract.ts";
import { elementProduct } from "./dot.ts";
import { emitFolded } from "./folded.ts";
import type { Ex, Exprs, Index } from "./expr.ts";
import type { Node, Value } from "./graph.ts";
import type { KernelBuilder } from "./kernels.ts";
import { padded, type Padding } from "./padded.ts";
import { type Product, worthPacking } from "./product.ts";
import { constantOf, scalarInfo } from "./scalars.ts";
import type { Scope } from "./scope.ts";
import { both, inBounds } from "./views.ts";

interface ConvNumbers {
  readonly lhsSpec: readonly number[];
  readonly rhsSpec: readonly number[];
  readonly outSpec: readonly number[];
}

/** Where a place of the kernel meets the image along one dimension, and the condition that it meets an element. */
interface Meeting {
  readonly at: Index;
  readonly inside: Ex | null;
}

/**
 * One spatial dimension. Positions of the result that lie `phases` apart see the same places of the kernel, those that do not
 * fall into holes of the image: of a position `q * phases + r`, the places are those of its phase r.
 */
interface Dimension {
  readonly phases: number;
  readonly positions: number;
  /** How many places of the kernel a phase sees. */
  readonly taps: (phase: number) => number;
  /** What must surround the image so that nothing outside is read. */
  readonly padding: Padding;
  readonly image: (e: Exprs, position: Index, phase: number, tap: Index) => Meeting;
  readonly kernel: (e: Exprs, phase: number, tap: Index) => Meeting;
}

const product = (list: readonly number[]): number => list.reduce((a, b) => a * b, 1);
const everywhere = (at: Index): Meeting => ({ at, inside: null });

/** conv_general_dilated: as a product of matrices where that is worth while, else element by element. */
export function lowerConv(scope: Scope, node: Node): void {
  const conv = new Convolution(node);
  if (!lowerByProduct(scope, conv)) lowerByElement(scope, conv);
}

/** The numbers of a convolution under names. */
class Convolution {
  readonly node: Node;
  readonly lhs: Value;
  readonly rhs: Value;
  readonly out: Value;
  readonly numbers: ConvNumbers;
  /** Groups of output features; each has input features of its own (`featureGroupCount`) or images of its own (`batchGroupCount`). */
  readonly groups: number;
  readonly groupsOfImages: boolean;
  /** Output features of a group, input features that each of them sees. */
  readonly features: number;
  readonly inFeatures: number;
  readonly images: number;

  constructor(node: Node) {
    this.node = node;
    [this.lhs, this.rhs] = node.ins;
    [this.out] = node.outs;
    this.numbers = node.params["dimensionNumbers"] as ConvNumbers;
    const batchGroups = Number(node.params["batchGroupCount"] ?? 1);
    this.groupsOfImages = batchGroups > 1;
    this.groups = this.groupsOfImages ? batchGroups : Number(node.params["featureGroupCount"] ?? 1);
    this.features = this.out.shape[this.numbers.outSpec[1]] / this.groups;
    this.inFeatures = this.rhs.shape[this.numbers.rhsSpec[1]];
    this.images = this.out.shape[this.numbers.outSpec[0]];
  }

  /** Its spatial dimensions; `byPhase` where holes between elements of the image may be left out by phases. */
  dimensions(byPhase: boolean): Dimension[] {
    const { lhsSpec, rhsSpec, outSpec } = this.numbers;
    const p = this.node.params as Record<string, unknown>;
    const strides = p["windowStrides"] as readonly number[];
    const padding = p["padding"] as readonly (readonly [number, number])[];
    const lhsDilation = p["lhsDilation"] as readonly number[] | null;
    const rhsDilation = p["rhsDilation"] as readonly number[] | null;
    return outSpec.slice(2).map((d, i) => {
      const spec: DimensionSpec = {
        out: this.out.shape[d],
        size: this.lhs.shape[lhsSpec[2 + i]],
        taps: this.rhs.shape[rhsSpec[2 + i]],
        stride: strides[i],
        low: padding[i][0],
        holes: lhsDilation?.[i] ?? 1,
        dilation: rhsDilation?.[i] ?? 1,
      };
      if (spec.holes === 1) return dense(spec);
      return byPhase && spec.stride === 1 && spec.dilation === 1 ? phased(spec) : dilated(spec);
    });
  }

  /** Where the elements of a group are in the image. */
  imagePosition(image: Index, group: Index, feature: Index, spatial: readonly Index[]): Index[] {
    const { lhsSpec } = this.numbers;
    const at = new Array<Index>(lhsSpec.length);
    at[lhsSpec[0]] = this.groupsOfImages ? addIndex(image, scaleIndex(group, this.images)) : image;
    at[lhsSpec[1]] = this.groupsOfImages ? feature : addIndex(feature, scaleIndex(group, this.inFeatures));
    spatial.forEach((x, i) => (at[lhsSpec[2 + i]] = x));
    return at;
  }
  kernelPosition(outFeature: Index, inFeature: Index, spatial: readonly Index[]): Index[] {
    const { rhsSpec } = this.numbers;
    const at = new Array<Index>(rhsSpec.length);
    at[rhsSpec[0]] = outFeature;
    at[rhsSpec[1]] = inFeature;
    spatial.forEach((x, i) => (at[rhsSpec[2 + i]] = x));
    return at;
  }

  /**
   * Reads the image with what surrounds it, and the kernel: zero where they do not meet. `imagesInner`: neighbouring images are read
   * together, so their elements should be neighbours in memory.
   */
  readers(scope: Scope, dimensions: readonly Dimension[], imagesInner = false): Readers {
    const { lhs, rhs, numbers } = this;
    const padding = numbers.lhsSpec.map((): Padding => ({ low: 0, high: 0 }));
    dimensions.forEach((d, i) => (padding[numbers.lhsSpec[2 + i]] = d.padding));
    const [images, feature, ...spatialDims] = numbers.lhsSpec;
    const image = padded(scope, lhs, padding, imagesInner ? [feature, ...spatialDims, images] : undefined);
    const met = (
      k: KernelBuilder,
      v: Value,
      meetings: readonly Meeting[],
      read: (spatial: Index[], inside: Ex | null) => Ex,
    ): Ex => {
      const inside = meetings.reduce<Ex | null>((all, m) => both(k.e, all, m.inside), null);
      const spatial = meetings.map((m) => m.at);
      const x = read(spatial, inside);
      return inside === null ? x : k.e.select(inside, x, constantOf(k.e, v.dtype, 0));
    };
    return {
      image: (k, n, group, feature, position, phase, tap) =>
        met(
          k,
          lhs,
          dimensions.map((d, i) => d.image(k.e, position[i], phase[i], tap[i])),
          (spatial, inside) => image(k, this.imagePosition(n, group, feature, spatial), inside),
        ),
      kernel: (k, outFeature, inFeature, phase, tap) =>
        met(
          k,
          rhs,
          dimensions.map((d, i) => d.kernel(k.e, phase[i], tap[i])),
          (spatial, inside) => k.read(rhs, this.kernelPosition(outFeature, inFeature, spatial), inside),
        ),
    };
  }
}

interface Readers {
  readonly image: (
    k: KernelBuilder,
    n: Index,
    group: Index,
    feature: Index,
    position: readonly Index[],
    phase: readonly number[],
    tap: readonly Index[],
  ) => Ex;
  readonly kernel: (k: KernelBuilder, outFeature: Index, inFeature: Index, phase: readonly number[], tap: readonly Index[]) => Ex;
}

interface DimensionSpec {
  /** Positions of the result, elements of the image and of the kernel. */
  readonly out: number;
  readonly size: number;
  readonly taps: number;
  readonly stride: number;
  readonly low: number;
  /** Steps between elements of the image, and of the kernel. */
  readonly holes: number;
  readonly dilation: number;
}

function dense({ out, size, taps, stride, low, dilation }: DimensionSpec): Dimension {
  const needed = (out - 1) * stride + (taps - 1) * dilation + 1;
  return {
    phases: 1,
    positions: out,
    taps: () => taps,
    padding: { low, high: needed - low - size },
    image: (_e, q, _r, tap) => everywhere(offsetIndex(addIndex(scaleIndex(q, stride), scaleIndex(tap, dilation)), -low)),
    kernel: (_e, _r, tap) => everywhere(tap),
  };
}

/**
 * Step 1 over an image with holes: place t of the kernel meets an element at position q * holes + r where t + r - low is a multiple
 * of holes, so t = first(r) + holes * j, and the element is q + j + (r + first(r) - low) / holes.
 */
function phased({ out, size, taps, low, holes }: DimensionSpec): Dimension {
  const rest = ((low % holes) + holes) % holes;
  const before = (low - rest) / holes;
  const positions = Math.ceil(out / holes);
  const first = (r: number): number => (rest + holes - r) % holes;
  // A phase that meets nothing has one place outside the kernel.
  const seen = (r: number): number => Math.max(1, Math.ceil((taps - first(r)) / holes));
  const most = Math.ceil(taps / holes);
  const next = holes - 1 > rest ? 1 : 0;
  return {
    phases: holes,
    positions,
    taps: seen,
    padding: { low: before, high: positions + most - 1 + next - before - size },
    image: (_e, q, r, j) => everywhere(offsetIndex(addIndex(q, j), (r > rest ? 1 : 0) - before)),
    kernel: (e, r, j) => {
      const at = offsetIndex(scaleIndex(j, holes), first(r));
      return { at, inside: inBounds(e, at, taps) };
    },
  };
}

/** Holes in the image that are met and left out element by element. */
function dilated({ out, size, taps, stride, low, holes, dilation }: DimensionSpec): Dimension {
  return {
    phases: 1,
    positions: out,
    taps: () => taps,
    padding: { low: 0, high: 0 },
    image: (e, q, _r, tap) => {
      const p = offsetIndex(addIndex(scaleIndex(q, stride), scaleIndex(tap, dilation)), -low);
      const at = divIndex(e, p, holes);
      return { at, inside: both(e, inBounds(e, at, size), e.eq(e.fromIndex(modIndex(e, p, holes)), e.i32(0))) };
    },
    kernel: (_e, _r, tap) => everywhere(tap),
  };
}

/** Output positions outside, input features and places of the kernel folded. */
function lowerByElement(scope: Scope, conv: Convolution): void {
  const { node, out, numbers } = conv;
  const dimensions = conv.dimensions(false);
  const read = conv.readers(scope, dimensions);
  const phase = dimensions.map(() => 0);
  const depthShape = [conv.inFeatures, ...dimensions.map((d) => d.taps(0))];
  emitFolded(scope, "conv_general_dilated", out, depthShape, (k, position, [feature, ...tap]) => {
    const spatial = numbers.outSpec.slice(2).map((d) => position[d]);
    const f = position[numbers.outSpec[1]];
    const group = divIndex(k.e, f, conv.features);
    const x = read.image(k, position[numbers.outSpec[0]], group, feature, spatial, phase, tap);
    return elementProduct(k, node, x, read.kernel(k, f, feature, phase, tap));
  });
}

/** Rows of positions shorter than this leave much of a tile empty. */
const shortRow = 64;
/** Images that are worth being neighbours: the widest panel. */
const imageRun = 16;

/**
 * A convolution as products of matrices, one for each phase, with groups as batches; packing reads the windows in the image. Where features are
 * the last dimension of the result, positions are rows and features columns of the product; otherwise features are rows, the
 * dimensions after them columns and those before them batches, so that the product lies like the result. Only where the columns
 * would be too few, or phases interleave, it lies apart. False when it is too small, or not of f32.
 */
function lowerByProduct(scope: Scope, conv: Convolution): boolean {
  const { lhs, rhs, out, numbers, groups, features, inFeatures } = conv;
  if ([lhs, rhs, out].some((v) => scalarInfo(v.dtype).type !== "f32")) return false;
  const dimensions = conv.dimensions(true);
  const phaseShape = dimensions.map((d) => d.phases);
  const phases = product(phaseShape);
  /** How many positions of each dimension of the result a product has: those of one phase. */
  const extents = out.shape.map((n, i) =>
    i === numbers.outSpec[0] ? n : (dimensions[numbers.outSpec.indexOf(i) - 2]?.positions ?? n),
  );
  const featureDim = numbers.outSpec[1];
  const dims = out.shape.map((_, i) => i);
  const others = dims.filter((i) => i !== featureDim);
  const sizes = (list: readonly number[]): number[] => list.map((i) => extents[i]);
  const count = (list: readonly number[]): number => product(sizes(list));
  // An image whose batches are dense in memory, as in gradients of kernels, is packed best as columns.
  const last = featureDim === out.shape.length - 1 && numbers.lhsSpec[0] !== lhs.shape.length - 1;
  const after = dims.slice(featureDim + 1);
  const imageDim = numbers.outSpec[0];
  // Where columns are images more than positions, as in gradients of kernels, packing walks along the images.
  const perImage = count(others.filter((i) => i !== imageDim));
  const few = perImage > 1 && perImage < shortRow;
  const imagesInner = !last && few && conv.images % imageRun === 0 && numbers.lhsSpec[0] !== lhs.shape.length - 1;
  const apart = phases > 1 || imagesInner || (!last && featureDim > 0 && count(after) < shortRow);
  /** The dimensions that are batches, and those along the positions of one product. */
  const lead = last || apart ? [] : dims.slice(0, featureDim);
  const rest = others.filter((i) => !lead.includes(i));
  const along = imagesInner ? [...rest.filter((i) => i !== imageDim), imageDim] : rest;
  const [m, n] = last ? [count(along), features] : [features, count(along)];
  const most = dimensions.map((d) => Math.max(...Array.from({ length: d.phases }, (_, r) => d.taps(r))));
  if (!worthPacking({ m, n, k: inFeatures * product(most) }, scope.lowering.target)) return false;

  const read = conv.readers(scope, dimensions, imagesInner);
  // The order in which the contracted positions run is that of the image's memory as far as possible.
  const featureInner = numbers.lhsSpec[1] === lhs.shape.length - 1;
  const batchShape = [...sizes(lead), groups];
  const atBatch = (e: Exprs, b: Index): { before: Index[]; group: Index } => {
    const parts = unflattenIndex(e, b, batchShape);
    return { before: parts.slice(0, -1), group: parts[parts.length - 1] };
  };
  const interleaved = last && !apart;
  const ofPhase = (phase: readonly number[]): Product => {
    const taps = dimensions.map((d, i) => d.taps(phase[i]));
    const depthShape = featureInner ? [...taps, inFeatures] : [inFeatures, ...taps];
    const atDepth = (e: Exprs, c: Index): { feature: Index; tap: Index[] } => {
      const parts = unflattenIndex(e, c, depthShape);
      return featureInner
        ? { feature: parts[parts.length - 1], tap: parts.slice(0, -1) }
        : { feature: parts[0], tap: parts.slice(1) };
    };
    const image = (k: KernelBuilder, b: Index, at: Index, c: Index): Ex => {
      const { before, group } = atBatch(k.e, b);
      const { feature, tap } = atDepth(k.e, c);
      const position = new Array<Index>(out.shape.length);
      lead.forEach((i, j) => (position[i] = before[j]));
      unflattenIndex(k.e, at, sizes(along)).forEach((x, j) => (position[along[j]] = x));
      const spatial = numbers.outSpec.slice(2).map((i) => position[i]);
      return read.image(k, position[imageDim], group, feature, spatial, phase, tap);
    };
    const kernel = (k: KernelBuilder, b: Index, f: Index, c: Index): Ex => {
      const { group } = atBatch(k.e, b);
      const { feature, tap } = atDepth(k.e, c);
      return read.kernel(k, addIndex(f, scaleIndex(group, features)), feature, phase, tap);
    };
    return {
      name: "conv_general_dilated",
      batch: product(batchShape),
      m,
      n,
      k: product(depthShape),
      depthShape,
      batchStride: interleaved ? features : m * n,
      rowStride: interleaved ? features * groups : n,
      a: { shared: !last && groups === 1, read: last ? image : kernel },
      b: { shared: false, read: last ? kernel : image },
      // With groups, the features of the result belong to both batches and rows or columns.
      groups: apart || groups > 1 ? null : last ? [0, along.length, 1] : [lead.length, 1, along.length],
      linear: apart ? linear : null,
    };
  };
  /** Where the element of the result is in a product that lies apart: [phases, groups, m, n]. */
  const linear = (k: KernelBuilder, position: readonly Index[]): Index => {
    const phase = dimensions.map((d, i) => modIndex(k.e, position[numbers.outSpec[2 + i]], d.phases));
    const q = position.map((x, i) => divIndex(k.e, x, dimensions[numbers.outSpec.indexOf(i) - 2]?.phases ?? 1));
    const group = divIndex(k.e, position[featureDim], features);
    const feature = modIndex(k.e, position[featureDim], features);
    const place = along.map((i) => q[i]);
    return flattenIndex(
      [...phase, group, ...(last ? [...place, feature] : [feature, ...place])],
      [...phaseShape, groups, ...(last ? [...sizes(along), features] : [features, ...sizes(along)])],
    );
  };
  const all = phaseShape.reduce<number[][]>(
    (lists, n) => lists.flatMap((l) => Array.from({ length: n }, (_, r) => [...l, r])),
    [[]],
  );
  if (phases === 1) emitProduct(scope, out, ofPhase(all[0]));
  else emitProducts(scope, out, all.map(ofPhase), linear);
  return true;
}
