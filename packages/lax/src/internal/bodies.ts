import {
  type ArrayLike,
  asArray,
  type Atom,
  type Aval,
  type ConcreteArray,
  type Eqn,
  Jaxpr,
  joinVarying,
  Literal,
  type NDArray,
  noEffects,
  type Params,
  type Primitive,
  refuseAsync,
  scalar,
  traceToJaxpr,
  type Treedef,
  treeFlatten,
  treeUnflatten,
  updateAval,
  Var,
} from "@traceform/core";
import { pvaryP } from "../collectives.ts";
import { convertElementTypeP } from "../convert.ts";

/** A function of pytrees, staged: what it closed over is hoisted into the first operands of its jaxpr. */
export interface TracedBody {
  /** (consts, arguments) -> results, without constvars. */
  readonly jaxpr: Jaxpr;
  readonly consts: readonly NDArray[];
  readonly outTree: Treedef;
  /** For each result, whether it was a JavaScript number: such a result takes the dtype that is needed. */
  readonly numbers: readonly boolean[];
}

/** Stages `fn`, called with the children of `inTree` (a list) filled with tracers of `avals`. */
export function traceBody(name: string, fn: (...args: unknown[]) => unknown, inTree: Treedef, avals: readonly Aval[]): TracedBody {
  let outTree: Treedef | undefined;
  let numbers: boolean[] = [];
  const { jaxpr, consts } = traceToJaxpr(
    (...flat) => {
      const [leaves, tree] = treeFlatten(refuseAsync(name, fn(...(treeUnflatten(inTree, flat) as unknown[]))));
      outTree = tree;
      numbers = leaves.map((x) => typeof x === "number");
      return leaves.map((x) => asArray(x as ArrayLike));
    },
    avals,
    name,
  );
  return {
    jaxpr: new Jaxpr([], [...jaxpr.constvars, ...jaxpr.invars], jaxpr.eqns, jaxpr.outvars, jaxpr.effects),
    consts,
    outTree: outTree!,
    numbers,
  };
}

/**
 * `jaxpr` with its results converted to `avals`, where dtype, weak type or the axes along which they vary differ. Constants are
 * rewritten in place.
 */
export function convertResults(jaxpr: Jaxpr, avals: readonly Aval[], numbers: readonly boolean[] = []): Jaxpr {
  const extra: Eqn[] = [];
  const add = (primitive: Primitive<never>, from: Atom, aval: Aval, params: Params): Var => {
    const to = new Var(aval);
    extra.push({ primitive, invars: [from], outvars: [to], params, effects: noEffects, source: null });
    return to;
  };
  const convert = (v: Atom, want: Aval, isNumber: boolean): Atom => {
    if (v.aval.dtype === want.dtype && v.aval.weakType === want.weakType) return v;
    const aval = updateAval(v.aval, { dtype: want.dtype, weakType: want.weakType });
    if (v instanceof Literal && (isNumber || v.aval.dtype === want.dtype)) {
      const value = (scalar(v.value, want.dtype, want.weakType) as ConcreteArray).scalarValue!;
      return new Literal(value, aval);
    }
    const params = { newDtype: want.dtype, weakType: want.weakType, sharding: null };
    return add(convertElementTypeP as never, v, aval, params);
  };
  const vary = (v: Atom, want: Aval): Atom => {
    const axes = want.varying.filter((a) => !v.aval.varying.includes(a));
    if (axes.length === 0) return v;
    return add(pvaryP as never, v, updateAval(v.aval, { varying: joinVarying([v.aval, want]) }), { axes });
  };
  const outvars = jaxpr.outvars.map((v, i) => (avals[i] === undefined ? v : vary(convert(v, avals[i], numbers[i]), avals[i])));
  if (extra.length === 0 && outvars.every((v, i) => v === jaxpr.outvars[i])) return jaxpr;
  return new Jaxpr(jaxpr.constvars, jaxpr.invars, [...jaxpr.eqns, ...extra], outvars, jaxpr.effects);
}

/** Gives several bodies the same leading operands: the union of what they closed over. */
export function shareConsts(bodies: readonly TracedBody[]): { jaxprs: Jaxpr[]; consts: NDArray[] } {
  const consts = [...new Set(bodies.flatMap((b) => b.consts))];
  const jaxprs = bodies.map(({ jaxpr, consts: own }) => {
    if (own.length === consts.length && own.every((c, i) => c === consts[i])) return jaxpr;
    const place = new Map(own.map((c, i) => [c, jaxpr.invars[i]]));
    const leading = consts.map((c) => place.get(c) ?? new Var(c.aval));
    return new Jaxpr([], [...leading, ...jaxpr.invars.slice(own.length)], jaxpr.eqns, jaxpr.outvars, jaxpr.effects);
  });
  return { jaxprs, consts };
}
