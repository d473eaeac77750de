import { bind, isComplex, type NDArray, type Primitive, realDType, scalar, type StandardDType } from "@traceform/core";
import { add, convertElementType, mul } from "@traceform/lax";
import { runJvp } from "../jvp.ts";
import { hasTangent, instantiate, zeros } from "../internal/zeros.ts";
import type { Tangent } from "../rule.ts";
import type { JetRule } from "./rule.ts";
import { over, type Series, value } from "./series.ts";

/**
 * The rule of a primitive that has a JVP rule only: derivatives of `f(x(t))` at t = 0 by forward mode of forward mode, whose cost
 * doubles with every order.
 */
export function nestedJvp(primitive: Primitive<never>): JetRule<never> {
  return (inputs, params, { order }) => {
    const moving = inputs.find((s) => s.some((c, k) => k > 0 && c !== null))!;
    const t = scalar(0, realDType(value(moving).dtype) as StandardDType);
    const n = { outs: 0 };
    const path = (at: NDArray): NDArray[] => {
      const outs = bind(
        primitive,
        inputs.map((s) => polynomial(s, at)),
        params,
      );
      n.outs = outs.length;
      return outs;
    };
    const all = derivatives(path, order, () => n.outs)([t]);
    let factorial = 1;
    const orders = Array.from({ length: order + 1 }, (_, k) => {
      factorial *= Math.max(1, k);
      return all.slice(k * n.outs, (k + 1) * n.outs).map((y): Tangent => (hasTangent(y.aval) ? over(y, factorial) : null));
    });
    return Array.from({ length: n.outs }, (_, i): Series => [all[i], ...orders.slice(1).map((ys) => ys[i])]);
  };
}

/** x(t), by Horner's rule. */
function polynomial(x: Series, t: NDArray): NDArray {
  const first = value(x);
  let sum: Tangent = null;
  const at = isComplex(first.dtype) ? convertElementType(t, first.dtype as StandardDType) : t;
  for (let k = x.length - 1; k > 0; k--) {
    const c = x[k];
    sum = sum === null ? c : c === null ? mul(sum, at) : add(mul(sum, at), c);
    if (k === 1 && sum !== null)
      return add(first, mul(sum, at.dtype === first.dtype ? at : convertElementType(at, first.dtype as StandardDType)));
  }
  return first;
}

/** f, f', f'', … of a function of t, one list after the other. */
function derivatives(f: (t: NDArray) => NDArray[], order: number, count: () => number): (inputs: readonly NDArray[]) => NDArray[] {
  if (order === 0) return ([t]) => f(t);
  const lower = derivatives(f, order - 1, count);
  return (inputs) => {
    const { outs, tangents } = runJvp("jet", (xs) => lower(xs), inputs, [scalar(1, inputs[0].dtype)]);
    const last = outs.length - count();
    const next = outs.slice(last).map((y, i) => (hasTangent(y.aval) ? instantiate(tangents[last + i], y.aval) : zeros(y.aval)));
    return [...outs, ...next];
  };
}
