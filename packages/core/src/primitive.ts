import type { Aval } from "./avals.ts";
import type { Effect } from "./effects.ts";
import type { Jaxpr } from "./jaxpr.ts";
import type { NDArray } from "./ndarray.ts";
import type { Sharding } from "./sharding.ts";

/** The parameters of an equation: plain data (numbers, strings, arrays, dtypes, jaxprs, functions). Never mutated. */
export type Params = Readonly<Record<string, unknown>>;

export interface AbstractResult {
  readonly avals: readonly Aval[];
  readonly effects?: readonly Effect[];
}

/**
 * Shape inference of a primitive: avals of the operands and the parameters in, avals of the results out.
 * Throws a `ShapeError`, `DTypeError` or `AxisError` for operands that the primitive does not take.
 */
export type AbstractEval<P> = (avals: readonly Aval[], params: P) => readonly Aval[] | AbstractResult;

/** The symbols under which a primitive may carry its own rules; tables of the transformations come second. */
export const jvpRule: unique symbol = Symbol.for("traceform.rule.jvp");
export const transposeRule: unique symbol = Symbol.for("traceform.rule.transpose");
export const batchRule: unique symbol = Symbol.for("traceform.rule.batch");
export const lowerRule: unique symbol = Symbol.for("traceform.rule.lower");
export const partialEvalRule: unique symbol = Symbol.for("traceform.rule.partialEval");
export const dceRule: unique symbol = Symbol.for("traceform.rule.dce");
/**
 * `(params) => Error` of a primitive that exists to be transformed further and cannot run: what a program that still
 * holds one throws when it is compiled.
 */
export const refuseRule: unique symbol = Symbol.for("traceform.rule.refuse");

/**
 * How a primitive that holds jaxprs is computed with them, on concrete arrays: what runs a program step by step, to find the
 * equation at fault, goes through it. `null` where there are no steps.
 */
export const stepsRule: unique symbol = Symbol.for("traceform.rule.steps");
export type StepsRule<P = Params> = (
  args: readonly NDArray[],
  params: P,
  run: (jaxpr: Jaxpr, args: readonly NDArray[]) => NDArray[],
) => NDArray[] | null;

/**
 * How the inner jaxprs of a primitive are read: `(params, run) => run()` within the axis names that they mention and the equation
 * binds, as those of a mesh. Whoever infers types inside goes through it.
 */
export const scopeRule: unique symbol = Symbol.for("traceform.rule.scope");
export type ScopeRule<P = Params> = <T>(params: P, run: () => T) => T;

/** Runs `fn`, which reads the inner jaxprs of an equation, within the names that it binds. */
export function withinScope<T>(primitive: Primitive<never>, params: Params, fn: () => T): T {
  const scope = primitive.rules[scopeRule] as ScopeRule | undefined;
  return scope === undefined ? fn() : scope(params, fn);
}

/**
 * `true` for a primitive whose abstract evaluation says itself along which mesh axes results vary, as collectives do. Results of
 * others vary along all axes that an operand varies along.
 */
export const ownVarying: unique symbol = Symbol.for("traceform.rule.ownVarying");

/**
 * `(params) => names` of a primitive that communicates: the named axes along which all positions must take part in it. One under
 * a predicate that differs between positions would wait forever.
 */
export const communicatesRule: unique symbol = Symbol.for("traceform.rule.communicates");

/**
 * How results are laid out over devices when operands are laid out as given (`null`: on one device). Standard rules belong to the
 * package that propagates shardings; a primitive may carry its own.
 */
export const shardingRule: unique symbol = Symbol.for("traceform.rule.sharding");
export type ShardingRule<P = Params> = (
  operands: readonly (Sharding | null)[],
  params: P,
  avals: readonly Aval[],
) => readonly (Sharding | null)[];

/** Rules by symbol. The packages that read a rule own its type: see `JvpRule` in grad, `BatchRule` in vmap. */
export interface PrimitiveRules {
  readonly [rule: symbol]: unknown;
}

/**
 * An operation that transformations know. It always takes and returns lists of values. `P` is the type of
 * its parameters; it exists for the rules' sake and has no value at run time.
 */
export interface Primitive<P = Params> {
  readonly name: string;
  readonly abstractEval: AbstractEval<P>;
  readonly rules: PrimitiveRules;
  /** Printed in place of the parameters that carry nothing for a reader, e.g. precision: null. */
  readonly hiddenParams: readonly string[];
  /** A small integer, for cache keys. */
  readonly id: number;
}

let nextId = 1;

export interface PrimitiveSpec<P> {
  readonly abstractEval: AbstractEval<P>;
  readonly rules?: PrimitiveRules;
  readonly hiddenParams?: readonly string[];
}

/** Makes a primitive. A value like any other: nothing is registered. */
export function definePrimitive<P = Params>(name: string, spec: PrimitiveSpec<P>): Primitive<P> {
  return {
    name,
    abstractEval: spec.abstractEval,
    rules: spec.rules ?? {},
    hiddenParams: spec.hiddenParams ?? [],
    id: nextId++,
  };
}
