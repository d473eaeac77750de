import { addIndex, scaleIndex, unflattenIndex } from "./affine.ts";
import {
  emitTransform,
  exchangedSink,
  exchangedSource,
  type Float,
  planesSink,
  planesSource,
  type Sink,
  type Source,
  temporaryPlanes,
  type Transform,
} from "./fft-passes.ts";
import { emitRealForward, emitRealInverse } from "./fft-real.ts";
import type { Node } from "./graph.ts";
import type { Scope } from "./scope.ts";
import { scalarInfo } from "./scalars.ts";

/** fft: transforms along the trailing axes, each by its own passes (see `fft-passes.ts`). Operands and results are planes. */
export function lowerFft(scope: Scope, node: Node): void {
  const [out] = node.outs;
  const kind = String(node.params["fftType"]);
  const lengths = node.params["fftLengths"] as readonly number[];
  const float = scalarInfo(out.dtype).type as Float;
  const inverse = kind === "IFFT" || kind === "IRFFT";
  const scale = inverse ? 1 / lengths.reduce((a, b) => a * b, 1) : 1;
  if (out.size === 0) {
    for (const v of node.outs) scope.target(v);
    return;
  }
  /** The shape between the transforms of the axes. */
  const shape = kind === "IRFFT" ? node.ins[0].shape : out.shape;
  const alongAxis = (axis: number): Step => {
    const t: Transform = { batch: product(shape.slice(0, axis)), n: shape[axis], inner: product(shape.slice(axis + 1)), float };
    const block = t.n * t.inner;
    const emit: Step["emit"] = inverse
      ? (source, sink) => emitTransform(scope, t, exchangedSource(source), exchangedSink(sink))
      : (source, sink) => emitTransform(scope, t, source, sink);
    return { from: block, to: block, emit };
  };
  const last = shape.length - 1;
  const rows: Transform = { batch: product(shape.slice(0, last)), n: lengths[lengths.length - 1], inner: 1, float };
  const axes = lengths.map((_, i) => last - i);
  let steps = axes.map(alongAxis);
  if (kind === "RFFT") {
    const emit: Step["emit"] = (source, sink) => emitRealForward(scope, rows, source, sink);
    steps = [{ from: rows.n, to: shape[last], emit }, ...steps.slice(1)];
  } else if (kind === "IRFFT") {
    const emit: Step["emit"] = (source, sink) => emitRealInverse(scope, rows, source, sink);
    steps = [...steps.slice(1), { from: shape[last], to: rows.n, emit }];
  }

  let source = operandSource(node, steps[0].from);
  steps.forEach(({ to, emit }, i) => {
    if (i === steps.length - 1) return emit(source, resultSink(scope, node, to, scale));
    const between = temporaryPlanes(scope, product(shape), float);
    emit(source, planesSink(between, to));
    source = planesSource(between, steps[i + 1].from);
  });
}

/** The transform of one axis: elements of a transform that it reads and writes in one run, and what emits it. */
interface Step {
  readonly from: number;
  readonly to: number;
  readonly emit: (source: Source, sink: Sink) => void;
}

function product(list: readonly number[]): number {
  return list.reduce((a, b) => a * b, 1);
}

/** Elements of the operand, each `block` of which are one transform's. A real operand has no imaginary part. */
function operandSource(node: Node, block: number): Source {
  const [re, im] = node.ins;
  return (k, batch, at) => {
    const position = unflattenIndex(k.e, addIndex(scaleIndex(batch, block), at), re.shape);
    const x = k.read(re, position, null);
    return { re: x, im: im === undefined ? k.e.constant(x.type, 0) : k.read(im, position, null) };
  };
}

function resultSink(scope: Scope, node: Node, block: number, scale: number): Sink {
  const views = node.outs.map((v) => scope.target(v));
  const [out] = node.outs;
  return (k, batch, at, y) => {
    const position = unflattenIndex(k.e, addIndex(scaleIndex(batch, block), at), out.shape);
    return views.map((view, i) => {
      const part = i === 0 ? y.re : y.im;
      return k.store(out, view, position, scale === 1 ? part : k.e.mul(part, k.e.constant(part.type, scale)));
    });
  };
}
