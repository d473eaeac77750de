import {
  type ArrayLike,
  asArray,
  type Atom,
  bind,
  checkArrayLeaves,
  inheritSource,
  type Inputs,
  invariant,
  type Jaxpr,
  JaxprMemo,
  Literal,
  literalValue,
  type NDArray,
  traceToJaxpr,
  traceTree,
  treeFlatten,
  treeUnflatten,
  type Var,
} from "@traceform/core";
import type { Error as CheckError, ErrorCategory } from "./error.ts";
import type { Context } from "./rule.ts";
import { checkEqn, collectSlots } from "./rules.ts";
import { Plan, type State } from "./state.ts";

/** The checks that `check` and `debugCheck` make. */
export const userChecks: ReadonlySet<ErrorCategory> = /* @__PURE__ */ new Set<ErrorCategory>(["user"]);
/** Operations whose result has a NaN. */
export const nanChecks: ReadonlySet<ErrorCategory> = /* @__PURE__ */ new Set<ErrorCategory>(["nan"]);
/** Indices that are out of bounds: of gathers and scatters, dynamic slices and their updates. */
export const indexChecks: ReadonlySet<ErrorCategory> = /* @__PURE__ */ new Set<ErrorCategory>(["index"]);
/** Division by zero. */
export const divChecks: ReadonlySet<ErrorCategory> = /* @__PURE__ */ new Set<ErrorCategory>(["div"]);
/** NaN and division by zero. */
export const floatChecks: ReadonlySet<ErrorCategory> = /* @__PURE__ */ new Set<ErrorCategory>(["nan", "div"]);
/** All that need not be written: NaN, division by zero, indices. */
export const automaticChecks: ReadonlySet<ErrorCategory> = /* @__PURE__ */ new Set<ErrorCategory>(["nan", "div", "index"]);
export const allChecks: ReadonlySet<ErrorCategory> = /* @__PURE__ */ new Set<ErrorCategory>(["nan", "div", "index", "user"]);

export interface CheckifyOptions {
  /** What to check for; `userChecks` by default. Sets are joined as sets: `userChecks.union(nanChecks)`. */
  readonly errors?: ReadonlySet<ErrorCategory>;
}

/**
 * A function that also returns whether its checks held, as a value: `[err, out]`. It can be transformed in any way, and the
 * checks are part of what is compiled; `err.throw()` throws what failed, outside. Under `vmap` each member has an error of its
 * own.
 *
 * The first check that fails is what the error tells; the function runs to its end in any case.
 *
 * @example
 * ```ts
 * const safe = jit(checkify((x: NDArray) => {
 *   check(x.greater(0), "x must be positive, but is {}", x);
 *   return log(x);
 * }));
 * const [err, out] = safe(array(-1));
 * err.get() // => "x must be positive, but is -1 (`check` failed)"
 * ```
 */
export function checkify<A extends unknown[], R>(
  f: (...args: A) => R,
  options: CheckifyOptions = {},
): (...args: Inputs<A>) => [error: CheckError, out: R] {
  const name = `checkify(${f.name || "anonymous"})`;
  const errors = options.errors ?? userChecks;
  return (...args) => {
    const list = [...(args as readonly unknown[])];
    checkArrayLeaves(name, list);
    const [leaves, inTree] = treeFlatten(list);
    const flat = leaves.map((x) => asArray(x as ArrayLike));
    const { jaxpr, consts, outTree } = traceTree(
      (...xs) => f(...(treeUnflatten(inTree, xs) as A)),
      flat.map((x) => x.aval),
      name,
    );
    const plan = new Plan(errors, [...collectSlots(jaxpr, errors)].sort());
    const [state, outs] = interpret(jaxpr, [...consts, ...flat], plan.start(), contextFor(plan));
    return [state.error, treeUnflatten(outTree, outs) as R];
  };
}

function contextFor(plan: Plan): Context {
  const context: Context = {
    plan,
    checked: (jaxpr) => checkifyJaxpr(jaxpr, context),
    run: (fn, args, numPrimals, state) => {
      const { jaxpr, consts } = traceToJaxpr(
        fn,
        args.map((x) => x.aval),
        "checkify",
      );
      const linear = new Set<Var>(jaxpr.invars.slice(numPrimals));
      return interpret(jaxpr, [...consts, ...args], state, context, linear);
    },
  };
  return context;
}

/** Binds the equations of a jaxpr one after the other, with their checks, but for those that depend on `unseen` variables. */
function interpret(
  jaxpr: Jaxpr,
  args: readonly NDArray[],
  start: State,
  context: Context,
  unseen: Set<Var> = new Set(),
): [State, readonly NDArray[]] {
  const env = new Map<Var, NDArray>();
  const read = (a: Atom): NDArray => (a instanceof Literal ? literalValue(a) : env.get(a)!);
  [...jaxpr.constvars, ...jaxpr.invars].forEach((v, i) => env.set(v, args[i]));
  let state = start;
  const before = inheritSource(null);
  try {
    for (const eqn of jaxpr.eqns) {
      inheritSource(eqn.source ?? before);
      const operands = eqn.invars.map(read);
      const isUnseen = unseen.size > 0 && eqn.invars.some((a) => !(a instanceof Literal) && unseen.has(a));
      if (isUnseen) for (const v of eqn.outvars) unseen.add(v);
      const [next, outs] = isUnseen
        ? [state, bind(eqn.primitive, operands, eqn.params as never)]
        : checkEqn(state, operands, eqn, context);
      state = next;
      eqn.outvars.forEach((v, i) => env.set(v, outs[i]));
    }
  } finally {
    inheritSource(before);
  }
  return [state, jaxpr.outvars.map(read)];
}

const memo = new JaxprMemo<Jaxpr>();

/** (state, operands) -> (state, results). */
function checkifyJaxpr(jaxpr: Jaxpr, context: Context): Jaxpr {
  const { plan } = context;
  return memo.get(jaxpr, plan.key, () => {
    const traced = traceToJaxpr(
      (...xs) => {
        const [state, outs] = interpret(jaxpr, xs.slice(plan.size), plan.take(xs), context);
        return [...state.arrays, ...outs];
      },
      [...plan.avals, ...jaxpr.inAvals],
      "checkify",
    );
    invariant(traced.consts.length === 0, "checkify of a jaxpr closed over arrays");
    return traced.jaxpr;
  });
}
