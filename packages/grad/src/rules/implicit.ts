import { bind, evalJaxpr, invariant, type Jaxpr, type NDArray, splitList, TransformError } from "@traceform/core";
import {
  customLinearSolveP,
  customRootP,
  linearCallP,
  neg,
  tangentCallP,
  type TangentCallParams,
  transposedCallP,
  type TransposedCallParams,
} from "@traceform/lax";
import type { Closed } from "../internal/branches.ts";
import { pick, place } from "../internal/flags.ts";
import { Replacer } from "../internal/replace.ts";
import { transposeThrough } from "../internal/through.ts";
import { addTangents, hasTangent, instantiate } from "../internal/zeros.ts";
import {
  isLinear,
  type JvpContext,
  type JvpEntry,
  jvpEntry,
  type JvpJaxpr,
  type LinearOperand,
  type Tangent,
  type TransposeContext,
  type TransposeEntry,
  transposeEntry,
} from "../rule.ts";

const flags = (n: number, value: boolean): boolean[] => new Array<boolean>(n).fill(value);
const present = (ts: readonly Tangent[]): boolean[] => ts.map((t) => t !== null);

/** The tangents that the results of a jaxpr get from some of its operands. */
function tangentsOf(jaxpr: Jaxpr, primals: readonly NDArray[], tangents: readonly Tangent[], { jvpJaxpr }: JvpContext): Tangent[] {
  const nonzero = present(tangents);
  const { jaxpr: differentiated, consts, nonzeroOut } = jvpJaxpr(jaxpr, nonzero, false);
  const outs = evalJaxpr(differentiated, [], [...consts, ...primals, ...(pick(tangents, nonzero) as NDArray[])]);
  return place(nonzeroOut, outs.slice(jaxpr.outvars.length));
}

/** The derivative of a jaxpr in its operands after the constants: (consts, x, tangents of x) -> (y, tangents of y). */
function derivativeOf({ jaxpr, numConsts }: TangentCallParams, { jvpJaxpr }: JvpContext): JvpJaxpr {
  const n = jaxpr.invars.length - numConsts;
  return jvpJaxpr(jaxpr, [...flags(numConsts, false), ...flags(n, true)], true);
}

/** Gives `tangent_call` its meaning in a solver, now that somebody can differentiate. */
const tangentCalls = new WeakMap<JvpContext, Replacer<TangentCallParams>>();
function withTangentCalls(jaxpr: Jaxpr, context: JvpContext): Closed {
  let replacer = tangentCalls.get(context);
  if (replacer === undefined) {
    replacer = new Replacer(tangentCallP, (args, params) => {
      const { jaxpr: derivative, consts } = derivativeOf(params, context);
      return evalJaxpr(derivative, [], [...consts, ...args]).slice(params.jaxpr.outvars.length);
    });
    tangentCalls.set(context, replacer);
  }
  return replacer.close(jaxpr);
}

/** The same for `transposed_call`, now that somebody transposes. */
const transposedCalls = new WeakMap<TransposeContext, Replacer<TransposedCallParams>>();
function withTransposedCalls(jaxpr: Jaxpr, context: TransposeContext): Closed {
  let replacer = transposedCalls.get(context);
  if (replacer === undefined) {
    replacer = new Replacer(transposedCallP, (args, { jaxpr: linear, numConsts }) => {
      const t = transposed(linear, numConsts, context);
      return evalJaxpr(t.jaxpr, [], [...t.consts, ...args]);
    });
    transposedCalls.set(context, replacer);
  }
  return replacer.close(jaxpr);
}

function transposed(jaxpr: Jaxpr, numConsts: number, context: TransposeContext): { jaxpr: Jaxpr; consts: readonly NDArray[] } {
  const n = jaxpr.invars.length - numConsts;
  const t = transposeThrough(
    jaxpr,
    [...flags(numConsts, false), ...flags(n, true)],
    flags(jaxpr.outvars.length, true),
    context,
    true,
  );
  invariant(t.nonzeroOut.every(Boolean), "an operand of a linear map has no cotangent");
  return t;
}

