import { isInteger, type NDArray, RuleError, scalar } from "@traceform/core";
import {
  abs,
  add,
  addP,
  andP,
  atan2P,
  betaincP,
  convertElementType,
  div,
  divP,
  eq,
  eqP,
  exp,
  floor,
  geP,
  gtP,
  igammacP,
  igammaP,
  leP,
  lgamma,
  log,
  log1p,
  ltP,
  maxP,
  minP,
  mul,
  mulP,
  neg,
  neP,
  nextafterP,
  orP,
  polygamma,
  polygammaP,
  pow,
  powP,
  reduceSum,
  remP,
  select,
  shiftLeftP,
  shiftRightArithmeticP,
  shiftRightLogicalP,
  sign,
  square,
  sub,
  subP,
  xorP,
  zeta,
  zetaP,
} from "@traceform/lax";
import { elementwise, zeroDerivative } from "../internal/entries.ts";
import { known } from "../internal/known.ts";
import { addTangents, fit } from "../internal/zeros.ts";
import {
  isLinear,
  type JvpEntry,
  jvpEntry,
  type LinearOperand,
  type Tangent,
  type TransposeEntry,
  transposeEntry,
} from "../rule.ts";
import { igammaSlopeA } from "./incompletegamma.ts";
import { replaceZero } from "./unary.ts";

/** 1 where `x` alone reaches `out`, 1/2 where `y` does too, else 0: ties share the gradient evenly. */
function balanced(x: NDArray, out: NDArray, y: NDArray): NDArray {
  const one = scalar(1, out.dtype);
  const zero = scalar(0, out.dtype);
  return select(eq(x, out), select(eq(y, out), scalar(0.5, out.dtype), one), zero);
}

/** y x^(y-1). An integer exponent 0 has derivative 0 also at x = 0. */
function powLhs(dx: NDArray, _out: NDArray, x: NDArray, y: NDArray): NDArray {
  if (isInteger(y.dtype)) {
    const yf = convertElementType(y, x.dtype);
    const slope = mul(yf, pow(x, select(eq(y, 0), scalar(1, y.dtype), sub(y, 1))));
    return mul(dx, slope);
  }
  return mul(dx, mul(y, pow(x, sub(y, 1))));
}
/** log(x) x^y, and 0 at x = 0. */
function powRhs(dy: NDArray, out: NDArray, x: NDArray): NDArray {
  return mul(dy, mul(log(replaceZero(x)), out));
}

/** d/dx of the lower incomplete gamma function: x^(a-1) e^-x / Γ(a). */
function igammaSlope(a: NDArray, x: NDArray): NDArray {
  return exp(sub(sub(mul(sub(a, 1), log(x)), x), lgamma(a)));
}

/** d/dx I_x(a, b) = x^(a-1) (1-x)^(b-1) / B(a, b). */
function betaincSlope(a: NDArray, b: NDArray, x: NDArray): NDArray {
  const logBeta = sub(add(lgamma(a), lgamma(b)), lgamma(add(a, b)));
  return exp(sub(add(mul(sub(a, 1), log(x)), mul(sub(b, 1), log1p(neg(x)))), logBeta));
}

function undifferentiable(name: string, operand: string): () => never {
  return () => {
    throw new RuleError(name, {
      message: `the derivative with respect to ${operand} is not implemented`,
      fix: `apply stopGradient to ${operand}, or define the derivative with customJvp`,
    });
  };
}

