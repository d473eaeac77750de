import { invariant } from "@traceform/core";

/**
 * The type in which a scalar is computed. Signedness is in the operation (`lt_u`), not in the type. A `bool` is
 * 0 or 1 as a scalar; a vector emitter may hold it as a mask of lanes.
 */
export type ScalarType = "bool" | "i32" | "i64" | "f32" | "f64";

/** How one element lies in memory. Loads widen to the computed type, stores narrow from it. */
export type Storage = "bool" | "i8" | "u8" | "i16" | "u16" | "i32" | "i64" | "f32" | "f64";

/** Bytes of one element in memory. */
export const storageBytes: Readonly<Record<Storage, number>> = {
  bool: 1,
  i8: 1,
  u8: 1,
  i16: 2,
  u16: 2,
  i32: 4,
  i64: 8,
  f32: 4,
  f64: 8,
};

/** The type to which a load of the storage widens. */
export const storageType: Readonly<Record<Storage, ScalarType>> = {
  bool: "bool",
  i8: "i32",
  u8: "i32",
  i16: "i32",
  u16: "i32",
  i32: "i32",
  i64: "i64",
  f32: "f32",
  f64: "f64",
};

/** A loop variable running over `[0, extent)`. Collapsing neighbouring loops changes the extent. */
export interface Axis {
  readonly id: number;
  extent: number;
}

/** One summand of an index. */
export interface Term {
  readonly atom: Ex;
  readonly coef: number;
}

/**
 * An integer position: `c + sum(coef * atom)`. Atoms are axes, floor divisions and remainders of indices by
 * constants (`idiv`, `imod`), or values computed at run time. Terms are sorted by the atoms' ids.
 */
export interface Index {
  readonly c: number;
  readonly terms: readonly Term[];
}

/**
 * A node of a scalar expression graph. Nodes are hash-consed: equal expressions of one builder are one object, so
 * common subexpressions are shared by construction. Every node is safe to evaluate at any time: guarded loads
 * never fault and integer divisions are guarded, so emitters may hoist freely.
 */
export interface Ex {
  readonly id: number;
  readonly op: string;
  readonly type: ScalarType;
  readonly args: readonly Ex[];
  /** The value of a constant (bigint for i64), or an operation's immediate. */
  readonly value: number | bigint;
  readonly index: Index | null;
  readonly axis: Axis | null;
  /** Loads: which pointer argument of the kernel, and how the element lies there. A guard is `args[0]`. */
  readonly slot: number;
  readonly storage: Storage | null;
  /** A load from memory that the same kernel writes: it must stay where it is. */
  readonly pinned: boolean;
}

interface ExFields {
  readonly value?: number | bigint;
  readonly index?: Index | null;
  readonly axis?: Axis | null;
  readonly slot?: number;
  readonly storage?: Storage | null;
  readonly pinned?: boolean;
}

const commutative: ReadonlySet<string> = new Set(["add", "mul", "and", "or", "xor", "eq", "ne", "min", "max"]);

/** Builds the expressions of one kernel: hash-consing, constant folding, and the operations by name. */
export class Exprs {
  readonly #table = new Map<string, Ex>();
  #nextId = 0;
  #nextAxis = 0;

  /**
   * Whether the code generator has 64-bit floats, and leaves sums and products of floats as they are written. Where it does not,
   * element functions have forms in single precision, which mark what must not be rearranged.
   */
  readonly float64: boolean;

  constructor(float64 = true) {
    this.float64 = float64;
  }

  get size(): number {
    return this.#nextId;
  }

  /** Constants that programs bring, such as learning rates, and what is divided by for a mean: other programs have others. */
  readonly literals: Set<Ex> = new Set();
  /** Notes that a value is one of those. */
  literal(x: Ex): Ex {
    if (x.op === "const") this.literals.add(x);
    return x;
  }

