import { type Aval, joinVarying, updateAval } from "./avals.ts";
import { anyTracked } from "./axis.ts";
import { ConcreteArray } from "./concrete.ts";
import type { ClosedJaxpr } from "./closed.ts";
import { type Effect, joinEffects, noEffects } from "./effects.ts";
import { ConcretizationTypeError } from "./errors.ts";
import { type Atom, type Eqn, Jaxpr, Literal, Var } from "./jaxpr.ts";
import { innerJaxprs } from "./innerjaxprs.ts";
import { type NDArray, Tracer } from "./ndarray.ts";
import { type AbstractResult, ownVarying, type Params, type Primitive } from "./primitive.ts";
import { currentSource } from "./source.ts";
import { leaked, refuseAsync, Trace, withNewTrace } from "./trace.ts";

/** A value of a function that is being staged: a variable of the jaxpr under construction. */
export class JaxprTracer extends Tracer {
  readonly atom: Atom;
  constructor(trace: JaxprTrace, atom: Atom) {
    super(trace);
    this.atom = atom;
  }
  get aval(): Aval {
    return this.atom.aval;
  }
  override origin(): string | null {
    return (this.tracedBy as JaxprTrace).originOf(this.atom);
  }
}

/** Records every operation as an equation. */
export class JaxprTrace extends Trace {
  readonly eqns: Eqn[] = [];
  readonly #invars: Var[] = [];
  readonly #constvars: Var[] = [];
  readonly #consts: NDArray[] = [];
  readonly #constOf = new Map<NDArray, Var>();
  override get stages(): boolean {
    return true;
  }

  /** A new argument of the jaxpr. */
  input(aval: Aval): JaxprTracer {
    const v = new Var(aval);
    this.#invars.push(v);
    return new JaxprTracer(this, v);
  }

  /** Where the value of a variable comes from. */
  originOf(atom: Atom): string | null {
    if (atom instanceof Literal) return null;
    const argument = this.#invars.indexOf(atom);
    if (argument >= 0) return `argument ${argument} of ${this.name}`;
    const eqn = this.eqns.find((e) => e.outvars.includes(atom));
    if (eqn === undefined) return null;
    const frame = eqn.source?.frame ?? null;
    return `made by ${eqn.primitive.name}${frame === null ? "" : ` at ${frame}`}`;
  }

  process(primitive: Primitive<never>, args: readonly NDArray[], params: Params): NDArray[] {
    const invars = args.map((x) => this.atom(x, primitive.name));
    const { avals, effects } = abstractEval(
      primitive,
      invars.map((a) => a.aval),
      params,
    );
    const outvars = avals.map((aval) => new Var(aval));
    this.eqns.push({
      primitive,
      invars,
      outvars,
      params,
      effects: effects === undefined ? noEffects : new Set(effects),
      source: currentSource(),
    });
    return outvars.map((v) => new JaxprTracer(this, v));
  }

  /** The variable or literal for a value: its own tracers as they are, everything else captured as a constant. */
  atom(x: NDArray, fn: string): Atom {
    if (x instanceof JaxprTracer && x.tracedBy === this) return x.atom;
    if (x instanceof ConcreteArray && x.scalarValue !== undefined) return new Literal(x.scalarValue, x.aval);
    if (x instanceof Tracer && !x.tracedBy.alive) throw leaked(fn, x);
    let v = this.#constOf.get(x);
    if (v === undefined) {
      v = new Var(x.aval);
      this.#constOf.set(x, v);
      this.#constvars.push(v);
      this.#consts.push(x);
    }
    return v;
  }

  finish(outs: readonly NDArray[]): ClosedJaxpr {
    const outvars = outs.map((x) => this.atom(x, this.name));
    const effects = joinEffects(this.eqns.map((e) => e.effects));
    return { jaxpr: new Jaxpr(this.#constvars, this.#invars, this.eqns, outvars, effects), consts: this.#consts };
  }
}

/** Runs a primitive's shape inference, in the one form callers want. */
export function abstractEval(
  primitive: Primitive<never>,
  avals: readonly Aval[],
  params: Params,
): { readonly avals: readonly Aval[]; readonly effects?: readonly Effect[] } {
  const result = primitive.abstractEval(avals, params as never);
  const given = Array.isArray(result) ? { avals: result as readonly Aval[] } : (result as AbstractResult);
  // Inner jaxprs were traced with operands that vary, so their results say what varies.
  if (!anyTracked() || primitive.rules[ownVarying] === true || innerJaxprs(params).length > 0) return given;
  return { ...given, avals: given.avals.map((aval) => updateAval(aval, { varying: joinVarying([aval, ...avals]) })) };
}

/**
 * Traces a function of arrays to a jaxpr. Values that the function closes over, tracers of outer traces included,
 * become constants; scalars become literals.
 *
 * @throws {TransformError} when `fn` is async
 */
export function traceToJaxpr(fn: (...args: NDArray[]) => readonly NDArray[], avals: readonly Aval[], name: string): ClosedJaxpr {
  const trace = new JaxprTrace(name);
  const inputs = avals.map((aval) => trace.input(aval));
  return withNewTrace(trace, () => {
    const outs = refuseAsync(name, fn(...inputs));
    return trace.finish(outs);
  });
}

/** A leak that only shows when somebody looks: tracers kept after their trace ended say so. */
export function assertConcrete(fn: string, x: NDArray): ConcreteArray {
  if (x instanceof ConcreteArray) return x;
  throw new ConcretizationTypeError(fn, {
    message: `needs a concrete array, but got a traced ${x.aval}`,
    fix: "call it outside the traced function",
  });
}