export const binaryJvps = (): JvpEntry[] => [
  jvpEntry(addP, ([x, y], [dx, dy]) => {
    const out = add(x, y);
    const t = addTangents(dx, dy);
    return [[out], [t === null ? null : fit(t, out.shape)]];
  }),
  jvpEntry(subP, ([x, y], [dx, dy]) => {
    const out = sub(x, y);
    const t = dx === null ? (dy === null ? null : neg(dy)) : dy === null ? dx : sub(dx, dy);
    return [[out], [t === null ? null : fit(t, out.shape)]];
  }),
  elementwise(
    mulP,
    (dx, _z, _x, y) => mul(dx, y),
    (dy, _z, x) => mul(x, dy),
  ),
  elementwise(
    divP,
    (dx, _z, _x, y) => div(dx, y),
    (dy, z, _x, y) => mul(neg(dy), div(z, y)),
  ),
  elementwise(
    remP,
    (dx) => dx,
    (dy, _z, x, y) => {
      const q = div(x, y);
      return mul(neg(dy), mul(sign(q), floor(abs(q))));
    },
  ),
  elementwise(powP, powLhs, powRhs),
  elementwise(
    maxP,
    (dx, z, x, y) => mul(dx, balanced(x, z, y)),
    (dy, z, x, y) => mul(dy, balanced(y, z, x)),
  ),
  elementwise(
    minP,
    (dx, z, x, y) => mul(dx, balanced(x, z, y)),
    (dy, z, x, y) => mul(dy, balanced(y, z, x)),
  ),
  elementwise(
    atan2P,
    (dy, _z, y, x) => mul(dy, div(x, add(square(x), square(y)))),
    (dx, _z, y, x) => mul(dx, div(neg(y), add(square(x), square(y)))),
  ),
  elementwise(
    igammaP,
    (da, _z, a, x) => mul(da, igammaSlopeA(a, x)),
    (dx, _z, a, x) => mul(dx, igammaSlope(a, x)),
  ),
  elementwise(
    igammacP,
    (da, _z, a, x) => mul(da, neg(igammaSlopeA(a, x))),
    (dx, _z, a, x) => mul(dx, neg(igammaSlope(a, x))),
  ),
  elementwise(betaincP, undifferentiable("betainc", "a"), undifferentiable("betainc", "b"), (dx, _z, a, b, x) =>
    mul(dx, betaincSlope(a, b, x)),
  ),
  elementwise(polygammaP, undifferentiable("polygamma", "m"), (dx, _z, m, x) => mul(dx, polygamma(add(m, 1), x))),
  elementwise(zetaP, undifferentiable("zeta", "x"), (dq, _z, x, q) => mul(dq, mul(neg(x), zeta(add(x, 1), q)))),
  zeroDerivative(nextafterP),
  zeroDerivative(andP),
  zeroDerivative(orP),
  zeroDerivative(xorP),
  zeroDerivative(shiftLeftP),
  zeroDerivative(shiftRightLogicalP),
  zeroDerivative(shiftRightArithmeticP),
  zeroDerivative(eqP),
  zeroDerivative(neP),
  zeroDerivative(ltP),
  zeroDerivative(leP),
  zeroDerivative(gtP),
  zeroDerivative(geP),
];

/** The cotangent of a scalar operand that was repeated over the result: summed over all of it. */
export function unbroadcast(ct: NDArray, operand: NDArray | LinearOperand): Tangent {
  if (!isLinear(operand)) return null;
  return operand.aval.ndim === 0 && ct.ndim > 0 ? reduceSum(ct) : ct;
}

export const binaryTransposes = (): TransposeEntry[] => [
  transposeEntry(addP, ([ct], [x, y]) => [unbroadcast(ct!, x), unbroadcast(ct!, y)]),
  transposeEntry(subP, ([ct], [x, y]) => [unbroadcast(ct!, x), isLinear(y) ? unbroadcast(neg(ct!), y) : null]),
  transposeEntry(mulP, ([ct], [x, y]) => [
    isLinear(x) ? unbroadcast(mul(ct!, known(y, "mul")), x) : null,
    isLinear(y) ? unbroadcast(mul(known(x, "mul"), ct!), y) : null,
  ]),
  transposeEntry(divP, ([ct], [x, y]) => [unbroadcast(div(ct!, known(y, "div")), x), null]),
];
