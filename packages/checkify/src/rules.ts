import {
  bind,
  type Eqn,
  evalJaxpr,
  innerJaxprs,
  isComplex,
  isFloat,
  Jaxpr,
  JaxprMemo,
  jitP,
  type JitParams,
  type LowerRule,
  lowerRule,
  makeAval,
  type NDArray,
  type Primitive,
  splitList,
  traceToJaxpr,
  treeUnflatten,
  Var,
} from "@traceform/core";
import {
  checkpointP,
  type CheckpointParams,
  type CondParams,
  condP,
  type CustomJvpCallParams,
  customJvpCallP,
  type CustomVjpBwd,
  type CustomVjpCallParams,
  customVjpCallP,
  divP,
  eq,
  ne,
  reduceOr,
  type ScanParams,
  scanP,
  type WhileParams,
  whileP,
} from "@traceform/lax";
import { type CheckErrorParams, checkErrorP, type CheckParams, checkP, debugCheckP, siteOfCheck } from "./check.ts";
import { type CheckSite, Error as CheckError, type ErrorCategory, internSite, slotFor } from "./error.ts";
import { indexChecks, indexSlot } from "./indices.ts";
import { present, reordered, restore, withCarries } from "./lists.ts";
import { type CheckRule, type Context, type Outcome, rule, slotValues, split } from "./rule.ts";
import { solverRules } from "./solvers.ts";
import type { Plan, State } from "./state.ts";

const userCheck =
  (primitive: Primitive<CheckParams>) =>
  (state: State, args: readonly NDArray[], params: CheckParams, { plan }: Context, eqn: Eqn): Outcome => {
    if (!plan.errors.has("user")) return [state, bind(primitive, args, params)];
    const [pred, ...payload] = args;
    const site = siteOfCheck(params, payload, eqn.source?.frame ?? null);
    return [state.after(ne(pred, true), site.code, slotValues(site, payload)), []];
  };

/** The calls that hold one jaxpr with the operands and results of the equation. */
const call =
  <P extends object>(primitive: Primitive<P>, name: keyof P & string, more: (params: P, plan: Plan) => Partial<P> = () => ({})) =>
  (state: State, args: readonly NDArray[], params: P, context: Context): Outcome => {
    const jaxpr = context.checked(params[name] as Jaxpr);
    return split(bind(primitive, [...state.arrays, ...args], { ...params, [name]: jaxpr, ...more(params, context.plan) }), context);
  };

/** A condition that can fail is computed with the body, so that the loop carries what it finds, and its result. */
const whileLoop = (state: State, args: readonly NDArray[], p: WhileParams, context: Context): Outcome => {
  const n = context.plan.size;
  const [condConsts, bodyConsts, init] = splitList(args, p.condNconsts, p.bodyNconsts);
  const body = context.checked(p.bodyJaxpr);
  if (!needsChecks(p.condJaxpr, context.plan.errors)) {
    const outs = bind(whileP, [...condConsts, ...bodyConsts, ...state.arrays, ...init], {
      ...p,
      condJaxpr: withCarries(p.condJaxpr, p.condNconsts, context.plan.avals),
      bodyJaxpr: reordered(body, n, p.bodyNconsts),
    });
    return split(outs, context);
  }
  const cond = context.checked(p.condJaxpr);
  const first = evalJaxpr(cond, [], [...state.arrays, ...condConsts, ...init]);
  const carry = [...first.slice(0, n), ...init, first[n]];
  const vars = carry.map((x) => new Var(x.aval));
  const outs = bind(whileP, [...condConsts, ...bodyConsts, ...carry], {
    condNconsts: 0,
    condJaxpr: new Jaxpr([], vars, [], [vars[vars.length - 1]]),
    bodyNconsts: condConsts.length + bodyConsts.length,
    bodyJaxpr: bodyWithTest(body, cond, n, p),
  });
  return split(outs.slice(0, -1), context);
};

const bodiesWithTest = new WeakMap<Jaxpr, WeakMap<Jaxpr, Jaxpr>>();

/** (condConsts, bodyConsts, state, carry, pred) -> (state, carry, pred) from checked jaxprs. */
function bodyWithTest(body: Jaxpr, cond: Jaxpr, n: number, p: WhileParams): Jaxpr {
  let byCond = bodiesWithTest.get(body);
  if (byCond === undefined) bodiesWithTest.set(body, (byCond = new WeakMap()));
  let found = byCond.get(cond);
  if (found === undefined) {
    const [state, consts, carry] = splitList(body.inAvals, n, p.bodyNconsts);
    const condConsts = cond.inAvals.slice(n, n + p.condNconsts);
    const traced = traceToJaxpr(
      (...xs) => {
        const [cc, bc, s, c] = splitList(xs, condConsts.length, consts.length, n, carry.length);
        const outs = evalJaxpr(body, [], [...s, ...bc, ...c]);
        const next = outs.slice(n);
        const tested = evalJaxpr(cond, [], [...outs.slice(0, n), ...cc, ...next]);
        return [...tested.slice(0, n), ...next, tested[n]];
      },
      [...condConsts, ...consts, ...state, ...carry, cond.outAvals[n]],
      "checkify",
    );
    byCond.set(cond, (found = traced.jaxpr));
  }
  return found;
}

