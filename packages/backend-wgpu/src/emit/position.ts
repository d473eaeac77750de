import type { Axis } from "@traceform/compiler";
import type { Values } from "./values.ts";

/** Positions of axes from that in their product, the last one of which runs fastest. */
export function bindPosition(values: Values, axes: readonly Axis[], position: string): void {
  let stride = 1;
  for (const axis of axes.toReversed()) {
    const quotient = stride === 1 ? position : `(${position} / ${stride})`;
    values.line(`let a${axis.id} = ${axis === axes[0] ? quotient : `${quotient} % ${axis.extent}`};`);
    values.bindAxis(axis, `a${axis.id}`);
    stride *= axis.extent;
  }
}
