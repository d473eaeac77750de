import { config } from "./config.ts";
import { type DType, dtypeKind, dtypeName, isInexact, isInteger, isStandardDType, type StandardDType } from "./dtypes.ts";
import { DTypeError } from "./errors.ts";

/**
 * JAX's type promotion lattice. Weak types (`i*`, `f*`, `c*`) sit between the kinds: a weak value gives way to any
 * dtype of its own kind. Edges point to the types directly above.
 * @see https://docs.jax.dev/en/latest/jep/9407-type-promotion.html
 */
const edges: Record<string, readonly string[]> = {
  bool: ["i*"],
  "i*": ["uint8", "int8"],
  uint8: ["int16", "uint16"],
  uint16: ["int32", "uint32"],
  uint32: ["int64", "uint64"],
  uint64: ["f*"],
  int8: ["int16"],
  int16: ["int32"],
  int32: ["int64"],
  int64: ["f*"],
  "f*": ["c*", "float16", "bfloat16"],
  float16: ["float32"],
  bfloat16: ["float32"],
  float32: ["float64", "complex64"],
  float64: ["complex128"],
  "c*": ["complex64"],
  complex64: ["complex128"],
  complex128: [],
};

const above = new Map<string, Set<string>>();
function upperBounds(name: string): Set<string> {
  let set = above.get(name);
  if (set === undefined) {
    set = new Set([name]);
    for (const up of edges[name]) for (const x of upperBounds(up)) set.add(x);
    above.set(name, set);
  }
  return set;
}

const joins = new Map<string, string>();
function join(a: string, b: string): string {
  if (a === b) return a;
  const key = `${a} ${b}`;
  let result = joins.get(key);
  if (result === undefined) {
    const common = [...upperBounds(a)].filter((x) => upperBounds(b).has(x));
    // The least upper bound is the common bound that lies below all the others.
    result = common.find((x) => common.every((y) => upperBounds(x).has(y)))!;
    joins.set(key, result);
  }
  return result;
}

/** A dtype and whether it is weak. */
export interface WeakDType {
  readonly dtype: DType;
  readonly weakType: boolean;
}

const weakNodes: Partial<Record<string, string>> = { int: "i*", uint: "i*", float: "f*", complex: "c*" };
/** What a weak node becomes when nothing stronger meets it. */
const weakDefaults: Record<string, StandardDType> = { "i*": "int32", "f*": "float32", "c*": "complex64" };

function node({ dtype, weakType }: WeakDType): string {
  const name = dtype as StandardDType;
  return weakType ? (weakNodes[dtypeKind(dtype)] ?? name) : name;
}

const wide: ReadonlySet<DType> = new Set<DType>(["int64", "uint64", "float64", "complex128"]);
const narrowed: Partial<Record<string, StandardDType>> = {
  int64: "int32",
  uint64: "uint32",
  float64: "float32",
  complex128: "complex64",
};

/**
 * The promoted type of several values. 64-bit results come from 64-bit inputs only: `uint32 + int32` is int32, as in
 * JAX without `enable_x64`. Extended dtypes promote with themselves alone.
 */
export function promote(types: readonly WeakDType[]): WeakDType {
  const [first] = types;
  if (types.some((t) => !isStandardDType(t.dtype))) {
    const other = types.find((t) => t.dtype !== first.dtype);
    if (other === undefined) return first;
    throw new DTypeError("promote", {
      message: `${dtypeName(first.dtype)} and ${dtypeName(other.dtype)} have no common dtype`,
      fix: "extended dtypes (such as PRNG keys) do not mix with others",
    });
  }
  if (config.numpyDtypePromotion === "strict") checkStrict(types);
  let result = node(first);
  for (let i = 1; i < types.length; i++) result = join(result, node(types[i]));
  const weak = result in weakDefaults;
  let dtype: StandardDType = weak ? weakDefaults[result] : (result as StandardDType);
  // The lattice itself may widen (uint32 with int32 meets at int64); only wide operands make wide results.
  if (wide.has(dtype) && !types.some((t) => wide.has(t.dtype) && !t.weakType)) dtype = narrowed[dtype] ?? dtype;
  if (weak) {
    // Two weak values of one kind keep the wider of their dtypes: weak float64 + weak float32 is weak float64.
    const kind = dtypeKind(dtype);
    for (const t of types) if (t.weakType && dtypeKind(t.dtype) === kind && wide.has(t.dtype)) dtype = t.dtype as StandardDType;
  }
  return { dtype, weakType: weak };
}

/** The kinds that a weak value gives way to without a word. */
const strictlyAbove: Partial<Record<string, readonly string[]>> = {
  "i*": ["int", "uint", "float", "complex"],
  "f*": ["float", "complex"],
  "c*": ["complex"],
};

function checkStrict(types: readonly WeakDType[]): void {
  const strong = types.find((t) => !(node(t) in weakDefaults));
  if (strong === undefined) return;
  const other = types.find((t) => {
    const above = strictlyAbove[node(t)];
    return above === undefined ? t.dtype !== strong.dtype : !above.includes(dtypeKind(strong.dtype));
  });
  if (other === undefined) return;
  throw new DTypeError("promote", {
    message: `${dtypeName(strong.dtype)} and ${other.weakType ? "a weak " : ""}${dtypeName(other.dtype)} do not meet under strict promotion`,
    fix: 'convert one of them with astype, or use numpyDtypePromotion("standard", …)',
  });
}

/** The common dtype of two dtypes, both taken as strong. */
export function promoteTypes(a: DType, b: DType): DType {
  return promote([
    { dtype: a, weakType: false },
    { dtype: b, weakType: false },
  ]).dtype;
}

/**
 * The type that a JavaScript number takes beside arrays of `others`: an integral number beside integers adopts
 * their dtype (weakly); every other number is a weak float32, also beside bools.
 */
export function numberType(value: number, others: readonly WeakDType[]): WeakDType {
  const integral =
    Number.isInteger(value) &&
    others.some((t) => isInteger(t.dtype)) &&
    others.every((t) => isInteger(t.dtype) || t.dtype === "bool");
  return { dtype: integral ? "int32" : "float32", weakType: true };
}

/** The float dtype in which a function of `dtype` is computed: itself when inexact, else float32. */
export function toInexact(dtype: DType): DType {
  return isInexact(dtype) ? dtype : "float32";
}
