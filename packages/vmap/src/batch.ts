import {
  type Aval,
  batchRule,
  constvarsToInvars,
  currentTrace,
  evalJaxpr,
  innerJaxprs,
  isTracer,
  type Jaxpr,
  type NDArray,
  type Ownership,
  type Params,
  type Primitive,
  RuleError,
  Trace,
  Tracer,
  traceToJaxpr,
  updateAval,
  withNewTrace,
  withTrace,
} from "@traceform/core";
import { insert, toFront } from "./internal/axes.ts";
import { bits } from "./internal/lists.ts";
import type { BatchContext, BatchDim, BatchedJaxpr, BatchRule } from "./rule.ts";
import { batchRules } from "./rules/index.ts";

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
  readonly axisSize: number;
  readonly axisName: string | null;
  /** Set when intermediate values are released afterwards. */
  readonly ownership: Ownership | null;

  constructor(name: string, parent: Trace, axisSize: number, axisName: string | null, ownership: Ownership | null = null) {
    super(name);
    this.parent = parent;
    this.axisSize = axisSize;
    this.axisName = axisName;
    this.ownership = ownership;
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
    if (!batched && !(this.axisName !== null && mentions(params, this.axisName))) {
      const outs = this.parent.process(primitive, values, params);
      this.ownership?.reveal(outs);
      return outs;
    }
    const own = primitive.rules[batchRule] as BatchRule<never> | undefined;
    const rule = own ?? batchRules.get(primitive);
    if (rule === undefined) throw missing(primitive, this.name);
    const context = new Context(primitive, this.axisSize, this.axisName);
    const run = (): ReturnType<BatchRule> =>
      withTrace(this.parent, () => {
        // A rule works on whole batches: our tracers are out of place in it, and only closures of custom rules can bring them there.
        this.alive = false;
        try {
          return rule(values, dims, params as never, context);
        } finally {
          this.alive = true;
        }
      });
    const { ownership } = this;
    // The rule of a library author's primitive is not ours, and neither is what it makes or gets.
    const theirs = ownership !== null && own !== undefined;
    if (theirs) ownership.reveal(values);
    const [outs, outDims] = theirs ? ownership.whileUserCode(run) : run();
    ownership?.reveal(outs.filter((_, i) => outDims[i] === null));
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
  readonly axisSize: number;
  readonly axisName: string | null;
  constructor(primitive: Primitive<never>, axisSize: number, axisName: string | null) {
    this.primitive = primitive;
    this.axisSize = axisSize;
    this.axisName = axisName;
  }
  batchJaxpr(jaxpr: Jaxpr, batched: readonly boolean[], instantiate: boolean | readonly boolean[] = false): BatchedJaxpr {
    return batchJaxpr(jaxpr, this.axisSize, this.axisName, batched, instantiate);
  }
  batched(
    fn: (...args: NDArray[]) => readonly NDArray[],
    args: readonly NDArray[],
    batched: readonly boolean[],
  ): [NDArray[], BatchDim[]] {
    return runBatched(
      "vmap",
      this.axisSize,
      this.axisName,
      (inputs) => fn(...inputs),
      args,
      batched.map((b) => (b ? 0 : null)),
    );
  }
}

/** Runs a function of arrays on batched operands, under the current trace. */
export function runBatched(
  name: string,
  axisSize: number,
  axisName: string | null,
  fn: (inputs: NDArray[]) => readonly NDArray[],
  args: readonly NDArray[],
  dims: readonly BatchDim[],
  ownership: Ownership | null = null,
): [outs: NDArray[], dims: BatchDim[]] {
  const trace = new BatchTrace(name, ownership?.trace ?? currentTrace(), axisSize, axisName, ownership);
  const inputs = args.map((x, i) => trace.wrap(x, dims[i]));
  const results = withNewTrace(trace, () => fn(inputs)).map((x) => trace.unwrap(x));
  return [results.map(([x]) => x), results.map(([, d]) => d)];
}

const memo = new WeakMap<Jaxpr, Map<string, BatchedJaxpr>>();

/**
 * A jaxpr over whole batches: operands that `batched` marks, and the results that depend on them, have the batch as
 * their leading axis. Results that `instantiate` marks have it in any case.
 */
export function batchJaxpr(
  jaxpr: Jaxpr,
  axisSize: number,
  axisName: string | null,
  batched: readonly boolean[],
  instantiate: boolean | readonly boolean[] = false,
): BatchedJaxpr {
  const force = typeof instantiate === "boolean" ? jaxpr.outvars.map(() => instantiate) : instantiate;
  const key = `${axisSize}:${axisName}:${bits(batched)}:${bits(force)}`;
  const found = memo.get(jaxpr)?.get(key);
  if (found !== undefined) return found;
  let batchedOut: boolean[] = [];
  const traced = traceToJaxpr(
    (...args) => {
      const dims = batched.map((b) => (b ? 0 : null));
      const [outs, outDims] = runBatched("vmap", axisSize, axisName, (inputs) => evalJaxpr(jaxpr, [], inputs), args, dims);
      batchedOut = outDims.map((d, i) => d !== null || force[i]);
      return outs.map((x, i) => (batchedOut[i] ? toFront(x, outDims[i], axisSize) : x));
    },
    jaxpr.inAvals.map((aval, i) => (batched[i] ? updateAval(aval, { shape: insert(aval.shape, 0, axisSize) }) : aval)),
    "vmap",
  );
  const result: BatchedJaxpr = { jaxpr: constvarsToInvars(traced.jaxpr), consts: traced.consts, batchedOut };
  // A tracer dies with its trace, so a result that closes over one serves this call only.
  if (!traced.consts.some(isTracer)) {
    let byKey = memo.get(jaxpr);
    if (byKey === undefined) memo.set(jaxpr, (byKey = new Map()));
    byKey.set(key, result);
  }
  return result;
}

const mentioned = new WeakMap<Jaxpr, Map<string, boolean>>();

/** Whether an operation, or one inside its jaxprs, refers to a named axis, as collectives do. */
function mentions(params: Params, axisName: string): boolean {
  const { axes } = params;
  if (params["axisName"] === axisName || (Array.isArray(axes) && axes.includes(axisName))) return true;
  return innerJaxprs(params).some((jaxpr) => jaxprMentions(jaxpr, axisName));
}

function jaxprMentions(jaxpr: Jaxpr, axisName: string): boolean {
  let byName = mentioned.get(jaxpr);
  if (byName === undefined) mentioned.set(jaxpr, (byName = new Map()));
  let result = byName.get(axisName);
  if (result === undefined) byName.set(axisName, (result = jaxpr.eqns.some((e) => mentions(e.params, axisName))));
  return result;
}
