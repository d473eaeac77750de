import {
  type Aval,
  bits,
  type ConcreteValue,
  constvarsToInvars,
  currentSource,
  currentTrace,
  evalJaxpr,
  type Jaxpr,
  JaxprMemo,
  jvpRule,
  type NDArray,
  type Ownership,
  type Params,
  type Primitive,
  RuleError,
  Trace,
  Tracer,
  traceToJaxpr,
  withNewTrace,
  withoutSource,
  withSource,
  withTrace,
} from "@traceform/core";
import { pick, spread } from "./internal/flags.ts";
import { hasTangent, instantiate, zeros } from "./internal/zeros.ts";
import type { InstantiatedJvpRule, JvpContext, JvpJaxpr, JvpRule, SymbolicJvpRule, Tangent } from "./rule.ts";
import { jvpRules, userRules } from "./rules/index.ts";

/** A value with its tangent. A value whose tangent is zero needs no tracer. */
export class JVPTracer extends Tracer {
  readonly primal: NDArray;
  readonly tangent: NDArray;
  constructor(trace: JVPTrace, primal: NDArray, tangent: NDArray) {
    super(trace);
    this.primal = primal;
    this.tangent = tangent;
  }
  get aval(): Aval {
    return this.primal.aval;
  }
  /** Code under eager differentiation may read values. */
  override concrete(fn: string): ConcreteValue {
    return this.tracedBy.alive ? this.primal.concrete(fn) : super.concrete(fn);
  }
}

/** Forward-mode differentiation: every operation also computes the tangents of its results, in the parent trace. */
export class JVPTrace extends Trace {
  readonly parent: Trace;
  /** Set when intermediate values are released afterwards. */
  readonly ownership: Ownership | null;
  constructor(name: string, parent: Trace, ownership: Ownership | null = null) {
    super(name);
    this.parent = parent;
    this.ownership = ownership;
  }

  override get stages(): boolean {
    return this.parent.stages;
  }

  process(primitive: Primitive<never>, args: readonly NDArray[], params: Params): NDArray[] {
    const primals: NDArray[] = new Array(args.length);
    const tangents: Tangent[] = new Array(args.length);
    let constant = true;
    for (let i = 0; i < args.length; i++) {
      const x = args[i];
      if (x instanceof JVPTracer && x.tracedBy === this) {
        primals[i] = x.primal;
        tangents[i] = x.tangent;
        constant = false;
      } else {
        primals[i] = x;
        tangents[i] = null;
      }
    }
    const { ownership } = this;
    if (constant) {
      const outs = this.parent.process(primitive, primals, params);
      ownership?.reveal(outs);
      return outs;
    }
    const rule = findRule(primitive, this.name);
    const userCode = runsUserCode(primitive);
    const apply = (): readonly [outs: readonly NDArray[], tangents: readonly Tangent[]] =>
      withTrace(this.parent, () => {
        // A rule works on primals and tangents: our tracers are out of place in it, and only closures can bring them there.
        this.alive = !userCode;
        try {
          return rule(primals, tangents, params as never, context);
        } finally {
          this.alive = true;
        }
      });
    // All that a rule of ours stages comes from the one line that called the operation; what users write has lines of its own.
    const run = userCode
      ? (): ReturnType<typeof apply> => withoutSource(apply)
      : this.stages
        ? (): ReturnType<typeof apply> => withSource(currentSource(), apply)
        : apply;
    if (ownership === null) {
      const [outs, outTangents] = run();
      return outs.map((x, i) => this.wrap(x, outTangents[i]));
    }
    if (userCode) ownership.reveal(primals);
    const [outs, outTangents] = userCode ? ownership.whileUserCode(run) : run();
    return outs.map((x, i) => {
      const y = this.wrap(x, outTangents[i]);
      if (y === x) ownership.reveal([x]);
      return y;
    });
  }