const scan = (state: State, args: readonly NDArray[], p: ScanParams, context: Context): Outcome => {
  const n = context.plan.size;
  const jaxpr = reordered(context.checked(p.jaxpr), n, p.numConsts);
  const outs = bind(scanP, [...args.slice(0, p.numConsts), ...state.arrays, ...args.slice(p.numConsts)], {
    ...p,
    jaxpr,
    numCarry: n + p.numCarry,
  });
  return split(outs, context);
};

const cond = (state: State, [index, ...args]: readonly NDArray[], p: CondParams, context: Context): Outcome =>
  split(bind(condP, [index, ...state.arrays, ...args], { branches: p.branches.map((b) => context.checked(b)) }), context);

/** When the function is differentiated, its rule runs instead of it, with the checks that are in that. The state has no tangents. */
const customJvp = (state: State, args: readonly NDArray[], p: CustomJvpCallParams, context: Context): Outcome => {
  const n = context.plan.size;
  const callJaxpr = context.checked(p.callJaxpr);
  const noTangents = new Array<null>(n).fill(null);
  const outs = bind(customJvpCallP, [...state.arrays, ...args], {
    ...p,
    callJaxpr,
    jvp: (primals, tangents) => {
      const own = primals.slice(n);
      const dots = tangents.slice(n);
      let count = 0;
      let outDots: readonly (NDArray | null)[] = [];
      const rule = (...xs: NDArray[]): NDArray[] => {
        const result = p.jvp(xs.slice(0, own.length), restore(dots, xs.slice(own.length)));
        count = result[0].length;
        outDots = result[1];
        return [...result[0], ...present(outDots)];
      };
      const [after, outs] = context.run(rule, [...own, ...present(dots)], own.length, context.plan.take(primals));
      return [
        [...after.arrays, ...outs.slice(0, count)],
        [...noTangents, ...restore(outDots, outs.slice(count))],
      ];
    },
  });
  return split(outs, context);
};

const customVjp = (state: State, args: readonly NDArray[], p: CustomVjpCallParams, context: Context): Outcome => {
  const n = context.plan.size;
  const callJaxpr = context.checked(p.callJaxpr);
  const outs = bind(customVjpCallP, [...state.arrays, ...args], {
    ...p,
    callJaxpr,
    fwd: (operands, perturbed) => {
      const own = operands.slice(n);
      let count = 0;
      let backward: CustomVjpBwd | null = null;
      const rule = (...xs: NDArray[]): NDArray[] => {
        const { outs: results, residuals, bwd } = p.fwd(xs, perturbed.slice(n));
        count = results.length;
        backward = bwd;
        return [...results, ...residuals];
      };
      const [after, results] = context.run(rule, own, own.length, context.plan.take(operands));
      return {
        outs: [...after.arrays, ...results.slice(0, count)],
        residuals: results.slice(count),
        bwd: (residuals, cts) => [...new Array<null>(n).fill(null), ...backward!(residuals, cts.slice(n))],
      };
    },
  });
  return split(outs, context);
};

/** Equations that hold jaxprs. They are left as they are when nothing inside can fail. */
const holders: ReadonlyMap<Primitive<never>, CheckRule> = /* @__PURE__ */ new Map([
  /* @__PURE__ */ rule(
    jitP,
    /* @__PURE__ */ call<JitParams>(jitP, "jaxpr", ({ donated }, plan) => ({
      donated: [...new Array<boolean>(plan.size).fill(false), ...donated],
    })),
  ),
  /* @__PURE__ */ rule(checkpointP, /* @__PURE__ */ call<CheckpointParams>(checkpointP, "jaxpr")),
  /* @__PURE__ */ rule(condP, cond),
  /* @__PURE__ */ rule(scanP, scan),
  /* @__PURE__ */ rule(whileP, whileLoop),
  /* @__PURE__ */ rule(customJvpCallP, customJvp),
  /* @__PURE__ */ rule(customVjpCallP, customVjp),
  .../* @__PURE__ */ solverRules(),
]);

/** A library author's primitive that holds jaxprs is what its rule computes, where something in them can fail. */
const lowered: CheckRule = (state, args, { primitive, params }, { run }) =>
  run((...xs) => (primitive.rules[lowerRule] as LowerRule)(xs, params), args, args.length, state);

function ruleOf({ primitive, params }: Eqn): CheckRule | undefined {
  const found = holders.get(primitive);
  if (found !== undefined || typeof primitive.rules[lowerRule] !== "function") return found;
  return innerJaxprs(params).length > 0 ? lowered : undefined;
}

