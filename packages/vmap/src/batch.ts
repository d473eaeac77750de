import {
  type Aval,
  batchRule,
  bits,
  constvarsToInvars,
  currentSource,
  currentTrace,
  evalJaxpr,
  innerJaxprs,
  type Jaxpr,
  JaxprMemo,
  type NDArray,
  type Ownership,
  type Params,
  type Primitive,
  RuleError,
  Trace,
  Tracer,
  traceToJaxpr,
  updateAval,
  withAxis,
  withNewTrace,
  withSource,
  withTrace,
} from "@traceform/core";
import { insert, toFront } from "./internal/axes.ts";
import type { BatchAxis, BatchContext, Beyond, BatchDim, BatchedJaxpr, BatchRule, BatchShare } from "./rule.ts";
import { batchRules, userRules } from "./rules/index.ts";

/** A value of one member of the batch, standing for all of them: `value` has them along axis `dim`. */
export class BatchTracer extends Tracer {
  readonly value: NDArray;
  readonly dim: number;
  #aval: Aval | null = null;
  constructor(trace: BatchTrace, value: NDArray, dim: number) {
    super(trace);
    this.value = value;
    this.dim = dim;
  }
  get aval(): Aval {
    return (this.#aval ??= updateAval(this.value.aval, { shape: this.value.shape.filter((_, i) => i !== this.dim) }));
  }
}

/** Vectorisation: every operation becomes one on whole batches, in the parent trace. */
export class BatchTrace extends Trace {
  readonly parent: Trace;
  readonly axis: BatchAxis;
  /** Set when intermediate values are released afterwards. */
  readonly ownership: Ownership | null;

  constructor(name: string, parent: Trace, axis: BatchAxis, ownership: Ownership | null = null) {
    super(name);
    this.parent = parent;
    this.axis = axis;
    this.ownership = ownership;
  }

  override get stages(): boolean {
    return this.parent.stages;
  }

  process(primitive: Primitive<never>, args: readonly NDArray[], params: Params): NDArray[] {
    const values: NDArray[] = new Array(args.length);
    const dims: BatchDim[] = new Array(args.length);
    let batched = false;
    for (let i = 0; i < args.length; i++) {
      const x = args[i];
      if (x instanceof BatchTracer && x.tracedBy === this) {
        values[i] = x.value;
        dims[i] = x.dim;
        batched = true;
      } else {
        values[i] = x;
        dims[i] = null;
      }
    }
    const { axis } = this;
    if (!batched && !(axis.name !== null && mentions(params, axis.name))) {
      const outs = this.parent.process(primitive, values, params);
      this.ownership?.reveal(outs);
      return outs;
    }
    const own = primitive.rules[batchRule] as BatchRule<never> | undefined;
    const rule = own ?? batchRules.get(primitive);
    if (rule === undefined) throw missing(primitive, this.name);
    const context = new Context(primitive, axis);
    const apply = (): ReturnType<BatchRule> =>
      withTrace(this.parent, () => {
        // A rule works on whole batches: our tracers are out of place in it, and only closures of custom rules can bring them there.
        this.alive = false;
        try {
          return rule(values, dims, params as never, context);
        } finally {
          this.alive = true;
        }
      });
    const theirs = own !== undefined || userRules.has(primitive);
    // All that a rule of ours stages comes from the one line that called the operation.
    const run = this.stages && !theirs ? (): ReturnType<BatchRule> => withSource(currentSource(), apply) : apply;
    // What the rule of a library author's primitive makes or gets is not ours.
    const ownership = theirs ? this.ownership : null;
    ownership?.reveal(values);
    const [outs, outDims] = ownership === null ? run() : ownership.whileUserCode(run);
    this.ownership?.reveal(outs.filter((_, i) => outDims[i] === null));
    return outs.map((x, i) => this.wrap(x, outDims[i]));
  }