  wrap(primal: NDArray, tangent: Tangent): NDArray {
    return tangent === null || !hasTangent(primal.aval) ? primal : new JVPTracer(this, primal, tangent);
  }
  primalOf(x: NDArray): NDArray {
    return x instanceof JVPTracer && x.tracedBy === this ? x.primal : x;
  }
  tangentOf(x: NDArray): Tangent {
    return x instanceof JVPTracer && x.tracedBy === this ? x.tangent : null;
  }
}

function runsUserCode(primitive: Primitive<never>): boolean {
  return primitive.rules[jvpRule] !== undefined || userRules.has(primitive);
}

function findRule(primitive: Primitive<never>, transformation: string): SymbolicJvpRule<never> {
  const own = primitive.rules[jvpRule] as JvpRule<never> | undefined;
  if (own === undefined) {
    const rule = jvpRules.get(primitive);
    if (rule !== undefined) return rule;
    throw new RuleError(transformation, {
      message: `the primitive "${primitive.name}" has no JVP rule, so it cannot be differentiated`,
      fix: "give it one in definePrimitive: rules: { [jvpRule]: ([x], [dx]) => [[y], [dy]] }, or wrap the function in customJvp",
    });
  }
  return typeof own === "function" ? instantiated(own) : own.rule;
}

function instantiated(rule: InstantiatedJvpRule<never>): SymbolicJvpRule<never> {
  return (primals, tangents, params, c) =>
    rule(
      primals,
      tangents.map((t, i) => t ?? zeros(primals[i].aval)),
      params,
      c,
    );
}

/** Runs a function of arrays on primals with tangents, under the current trace. */
export function runJvp(
  name: string,
  fn: (inputs: NDArray[], primalOf: (x: NDArray) => NDArray) => readonly NDArray[],
  primals: readonly NDArray[],
  tangents: readonly Tangent[],
  parent: Trace = currentTrace(),
): { outs: NDArray[]; tangents: Tangent[] } {
  const trace = new JVPTrace(name, parent);
  const inputs = primals.map((x, i) => trace.wrap(x, tangents[i]));
  const results = withNewTrace(trace, () => fn(inputs, (x) => trace.primalOf(x)));
  return { outs: results.map((x) => trace.primalOf(x)), tangents: results.map((x) => trace.tangentOf(x)) };
}

const memo = new JaxprMemo<JvpJaxpr>();

/**
 * Forward-mode differentiation of a jaxpr: (primals, nonzero tangents) -> (results, nonzero tangents). `nonzero` says
 * which operands have a tangent; results that `instantiate` marks get one even when it is symbolically zero.
 */
export function jvpJaxpr(
  jaxpr: Jaxpr,
  nonzero: readonly boolean[],
  instantiateOut: boolean | readonly boolean[] = false,
): JvpJaxpr {
  const force = spread(instantiateOut, jaxpr.outvars.length);
  return memo.get(jaxpr, `${bits(nonzero)}:${bits(force)}`, () => {
    let nonzeroOut: boolean[] = [];
    const n = jaxpr.invars.length;
    const traced = traceToJaxpr(
      (...args) => {
        let k = n;
        const tangents = nonzero.map((nz) => (nz ? args[k++] : null));
        const run = runJvp("jvp", (inputs) => evalJaxpr(jaxpr, [], inputs), args.slice(0, n), tangents);
        nonzeroOut = run.outs.map((x, i) => run.tangents[i] !== null || (force[i] && hasTangent(x.aval)));
        return [
          ...run.outs,
          ...(pick(
            run.tangents.map((t, i) => (nonzeroOut[i] ? instantiate(t, run.outs[i].aval) : null)),
            nonzeroOut,
          ) as NDArray[]),
        ];
      },
      [...jaxpr.inAvals, ...pick(jaxpr.inAvals, nonzero)],
      "jvp",
    );
    return { jaxpr: constvarsToInvars(traced.jaxpr), consts: traced.consts, nonzeroOut };
  });
}

export const context: JvpContext = {
  jvpJaxpr,
  jvp: (fn, primals, tangents) => runJvp("jvp", fn, primals, tangents),
};
