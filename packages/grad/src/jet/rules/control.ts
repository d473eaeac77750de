import { bind, evalJaxpr, Jaxpr, JaxprMemo, jitP, type NDArray, or, splitList, Var } from "@traceform/core";
import {
  checkpointP,
  condP,
  customJvpCallP,
  customVjpCallP,
  type ScanParams,
  scanP,
  type WhileParams,
  whileP,
} from "@traceform/lax";
import { pick } from "../../internal/flags.ts";
import { instantiate } from "../../internal/zeros.ts";
import { type JetContext, type JetEntry, jetEntry, type JetJaxpr } from "../rule.ts";
import { type Series, value } from "../series.ts";

const moves = (inputs: readonly Series[]): boolean[] => inputs.map((s) => s.some((c, k) => k > 0 && c !== null));

/** The coefficients above zero of the series that are marked, one series after the other. */
function coefficients(inputs: readonly Series[], marked: readonly boolean[]): NDArray[] {
  return pick(inputs, marked).flatMap((s) => s.slice(1).map((c) => instantiate(c, value(s).aval)));
}

/** Series from values, and from the coefficients of those that are marked. */
function assemble(values: readonly NDArray[], rest: readonly NDArray[], marked: readonly boolean[], order: number): Series[] {
  let k = 0;
  return values.map((x, i): Series => [x, ...(marked[i] ? rest.slice(k, (k += order)) : new Array<null>(order).fill(null))]);
}

/** An operation that calls a jaxpr: `call` binds it with another jaxpr and operands. */
function callWith(
  jaxpr: Jaxpr,
  inputs: readonly Series[],
  context: JetContext,
  call: (jaxpr: Jaxpr, args: readonly NDArray[]) => readonly NDArray[],
): Series[] {
  const marked = moves(inputs);
  const { jaxpr: body, consts, movingOut } = context.jetJaxpr(jaxpr, marked);
  const outs = call(body, [...consts, ...inputs.map(value), ...coefficients(inputs, marked)]);
  const n = jaxpr.outvars.length;
  return assemble(outs.slice(0, n), outs.slice(n), movingOut, context.order);
}

/** Which carries move after any number of iterations, from which do at the start. */
function carryFixpoint(start: readonly boolean[], body: (carry: readonly boolean[]) => JetJaxpr): [readonly boolean[], JetJaxpr] {
  for (let carry = start; ;) {
    const jet = body(carry);
    const next = or(carry, jet.movingOut.slice(0, carry.length));
    if (next.every((m, i) => m === carry[i])) return [carry, jet];
    carry = next;
  }
}

const reordered = new JaxprMemo<{ readonly jaxpr: Jaxpr }>();
const count = (flags: readonly boolean[]): number => flags.filter(Boolean).length;

/**
 * The body of a loop on series with its operands grouped as loops want them:
 * (extra, consts, their coefficients, carry, its coefficients, xs, their coefficients) -> likewise.
 */
function loopBody(
  jet: JetJaxpr,
  groups: readonly (readonly boolean[])[],
  numCarry: number,
  movingOut: readonly boolean[],
  order: number,
): Jaxpr {
  const { jaxpr, consts } = jet;
  const key = `${groups.map((g) => g.map(Number).join("")).join()}:${numCarry}:${order}`;
  return reordered.get(jaxpr, key, () => {
    const sizes = groups.map((g) => g.length);
    const [extra, ...parts] = splitList(jaxpr.invars, consts.length, ...sizes, ...groups.map((g) => order * count(g)));
    const n = groups.length;
    const invars = [...extra, ...groups.flatMap((_, i) => [...parts[i], ...parts[n + i]])];
    const carryOut = order * count(movingOut.slice(0, numCarry));
    const [carry, ys, dcarry, dys] = splitList(jaxpr.outvars, numCarry, movingOut.length - numCarry, carryOut);
    return { jaxpr: new Jaxpr([], invars, jaxpr.eqns, [...carry, ...dcarry, ...ys, ...dys], jaxpr.effects) };
  }).jaxpr;
}