/** The checks that users write. */
const written: ReadonlyMap<Primitive<never>, CheckRule> = /* @__PURE__ */ new Map([
  /* @__PURE__ */ rule(checkP, /* @__PURE__ */ userCheck(checkP)),
  /* @__PURE__ */ rule(debugCheckP, /* @__PURE__ */ userCheck(debugCheckP)),
  /* @__PURE__ */ rule<CheckErrorParams>(checkErrorP, (state, args, params, { plan }) => {
    if (!plan.errors.has("user")) return [state, bind(checkErrorP, args, params)];
    const { failure, payload } = treeUnflatten(params.tree, args) as CheckError;
    return [state.after(ne(failure, 0), failure, payload), []];
  }),
]);

/** Operations that move values or describe them: a NaN in their result was one before. */
const moving: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "broadcast_in_dim",
  "bitcast_convert_type",
  "concatenate",
  "convert_element_type",
  "copy",
  "dynamic_slice",
  "dynamic_update_slice",
  "gather",
  "iota",
  "name",
  "optimization_barrier",
  "pad",
  "random_wrap",
  "random_unwrap",
  "reshape",
  "rev",
  "scatter",
  "select_n",
  "slice",
  "squeeze",
  "stop_gradient",
  "transpose",
]);

function builtIn(category: ErrorCategory, text: string, at: string | null): CheckSite {
  return internSite(JSON.stringify([category, text, at]), (code) => ({ code, category, at, slot: null, describe: () => text }));
}

const none: ReadonlyMap<string, readonly NDArray[]> = /* @__PURE__ */ new Map();

function any(flags: NDArray): NDArray {
  return flags.ndim === 0 ? flags : reduceOr(flags);
}

/** An equation with the checks that the plan asks for. */
export function checkEqn(state: State, args: readonly NDArray[], eqn: Eqn, context: Context): Outcome {
  const { errors } = context.plan;
  const { primitive, params } = eqn;
  const at = eqn.source?.frame ?? null;
  const special = written.get(primitive) ?? (holdsChecks(eqn, errors) ? ruleOf(eqn) : undefined);
  if (special !== undefined) return special(state, args, eqn, context);
  let next = state;
  if (errors.has("index")) {
    for (const { failed, site, values } of indexChecks(eqn, args)) next = next.after(failed, site.code, slotValues(site, values));
  }
  if (errors.has("div") && (primitive as unknown) === divP) {
    next = next.after(any(eq(args[1], 0)), builtIn("div", "division by zero", at).code, none);
  }
  const outs = bind(primitive, args, params as never);
  if (errors.has("nan") && !moving.has(primitive.name) && ruleOf(eqn) === undefined) {
    for (const x of outs) {
      if (typeof x.dtype !== "string" || !(isFloat(x.dtype) || isComplex(x.dtype)) || x.size === 0) continue;
      next = next.after(any(ne(x, x)), builtIn("nan", `nan generated by primitive: ${primitive.name}.`, at).code, none);
    }
  }
  return [next, outs];
}

const needs = new JaxprMemo<boolean>();

/** Whether anything in a jaxpr can fail. */
function needsChecks(jaxpr: Jaxpr, errors: ReadonlySet<ErrorCategory>): boolean {
  return needs.get(jaxpr, [...errors].sort().join(), () =>
    jaxpr.eqns.some((eqn) => {
      if (written.has(eqn.primitive)) return errors.has("user");
      if (holdsChecks(eqn, errors)) return true;
      if (errors.has("index") && indexSlot(eqn) !== null) return true;
      return errors.has("nan") || (errors.has("div") && (eqn.primitive as unknown) === divP);
    }),
  );
}

function holdsChecks(eqn: Eqn, errors: ReadonlySet<ErrorCategory>): boolean {
  return ruleOf(eqn) !== undefined && innerJaxprs(eqn.params).some((jaxpr) => needsChecks(jaxpr, errors));
}

/** The slots for the values that messages of checks in a jaxpr show. */
export function collectSlots(jaxpr: Jaxpr, errors: ReadonlySet<ErrorCategory>, into: Set<string> = new Set()): ReadonlySet<string> {
  const add = (slot: string | null): void => {
    if (slot !== null) into.add(slot);
  };
  for (const eqn of jaxpr.eqns) {
    const { primitive, params, invars } = eqn;
    if (written.has(primitive)) {
      if (!errors.has("user")) continue;
      if ((primitive as unknown) === checkErrorP) slotsOfError(params as unknown as CheckErrorParams).forEach(add);
      else {
        const { batchAxes } = params as unknown as CheckParams;
        add(slotFor(invars.slice(1).map(({ aval }) => makeAval(aval.shape.slice(batchAxes), aval.dtype))));
      }
    } else if (ruleOf(eqn) !== undefined) innerJaxprs(params).forEach((inner) => collectSlots(inner, errors, into));
    else if (errors.has("index")) add(indexSlot(eqn));
  }
  return into;
}

function slotsOfError({ tree }: CheckErrorParams): readonly string[] {
  return JSON.parse(tree.aux as string) as string[];
}
