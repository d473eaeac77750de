import { bind1, type NDArray, type Primitive } from "@traceform/core";
import { type JvpEntry, jvpEntry, type SymbolicJvpRule, type Tangent } from "../rule.ts";
import { addTangents, fit } from "./zeros.ts";

/** One operand's part in the tangent of the result: its tangent, the result and all operands in. */
type Partial = (t: NDArray, out: NDArray, ...primals: readonly NDArray[]) => NDArray | null;

/**
 * The JVP rule of an elementwise primitive from its partial derivatives, one for each operand (`null` is zero).
 * Only the partials of operands with a tangent are evaluated, and a scalar operand's part is repeated over the result.
 */
export function elementwiseRule<P>(primitive: Primitive<P>, partials: readonly (Partial | null)[]): SymbolicJvpRule<P> {
  return (primals, tangents, params) => {
    const out = bind1(primitive, primals, params);
    let sum: Tangent = null;
    for (let i = 0; i < tangents.length; i++) {
      const t = tangents[i];
      const partial = partials[i] ?? null;
      if (t === null || partial === null) continue;
      const part = partial(t, out, ...primals);
      if (part !== null) sum = addTangents(sum, fit(part, out.shape));
    }
    return [[out], [sum]];
  };
}

export function elementwise<P>(primitive: Primitive<P>, ...partials: readonly (Partial | null)[]): JvpEntry {
  return jvpEntry(primitive, elementwiseRule(primitive, partials));
}

/** The derivative is zero wherever it exists, or the result has no tangents. */
export function zeroDerivative<P>(primitive: Primitive<P>): JvpEntry {
  return jvpEntry(primitive, (primals, _tangents, params) => {
    return [[bind1(primitive, primals, params)], [null]];
  });
}

/** Linear in its first operand; the others (indices) are not differentiated. The tangent goes the way of the value. */
export function linearInFirst<P>(primitive: Primitive<P>): JvpEntry {
  return jvpEntry(primitive, (primals, tangents, params) => {
    const [t] = tangents;
    const out = bind1(primitive, primals, params);
    return [[out], [t === null ? null : bind1(primitive, [t, ...primals.slice(1)], params)]];
  });
}
