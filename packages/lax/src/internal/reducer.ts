import {
  type ArrayLike,
  ConcreteArray,
  dtypeKind,
  integerRange,
  type Jaxpr,
  makeAval,
  type NDArray,
  type Primitive,
  type StandardDType,
  traceToJaxpr,
  ValueError,
  Var,
} from "@traceform/core";
import { addP, andP, maxP, minP, mulP, orP, xorP } from "../binary.ts";
import { beside } from "./operands.ts";
import type { NoParams } from "./infer.ts";

export type MonoidName = "add" | "mul" | "max" | "min" | "and" | "or" | "xor";

/** A reducer that is one of the common monoids, and whether the initial value is its identity. */
export interface NamedMonoid {
  readonly name: MonoidName;
  readonly primitive: Primitive<NoParams>;
  readonly identity: boolean;
}

const monoids = (): readonly Primitive<NoParams>[] => [addP, mulP, maxP, minP, andP, orP, xorP];

/** Traces a reducer of scalars, (accumulators, elements) -> accumulators, and recognises the common monoids. */
export function reducer(
  fn: string,
  arrays: readonly NDArray[],
  inits: readonly NDArray[],
  computation: (acc: never, x: never) => ArrayLike | readonly ArrayLike[],
  many: boolean,
): { jaxpr: Jaxpr; named: NamedMonoid | null } {
  const n = arrays.length;
  const avals = arrays.map((x) => makeAval([], x.dtype));
  const call = computation as unknown as (acc: unknown, x: unknown) => unknown;
  const { jaxpr, consts } = traceToJaxpr(
    (...args) => {
      const out = many ? call(args.slice(0, n), args.slice(n)) : call(args[0], args[1]);
      const outs = (many ? out : [out]) as readonly ArrayLike[];
      return outs.map((x, i) => beside(x, avals[i].dtype));
    },
    [...avals, ...avals],
    fn,
  );
  if (consts.length > 0) {
    throw new ValueError(fn, {
      message: "the reducer closes over arrays",
      fix: "a reducer may only use its two arguments and JavaScript numbers",
    });
  }
  jaxpr.outAvals.forEach((out, i) => {
    if (out.ndim === 0 && out.dtype === avals[i].dtype) return;
    throw new ValueError(fn, {
      message: `the reducer must return scalars of the type of its arguments`,
      operands: { expected: avals[i], returned: out },
      fix: "convert its results to the types of its first arguments",
    });
  });
  return { jaxpr, named: n === 1 ? nameMonoid(jaxpr, inits[0]) : null };
}

function nameMonoid(jaxpr: Jaxpr, init: NDArray): NamedMonoid | null {
  if (jaxpr.eqns.length !== 1) return null;
  const [eqn] = jaxpr.eqns;
  const [a, b] = jaxpr.invars;
  const [x, y] = eqn.invars;
  const both = (x === a && y === b) || (x === b && y === a);
  if (!both || !(jaxpr.outvars[0] instanceof Var) || jaxpr.outvars[0] !== eqn.outvars[0]) return null;
  const primitive = monoids().find((p) => (p as unknown) === eqn.primitive);
  if (primitive === undefined) return null;
  const name = primitive.name as MonoidName;
  const value = init instanceof ConcreteArray ? init.scalarValue : undefined;
  return { name, primitive, identity: value !== undefined && isIdentity(name, value, init.dtype as StandardDType) };
}

function isIdentity(name: MonoidName, value: number | bigint | boolean, dtype: StandardDType): boolean {
  if (name === "add" || name === "xor" || name === "or") return Number(value) === 0;
  if (name === "mul") return Number(value) === 1;
  if (name === "and") return dtype === "bool" ? value === true : Number(value) === -1;
  const kind = dtypeKind(dtype);
  if (kind === "bool") return value === (name === "min");
  if (kind === "float") return value === (name === "max" ? -Infinity : Infinity);
  if (typeof value === "bigint" || dtype === "int64" || dtype === "uint64") {
    const [lo, hi] = dtype === "int64" ? [-(2n ** 63n), 2n ** 63n - 1n] : [0n, 2n ** 64n - 1n];
    return BigInt(value) === (name === "max" ? lo : hi);
  }
  const [lo, hi] = integerRange(dtype);
  return value === (name === "max" ? lo : hi);
}
