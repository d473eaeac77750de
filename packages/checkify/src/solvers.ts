import { bind, evalJaxpr, type Jaxpr, JaxprRewriter, type NDArray, type Primitive, splitList } from "@traceform/core";
import {
  broadcast,
  broadcastInDim,
  customLinearSolveP,
  type CustomLinearSolveParams,
  customRootP,
  type CustomRootParams,
  customVmapCallP,
  type CustomVmapCallParams,
  eq,
  linearCallP,
  type LinearCallParams,
  select,
  stopGradient,
  tangentCallP,
  transposedCallP,
} from "@traceform/lax";
import { checkErrorP, checkP, debugCheckP } from "./check.ts";
import { reordered, stateLast } from "./lists.ts";
import { type CheckRule, type Context, type Outcome, rule } from "./rule.ts";
import type { State } from "./state.ts";

const isCheck: ReadonlySet<unknown> = /* @__PURE__ */ new Set<unknown>([checkP, debugCheckP, checkErrorP]);

/**
 * Jaxprs without the checks that users wrote: those that say what the derivative is, which nobody runs for their values. A solver
 * that calls the function has its checks.
 */
const unchecked: JaxprRewriter = /* @__PURE__ */ new JaxprRewriter((p) => (isCheck.has(p) ? () => [] : undefined));

/** (state, consts, variables) -> (results, state): the state comes back among the auxiliary results, which have no derivatives. */
function checkedSolver(jaxpr: Jaxpr, context: Context): Jaxpr {
  return stateLast(context.checked(jaxpr), context.plan.size);
}
function solved(outs: readonly NDArray[], { plan }: Context): Outcome {
  const n = outs.length - plan.size;
  return [plan.take(outs.slice(n)), outs.slice(0, n)];
}

const linearSolve = (state: State, args: readonly NDArray[], p: CustomLinearSolveParams, context: Context): Outcome => {
  const [map, forward, back, b] = splitList(args, ...p.numConsts);
  const { arrays } = state;
  const { transposeSolve } = p;
  const outs = bind(customLinearSolveP, [...map, ...arrays, ...forward, ...(transposeSolve ? arrays : []), ...back, ...b], {
    ...p,
    matvec: unchecked.rewrite(p.matvec),
    solve: checkedSolver(p.solve, context),
    transposeSolve: transposeSolve && checkedSolver(transposeSolve, context),
    numConsts: [map.length, arrays.length + forward.length, transposeSolve ? arrays.length + back.length : 0],
  });
  return solved(outs, context);
};

const root = (state: State, args: readonly NDArray[], p: CustomRootParams, context: Context): Outcome => {
  const [fn, solve, rest] = splitList(args, p.numConsts[0], p.numConsts[1]);
  const outs = bind(customRootP, [...fn, ...state.arrays, ...solve, ...rest], {
    fn: unchecked.rewrite(p.fn),
    solve: checkedSolver(p.solve, context),
    tangentSolve: unchecked.rewrite(p.tangentSolve),
    numConsts: [fn.length, state.arrays.length + solve.length, p.numConsts[2]],
  });
  return solved(outs, context);
};

/** A state is not linear in anything, so it is computed beside the call. */
const linearCall = (state: State, args: readonly NDArray[], p: LinearCallParams, context: Context): Outcome => {
  const [own, others, operands] = splitList(args, p.counts[0], p.counts[1]);
  const outs = evalJaxpr(context.checked(p.fn), [], [...state.arrays, ...[...own, ...operands].map(stopped)]);
  const results = bind(linearCallP, [...own, ...others, ...operands], {
    ...p,
    fn: unchecked.rewrite(p.fn),
    transposed: unchecked.rewrite(p.transposed),
  });
  return [context.plan.take(outs), results];
};
const stopped = (x: NDArray): NDArray => stopGradient(x);

/** Parts of solvers that mean something only when they are differentiated. */
const derivative =
  <P extends { readonly jaxpr: Jaxpr }>(primitive: Primitive<P>) =>
  (state: State, args: readonly NDArray[], params: P): Outcome => [
    state,
    bind(primitive, args, { ...params, jaxpr: unchecked.rewrite(params.jaxpr) }),
  ];

/**
 * What the batching rule checks, it checks for the batch: each member has the error that it finds, unless it had one before. The state
 * is among the arguments, because under `vmap` each member has its own.
 */
const vmapCall = (state: State, args: readonly NDArray[], p: CustomVmapCallParams, context: Context): Outcome => {
  const { plan } = context;
  const [consts, own] = splitList(args, p.numConsts);
  const outs = bind(customVmapCallP, [...consts, ...state.arrays, ...own], {
    ...p,
    callJaxpr: reordered(context.checked(p.callJaxpr), plan.size, p.numConsts),
    rule: (axisSize, inBatched, xs) => {
      let outBatched: readonly boolean[] = [];
      const batchRule = (...ys: NDArray[]): readonly NDArray[] => {
        const result = p.rule(axisSize, inBatched.slice(plan.size), ys);
        outBatched = result.outBatched;
        return result.outs;
      };
      const members = xs.slice(plan.size);
      const [found, results] = context.run(batchRule, members, members.length, plan.start());
      const each = (x: NDArray): NDArray => broadcast(x, [axisSize]);
      const before = xs.slice(0, plan.size).map((x, i) => (inBatched[i] ? x : each(x)));
      const first = eq(before[0], 0);
      const after = found.arrays.map((x, i) => memberwise(first, each(x), before[i]));
      return { outs: [...after, ...results], outBatched: [...after.map(() => true), ...outBatched] };
    },
  });
  return [plan.take(outs), outs.slice(plan.size)];
};

/** `select` by a predicate along the leading axis. */
function memberwise(pred: NDArray, onTrue: NDArray, onFalse: NDArray): NDArray {
  return select(broadcastInDim(pred, onTrue.shape, [0]), onTrue, onFalse);
}

export const solverRules = (): (readonly [Primitive<never>, CheckRule])[] => [
  rule(customLinearSolveP, linearSolve),
  rule(customRootP, root),
  rule(customVmapCallP, vmapCall),
  rule(linearCallP, linearCall),
  rule(tangentCallP, derivative(tangentCallP)),
  rule(transposedCallP, derivative(transposedCallP)),
];
