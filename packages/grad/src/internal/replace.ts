import {
  bind,
  constvarsToInvars,
  type Eqn,
  inheritSource,
  innerJaxprs,
  Jaxpr,
  JaxprMemo,
  jitP,
  type JitParams,
  Literal,
  literalValue,
  type NDArray,
  type Params,
  type Primitive,
  RuleError,
  splitList,
  traceToJaxpr,
  type Var,
} from "@traceform/core";
import {
  type CheckpointParams,
  checkpointP,
  type CondParams,
  condP,
  type CustomLinearSolveParams,
  customLinearSolveP,
  type CustomRootParams,
  customRootP,
  type ScanParams,
  scanP,
  type TransposedCallParams,
  transposedCallP,
  type WhileParams,
  whileP,
} from "@traceform/lax";
import { type Closed, shareConsts } from "./branches.ts";

type Replacement<P> = (args: readonly NDArray[], params: P) => readonly NDArray[];
/** An equation whose jaxprs are replaced: what they close over then is a part of its operands. */
type Holder = (args: readonly NDArray[], params: never, inner: (jaxpr: Jaxpr) => Closed) => readonly NDArray[];

const holder = <P>(
  primitive: Primitive<P>,
  bound: (args: readonly NDArray[], params: P, inner: (jaxpr: Jaxpr) => Closed) => readonly [args: readonly NDArray[], params: P],
): readonly [unknown, Holder] => [
  primitive,
  (args, params, inner) => {
    const [operands, replaced] = bound(args, params, inner);
    return bind(primitive, operands, replaced);
  },
];

/** Operands with what each of three functions closes over in front of its constants. */
function inThree(
  args: readonly NDArray[],
  counts: readonly [number, number, number],
  parts: readonly (Closed | null)[],
): readonly [args: NDArray[], counts: [number, number, number]] {
  const [first, second, third, rest] = splitList(args, ...counts);
  const all = [first, second, third].map((own, i) => [...(parts[i]?.consts ?? []), ...own]);
  return [
    [...all.flat(), ...rest],
    [all[0].length, all[1].length, all[2].length],
  ];
}

const holders: ReadonlyMap<unknown, Holder> = /* @__PURE__ */ new Map<unknown, Holder>([
  /* @__PURE__ */ holder<JitParams>(jitP, (args, p, inner) => {
    const { jaxpr, consts } = inner(p.jaxpr);
    return [[...consts, ...args], { ...p, jaxpr, donated: [...consts.map(() => false), ...p.donated] }];
  }),
  /* @__PURE__ */ holder<CheckpointParams>(checkpointP, (args, p, inner) => {
    const { jaxpr, consts } = inner(p.jaxpr);
    return [[...consts, ...args], { ...p, jaxpr }];
  }),
  /* @__PURE__ */ holder<ScanParams>(scanP, (args, p, inner) => {
    const { jaxpr, consts } = inner(p.jaxpr);
    return [[...consts, ...args], { ...p, jaxpr, numConsts: consts.length + p.numConsts }];
  }),
  /* @__PURE__ */ holder<WhileParams>(whileP, (args, p, inner) => {
    const [cond, body] = [inner(p.condJaxpr), inner(p.bodyJaxpr)];
    const [condConsts, rest] = splitList(args, p.condNconsts);
    return [
      [...cond.consts, ...condConsts, ...body.consts, ...rest],
      {
        condNconsts: cond.consts.length + p.condNconsts,
        condJaxpr: cond.jaxpr,
        bodyNconsts: body.consts.length + p.bodyNconsts,
        bodyJaxpr: body.jaxpr,
      },
    ];
  }),
  /* @__PURE__ */ holder<CondParams>(condP, ([index, ...args], { branches }, inner) => {
    const { jaxprs, consts } = shareConsts(branches.map(inner));
    return [[index, ...consts, ...args], { branches: jaxprs }];
  }),
  /* @__PURE__ */ holder<TransposedCallParams>(transposedCallP, (args, p, inner) => {
    const { jaxpr, consts } = inner(p.jaxpr);
    return [[...consts, ...args], { jaxpr, numConsts: consts.length + p.numConsts }];
  }),
  /* @__PURE__ */ holder<CustomLinearSolveParams>(customLinearSolveP, (args, p, inner) => {
    const [matvec, solve] = [inner(p.matvec), inner(p.solve)];
    const transposeSolve = p.transposeSolve && inner(p.transposeSolve);
    const [operands, numConsts] = inThree(args, p.numConsts, [matvec, solve, transposeSolve]);
    return [operands, { ...p, matvec: matvec.jaxpr, solve: solve.jaxpr, transposeSolve: transposeSolve?.jaxpr ?? null, numConsts }];
  }),
  /* @__PURE__ */ holder<CustomRootParams>(customRootP, (args, p, inner) => {
    const [fn, solve, tangentSolve] = [inner(p.fn), inner(p.solve), inner(p.tangentSolve)];
    const [operands, numConsts] = inThree(args, p.numConsts, [fn, solve, tangentSolve]);
    return [operands, { fn: fn.jaxpr, solve: solve.jaxpr, tangentSolve: tangentSolve.jaxpr, numConsts }];
  }),
]);