export const implicitJvps = (): JvpEntry[] => [
  // A x = b, so A dx = db - dA x.
  jvpEntry(customLinearSolveP, (primals, tangents, params, context) => {
    const [map, , , b] = splitList(primals, ...params.numConsts);
    const [dmap, , , db] = splitList(tangents, ...params.numConsts);
    const outs = bind(customLinearSolveP, primals, params);
    const x = outs.slice(0, b.length);
    const moved = tangentsOf(params.matvec, [...map, ...x], [...dmap, ...x.map(() => null)], context);
    const rhs = db.map((t, i) => addTangents(t, moved[i] === null ? null : neg(moved[i])));
    if (!present(rhs).includes(true)) return [outs, outs.map(() => null)];
    const consts = primals.slice(0, primals.length - b.length);
    const dx = bind(customLinearSolveP, [...consts, ...rhs.map((t, i) => instantiate(t, x[i].aval))], params);
    return [outs, outs.map((_, i) => (i < b.length ? dx[i] : null))];
  }),
  // Linear in x as the function says; in the residuals by its ordinary derivative.
  jvpEntry(linearCallP, (primals, tangents, params, context) => {
    const [own, others, res, x] = splitList(primals, ...params.counts);
    const [down, , dres, dx] = splitList(tangents, ...params.counts);
    const outs = bind(linearCallP, primals, params);
    const moved = tangentsOf(params.fn, [...own, ...res, ...x], [...down, ...dres, ...x.map(() => null)], context);
    if (!present(dx).includes(true)) return [outs, moved];
    const dots = bind(linearCallP, [...own, ...others, ...res, ...dx.map((t, i) => instantiate(t, x[i].aval))], params);
    return [outs, dots.map((t, i) => (hasTangent(outs[i].aval) ? addTangents(t, moved[i]) : null))];
  }),
  jvpEntry(transposedCallP, (primals, tangents, params) => {
    const [dconsts, dcts] = splitList(tangents, params.numConsts);
    invariant(!present(dconsts).includes(true), "the constants of a transposed call are differentiated");
    const [consts, cts] = splitList(primals, params.numConsts);
    const dots = bind(transposedCallP, [...consts, ...dcts.map((t, i) => instantiate(t, cts[i].aval))], params);
    return [bind(transposedCallP, primals, params), dots];
  }),
  // f(x) = 0, so f'(x) dx = -df.
  jvpEntry(customRootP, (primals, tangents, params, context) => {
    const [fn, , tangent, guess] = splitList(primals, ...params.numConsts);
    const [dfn] = splitList(tangents, ...params.numConsts);
    const outs = bind(customRootP, primals, params);
    const x = outs.slice(0, guess.length);
    const df = tangentsOf(params.fn, [...fn, ...x], [...dfn, ...x.map(() => null)], context);
    if (!present(df).includes(true)) return [outs, outs.map(() => null)];
    const solver = withTangentCalls(params.tangentSolve, context);
    const dx = evalJaxpr(solver.jaxpr, [], [...solver.consts, ...tangent, ...x, ...df.map((t, i) => instantiate(t, x[i].aval))]);
    return [outs, outs.map((y, i) => (i < x.length && hasTangent(y.aval) ? neg(dx[i]) : null))];
  }),
  jvpEntry(tangentCallP, (primals, tangents, params, context) => {
    const { jaxpr, consts } = derivativeOf(params, context);
    const n = params.jaxpr.outvars.length;
    const dots = tangentsOf(jaxpr, [...consts, ...primals], [...consts.map(() => null), ...tangents], context);
    return [bind(tangentCallP, primals, params), dots.slice(n)];
  }),
];

