import type { Ex, ScalarType } from "@traceform/compiler";
import type { HelperName } from "./helpers.ts";

/** The WGSL type that holds a scalar; undefined for those that the GPU does not have. */
export const wgslType: Readonly<Partial<Record<ScalarType, "bool" | "i32" | "f32">>> = { bool: "bool", i32: "i32", f32: "f32" };

/** The text of an operation on the texts of its operands. `helper` notes that a helper is called and returns its name. */
type Write = (args: readonly string[], x: Ex, helper: (name: HelperName) => string) => string;

const infix =
  (operator: string): Write =>
  ([a, b]) =>
    `${a} ${operator} ${b}`;
const call =
  (name: string): Write =>
  (args) =>
    `${name}(${args.join(", ")})`;
const helped =
  (name: HelperName): Write =>
  (args, _, helper) =>
    `${helper(name)}(${args.join(", ")})`;
/** An operation on the same bits read as unsigned integers. */
const unsigned =
  (operator: string): Write =>
  ([a, b]) =>
    `bitcast<i32>(bitcast<u32>(${a}) ${operator} bitcast<u32>(${b}))`;
const comparedUnsigned =
  (operator: string): Write =>
  ([a, b]) =>
    `bitcast<u32>(${a}) ${operator} bitcast<u32>(${b})`;
/** Shifts take their amount modulo 32. */
const amount = (n: string): string => `(bitcast<u32>(${n}) & 31u)`;
const selfComparison = (x: Ex): boolean => x.args[0] === x.args[1] && x.args[0].type === "f32";

const operations: Readonly<Record<string, Write>> = {
  add: infix("+"),
  sub: infix("-"),
  mul: infix("*"),
  div: infix("/"),
  neg: ([a]) => `-${a}`,
  fma: call("fma"),
  and: infix("&"),
  or: infix("|"),
  xor: ([a, b], x) => (x.type === "bool" ? `${a} != ${b}` : `${a} ^ ${b}`),
  shl: ([a, n]) => `${a} << ${amount(n)}`,
  shr_s: ([a, n]) => `${a} >> ${amount(n)}`,
  shr_u: ([a, n]) => `bitcast<i32>(bitcast<u32>(${a}) >> ${amount(n)})`,
  div_s: infix("/"),
  rem_s: infix("%"),
  div_u: unsigned("/"),
  rem_u: unsigned("%"),
  // `x != x` asks for NaN, and a compiler that may assume that there is none answers it.
  eq: ([a, b], x, helper) => (selfComparison(x) ? `!${helper("is_nan")}(${a})` : `${a} == ${b}`),
  // `!=` is false for NaN in SPIR-V as compilers write it.
  ne: ([a, b], x, helper) =>
    selfComparison(x) ? `${helper("is_nan")}(${a})` : x.args[0].type === "f32" ? `!(${a} == ${b})` : `${a} != ${b}`,
  lt: infix("<"),
  le: infix("<="),
  gt: infix(">"),
  ge: infix(">="),
  lt_u: comparedUnsigned("<"),
  le_u: comparedUnsigned("<="),
  gt_u: comparedUnsigned(">"),
  ge_u: comparedUnsigned(">="),
  select: ([c, a, b]) => `select(${b}, ${a}, ${c})`,
  max: helped("maximum"),
  min: helped("minimum"),
  pmin: ([a, b]) => `select(${a}, ${b}, ${b} < ${a})`,
  pmax: ([a, b]) => `select(${a}, ${b}, ${a} < ${b})`,
  copysign: helped("copy_sign"),
  abs: call("abs"),
  sqrt: call("sqrt"),
  floor: call("floor"),
  ceil: call("ceil"),
  trunc: call("trunc"),
  nearest: call("round"),
  clz: call("countLeadingZeros"),
  popcnt: call("countOneBits"),
  from_s: ([a]) => `f32(${a})`,
  // In two exact parts, so that their sum is the nearest number: WGSL asks for one of its neighbours.
  from_u: ([a]) => `(f32(bitcast<u32>(${a}) >> 16u) * 65536.0 + f32(${a} & 0xffff))`,
  from_bool: ([a]) => `select(0, 1, ${a})`,
  trunc_s: helped("to_i32"),
  trunc_u: helped("to_u32"),
  rounded: ([a]) => `bitcast<f32>(bitcast<u32>(${a}) ^ zero)`,
  fmod: helped("remainder"),
  quo_pio2: (args, _, helper) => `i32(${helper("large_angle")}(${args[0]}).x)`,
  rem_pio2: (args, _, helper) => `${helper("large_angle")}(${args[0]}).y`,
  tail_pio2: (args, _, helper) => `${helper("large_angle")}(${args[0]}).z`,
  bitcast: ([a], x) => (x.args[0].type === x.type ? a : `bitcast<${x.type}>(${a})`),
};

/** The text of an operation, or null where WGSL has none. */
export function writeOperation(x: Ex, args: readonly string[], helper: (name: HelperName) => string): string | null {
  const write = operations[x.op];
  return write === undefined ? null : write(args, x, helper);
}

/** A constant. Infinities and NaN may not be written in WGSL: they are among the words that every dispatch brings. */
export function writeConstant(x: Ex): string {
  const value = Number(x.value);
  switch (x.type) {
    case "bool":
      return value === 0 ? "false" : "true";
    case "i32":
      return value === -0x80000000 ? "bitcast<i32>(0x80000000u)" : value < 0 ? `(${value})` : String(value);
    default:
      if (Number.isNaN(value)) return "nan";
      if (!Number.isFinite(value)) return value > 0 ? "infinity" : "(-infinity)";
      if (Object.is(value, -0)) return "bitcast<f32>(0x80000000u)";
      return value < 0 ? `(${value}f)` : `${value}f`;
  }
}
