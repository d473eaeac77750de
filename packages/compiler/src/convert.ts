import type { DType } from "@traceform/core";
import type { Ex, Exprs } from "./expr.ts";
import { roundToDType, scalarInfo, storedElement, widenElement } from "./scalars.ts";

/**
 * A value of dtype `from` as dtype `to`: floats to integers saturate (NaN is 0), integers wrap, anything but zero is
 * true, floats round to nearest even. Integers become 16-bit floats through f32, with two roundings, because XLA does so.
 */
export function convertElement(e: Exprs, x: Ex, from: DType, to: DType): Ex {
  if (from === to) return x;
  const source = scalarInfo(from);
  const target = scalarInfo(to);
  if (target.kind === "bool") return source.kind === "bool" ? x : e.ne(x, e.constant(x.type, 0));
  if (source.kind === "bool") {
    if (target.kind !== "float") return e.convert("from_bool", target.type, x);
    return e.select(x, e.constant(target.type, 1), e.constant(target.type, 0));
  }
  if (target.kind === "float") {
    const widened =
      source.kind === "float"
        ? x.type === "f64" && target.bits < 32
          ? demoteToOdd(e, x)
          : e.convert(target.type === "f64" ? "promote" : "demote", target.type, x)
        : e.convert(source.kind === "uint" ? "from_u" : "from_s", target.type, x);
    return roundToDType(e, to, widened);
  }
  if (source.kind === "float") {
    const suffix = target.kind === "uint" ? "trunc_u" : "trunc_s";
    if (target.bits >= 32) return e.convert(suffix, target.type, x);
    const most = target.kind === "uint" ? 2 ** target.bits - 1 : 2 ** (target.bits - 1) - 1;
    const least = target.kind === "uint" ? 0 : -most - 1;
    const whole = e.convert("trunc_s", "i32", x);
    const low = e.select(e.lt(whole, e.i32(least)), e.i32(least), whole);
    return e.select(e.gt(low, e.i32(most)), e.i32(most), low);
  }
  if (target.type === "i64")
    return source.type === "i64" ? x : e.convert(source.kind === "uint" ? "extend_u" : "extend_s", "i64", x);
  const narrow = source.type === "i64" ? e.convert("wrap", "i32", x) : x;
  return target.bits < 32 ? roundToDType(e, to, narrow) : narrow;
}

/**
 * An f64 as f32, rounded towards zero with the last bit set where digits were lost: then rounding once more, to a shorter
 * format, gives what rounding once would. @see Boldo & Melquiond (2008), "Emulation of FMA and correctly rounded sums"
 */
function demoteToOdd(e: Exprs, x: Ex): Ex {
  const near = e.op("demote", "f32", [x]);
  const back = e.op("promote", "f64", [near]);
  const bits = e.bitcast("i32", near);
  const down = e.select(e.gt(e.unary("abs", back), e.unary("abs", x)), e.sub(bits, e.i32(1)), bits);
  return e.bitcast("f32", e.select(e.eq(back, x), bits, e.or(down, e.i32(1))));
}

/** The bits of a value as another dtype of the same width. */
export function bitcastElement(e: Exprs, x: Ex, from: DType, to: DType): Ex {
  return fromBits(e, toBits(e, x, from), to);
}

/** The bits of a value as an integer, zero-extended when its dtype is narrower than 32 bits. */
export function toBits(e: Exprs, x: Ex, from: DType): Ex {
  const { type, bits } = scalarInfo(from);
  if (type === "bool") return e.convert("from_bool", "i32", x);
  if (type === "f64") return e.bitcast("i64", x);
  if (from === "float32") return e.bitcast("i32", x);
  if (type === "f32") return storedElement(e, from, x);
  return bits < 32 ? e.and(x, e.i32(2 ** bits - 1)) : x;
}

function fromBits(e: Exprs, x: Ex, to: DType): Ex {
  const { type } = scalarInfo(to);
  if (type === "bool") return e.ne(x, e.i32(0));
  if (type === "f64") return e.bitcast("f64", x);
  if (to === "float32") return e.bitcast("f32", x);
  return type === "f32" ? widenElement(e, to, x) : roundToDType(e, to, x);
}