  wrap(value: NDArray, dim: BatchDim): NDArray {
    return dim === null ? value : new BatchTracer(this, value, dim);
  }
  unwrap(x: NDArray): [value: NDArray, dim: BatchDim] {
    return x instanceof BatchTracer && x.tracedBy === this ? [x.value, x.dim] : [x, null];
  }
}

function missing(primitive: Primitive<never>, transformation: string): RuleError {
  return new RuleError(transformation, {
    message: `the primitive "${primitive.name}" has no batching rule, so it cannot be vectorised`,
    fix: "give it one in definePrimitive: rules: { [batchRule]: elementwise }, with elementwise from @traceform/vmap when it works element by element",
  });
}

class Context implements BatchContext {
  readonly primitive: Primitive<never>;
  readonly #axis: BatchAxis;
  constructor(primitive: Primitive<never>, axis: BatchAxis) {
    this.primitive = primitive;
    this.#axis = axis;
  }
  get axisSize(): number {
    return this.#axis.size;
  }
  get axisName(): string | null {
    return this.#axis.name;
  }
  get spmdAxisName(): readonly string[] {
    return this.#axis.spmd;
  }
  get isMesh(): boolean {
    return this.#axis.isMesh === true;
  }
  get beyond(): Beyond | null {
    return this.#axis.beyond ?? null;
  }
  batchJaxpr(
    jaxpr: Jaxpr,
    batched: readonly boolean[],
    instantiate: boolean | readonly boolean[] = false,
    share?: BatchShare,
  ): BatchedJaxpr {
    const axis = share === undefined ? this.#axis : { ...this.#axis, size: this.#axis.size / share.parts };
    return batchJaxpr(jaxpr, axis, batched, instantiate, share?.varying);
  }
  batched(
    fn: (...args: NDArray[]) => readonly NDArray[],
    args: readonly NDArray[],
    batched: readonly boolean[],
  ): [NDArray[], BatchDim[]] {
    return runBatched(
      "vmap",
      this.#axis,
      (inputs) => fn(...inputs),
      args,
      batched.map((b) => (b ? 0 : null)),
    );
  }
}

/** Runs a function of arrays on batched operands, under the current trace, with the name of the axis bound. */
export function runBatched(
  name: string,
  axis: BatchAxis,
  fn: (inputs: NDArray[]) => readonly NDArray[],
  args: readonly NDArray[],
  dims: readonly BatchDim[],
  ownership: Ownership | null = null,
): [outs: NDArray[], dims: BatchDim[]] {
  const trace = new BatchTrace(name, ownership?.trace ?? currentTrace(), axis, ownership);
  const inputs = args.map((x, i) => trace.wrap(x, dims[i]));
  const run = (): readonly NDArray[] => withNewTrace(trace, () => fn(inputs));
  const results = (axis.name === null ? run() : withAxis(axis.name, axis.size * (axis.beyond?.count ?? 1), run)).map((x) =>
    trace.unwrap(x),
  );
  return [results.map(([x]) => x), results.map(([, d]) => d)];
}

const memo = new JaxprMemo<BatchedJaxpr>();

/**
 * A jaxpr over whole batches: operands that `batched` marks, and the results that depend on them, have the batch as
 * their leading axis. Results that `instantiate` marks have it in any case. `varying` are mesh axes along which the operands vary
 * because the batch is spread over them.
 */
export function batchJaxpr(
  jaxpr: Jaxpr,
  axis: BatchAxis,
  batched: readonly boolean[],
  instantiate: boolean | readonly boolean[] = false,
  varying: readonly string[] = [],
): BatchedJaxpr {
  const force = typeof instantiate === "boolean" ? jaxpr.outvars.map(() => instantiate) : instantiate;
  const key = `${axis.size}:${JSON.stringify([axis.name, axis.spmd, axis.isMesh, axis.beyond?.key, varying])}:${bits(batched)}:${bits(force)}`;
  return memo.get(jaxpr, key, () => {
    let batchedOut: boolean[] = [];
    const traced = traceToJaxpr(
      (...args) => {
        const dims = batched.map((b) => (b ? 0 : null));
        const [outs, outDims] = runBatched("vmap", axis, (inputs) => evalJaxpr(jaxpr, [], inputs), args, dims);
        batchedOut = outDims.map((d, i) => d !== null || force[i]);
        return outs.map((x, i) => (batchedOut[i] ? toFront(x, outDims[i], axis.size) : x));
      },
      jaxpr.inAvals.map((aval, i) => {
        if (!batched[i]) return aval;
        return updateAval(aval, {
          shape: insert(aval.shape, 0, axis.size),
          varying: [...new Set([...aval.varying, ...varying])].sort(),
        });
      }),
      "vmap",
    );
    return { jaxpr: constvarsToInvars(traced.jaxpr), consts: traced.consts, batchedOut };
  });
}

const mentioned = new JaxprMemo<boolean>();

/** Whether an operation, or one inside its jaxprs, refers to a named axis, as collectives do. */
function mentions(params: Params, axisName: string): boolean {
  const { axes } = params;
  if (params["axisName"] === axisName || (Array.isArray(axes) && axes.includes(axisName))) return true;
  return innerJaxprs(params).some((jaxpr) => jaxprMentions(jaxpr, axisName));
}

function jaxprMentions(jaxpr: Jaxpr, axisName: string): boolean {
  return mentioned.get(jaxpr, axisName, () => jaxpr.eqns.some((e) => mentions(e.params, axisName)));
}