  #make(op: string, type: ScalarType, args: readonly Ex[], f: ExFields): Ex {
    const value = f.value ?? 0;
    let key = `${op}:${type}:${Object.is(value, -0) ? "-0" : String(value)}`;
    for (const a of args) key += `,${a.id}`;
    if (f.axis) key += `@${f.axis.id}`;
    if (f.index) key += `[${indexKey(f.index)}]`;
    if (f.storage) key += `#${f.slot}${f.storage}${f.pinned ? "!" : ""}`;
    let ex = this.#table.get(key);
    if (ex === undefined) {
      ex = {
        id: this.#nextId++,
        op,
        type,
        args,
        value,
        index: f.index ?? null,
        axis: f.axis ?? null,
        slot: f.slot ?? -1,
        storage: f.storage ?? null,
        pinned: f.pinned ?? false,
      };
      this.#table.set(key, ex);
    }
    return ex;
  }

  axis(extent: number): Axis {
    return { id: this.#nextAxis++, extent };
  }
  axisValue(axis: Axis): Ex {
    return this.#make("axis", "i32", [], { axis });
  }
  constant(type: ScalarType, value: number | bigint | boolean): Ex {
    return this.#make("const", type, [], { value: normalise(type, value) });
  }
  f32(value: number): Ex {
    return this.constant("f32", value);
  }
  f64(value: number): Ex {
    return this.constant("f64", value);
  }
  i32(value: number): Ex {
    return this.constant("i32", value);
  }
  /** A value bound by whoever emits the expression: an accumulator, the result of a reduction. Never shared. */
  param(type: ScalarType): Ex {
    return this.#make("param", type, [], { value: this.#nextId });
  }
  load(slot: number, storage: Storage, index: Index, guard: Ex | null = null, pinned = false): Ex {
    return this.#make("load", storageType[storage], guard ? [guard] : [], { slot, storage, index, pinned });
  }
  /** The index as an i32 value. */
  fromIndex(index: Index): Ex {
    if (index.terms.length === 0) return this.i32(index.c);
    if (index.c === 0 && index.terms.length === 1 && index.terms[0]!.coef === 1) return index.terms[0]!.atom;
    return this.#make("index", "i32", [], { index });
  }
  /** `floor(index / n)` or the remainder, as an atom; callers simplify first (see `affine.ts`). */
  indexAtom(op: "idiv" | "imod", index: Index, n: number): Ex {
    return this.#make(op, "i32", [], { index, value: n });
  }

  /** An operation on values. `type` is the type of the result. */
  op(op: string, type: ScalarType, args: readonly Ex[], value: number | bigint = 0): Ex {
    if (args.every((a) => a.op === "const")) {
      const folded = fold(op, type, args);
      if (folded !== undefined) {
        const made = this.constant(type, folded);
        return args.some((a) => this.literals.has(a)) ? this.literal(made) : made;
      }
    }
    const simple = simplify(op, args);
    if (simple !== null) return simple;
    if (commutative.has(op) && args[0]!.id > args[1]!.id) args = [args[1]!, args[0]!];
    return this.#make(op, type, args, { value });
  }

  // Arithmetic keeps the operands' type.
  add(a: Ex, b: Ex): Ex {
    return this.op("add", a.type, [a, b]);
  }
  sub(a: Ex, b: Ex): Ex {
    return this.op("sub", a.type, [a, b]);
  }
  mul(a: Ex, b: Ex): Ex {
    return this.op("mul", a.type, [a, b]);
  }
  div(a: Ex, b: Ex): Ex {
    return this.op("div", a.type, [a, b]);
  }
  neg(a: Ex): Ex {
    return a.type === "f32" || a.type === "f64" ? this.op("neg", a.type, [a]) : this.sub(this.constant(a.type, 0), a);
  }
  /** `a * b + c`, rounded once where the hardware can. Only for approximations, never for user arithmetic. */
  fma(a: Ex, b: Ex, c: Ex): Ex {
    return this.op("fma", a.type, [a, b, c]);
  }
  /** The value as rounded to its type: compilers that rearrange sums and products do not see what it is made of. */
  rounded(a: Ex): Ex {
    return this.float64 || a.op === "const" ? a : this.op("rounded", a.type, [a]);
  }
  and(a: Ex, b: Ex): Ex {
    return this.op("and", a.type, [a, b]);
  }
  or(a: Ex, b: Ex): Ex {
    return this.op("or", a.type, [a, b]);
  }
  xor(a: Ex, b: Ex): Ex {
    return this.op("xor", a.type, [a, b]);
  }
  not(a: Ex): Ex {
    return this.xor(a, this.constant(a.type, a.type === "bool" ? 1 : -1));
  }
  shl(a: Ex, n: Ex | number): Ex {
    return this.op("shl", a.type, [a, this.#amount(a, n)]);
  }
  shrS(a: Ex, n: Ex | number): Ex {
    return this.op("shr_s", a.type, [a, this.#amount(a, n)]);
  }
  shrU(a: Ex, n: Ex | number): Ex {
    return this.op("shr_u", a.type, [a, this.#amount(a, n)]);
  }
  #amount(a: Ex, n: Ex | number): Ex {
    return typeof n === "number" ? this.constant(a.type, n) : n;
  }
  unary(op: "abs" | "sqrt" | "floor" | "ceil" | "trunc" | "nearest" | "clz" | "popcnt", a: Ex): Ex {
    return this.op(op, a.type, [a]);
  }
  // Comparisons of floats and of signed integers; `_u` compares unsigned.
  compare(op: "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "lt_u" | "le_u" | "gt_u" | "ge_u", a: Ex, b: Ex): Ex {
    return this.op(op, "bool", [a, b]);
  }
  eq(a: Ex, b: Ex): Ex {
    return this.compare("eq", a, b);
  }
  ne(a: Ex, b: Ex): Ex {
    return this.compare("ne", a, b);
  }
  lt(a: Ex, b: Ex): Ex {
    return this.compare("lt", a, b);
  }
  le(a: Ex, b: Ex): Ex {
    return this.compare("le", a, b);
  }
  gt(a: Ex, b: Ex): Ex {
    return this.compare("gt", a, b);
  }
  ge(a: Ex, b: Ex): Ex {
    return this.compare("ge", a, b);
  }
  select(c: Ex, a: Ex, b: Ex): Ex {
    return this.op("select", a.type, [c, a, b]);
  }
  /** A value of another type: `promote`, `demote`, `trunc_s`, `from_s`, `wrap`, `bitcast`, … by the pair of types. */
  convert(op: string, type: ScalarType, a: Ex): Ex {
    return a.type === type && op !== "bitcast" ? a : this.op(op, type, [a]);
  }
  bitcast(type: ScalarType, a: Ex): Ex {
    return a.type === type ? a : this.op("bitcast", type, [a]);
  }
}

export function indexKey(index: Index): string {
  let key = String(index.c);
  for (const t of index.terms) key += `+${t.coef}*${t.atom.id}`;
  return key;
}

function normalise(type: ScalarType, value: number | bigint | boolean): number | bigint {
  switch (type) {
    case "bool":
      return value ? 1 : 0;
    case "i32":
      return typeof value === "bigint" ? Number(BigInt.asIntN(32, value)) : Number(value) | 0;
    case "i64":
      return BigInt.asIntN(64, typeof value === "bigint" ? value : BigInt(Math.trunc(Number(value))));
    case "f32":
      return Math.fround(Number(value));
    case "f64":
      return Number(value);
  }
}

const foldFloat: Readonly<Record<string, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  neg: (a) => -a,
  sqrt: (a) => Math.sqrt(a),
  abs: (a) => Math.abs(a),
  floor: (a) => Math.floor(a),
  ceil: (a) => Math.ceil(a),
  trunc: (a) => Math.trunc(a),
};
const foldInt: Readonly<Record<string, (a: bigint, b: bigint) => bigint>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
};
const foldCompare: Readonly<Record<string, (a: number | bigint, b: number | bigint) => boolean>> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
};

function fold(op: string, type: ScalarType, args: readonly Ex[]): number | bigint | undefined {
  const [a, b] = args;
  if (a === undefined) return undefined;
  if (op === "select") return (a.value ? args[1]! : args[2]!).value;
  if (op in foldCompare) return foldCompare[op]!(a.value, b!.value) ? 1 : 0;
  if (a.type !== type) {
    if (op === "promote" || op === "demote" || op === "from_s") return Number(a.value);
    if (op === "from_bool") return type === "i64" ? BigInt(a.value) : Number(a.value);
    return undefined;
  }
  if (type === "f32" || type === "f64") return foldFloat[op]?.(Number(a.value), Number(b?.value));
  const f = foldInt[op];
  return f === undefined ? undefined : f(BigInt(a.value), BigInt(b!.value));
}

/** Identities that hold bit for bit: nothing that would lose a NaN or a signed zero. */
function simplify(op: string, args: readonly Ex[]): Ex | null {
  const [a, b, c] = args;
  const int = a !== undefined && a.type !== "f32" && a.type !== "f64";
  const isConst = (x: Ex | undefined, v: number): boolean => x !== undefined && x.op === "const" && Number(x.value) === v;
  switch (op) {
    case "add":
    case "or":
    case "xor":
      if (int && isConst(b, 0)) return a!;
      return int && isConst(a, 0) ? b! : null;
    case "sub":
    case "shl":
    case "shr_s":
    case "shr_u":
      return int && isConst(b, 0) ? a! : null;
    case "mul":
      return isConst(b, 1) ? a! : isConst(a, 1) ? b! : null;
    case "and":
      if (a!.type !== "bool") return a === b ? a! : null;
      if (isConst(a, 1)) return b!;
      if (isConst(b, 1)) return a!;
      return a === b ? a! : isConst(a, 0) ? a! : isConst(b, 0) ? b! : null;
    case "div":
      return isConst(b, 1) ? a! : null;
    case "select":
      if (a!.op === "const") return a!.value ? b! : c!;
      return b === c ? b! : null;
    default:
      return null;
  }
}

/** Checks that a value has the type its user needs. */
export function expectType(x: Ex, type: ScalarType): Ex {
  invariant(x.type === type, `expression ${x.op} has type ${x.type}, wanted ${type}`);
  return x;
}