function scan(inputs: readonly Series[], p: ScanParams, context: JetContext): Series[] {
  const { order } = context;
  const [consts, init, xs] = splitList(inputs, p.numConsts, p.numCarry);
  const [mConsts, mInit, mXs] = [consts, init, xs].map(moves);
  const numYs = p.jaxpr.outvars.length - p.numCarry;
  const [mCarry, jet] = carryFixpoint(mInit, (carry) =>
    context.jetJaxpr(p.jaxpr, [...mConsts, ...carry, ...mXs], [...carry, ...new Array<boolean>(numYs).fill(false)]),
  );
  const fixed = [...jet.consts, ...consts.map(value), ...coefficients(consts, mConsts)];
  const carry = [...init.map(value), ...coefficients(init, mCarry)];
  const outs = bind(scanP, [...fixed, ...carry, ...xs.map(value), ...coefficients(xs, mXs)], {
    ...p,
    jaxpr: loopBody(jet, [mConsts, mCarry, mXs], p.numCarry, jet.movingOut, order),
    numConsts: fixed.length,
    numCarry: carry.length,
  });
  const [last, dlast, ys, dys] = splitList(outs, p.numCarry, carry.length - p.numCarry, numYs);
  return [...assemble(last, dlast, mCarry, order), ...assemble(ys, dys, jet.movingOut.slice(p.numCarry), order)];
}

function whileLoop(inputs: readonly Series[], p: WhileParams, context: JetContext): Series[] {
  const { order } = context;
  const [condConsts, consts, init] = splitList(inputs, p.condNconsts, p.bodyNconsts);
  const mConsts = moves(consts);
  const [mCarry, jet] = carryFixpoint(moves(init), (carry) => context.jetJaxpr(p.bodyJaxpr, [...mConsts, ...carry], carry));
  const fixed = [...jet.consts, ...consts.map(value), ...coefficients(consts, mConsts)];
  const carry = [...init.map(value), ...coefficients(init, mCarry)];
  // The condition looks at values only.
  const cond = reordered.get(p.condJaxpr, `${order}:${mCarry.map(Number).join("")}`, () => {
    const { invars, eqns, outvars, effects } = p.condJaxpr;
    const unread = pick(invars.slice(p.condNconsts), mCarry).flatMap((v) => Array.from({ length: order }, () => new Var(v.aval)));
    return { jaxpr: new Jaxpr([], [...invars, ...unread], eqns, outvars, effects) };
  }).jaxpr;
  const outs = bind(whileP, [...condConsts.map(value), ...fixed, ...carry], {
    condNconsts: p.condNconsts,
    condJaxpr: cond,
    bodyNconsts: fixed.length,
    bodyJaxpr: loopBody(jet, [mConsts, mCarry], init.length, jet.movingOut, order),
  });
  return assemble(outs.slice(0, init.length), outs.slice(init.length), mCarry, order);
}

export const controlJets = (): JetEntry[] => [
  jetEntry(jitP, (inputs, params, context) =>
    callWith(params.jaxpr, inputs, context, (jaxpr, args) =>
      bind(jitP, args, { ...params, jaxpr, donated: args.map(() => false) }),
    ),
  ),
  jetEntry(checkpointP, (inputs, params, context) =>
    callWith(params.jaxpr, inputs, context, (jaxpr, args) => bind(checkpointP, args, { ...params, jaxpr })),
  ),
  // A rule of first order says nothing about higher ones, so the function itself is expanded, as in JAX.
  jetEntry(customJvpCallP, (inputs, { callJaxpr }, { run }) => run((xs) => evalJaxpr(callJaxpr, [], xs), inputs)),
  jetEntry(customVjpCallP, (inputs, { callJaxpr }, { run }) => run((xs) => evalJaxpr(callJaxpr, [], xs), inputs)),
  jetEntry(scanP, scan),
  jetEntry(whileP, whileLoop),
  jetEntry(condP, ([index, ...operands], { branches }, context) => {
    const { order, jetJaxpr } = context;
    const marked = moves(operands);
    // A result moves when it does in some branch; the others return zeros there.
    const movingOut = branches.map((b) => jetJaxpr(b, marked).movingOut).reduce(or);
    const jets = branches.map((b) => jetJaxpr(b, marked, movingOut));
    const consts = jets.flatMap((j) => j.consts);
    let before = 0;
    const jaxprs = jets.map(({ jaxpr, consts: own }) => {
      const at = before;
      before += own.length;
      const leading = consts.map((c, i) => (i >= at && i < before ? jaxpr.invars[i - at] : new Var(c.aval)));
      return new Jaxpr([], [...leading, ...jaxpr.invars.slice(own.length)], jaxpr.eqns, jaxpr.outvars, jaxpr.effects);
    });
    const args = [value(index), ...consts, ...operands.map(value), ...coefficients(operands, marked)];
    const outs = bind(condP, args, { branches: jaxprs });
    const n = branches[0].outvars.length;
    return assemble(outs.slice(0, n), outs.slice(n), movingOut, order);
  }),
];
