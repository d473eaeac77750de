import {
  bind,
  constvarsToInvars,
  evalJaxpr,
  isInexact,
  Jaxpr,
  jitP,
  type NDArray,
  or,
  splitList,
  traceToJaxpr,
  TransformError,
  Var,
} from "@traceform/core";
import {
  broadcastInDim,
  checkpointP,
  clamp,
  type CondParams,
  condP,
  eq,
  reduceOr,
  refuseDivergence,
  type ScanParams,
  scanP,
  selectNP,
  stopGradient,
  type WhileParams,
  whileP,
} from "@traceform/lax";
import { moveAxis, toFront } from "../internal/axes.ts";
import { type BatchContext, type BatchDim, type BatchedJaxpr, type BatchEntry, entry } from "../rule.ts";

type Result = readonly [NDArray[], BatchDim[]];

/** Operands with the batch, where there is one, as leading axis. */
function inFront(args: readonly NDArray[], dims: readonly BatchDim[]): NDArray[] {
  return args.map((x, i) => (dims[i] === null ? x : moveAxis(x, dims[i], 0)));
}
const isBatched = (dims: readonly BatchDim[]): boolean[] => dims.map((d) => d !== null);
const outDims = (batched: readonly boolean[]): BatchDim[] => batched.map((b) => (b ? 0 : null));

/** Whether running a jaxpr more often, or for members that would not, is wrong: effects for debugging only show that it happens. */
function mustNotRepeat({ effects }: Jaxpr): boolean {
  return [...effects].some((e) => e.mayRepeat !== true);
}

function scan(args: readonly NDArray[], dims: readonly BatchDim[], p: ScanParams, context: BatchContext): Result {
  const [bConsts, bInit, bXs] = splitList(isBatched(dims), p.numConsts, p.numCarry);
  const numYs = p.jaxpr.outvars.length - p.numCarry;
  let carry: readonly boolean[] = bInit;
  let body: BatchedJaxpr;
  for (;;) {
    body = context.batchJaxpr(p.jaxpr, [...bConsts, ...carry, ...bXs], [...carry, ...new Array<boolean>(numYs).fill(false)]);
    const next = or(carry, body.batchedOut.slice(0, p.numCarry));
    if (next.every((x, i) => x === carry[i])) break;
    carry = next;
  }
  const [consts, init, xs] = splitList(args, p.numConsts, p.numCarry);
  const [dConsts, dInit, dXs] = splitList(dims, p.numConsts, p.numCarry);
  const operands = [
    ...body.consts,
    ...inFront(consts, dConsts),
    ...init.map((x, i) => (carry[i] ? toFront(x, dInit[i], context.axisSize) : x)),
    // The loop runs over the leading axis, so the batch comes second.
    ...xs.map((x, i) => (dXs[i] === null ? x : moveAxis(x, dXs[i], 1))),
  ];
  const outs = bind(scanP, operands, { ...p, jaxpr: body.jaxpr, numConsts: body.consts.length + p.numConsts });
  return [outs, body.batchedOut.map((b, i) => (!b ? null : i < p.numCarry ? 0 : 1))];
}

function whileLoop(args: readonly NDArray[], dims: readonly BatchDim[], p: WhileParams, context: BatchContext): Result {
  const [condConsts, bodyConsts, init] = splitList(args, p.condNconsts, p.bodyNconsts);
  const [dCond, dBody, dInit] = splitList(dims, p.condNconsts, p.bodyNconsts);
  const bCond = isBatched(dCond);
  const bBody = isBatched(dBody);
  let carry: readonly boolean[] = isBatched(dInit);
  let body = context.batchJaxpr(p.bodyJaxpr, [...bBody, ...carry], carry);
  for (;;) {
    const next = or(carry, body.batchedOut);
    if (next.every((x, i) => x === carry[i])) break;
    carry = next;
    body = context.batchJaxpr(p.bodyJaxpr, [...bBody, ...carry], carry);
  }
  let cond = context.batchJaxpr(p.condJaxpr, [...bCond, ...carry]);
  const cc = inFront(condConsts, dCond);
  const bc = inFront(bodyConsts, dBody);
  const start = (): NDArray[] => init.map((x, i) => (carry[i] ? toFront(x, dInit[i], context.axisSize) : x));
  if (!cond.batchedOut[0]) {
    const outs = bind(whileP, [...cond.consts, ...cc, ...body.consts, ...bc, ...start()], {
      condNconsts: cond.consts.length + cc.length,
      condJaxpr: cond.jaxpr,
      bodyNconsts: body.consts.length + bc.length,
      bodyJaxpr: body.jaxpr,
    });
    return [outs, outDims(carry)];
  }
  if (context.isMesh) refuseDivergence("whileLoop", [context.axisName!], [p.condJaxpr, p.bodyJaxpr]);
  if ([p.bodyJaxpr, p.condJaxpr].some(mustNotRepeat)) {
    throw new TransformError("vmap", {
      message: "a loop whose members finish at different times goes on for those that have finished, but it has effects",
      fix: "move the effect out of the loop, or make the condition the same for the whole batch",
    });
  }
  // Members finish at different times: go on while any does, and freeze those that have finished.
  carry = init.map(() => true);
  cond = context.batchJaxpr(p.condJaxpr, [...bCond, ...carry]);
  body = context.batchJaxpr(p.bodyJaxpr, [...bBody, ...carry], true);
  const carryAvals = body.jaxpr.outAvals;
  const condOperands = [...cond.consts, ...cc];
  const bodyOperands = [...body.consts, ...bc];
  const condAvals = condOperands.map((x) => x.aval);
  const any = traceToJaxpr(
    (...xs) => [reduceOr(evalJaxpr(cond.jaxpr, [], xs)[0])],
    [...condAvals, ...carryAvals],
    "while condition",
  );
  const step = traceToJaxpr(
    (...xs) => {
      const [c, b, old] = splitList(xs, condOperands.length, bodyOperands.length);
      const [running] = evalJaxpr(cond.jaxpr, [], [...c, ...old]);
      const next = evalJaxpr(body.jaxpr, [], [...b, ...old]);
      return next.map((x, i) => bind(selectNP, [broadcastInDim(running, x.shape, [0]), old[i], x], {})[0]);
    },
    [...condAvals, ...bodyOperands.map((x) => x.aval), ...carryAvals],
    "while body",
  );
  const outs = bind(whileP, [...condOperands, ...condOperands, ...bodyOperands, ...start()], {
    condNconsts: condOperands.length,
    condJaxpr: constvarsToInvars(any.jaxpr),
    bodyNconsts: condOperands.length + bodyOperands.length,
    bodyJaxpr: constvarsToInvars(step.jaxpr),
  });
  return [outs, outDims(carry)];
}

