import type { Aval } from "./avals.ts";
import { withoutAxes } from "./axis.ts";
import { ConcreteArray } from "./concrete.ts";
import { zerosOnHost } from "./copyblock.ts";
import { type HostArray, physical, type Seat } from "./device.ts";
import { invariant } from "./errors.ts";
import type { NDArray } from "./ndarray.ts";
import type { Params, Primitive } from "./primitive.ts";
import { withoutSource } from "./source.ts";
import { withoutTrace } from "./trace.ts";

/** The symbol under which a primitive carries the function that runs it on the host: see `HostRule`. */
export const hostRule: unique symbol = Symbol.for("traceform.rule.host");

/**
 * How a primitive runs on the host, between kernels: operands as arrays of their own (copies, which the rule may keep or
 * dispose of), results as host arrays of the types that `outAvals` says (extended dtypes as their physical arrays).
 *
 * It is synchronous, may use the library, and may throw: whoever runs the program gets what it threw.
 */
export type HostRule<P = Params> = (args: readonly NDArray[], params: P, outAvals: readonly Aval[]) => readonly HostArray[];

/** The symbol under which a primitive carries the function that runs it on the host in place: see `HostPlaceRule`. */
export const hostPlaceRule: unique symbol = Symbol.for("traceform.rule.host-place");

/**
 * How a primitive runs on the host, between kernels, on the memory of the program itself where the backend has it at hand: operands
 * may neither be changed nor kept, results are to be written. For what moves large arrays and is called by the library only.
 */
export type HostPlaceRule<P = Params> = (operands: readonly HostArray[], results: readonly HostArray[], params: P) => void;

/** The symbol under which a primitive carries the function by which members of a fleet exchange data: see `HostMeetRule`. */
export const hostMeetRule: unique symbol = Symbol.for("traceform.rule.host-meet");

/**
 * How a primitive runs on the host where it waits for the other members of a fleet. Operands may neither be changed nor kept, results have
 * the types of `outAvals`. Only backends whose programs can wait run it.
 */
export type HostMeetRule<P = Params> = (operands: readonly HostArray[], seat: Seat, params: P) => Promise<readonly HostArray[]>;

/** A host step of a compiled program: an equation that backends call out to JavaScript for. */
export interface HostStep {
  readonly name: string;
  readonly inAvals: readonly Aval[];
  readonly outAvals: readonly Aval[];
  /** Operands that nobody else changes or keeps in, results out. Backends read them before anything else happens. */
  run(operands: readonly HostArray[]): readonly HostArray[];
  /** The same in place: operands are not copies, and results have their memory. `null` for steps that users wrote. */
  readonly place: ((operands: readonly HostArray[], results: readonly HostArray[]) => void) | null;
  /** Where it waits for other members of a fleet, what runs it instead. */
  readonly meet?: (operands: readonly HostArray[], seat: Seat) => Promise<readonly HostArray[]>;
}

export function runsOnHost(primitive: Primitive<never>): boolean {
  const { rules } = primitive;
  return (rules[hostRule] ?? rules[hostPlaceRule] ?? rules[hostMeetRule]) !== undefined;
}

/** The host step of an equation of a primitive with a `hostRule` or a `hostPlaceRule`. */
export function hostStep(
  primitive: Primitive<never>,
  params: Params,
  inAvals: readonly Aval[],
  outAvals: readonly Aval[],
): HostStep {
  const inPlace = primitive.rules[hostPlaceRule] as HostPlaceRule | undefined;
  if (inPlace !== undefined) return placeStep(primitive.name, inPlace, params, inAvals, outAvals);
  const meet = primitive.rules[hostMeetRule] as HostMeetRule | undefined;
  if (meet !== undefined) return meetStep(primitive.name, meet, params, inAvals, outAvals);
  const rule = primitive.rules[hostRule] as HostRule;
  return {
    place: null,
    name: primitive.name,
    inAvals,
    outAvals,
    run: (operands) => {
      const args = operands.map((x, i) => ConcreteArray.fromHost(x, inAvals[i]));
      // The step sees no transformation that may be active around the run: it works on values.
      const results = withoutTrace(() => withoutAxes(() => withoutSource(() => rule(args, params, outAvals))));
      invariant(results.length === outAvals.length, `${primitive.name} returned ${results.length} of ${outAvals.length} results`);
      results.forEach((x, i) => {
        const { shape, dtype } = physical(outAvals[i]);
        invariant(x.dtype === dtype && x.shape.join() === shape.join(), `result ${i} of ${primitive.name} has another type`);
      });
      return results;
    },
  };
}

function placeStep(
  name: string,
  rule: HostPlaceRule,
  params: Params,
  inAvals: readonly Aval[],
  outAvals: readonly Aval[],
): HostStep {
  const place = (operands: readonly HostArray[], results: readonly HostArray[]): void => rule(operands, results, params);
  return {
    name,
    inAvals,
    outAvals,
    place,
    run: (operands) => {
      const results = outAvals.map((aval) => {
        const { shape, dtype } = physical(aval);
        return zerosOnHost(shape, dtype);
      });
      place(operands, results);
      return results;
    },
  };
}

function meetStep(name: string, rule: HostMeetRule, params: Params, inAvals: readonly Aval[], outAvals: readonly Aval[]): HostStep {
  // No user gets here: such steps stand only in programs that are made for the members of a fleet.
  const run = (): never => invariant(false, `${name} is run by one GPU alone`) as never;
  return { name, inAvals, outAvals, place: null, run, meet: (operands, seat) => rule(operands, seat, params) };
}

/** Runs a primitive that runs on the host on concrete arrays, without a program. */
export function runOnHost(
  primitive: Primitive<never>,
  args: readonly NDArray[],
  params: Params,
  outAvals: readonly Aval[],
): NDArray[] {
  const step = hostStep(
    primitive,
    params,
    args.map((x) => x.aval),
    outAvals,
  );
  return step.run(args.map((x) => x.toHost(primitive.name))).map((x, i) => ConcreteArray.fromHost(x, outAvals[i]));
}
