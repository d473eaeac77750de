import {
  type Aval,
  batchRule,
  bind,
  definePrimitive,
  evalJaxpr,
  type NDArray,
  type Primitive,
  refuseRule,
  TransformError,
} from "@traceform/core";
import { customJvpCallP, type CustomVjpBwd, customVjpCallP } from "@traceform/lax";
import { drop, pick, place } from "../internal/flags.ts";
import { hasTangent } from "../internal/zeros.ts";
import { isLinear, type JvpEntry, jvpEntry, type TransposeEntry, transposeEntry } from "../rule.ts";

interface CustomLinearParams {
  readonly name: string;
  readonly bwd: CustomVjpBwd;
  readonly numResiduals: number;
  /** Which operands of the function have a tangent among the operands. */
  readonly nonzero: readonly boolean[];
  /** The results of the function, tangents or not. */
  readonly outAvals: readonly Aval[];
}

function forwardMode(name: string): TransformError {
  return new TransformError(name, {
    message: "forward-mode differentiation (jvp, jacfwd, linearize) of a customVjp function is not possible",
    fix: "differentiate in reverse (grad, vjp, jacrev), or define the derivative with customJvp, which serves both",
  });
}

/**
 * The tangent of a `custom_vjp_call`: linear in the tangents by assumption, known only through its transpose, `bwd`.
 * Operands: residuals, nonzero tangents. It can be transposed, never evaluated.
 */
export const customLinearP: Primitive<CustomLinearParams> = /* @__PURE__ */ definePrimitive<CustomLinearParams>("custom_lin", {
  hiddenParams: ["bwd", "outAvals", "nonzero", "numResiduals"],
  abstractEval: (_avals, { outAvals }) => outAvals.filter(hasTangent),
  rules: {
    // Vectorising it would mean to evaluate it: gradients inside vmap transpose it before vmap sees it.
    [batchRule]: (_args: unknown, _dims: unknown, { name }: CustomLinearParams): never => {
      throw forwardMode(name);
    },
    [refuseRule]: ({ name }: CustomLinearParams): TransformError => forwardMode(name),
  },
});

export const customJvps = (): JvpEntry[] => [
  jvpEntry(customJvpCallP, (primals, tangents, { jvp }) => jvp(primals, tangents)),
  jvpEntry(customVjpCallP, (primals, tangents, { name, fwd }) => {
    const nonzero = tangents.map((t) => t !== null);
    const { outs, residuals, bwd } = fwd(primals, nonzero);
    const dots = bind(customLinearP, [...residuals, ...(pick(tangents, nonzero) as NDArray[])], {
      name,
      bwd,
      numResiduals: residuals.length,
      nonzero,
      outAvals: outs.map((x) => x.aval),
    });
    return [
      outs,
      place(
        outs.map((x) => hasTangent(x.aval)),
        dots,
      ),
    ];
  }),
  jvpEntry(customLinearP, (_primals, _tangents, { name }) => {
    throw forwardMode(name);
  }),
];

export const customTransposes = (): TransposeEntry[] => [
  transposeEntry(customLinearP, (cts, operands, { bwd, numResiduals, nonzero, outAvals }) => {
    let k = 0;
    const all = outAvals.map((aval) => (hasTangent(aval) ? cts[k++] : null));
    const result = bwd(operands.slice(0, numResiduals) as NDArray[], all);
    return [...new Array<null>(numResiduals).fill(null), ...pick(result, nonzero)];
  }),
  // A linear function that was never differentiated is transposed as what it computes.
  transposeEntry(customJvpCallP, (cts, operands, { callJaxpr }, { transposeJaxpr }) => {
    const linear = operands.map(isLinear);
    const nonzero = cts.map((ct) => ct !== null);
    const { jaxpr, consts, nonzeroOut } = transposeJaxpr(callJaxpr, linear, nonzero);
    const outs = evalJaxpr(jaxpr, [], [...consts, ...(drop(operands, linear) as NDArray[]), ...(pick(cts, nonzero) as NDArray[])]);
    const found = place(nonzeroOut, outs);
    let i = 0;
    return linear.map((l) => (l ? found[i++] : null));
  }),
];