/** Members of `x` where `taken`, of `y` elsewhere. */
function select(taken: NDArray, x: NDArray, y: NDArray): NDArray {
  return bind(selectNP, [broadcastInDim(taken, x.shape, [0]), y, x], {})[0];
}

function cond(args: readonly NDArray[], dims: readonly BatchDim[], { branches }: CondParams, context: BatchContext): Result {
  const [dIndex, ...dOperands] = dims;
  const [index, ...rest] = args;
  const operands = inFront(rest, dOperands);
  const batched = isBatched(dOperands);
  if (dIndex !== null) {
    if (context.isMesh) refuseDivergence("cond", [context.axisName!], branches);
    if (branches.some(mustNotRepeat)) {
      throw new TransformError("vmap", {
        message: "a cond whose predicate differs between members runs all branches, but one of them has effects",
        fix: "move the effect out of the branches, or make the predicate the same for the whole batch",
      });
    }
    const which = clamp(0, index, branches.length - 1);
    // No derivative enters a branch by members that do not take it: it may be infinite there, and 0 times that is NaN.
    const full = rest.map((x, i) => (isInexact(x.dtype) ? toFront(x, dOperands[i], context.axisSize) : operands[i]));
    const fullBatched = batched.map((b, i) => b || isInexact(rest[i].dtype));
    const results = branches.map((b, k) => {
      const taken = eq(which, k);
      const own = full.map((x) => (isInexact(x.dtype) ? select(taken, x, stopGradient(x)) : x));
      const { jaxpr, consts } = context.batchJaxpr(b, fullBatched, true);
      return evalJaxpr(jaxpr, [], [...consts, ...own]);
    });
    const outs = results[0].map((x, k) => {
      if (branches.length === 1) return x;
      return bind(selectNP, [broadcastInDim(which, x.shape, [0]), ...results.map((r) => r[k])], {})[0];
    });
    return [outs, outs.map(() => 0)];
  }
  const batchedOut = branches.map((b) => context.batchJaxpr(b, batched).batchedOut).reduce(or);
  const all = branches.map((b) => context.batchJaxpr(b, batched, batchedOut));
  const consts = all.flatMap((b) => b.consts);
  let before = 0;
  const jaxprs = all.map(({ jaxpr, consts: own }) => {
    const at = before;
    before += own.length;
    const leading = consts.map((c, i) => (i >= at && i < at + own.length ? jaxpr.invars[i - at] : new Var(c.aval)));
    return new Jaxpr([], [...leading, ...jaxpr.invars.slice(own.length)], jaxpr.eqns, jaxpr.outvars, jaxpr.effects);
  });
  const outs = bind(condP, [index, ...consts, ...operands], { branches: consts.length === 0 ? all.map((b) => b.jaxpr) : jaxprs });
  return [outs, outDims(batchedOut)];
}

export const controlRules = (): BatchEntry[] => [
  entry(jitP, (args, dims, params, context) => {
    const { jaxpr, consts, batchedOut } = context.batchJaxpr(params.jaxpr, isBatched(dims));
    const operands = [...consts, ...inFront(args, dims)];
    return [bind(jitP, operands, { ...params, jaxpr, donated: operands.map(() => false) }), outDims(batchedOut)];
  }),
  entry(checkpointP, (args, dims, params, context) => {
    const { jaxpr, consts, batchedOut } = context.batchJaxpr(params.jaxpr, isBatched(dims));
    return [bind(checkpointP, [...consts, ...inFront(args, dims)], { ...params, jaxpr }), outDims(batchedOut)];
  }),
  entry(scanP, scan),
  entry(whileP, whileLoop),
  entry(condP, cond),
];
