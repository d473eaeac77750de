import { currentSource, inheritedSource } from "./source.ts";
import { activeTrace } from "./stack.ts";

/** What an error says beyond its first sentence. */
export interface ErrorDetails {
  readonly message: string;
  /** Named operands, printed as `lhs float32[8,3], rhs float32[4,5]`. Anything with a useful `toString` or an `aval`. */
  readonly operands?: Readonly<Record<string, unknown>>;
  /** The line of the user's code at fault, where that is not the line that runs. */
  readonly at?: string;
  /** How to repair the call. */
  readonly fix?: string;
  /** The failure that caused this one. */
  readonly cause?: unknown;
}

function describeOperand(x: unknown): string {
  if (x !== null && typeof x === "object" && "aval" in x) return String(x.aval);
  if (Array.isArray(x)) return `[${x.join(",")}]`;
  return String(x);
}

/**
 * The user's line, while something is traced or rewritten: between it and the error there are more frames of transformations than
 * a stack shows.
 */
function tracedLine(): string | null {
  const trace = activeTrace();
  if (trace === null) return inheritedSource()?.frame ?? null;
  const { frame } = currentSource();
  if (frame === null) return null;
  // Differentiation of values runs its rules under the trace that evaluates.
  return trace.name === "eval" ? frame : `${frame}, in ${trace.name}`;
}

/** Base class of every error Traceform throws on purpose. `code` is stable between versions. */
export abstract class TraceformError extends Error {
  abstract readonly code: string;
  /** The function the user called. */
  readonly fn: string;

  constructor(fn: string, details: ErrorDetails) {
    const operands = Object.entries(details.operands ?? {}).map(([k, v]) => `${k} ${describeOperand(v)}`);
    const lines = [`${fn}: ${details.message}`];
    if (operands.length > 0) lines.push(`  got: ${operands.join(", ")}`);
    const at = details.at ?? tracedLine();
    if (at !== null) lines.push(`  at: ${at}`);
    if (details.fix !== undefined) lines.push(`  fix: ${details.fix}`);
    super(lines.join("\n"), details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.fn = fn;
  }
}

/** Shapes that do not fit together. */
export class ShapeError extends TraceformError {
  readonly code = "TRACEFORM_SHAPE";
}
/** A dtype that an operation, or a backend, does not take. */
export class DTypeError extends TraceformError {
  readonly code = "TRACEFORM_DTYPE";
}
/** An axis outside `[-ndim, ndim)`, named twice, or not an integer. */
export class AxisError extends TraceformError {
  readonly code = "TRACEFORM_AXIS";
}
/** A tracer that leaked from its transformation, or was used where a concrete value is needed. */
export class TracerError extends TraceformError {
  readonly code: string = "TRACEFORM_TRACER";
}
/** A tracer where a number is needed. */
export class ConcretizationTypeError extends TracerError {
  override readonly code: string = "TRACEFORM_CONCRETIZATION";
}
/** A traced truth value where a JavaScript boolean is needed. */
export class TracerBoolConversionError extends ConcretizationTypeError {
  override readonly code: string = "TRACEFORM_TRACER_BOOL";
}
/** A tracer where the values of an array are needed. */
export class TracerArrayConversionError extends TracerError {
  override readonly code: string = "TRACEFORM_TRACER_ARRAY";
}
/** A tracer where an integer is needed that shapes depend on: a size, an axis, a number of iterations. */
export class TracerIntegerConversionError extends TracerError {
  override readonly code: string = "TRACEFORM_TRACER_INTEGER";
}
/** A tracer that was used after its transformation had returned. */
export class UnexpectedTracerError extends TracerError {
  override readonly code: string = "TRACEFORM_UNEXPECTED_TRACER";
}
/** A traced mask as an index: how many elements it selects is not known while tracing. */
export class NonConcreteBooleanIndexError extends TracerError {
  override readonly code: string = "TRACEFORM_BOOLEAN_INDEX";
}
/** Pytrees whose structures differ, or a value that is no pytree. */
export class TreeError extends TraceformError {
  readonly code = "TRACEFORM_TREE";
}
/** A wrong argument of a transformation: `inAxes`, `argnums`, static arguments, async functions. */
export class TransformError extends TraceformError {
  readonly code = "TRACEFORM_TRANSFORM";
}
/** A primitive without the rule that a transformation or backend needs. */
export class RuleError extends TraceformError {
  readonly code = "TRACEFORM_RULE";
}
/** No backend, a backend that lacks a capability, or a failure while compiling or running. */
export class BackendError extends TraceformError {
  readonly code = "TRACEFORM_BACKEND";
}
/** A trace was begun twice, or ended without having been begun. */
export class ProfilerError extends TraceformError {
  readonly code = "TRACEFORM_PROFILER";
}
/** Use of an array after it was disposed of or donated. */
export class DisposedError extends TraceformError {
  readonly code = "TRACEFORM_DISPOSED";
}
/** The device's memory is full even after spilling. */
export class OutOfMemoryError extends TraceformError {
  readonly code = "TRACEFORM_OUT_OF_MEMORY";
}
/** A plain value (index, size, option) outside its domain. */
export class ValueError extends TraceformError {
  readonly code = "TRACEFORM_VALUE";
}
/** A NaN, or an infinity, where `debugNans` or `debugInfs` look for them. */
export class FloatingPointError extends TraceformError {
  readonly code = "TRACEFORM_FLOATING_POINT";
}
/** Two copies of `@traceform/core` in one program, whose values met. */
export class DuplicateCoreError extends TraceformError {
  readonly code = "TRACEFORM_DUPLICATE_CORE";
}

/** A broken invariant of Traceform itself: a bug here, never the caller's mistake. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`Traceform invariant broken: ${message}. This is a bug in Traceform; please report it.`);
}
