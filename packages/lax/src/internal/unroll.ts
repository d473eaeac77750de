import { constvarsToInvars, evalJaxpr, makeAval, type NDArray, traceToJaxpr } from "@traceform/core";
import type { ScanParams } from "../loops.ts";
import { concatenate, reshape } from "../shape.ts";
import { sliceInDim } from "../slice.ts";

/** What a number of iterations give: the carry, and for each y its values in the order of the elements of xs. */
interface Steps {
  readonly carry: readonly NDArray[];
  readonly ys: readonly (readonly NDArray[])[];
}

/** `count` iterations one after the other, over the elements `0` to `count - 1` of xs. */
function iterate(
  p: ScanParams,
  consts: readonly NDArray[],
  init: readonly NDArray[],
  xs: readonly NDArray[],
  count: number,
): Steps {
  let carry = init;
  const ys: NDArray[][] = new Array(count);
  for (let k = 0; k < count; k++) {
    const i = p.reverse ? count - 1 - k : k;
    const element = xs.map((x) => reshape(sliceInDim(x, i, i + 1), x.shape.slice(1)));
    const outs = evalJaxpr(p.jaxpr, [], [...consts, ...carry, ...element]);
    carry = outs.slice(0, p.numCarry);
    ys[i] = outs.slice(p.numCarry);
  }
  return { carry, ys: p.jaxpr.outvars.slice(p.numCarry).map((_, j) => ys.map((y) => y[j])) };
}

function stacked(elements: readonly NDArray[]): NDArray {
  const rows = elements.map((x) => reshape(x, [1, ...x.shape]));
  return rows.length === 1 ? rows[0] : concatenate(rows, 0);
}

/**
 * A scan whose iterations do the work of `unroll` ones, and what is left over by itself: at the end of xs, or, in reverse, at
 * their beginning, so that it is always done last.
 */
export function unrolled(
  operands: readonly NDArray[],
  p: ScanParams,
  scan: (operands: readonly NDArray[], params: ScanParams) => NDArray[],
): NDArray[] {
  const consts = operands.slice(0, p.numConsts);
  const init = operands.slice(p.numConsts, p.numConsts + p.numCarry);
  const xs = operands.slice(p.numConsts + p.numCarry);
  const width = Math.min(p.unroll, p.length);
  const rounds = Math.floor(p.length / width);
  if (rounds === 1 && width === p.length) {
    const { carry, ys } = iterate(p, consts, init, xs, p.length);
    return [...carry, ...ys.map(stacked)];
  }
  const inRounds = rounds * width;
  const rest = p.length - inRounds;
  const [from, restFrom] = p.reverse ? [rest, 0] : [0, inRounds];
  const groups = xs.map((x) => reshape(sliceInDim(x, from, from + inRounds), [rounds, width, ...x.shape.slice(1)]));
  const bodyAvals = [
    ...p.jaxpr.inAvals.slice(0, p.numConsts + p.numCarry),
    ...groups.map((x) => makeAval(x.shape.slice(1), x.dtype, { weakType: x.aval.weakType, varying: x.aval.varying })),
  ];
  const body = traceToJaxpr(
    (...args) => {
      const own = args.slice(p.numConsts);
      const { carry, ys } = iterate(p, args.slice(0, p.numConsts), own.slice(0, p.numCarry), own.slice(p.numCarry), width);
      return [...carry, ...ys.map(stacked)];
    },
    bodyAvals,
    "scan",
  );
  const outs = scan([...consts, ...init, ...groups], {
    ...p,
    jaxpr: constvarsToInvars(body.jaxpr),
    length: rounds,
    unroll: 1,
  });
  const ys = outs.slice(p.numCarry).map((y) => reshape(y, [inRounds, ...y.shape.slice(2)]));
  if (rest === 0) return [...outs.slice(0, p.numCarry), ...ys];
  const last = iterate(
    p,
    consts,
    outs.slice(0, p.numCarry),
    xs.map((x) => sliceInDim(x, restFrom, restFrom + rest)),
    rest,
  );
  return [
    ...last.carry,
    ...ys.map((y, j) => {
      const remaining = stacked(last.ys[j]);
      return concatenate(p.reverse ? [remaining, y] : [y, remaining], 0);
    }),
  ];
}
