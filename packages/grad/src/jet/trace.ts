import {
  type Aval,
  bits,
  type ConcreteValue,
  constvarsToInvars,
  currentTrace,
  evalJaxpr,
  type Jaxpr,
  JaxprMemo,
  type NDArray,
  type Params,
  type Primitive,
  Trace,
  Tracer,
  traceToJaxpr,
  withNewTrace,
  withTrace,
} from "@traceform/core";
import { pick } from "../internal/flags.ts";
import { fit, hasTangent, instantiate } from "../internal/zeros.ts";
import { nestedJvp } from "./nested.ts";
import { type JetContext, type JetJaxpr, type JetRule, jetRule } from "./rule.ts";
import { jetRules } from "./rules/index.ts";
import type { Series } from "./series.ts";

/** A value with the coefficients of its power series. A value that does not move with t needs no tracer. */
export class JetTracer extends Tracer {
  readonly series: Series;
  constructor(trace: JetTrace, series: Series) {
    super(trace);
    this.series = series;
  }
  get aval(): Aval {
    return this.series[0]!.aval;
  }
  /** Code may read values, as under forward-mode differentiation. */
  override concrete(fn: string): ConcreteValue {
    return this.tracedBy.alive ? this.series[0]!.concrete(fn) : super.concrete(fn);
  }
}

/** Taylor mode: every operation computes the power series of its results, in the parent trace. */
export class JetTrace extends Trace {
  readonly parent: Trace;
  readonly context: JetContext;

  constructor(name: string, parent: Trace, order: number) {
    super(name);
    this.parent = parent;
    this.context = {
      order,
      jetJaxpr: (jaxpr, moving, force) => jetJaxpr(jaxpr, order, moving, force),
      run: (fn, inputs) => runJet(name, fn, inputs, order),
    };
  }

  process(primitive: Primitive<never>, args: readonly NDArray[], params: Params): NDArray[] {
    if (!args.some((x) => this.owns(x))) return this.parent.process(primitive, args, params);
    const inputs = args.map((x) => this.seriesOf(x));
    const rule = (primitive.rules[jetRule] as JetRule<never> | undefined) ?? jetRules.get(primitive) ?? nestedJvp(primitive);
    return withTrace(this.parent, () => rule(inputs, params as never, this.context)).map((s) => this.wrap(s));
  }

  owns(x: NDArray): x is JetTracer {
    return x instanceof JetTracer && x.tracedBy === this;
  }
  seriesOf(x: NDArray): Series {
    return this.owns(x) ? x.series : constant(x, this.context.order);
  }
  wrap(series: Series): NDArray {
    const x = series[0]!;
    if (!hasTangent(x.aval) || series.every((c, k) => k === 0 || c === null)) return x;
    return new JetTracer(
      this,
      series.map((c) => (c === null ? null : fit(c, x.shape))),
    );
  }
}

/** The series of a value that does not move. */
export function constant(x: NDArray, order: number): Series {
  return [x, ...new Array<null>(order).fill(null)];
}

/** Runs a function of arrays on power series, under the current trace. */
export function runJet(
  name: string,
  fn: (inputs: NDArray[]) => readonly NDArray[],
  inputs: readonly Series[],
  order: number,
): Series[] {
  const trace = new JetTrace(name, currentTrace(), order);
  const results = withNewTrace(trace, () => fn(inputs.map((s) => trace.wrap(s))));
  return results.map((x) => trace.seriesOf(x));
}

const memo = new JaxprMemo<JetJaxpr>();

/** A jaxpr of series; results that `force` marks get coefficients even when all are zero. */
function jetJaxpr(jaxpr: Jaxpr, order: number, moving: readonly boolean[], force: readonly boolean[] = []): JetJaxpr {
  return memo.get(jaxpr, `${order}:${bits(moving)}:${bits(force)}`, () => {
    let movingOut: boolean[] = [];
    const n = jaxpr.invars.length;
    const repeated = pick(jaxpr.inAvals, moving).flatMap((aval) => new Array<Aval>(order).fill(aval));
    const traced = traceToJaxpr(
      (...args) => {
        let k = n;
        const inputs = moving.map((m, i) => (m ? [args[i], ...args.slice(k, (k += order))] : constant(args[i], order)));
        const outs = runJet("jet", (xs) => evalJaxpr(jaxpr, [], xs), inputs, order);
        movingOut = outs.map((s, i) => s.some((c, j) => j > 0 && c !== null) || ((force[i] ?? false) && hasTangent(s[0]!.aval)));
        const coefficients = pick(outs, movingOut).flatMap((s) => s.slice(1).map((c) => instantiate(c, s[0]!.aval)));
        return [...outs.map((s) => s[0]!), ...coefficients];
      },
      [...jaxpr.inAvals, ...repeated],
      "jet",
    );
    return { jaxpr: constvarsToInvars(traced.jaxpr), consts: traced.consts, movingOut };
  });
}