/**
 * Gives the equations of one primitive their meaning, in inner jaxprs too. Unlike the rewriter of core, it lets the meaning close over
 * arrays (derivatives with rules of their own do), which become operands of the loops and calls around it.
 */
export class Replacer<P> {
  readonly #primitive: Primitive<P>;
  readonly #meaning: Replacement<P>;
  readonly #memo = new JaxprMemo<Closed>();

  constructor(primitive: Primitive<P>, meaning: Replacement<P>) {
    this.#primitive = primitive;
    this.#meaning = meaning;
  }

  /** A jaxpr with what its equations close over as leading operands. */
  readonly close = (jaxpr: Jaxpr): Closed => {
    if (!this.#applies(jaxpr)) return { jaxpr, consts: [] };
    return this.#memo.get(jaxpr, "", () => {
      const traced = traceToJaxpr((...args) => this.#evaluate(jaxpr, args), jaxpr.inAvals, "replace");
      return { jaxpr: constvarsToInvars(traced.jaxpr), consts: traced.consts };
    });
  };

  #is(eqn: Eqn): boolean {
    return (eqn.primitive as unknown) === this.#primitive;
  }

  #applies(jaxpr: Jaxpr): boolean {
    return jaxpr.eqns.some((eqn) => this.#is(eqn) || innerJaxprs(eqn.params).some((inner) => this.#applies(inner)));
  }

  #evaluate(jaxpr: Jaxpr, args: readonly NDArray[]): NDArray[] {
    const env = new Map<Var, NDArray>(jaxpr.invars.map((v, i) => [v, args[i]]));
    const before = inheritSource(null);
    try {
      for (const eqn of jaxpr.eqns) {
        inheritSource(eqn.source ?? before);
        const operands = eqn.invars.map((a) => (a instanceof Literal ? literalValue(a) : env.get(a)!));
        const outs = this.#apply(eqn, operands);
        eqn.outvars.forEach((v, i) => env.set(v, outs[i]));
      }
    } finally {
      inheritSource(before);
    }
    return jaxpr.outvars.map((a) => (a instanceof Literal ? literalValue(a) : env.get(a)!));
  }

  #apply(eqn: Eqn, operands: readonly NDArray[]): readonly NDArray[] {
    const { primitive, params } = eqn;
    if (this.#is(eqn)) return this.#meaning(operands, params as P);
    if (!innerJaxprs(params).some((inner) => this.#applies(inner))) return bind(primitive, operands, params as never);
    const rule = holders.get(primitive);
    if (rule !== undefined) return rule(operands, params as never, this.close);
    return bind(primitive, operands, this.#params(primitive.name, params) as never);
  }

  /** Of primitives that nobody here knows, whose operands can only stay what they are. */
  #params(name: string, params: Params): Params {
    const inner = (x: unknown): unknown => {
      if (Array.isArray(x)) return x.map(inner);
      if (!(x instanceof Jaxpr)) return x;
      const { jaxpr, consts } = this.close(x);
      if (consts.length === 0) return jaxpr;
      throw new RuleError(this.#primitive.name, {
        message: `a derivative inside "${name}" closes over an array`,
        fix: "make the array an argument of the function with the rule, or use it outside of this operation",
      });
    };
    return Object.fromEntries(Object.entries(params).map(([key, value]) => [key, inner(value)]));
  }
}
