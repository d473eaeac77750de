import {
  abstractEval,
  type Atom,
  type Aval,
  bind,
  bits,
  ConcreteArray,
  constvarsToInvars,
  currentSource,
  currentTrace,
  dceJaxpr,
  type Eqn,
  evalJaxpr,
  inheritedSource,
  invariant,
  Jaxpr,
  JaxprMemo,
  JaxprTracer,
  leaked,
  Literal,
  type NDArray,
  noEffects,
  type Params,
  partialEvalRule,
  type Primitive,
  stepsRule,
  Trace,
  Tracer,
  traceToJaxpr,
  Var,
  withNewTrace,
  withTrace,
} from "@traceform/core";
import { drop, merge, spread } from "./internal/flags.ts";
import type { PartialEvalContext, PartialEvalJaxpr, PartialEvalRule } from "./rule.ts";
import { partialEvalRules } from "./rules/index.ts";

/** A value that is not known yet: a variable of the jaxpr that will compute it. */
export class PartialEvalTracer extends Tracer {
  readonly variable: Var;
  constructor(trace: PartialEvalTrace, variable: Var) {
    super(trace);
    this.variable = variable;
  }
  get aval(): Aval {
    return this.variable.aval;
  }
}

/**
 * Partial evaluation: operations on known values are evaluated in the parent trace, operations with an unknown operand
 * are recorded. The known values that recorded operations use are the residuals: constants of the recorded jaxpr.
 */
export class PartialEvalTrace extends Trace {
  readonly parent: Trace;
  readonly #eqns: Eqn[] = [];
  readonly #invars: Var[] = [];
  readonly #residuals = new Map<NDArray, Var>();
  readonly #context: PartialEvalContext;

  constructor(name: string, parent: Trace) {
    super(name);
    this.parent = parent;
    this.#context = {
      partialEvalJaxpr,
      known: (primitive, args, params) => bind(primitive, args, params as never),
      stage: (primitive, args, params) => this.#stage(primitive, args, params),
    };
  }

  override get stages(): boolean {
    return this.parent.stages;
  }

  /** A new unknown operand. */
  input(aval: Aval): PartialEvalTracer {
    const v = new Var(aval);
    this.#invars.push(v);
    return new PartialEvalTracer(this, v);
  }
  owns(x: NDArray): x is PartialEvalTracer {
    return x instanceof PartialEvalTracer && x.tracedBy === this;
  }

  process(primitive: Primitive<never>, args: readonly NDArray[], params: Params): NDArray[] {
    let known = true;
    for (let i = 0; i < args.length && known; i++) known = !this.owns(args[i]);
    if (known) return this.parent.process(primitive, args, params);
    const rule = (primitive.rules[partialEvalRule] as PartialEvalRule<never> | undefined) ?? partialEvalRules.get(primitive);
    if (rule === undefined) return this.#stage(primitive, args, params);
    const unknowns = args.map((x) => this.owns(x));
    return withTrace(this.parent, () => rule(args, unknowns, params as never, this.#context));
  }

  #stage(primitive: Primitive<never>, args: readonly NDArray[], params: Params): NDArray[] {
    const invars = args.map((x) => this.#atom(x));
    const { avals, effects } = abstractEval(
      primitive,
      invars.map((a) => a.aval),
      params,
    );
    const outvars = avals.map((aval) => new Var(aval));
    this.#eqns.push({
      primitive,
      invars,
      outvars,
      params,
      effects: effects === undefined || effects.length === 0 ? noEffects : new Set(effects),
      // Where values are differentiated at once, only what may turn out not to be transposable is worth the microsecond.
      source: this.stages || primitive.rules[stepsRule] !== undefined ? currentSource() : inheritedSource(),
    });
    return outvars.map((v) => new PartialEvalTracer(this, v));
  }

  #atom(x: NDArray): Atom {
    if (this.owns(x)) return x.variable;
    if (x instanceof ConcreteArray && x.scalarValue !== undefined) return new Literal(x.scalarValue, x.aval);
    if (x instanceof JaxprTracer && x.atom instanceof Literal) return x.atom;
    if (x instanceof Tracer && !x.tracedBy.alive) throw leaked(this.name, x);
    let v = this.#residuals.get(x);
    if (v === undefined) this.#residuals.set(x, (v = new Var(x.aval)));
    return v;
  }

  /** The recorded jaxpr, its constants being the residuals. */
  finish(outs: readonly NDArray[]): { jaxpr: Jaxpr; residuals: NDArray[] } {
    const outvars = outs.map((x) => this.#atom(x));
    const jaxpr = new Jaxpr([...this.#residuals.values()], this.#invars, this.#eqns, outvars);
    return { jaxpr, residuals: [...this.#residuals.keys()] };
  }
}

const memo = new JaxprMemo<PartialEvalJaxpr>();

/**
 * Splits a jaxpr in two: what can be computed from the known operands, and the rest, which takes the intermediate
 * values that it needs as residuals. Results that `instantiate` marks are made unknown.
 */
export function partialEvalJaxpr(
  jaxpr: Jaxpr,
  unknowns: readonly boolean[],
  instantiate: boolean | readonly boolean[] = false,
): PartialEvalJaxpr {
  const force = spread(instantiate, jaxpr.outvars.length);
  return memo.get(jaxpr, `${bits(unknowns)}:${bits(force)}`, () => {
    let unknownOut: boolean[] = [];
    let staged: Jaxpr | null = null;
    const traced = traceToJaxpr(
      (...args) => {
        const trace = new PartialEvalTrace("partial evaluation", currentTrace());
        const inputs = merge(
          unknowns,
          jaxpr.invars.filter((_, i) => unknowns[i]).map((v) => trace.input(v.aval)),
          args,
        );
        const outs = withNewTrace(trace, () => evalJaxpr(jaxpr, [], inputs));
        unknownOut = outs.map((x, i) => trace.owns(x) || force[i]);
        const finished = trace.finish(outs.filter((_, i) => unknownOut[i]));
        staged = finished.jaxpr;
        return [...drop(outs, unknownOut), ...finished.residuals];
      },
      drop(jaxpr.inAvals, unknowns),
      "partial evaluation",
    );
    invariant(traced.consts.length === 0, "partial evaluation of a jaxpr closed over arrays");
    const rest = staged as unknown as Jaxpr;
    // Residuals that nothing live needs go, and with them what computed them.
    const numResiduals = rest.constvars.length;
    const all = new Array<boolean>(rest.outvars.length).fill(true);
    const keep = [...rest.constvars.map(() => false), ...rest.invars.map(() => true)];
    const { jaxpr: unknown, usedInputs } = dceJaxpr(constvarsToInvars(rest), all, keep);
    const used = usedInputs.slice(0, numResiduals);
    const numKnownOuts = traced.jaxpr.outvars.length - numResiduals;
    const { jaxpr: known } = dceJaxpr(
      traced.jaxpr,
      [...new Array<boolean>(numKnownOuts).fill(true), ...used],
      traced.jaxpr.invars.map(() => true),
    );
    return { known, unknown, unknownOut, residuals: known.outAvals.slice(numKnownOuts) };
  });
}
