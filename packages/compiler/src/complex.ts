import { BackendError, type Eqn, isComplex, realDType, type StandardDType } from "@traceform/core";
import { BlockBuilder, type TensorType, type Value } from "./graph.ts";
import { complexMath, ComplexMath, type Complex } from "./math/complex.ts";

type Params = Readonly<Record<string, unknown>>;
type Parts = readonly Value[];

/** Primitives that act on each plane alone, with the operands that hold data (the rest are indices). */
const planewise: Readonly<Record<string, (operand: number, count: number) => boolean>> = {
  broadcast_in_dim: () => true,
  reshape: () => true,
  squeeze: () => true,
  transpose: () => true,
  rev: () => true,
  slice: () => true,
  pad: () => true,
  concatenate: () => true,
  reduce_sum: () => true,
  cumsum: () => true,
  reduce_window_sum: () => true,
  neg: () => true,
  add: () => true,
  sub: () => true,
  reduce_precision: () => true,
  select_n: (i) => i > 0,
  dynamic_slice: (i) => i === 0,
  dynamic_update_slice: (i) => i < 2,
  gather: (i) => i === 0,
  scatter: (i) => i !== 1,
  "scatter-add": (i) => i !== 1,
};

/**
 * An equation with complex operands or results as operations on the real and imaginary planes.
 *
 * @throws {BackendError} for primitives that have no such form
 */
export function importComplex(g: BlockBuilder, eqn: Eqn, ins: readonly Parts[]): readonly Parts[] {
  const { name } = eqn.primitive;
  const { params } = eqn;
  const out = eqn.outvars[0].aval;
  const real = realDType(out.dtype) as StandardDType;
  const type: TensorType = { shape: out.shape, dtype: real };
  const data = planewise[name];
  if (data !== undefined) {
    return [
      [0, 1].map((plane) => {
        // What moves elements needs a plane of the operand's rank, of a real operand too.
        const operands = ins.map((p, i) => (data(i, ins.length) ? (p[plane] ?? zeros(g, p[0])) : p[0]));
        return g.add(name, operands, [type], plane === 1 ? imaginaryParams(name, params) : params)[0];
      }),
    ];
  }
  const m = new ComplexMath(g);
  const operand = (i: number): Complex => [part(g, ins[i], 0), part(g, ins[i], 1)];
  switch (name) {
    case "real":
    case "imag":
      return [[part(g, ins[0], name === "real" ? 0 : 1)]];
    case "complex":
      return [[ins[0][0], ins[1][0]].map((v) => m.shaped(v, out.shape))];
    case "conj":
      return [[operand(0)[0], m.neg(operand(0)[1])]];
    case "convert_element_type": {
      const to = params["newDtype"] as StandardDType;
      const dtype = realDType(to) as StandardDType;
      const convert = (v: Value): Value => g.map(name, [v], dtype, { ...params, newDtype: dtype });
      if (to === "bool") return [[g.map("or", ins[0].map(convert), "bool")]];
      return to === dtype
        ? [[convert(ins[0][0])]]
        : [[convert(ins[0][0]), ins[0].length > 1 ? convert(ins[0][1]) : m.zeros(dtype, out.shape)]];
    }
    case "eq":
    case "ne":
      return [
        [
          g.map(
            name === "eq" ? "and" : "or",
            [0, 1].map((k) => g.map(name, [operand(0)[k], operand(1)[k]], "bool")),
            "bool",
          ),
        ],
      ];
    case "is_finite":
      return [
        [
          g.map(
            "and",
            operand(0).map((v) => g.map(name, [v], "bool")),
            "bool",
          ),
        ],
      ];
    case "abs":
      return [[m.abs(operand(0))]];
    case "integer_pow":
      return [m.integerPow(operand(0), Number(params["y"]))];
    case "dot_general":
    case "conv_general_dilated":
      return [bilinear(g, m, name, params, ins, type)];
    case "reduce_prod":
      return [product(g, params, operand(0), type)];
    case "sort":
      return sortParts(g, eqn, ins);
    case "fft": {
      const planes = isComplex(out.dtype) ? [type, type] : [type];
      return [g.add("fft", ins.flat(), planes, params)];
    }
  }
  const rule = complexMath[name];
  if (rule === undefined) {
    throw new BackendError(name, {
      message: `${name} of complex arrays is not supported`,
      fix: "compute with the real and imaginary parts",
    });
  }
  const y = rule(m, operand(0), operand(Math.min(1, ins.length - 1)));
  return [y.map((v) => m.shaped(v, out.shape))];
}

/** A plane of an operand; a real one has the imaginary part zero. */
function part(g: BlockBuilder, parts: Parts, plane: number): Value {
  return parts[plane] ?? g.literal(0, parts[0].dtype);
}

function zeros(g: BlockBuilder, { shape, dtype }: Value): Value {
  return new ComplexMath(g).zeros(dtype, shape);
}

/** What fills the imaginary plane of a gather out of bounds is zero, beside a NaN in the real one. */
function imaginaryParams(name: string, params: Params): Params {
  return name === "gather" ? { ...params, fillValue: 0 } : params;
}

/** (a + ib)(c + id) for products of arrays: four real products, or two where an operand is real. */
function bilinear(
  g: BlockBuilder,
  m: ComplexMath,
  name: string,
  params: Params,
  [x, y]: readonly Parts[],
  type: TensorType,
): Complex {
  const real =
    params["preferredElementType"] === null || params["preferredElementType"] === undefined
      ? params
      : { ...params, preferredElementType: type.dtype };
  const times = (a: Value, b: Value): Value => g.add(name, [a, b], [type], real)[0];
  const re = times(x[0], y[0]);
  if (y.length === 1) return [re, times(x[1], y[0])];
  if (x.length === 1) return [re, times(x[0], y[1])];
  return [m.sub(re, times(x[1], y[1])), m.add(times(x[0], y[1]), times(x[1], y[0]))];
}

/** The product along axes, as a fold of pairs. */
function product(g: BlockBuilder, params: Params, x: Complex, type: TensorType): Parts {
  const b = new BlockBuilder();
  const scalar: TensorType = { shape: [], dtype: type.dtype };
  const [a0, a1, b0, b1] = [0, 1, 2, 3].map(() => b.param(scalar));
  const block = b.finish(new ComplexMath(b).mul([a0, a1], [b0, b1]));
  const inits = [g.literal(1, type.dtype), g.literal(0, type.dtype)];
  return g.add("reduce", [...x, ...inits], [type, type], { dimensions: params["axes"] }, [block]);
}

/** Complex numbers order by their real parts, then by their imaginary parts. */
function sortParts(g: BlockBuilder, eqn: Eqn, ins: readonly Parts[]): readonly Parts[] {
  const keys = ins.slice(0, Number(eqn.params["numKeys"] ?? 1)).flat().length;
  const flat = ins.flat();
  const outs = g.add(
    "sort",
    flat,
    flat.map((v) => ({ shape: v.shape, dtype: v.dtype })),
    { ...eqn.params, numKeys: keys },
  );
  let next = 0;
  return ins.map((p) => p.map(() => outs[next++]));
}
