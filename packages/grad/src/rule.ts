import type { Aval, Jaxpr, NDArray, Params, Primitive } from "@traceform/core";

/**
 * A tangent or cotangent. `null` is a symbolic zero: it costs nothing and its type is known from the value it belongs
 * to. Integers, booleans and keys have no other tangent.
 */
export type Tangent = NDArray | null;

/** What the rule of a primitive that holds jaxprs needs from forward-mode differentiation. */
export interface JvpContext {
  /** Forward-mode differentiation of a jaxpr: see `jvp.ts`. Memoised. */
  jvpJaxpr(jaxpr: Jaxpr, nonzero: readonly boolean[], instantiate: boolean | readonly boolean[]): JvpJaxpr;
  /** Forward-mode differentiation of a function of arrays, under the current trace. */
  jvp(
    fn: (inputs: NDArray[]) => readonly NDArray[],
    primals: readonly NDArray[],
    tangents: readonly Tangent[],
  ): { readonly outs: NDArray[]; readonly tangents: Tangent[] };
}

export interface JvpJaxpr {
  /** (consts, primals, tangents of the nonzero ones) -> (results, tangents of the nonzero ones). */
  readonly jaxpr: Jaxpr;
  /** Arrays that custom rules close over; operands of whoever holds the jaxpr. */
  readonly consts: readonly NDArray[];
  /** Which results have a tangent that is not symbolically zero. */
  readonly nonzeroOut: readonly boolean[];
}

/** Primals, tangents and parameters in; results and their tangents out. Tangents have the types of their primals. */
export type SymbolicJvpRule<P = Params> = (
  primals: readonly NDArray[],
  tangents: readonly Tangent[],
  params: P,
  context: JvpContext,
) => readonly [outs: readonly NDArray[], tangents: readonly Tangent[]];

/** The same with every tangent an array: symbolic zeros arrive as arrays of zeros. */
export type InstantiatedJvpRule<P = Params> = (
  primals: readonly NDArray[],
  tangents: readonly NDArray[],
  params: P,
  context: JvpContext,
) => readonly [outs: readonly NDArray[], tangents: readonly Tangent[]];

/** What a primitive may carry under `jvpRule`. */
export type JvpRule<P = Params> = InstantiatedJvpRule<P> | { readonly symbolicZeros: true; readonly rule: SymbolicJvpRule<P> };

/** An operand of a linear operation that it is linear in: its value is not known, only its type. */
export class LinearOperand {
  readonly aval: Aval;
  constructor(aval: Aval) {
    this.aval = aval;
  }
}

export function isLinear(x: NDArray | LinearOperand): x is LinearOperand {
  return x instanceof LinearOperand;
}

export interface TransposeContext extends JvpContext {
  /** The transpose of a linear jaxpr: see `transpose.ts`. Memoised. */
  transposeJaxpr(jaxpr: Jaxpr, linear: readonly boolean[], nonzero: readonly boolean[], instantiate?: boolean): TransposedJaxpr;
  /** Splits a jaxpr by what is known: see `partialEval.ts`. Memoised. */
  partialEvalJaxpr(jaxpr: Jaxpr, unknowns: readonly boolean[], instantiate?: boolean | readonly boolean[]): PartialEvalJaxpr;
}

export interface TransposedJaxpr {
  /** (consts, nonlinear operands, nonzero cotangents) -> nonzero cotangents of the linear operands. */
  readonly jaxpr: Jaxpr;
  /** Arrays that custom rules close over. */
  readonly consts: readonly NDArray[];
  /** Which linear operands have a cotangent that is not symbolically zero. */
  readonly nonzeroOut: readonly boolean[];
}

/**
 * Cotangents of the results, and the operands, in; one cotangent for each linear operand out (`null` elsewhere, and
 * for zero). Called only when some cotangent is nonzero, so a primitive with one result always gets an array.
 */
export type TransposeRule<P = Params> = (
  cotangents: readonly Tangent[],
  operands: readonly (NDArray | LinearOperand)[],
  params: P,
  context: TransposeContext,
) => readonly Tangent[];

export interface PartialEvalJaxpr {
  /** known operands -> (known results, residuals). */
  readonly known: Jaxpr;
  /** (residuals, unknown operands) -> unknown results. */
  readonly unknown: Jaxpr;
  readonly unknownOut: readonly boolean[];
  readonly residuals: readonly Aval[];
}

/** What the partial evaluation of a primitive that holds jaxprs may do. */
export interface PartialEvalContext {
  partialEvalJaxpr(jaxpr: Jaxpr, unknowns: readonly boolean[], instantiate?: boolean | readonly boolean[]): PartialEvalJaxpr;
  /** Evaluates an operation on known values, now. */
  known(primitive: Primitive<never>, args: readonly NDArray[], params: Params): NDArray[];
  /** Records an operation for later; known operands become residuals. The results are unknown. */
  stage(primitive: Primitive<never>, args: readonly NDArray[], params: Params): NDArray[];
}

/**
 * Evaluates what it can of an operation with an unknown operand, and records the rest. Operands and results for which
 * `unknowns` is false are known.
 */
export type PartialEvalRule<P = Params> = (
  args: readonly NDArray[],
  unknowns: readonly boolean[],
  params: P,
  context: PartialEvalContext,
) => NDArray[];

/** A rule with the primitive it belongs to. */
export type Entry<R> = readonly [primitive: Primitive<never>, rule: R];
export type JvpEntry = Entry<SymbolicJvpRule<never>>;
export type TransposeEntry = Entry<TransposeRule<never>>;
export type PartialEvalEntry = Entry<PartialEvalRule<never>>;

/** An entry of a table of JVP rules, typed by the primitive's parameters. */
export function jvpEntry<P>(primitive: Primitive<P>, rule: SymbolicJvpRule<P>): JvpEntry {
  return [primitive as unknown as Primitive<never>, rule as SymbolicJvpRule<never>];
}
export function transposeEntry<P>(primitive: Primitive<P>, rule: TransposeRule<P>): TransposeEntry {
  return [primitive as unknown as Primitive<never>, rule as TransposeRule<never>];
}
export function partialEvalEntry<P>(primitive: Primitive<P>, rule: PartialEvalRule<P>): PartialEvalEntry {
  return [primitive as unknown as Primitive<never>, rule as PartialEvalRule<never>];
}

/** A table that is put together when it is first read, so that importing the package does no work. */
export class RuleTable<R> {
  readonly #families: () => readonly (readonly Entry<R>[])[];
  #rules: Map<Primitive<never>, R> | null = null;
  constructor(families: () => readonly (readonly Entry<R>[])[]) {
    this.#families = families;
  }
  get(primitive: Primitive<never>): R | undefined {
    this.#rules ??= new Map(this.#families().flat());
    return this.#rules.get(primitive);
  }
  /** The primitives that have a rule. */
  primitives(): Primitive<never>[] {
    this.#rules ??= new Map(this.#families().flat());
    return [...this.#rules.keys()];
  }
}
