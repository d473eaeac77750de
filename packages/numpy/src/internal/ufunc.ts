import { type ArrayLike, DTypeError, dtypeKind, type NDArray } from "@traceform/core";
import { inexact, promote, promoteInexact, promoteNumeric, toArray } from "./promote.ts";

/** An elementwise function of one array. */
export type Unary = (x: ArrayLike) => NDArray;
/** An elementwise function of two arrays, which broadcast and promote. */
export type Binary = (x: ArrayLike, y: ArrayLike) => NDArray;
type Unary1 = (x: NDArray) => NDArray;
type Binary1 = (x: NDArray, y: NDArray) => NDArray;

/** Integers and bools are computed in float32. */
export function onInexact(name: string, op: Unary1): Unary {
  return (x) => op(inexact(name, x));
}

/** The dtype stays; bools are refused. */
export function onNumeric(name: string, op: Unary1): Unary {
  return (x) => {
    const a = toArray(x);
    if (a.dtype === "bool") {
      throw new DTypeError(name, {
        message: "is not defined for bool",
        operands: { x: a },
        fix: "use logicalNot, or convert with astype",
      });
    }
    return op(a);
  };
}

/** Integers and bools, which have nothing to round, are returned as they are. */
export function onFloat(op: Unary1): Unary {
  return (x) => {
    const a = toArray(x);
    const kind = dtypeKind(a.dtype);
    return kind === "float" || kind === "complex" ? op(a) : a;
  };
}

export function binary(name: string, op: Binary1): Binary {
  return (x, y) => {
    const [a, b] = promote(name, [x, y]);
    return op(a, b);
  };
}

/** Integers and bools are computed in float32. */
export function binaryInexact(name: string, op: Binary1): Binary {
  return (x, y) => {
    const [a, b] = promoteInexact(name, [x, y]);
    return op(a, b);
  };
}

/** Bools are computed in int32. */
export function binaryNumeric(name: string, op: Binary1): Binary {
  return (x, y) => {
    const [a, b] = promoteNumeric(name, [x, y]);
    return op(a, b);
  };
}

/** Bools have an operation of their own. */
export function binaryOrBool(name: string, op: Binary1, boolOp: Binary1): Binary {
  return (x, y) => {
    const [a, b] = promote(name, [x, y]);
    return a.dtype === "bool" ? boolOp(a, b) : op(a, b);
  };
}
