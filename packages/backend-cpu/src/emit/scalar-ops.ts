import type { Ex, ScalarType } from "@traceform/compiler";
import type { Opcode } from "../wasm/opcodes.ts";

/** The WebAssembly type that holds a scalar. */
export const wasmType: Readonly<Record<ScalarType, "i32" | "i64" | "f32" | "f64">> = {
  bool: "i32",
  i32: "i32",
  i64: "i64",
  f32: "f32",
  f64: "f64",
};

const floats: ReadonlySet<string> = new Set(["f32", "f64"]);
const comparisons: ReadonlySet<string> = new Set(["eq", "ne", "lt", "le", "gt", "ge", "lt_u", "le_u", "gt_u", "ge_u"]);

export function isComparison(op: string): boolean {
  return comparisons.has(op);
}

/** The instruction of an operation on scalars; null when the bits stay as they are, undefined when there is none. */
export function scalarOpcode(x: Ex): Opcode | null | undefined {
  const { op, type } = x;
  const from = x.args.length > 0 ? wasmType[x.args[0].type] : "i32";
  const to = wasmType[type];
  if (comparisons.has(op)) {
    const signed = !floats.has(from) && !op.endsWith("_u") && op !== "eq" && op !== "ne";
    return `${from}.${op}${signed ? "_s" : ""}` as Opcode;
  }
  switch (op) {
    case "promote":
      return "f64.promote_f32";
    case "demote":
      return "f32.demote_f64";
    case "from_s":
    case "from_u":
      return `${to}.convert_${from}_${op.slice(-1)}` as Opcode;
    case "trunc_s":
    case "trunc_u":
      return `${to}.trunc_sat_${from}_${op.slice(-1)}` as Opcode;
    case "wrap":
      return "i32.wrap_i64";
    case "extend_s":
    case "extend_u":
      return `i64.extend_i32_${op.slice(-1)}` as Opcode;
    case "from_bool":
      return to === "i64" ? "i64.extend_i32_u" : null;
    case "bitcast":
      return from === to ? null : (`${to}.reinterpret_${from}` as Opcode);
    case "fma":
    case "pmin":
    case "pmax":
    case "fmod":
    case "rem_pio2":
    case "tail_pio2":
    case "quo_pio2":
    case "select":
      return undefined;
    default:
      return `${to}.${op}` as Opcode;
  }
}

/** The shape of vectors of a type: four lanes in one register, or two halves of two. */
export const vectorShape: Readonly<Record<ScalarType, "i32x4" | "i64x2" | "f32x4" | "f64x2">> = {
  bool: "i32x4",
  i32: "i32x4",
  i64: "i64x2",
  f32: "f32x4",
  f64: "f64x2",
};
export function isWide(type: ScalarType): boolean {
  return type === "i64" || type === "f64";
}

const ofFloats: ReadonlySet<string> = new Set([
  "add",
  "sub",
  "mul",
  "div",
  "min",
  "max",
  "neg",
  "abs",
  "sqrt",
  "floor",
  "ceil",
  "trunc",
  "nearest",
  "pmin",
  "pmax",
]);
const direct: Readonly<Record<string, ReadonlySet<string>>> = {
  f32: ofFloats,
  f64: ofFloats,
  i32: new Set(["add", "sub", "mul"]),
  i64: new Set(["add", "sub", "mul"]),
};

/** The instruction that does the operation on each lane, or undefined. */
export function vectorOpcode(x: Ex): Opcode | undefined {
  if (direct[x.type]?.has(x.op)) return `${vectorShape[x.type]}.${x.op}` as Opcode;
  if (x.op === "and" || x.op === "or" || x.op === "xor") return `v128.${x.op}`;
  return undefined;
}

/** The instruction that compares lanes into masks, or undefined. */
export function vectorComparison(x: Ex): Opcode | undefined {
  const type = x.args[0].type;
  const shape = vectorShape[type];
  if (floats.has(type)) return `${shape}.${x.op}` as Opcode;
  if (x.op === "eq" || x.op === "ne") return `${shape}.${x.op}`;
  if (x.op.endsWith("_u")) return type === "i64" ? undefined : (`${shape}.${x.op}` as Opcode);
  return type === "bool" ? undefined : (`${shape}.${x.op}_s` as Opcode);
}