/** @throws {TransformError} when one of the operands depends on what is transposed */
function refuseLinear(operands: readonly (NDArray | LinearOperand)[], why: string): void {
  if (!operands.some(isLinear)) return;
  throw new TransformError("transpose", {
    message: `the function is not linear: ${why}`,
    fix: "transpose linear functions only; differentiate others with vjp",
  });
}

export const implicitTransposes = (): TransposeEntry[] => [
  // x = A⁻¹ b, so the cotangent of b is A⁻ᵀ applied to that of x: another solve.
  transposeEntry(customLinearSolveP, (cts, operands, params, context) => {
    const { matvec, solve, transposeSolve, numConsts, symmetric } = params;
    if (transposeSolve === null) {
      throw new TransformError("customLinearSolve", {
        message: "reverse-mode differentiation needs the solution of the transposed equation",
        fix: "pass { transposeSolve: (vecmat, c) => y } with vecmat(y) = c, or { symmetric: true } for a symmetric map",
      });
    }
    const known = operands.slice(0, numConsts[0] + numConsts[1] + numConsts[2]);
    refuseLinear(known, "customLinearSolve is linear in b, but not in what its functions close over");
    const [map, forward, backward] = splitList(known as NDArray[], numConsts[0], numConsts[1]);
    const b = operands.slice(known.length);
    const t = symmetric ? { jaxpr: matvec, consts: [] } : transposed(matvec, map.length, context);
    const rhs = b.map((x, i) => instantiate(cts[i], x.aval));
    const back = withTransposedCalls(transposeSolve, context);
    const y = bind(customLinearSolveP, [...t.consts, ...map, ...back.consts, ...backward, ...forward, ...rhs], {
      matvec: t.jaxpr,
      solve: back.jaxpr,
      transposeSolve: solve,
      numConsts: [t.consts.length + map.length, back.consts.length + backward.length, forward.length],
      symmetric,
    });
    return operands.map((x, i) => (isLinear(x) ? y[i - (operands.length - b.length)] : null));
  }),
  transposeEntry(linearCallP, (cts, operands, { fn, transposed: back, counts }) => {
    const known = operands.slice(0, counts[0] + counts[1] + counts[2]);
    refuseLinear(known, "linearCall is linear in x, but not in its residuals and what its functions close over");
    const [own, others, res] = splitList(known as NDArray[], counts[0], counts[1]);
    const y = fn.outvars.map((v, i) => instantiate(cts[i], v.aval));
    const outs = bind(linearCallP, [...others, ...own, ...res, ...y], {
      fn: back,
      transposed: fn,
      counts: [counts[1], counts[0], counts[2]],
    });
    return operands.map((v, i) => (isLinear(v) ? outs[i - known.length] : null));
  }),
  transposeEntry(transposedCallP, (cts, operands, { jaxpr, numConsts }) => {
    const consts = operands.slice(0, numConsts) as NDArray[];
    const x = jaxpr.invars.slice(numConsts).map((v, i) => instantiate(cts[i], v.aval));
    return [...consts.map(() => null), ...evalJaxpr(jaxpr, [], [...consts, ...x])];
  }),
  transposeEntry(tangentCallP, (cts, operands, params, context) => {
    const { jaxpr, consts } = derivativeOf(params, context);
    const n = params.jaxpr.outvars.length;
    const linear = [...consts.map(() => false), ...operands.map(isLinear)];
    const nonzero = [...flags(n, false), ...present(cts)];
    const t = transposeThrough(jaxpr, linear, nonzero, context);
    const known = operands.filter((x) => !isLinear(x)) as NDArray[];
    const outs = evalJaxpr(t.jaxpr, [], [...t.consts, ...consts, ...known, ...cts.filter((ct) => ct !== null)]);
    const found = place(t.nonzeroOut, outs);
    let k = 0;
    return operands.map((x) => (isLinear(x) ? found[k++] : null));
  }),
];
