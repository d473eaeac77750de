import { bind, type Jaxpr, type NDArray, splitList } from "@traceform/core";
import { customLinearSolveP, customRootP, linearCallP, tangentCallP, transposedCallP } from "@traceform/lax";
import { toFront } from "../internal/axes.ts";
import { type BatchContext, type BatchDim, type BatchedJaxpr, type BatchEntry, entry } from "../rule.ts";

const flags = (n: number, value: boolean): boolean[] => new Array<boolean>(n).fill(value);

/** Constants with the batch, where there is one, as leading axis. */
function constants(xs: readonly NDArray[], dims: readonly BatchDim[], size: number): NDArray[] {
  return xs.map((x, i) => (dims[i] === null ? x : toFront(x, dims[i], size)));
}

/** A function of (consts, variables) whose variables and results are all batched. */
function batchedBody(jaxpr: Jaxpr, dims: readonly BatchDim[], context: BatchContext): BatchedJaxpr {
  const rest = jaxpr.invars.length - dims.length;
  return context.batchJaxpr(jaxpr, [...dims.map((d) => d !== null), ...flags(rest, true)], true);
}

/**
 * Operations with constants of three functions and variables that all are batched together: the equation is solved for all
 * members at once, by the solver on batches.
 */
function batchSolver(
  args: readonly NDArray[],
  dims: readonly BatchDim[],
  numConsts: readonly [number, number, number],
  jaxprs: readonly (Jaxpr | null)[],
  context: BatchContext,
): { jaxprs: (Jaxpr | null)[]; operands: NDArray[]; numConsts: [number, number, number] } {
  const values = splitList(args, ...numConsts);
  const places = splitList(dims, ...numConsts);
  const bodies = jaxprs.map((j, i) => (j === null ? null : batchedBody(j, places[i], context)));
  const consts = bodies.map((b, i) => [...(b?.consts ?? []), ...constants(values[i], places[i], context.axisSize)]);
  return {
    jaxprs: bodies.map((b) => b?.jaxpr ?? null),
    operands: [...consts.flat(), ...values[3].map((x, i) => toFront(x, places[3][i], context.axisSize))],
    numConsts: [consts[0].length, consts[1].length, consts[2].length],
  };
}

export const implicitRules = (): BatchEntry[] => [
  entry(customLinearSolveP, (args, dims, params, context) => {
    const { matvec, solve, transposeSolve } = params;
    const { jaxprs, operands, numConsts } = batchSolver(args, dims, params.numConsts, [matvec, solve, transposeSolve], context);
    const outs = bind(customLinearSolveP, operands, {
      matvec: jaxprs[0]!,
      solve: jaxprs[1]!,
      transposeSolve: jaxprs[2],
      numConsts,
      symmetric: params.symmetric,
    });
    return [outs, outs.map(() => 0)];
  }),
  entry(customRootP, (args, dims, params, context) => {
    const { fn, solve, tangentSolve } = params;
    const { jaxprs, operands, numConsts } = batchSolver(args, dims, params.numConsts, [fn, solve, tangentSolve], context);
    const outs = bind(customRootP, operands, { fn: jaxprs[0]!, solve: jaxprs[1]!, tangentSolve: jaxprs[2]!, numConsts });
    return [outs, outs.map(() => 0)];
  }),
  entry(linearCallP, (args, dims, { fn, transposed, counts }, context) => {
    const [own, others, ...rest] = splitList(args, counts[0], counts[1]);
    const [dOwn, dOthers, ...dRest] = splitList(dims, counts[0], counts[1]);
    const [forward, back] = [batchedBody(fn, dOwn, context), batchedBody(transposed, dOthers, context)];
    const { axisSize } = context;
    const consts = [
      [...forward.consts, ...constants(own, dOwn, axisSize)],
      [...back.consts, ...constants(others, dOthers, axisSize)],
    ];
    const variables = rest.flat().map((x, i) => toFront(x, dRest.flat()[i], axisSize));
    const outs = bind(linearCallP, [...consts.flat(), ...variables], {
      fn: forward.jaxpr,
      transposed: back.jaxpr,
      counts: [consts[0].length, consts[1].length, counts[2]],
    });
    return [outs, outs.map(() => 0)];
  }),
  ...[transposedCallP, tangentCallP].map((primitive) =>
    entry(primitive, (args, dims, { jaxpr, numConsts }, context) => {
      const [consts, variables] = splitList(args, numConsts);
      const [dConsts, dVariables] = splitList(dims, numConsts);
      const body = batchedBody(jaxpr, dConsts, context);
      const operands = [
        ...body.consts,
        ...constants(consts, dConsts, context.axisSize),
        ...variables.map((x, i) => toFront(x, dVariables[i], context.axisSize)),
      ];
      const outs = bind(primitive, operands, { jaxpr: body.jaxpr, numConsts: body.consts.length + numConsts });
      return [outs, outs.map(() => 0)];
    }),
  ),
];
