import { bind, type Primitive, TransformError } from "@traceform/core";
import { debug, debugCallbackP, ioCallbackP, pureCallbackP } from "@traceform/lax";
import { type JvpEntry, jvpEntry, type TransposeEntry, transposeEntry } from "../rule.ts";

function refusal(name: string, pure: boolean): TransformError {
  return new TransformError(name, {
    message: `a ${name} cannot be differentiated: what happens in JavaScript is not traced`,
    fix: pure
      ? "give the function around it a derivative with customJvp or customVjp, or stop its gradient with stopGradient"
      : "call it on values that are not differentiated, e.g. on stopGradient(x), or from a customJvp or customVjp function",
  });
}

const refused: readonly (readonly [Primitive<never>, string, boolean])[] = [
  [pureCallbackP as never, "pureCallback", true],
  [ioCallbackP as never, "ioCallback", false],
];
const looking: readonly Primitive<never>[] = [debugCallbackP as never, debug.debugPrintP as never];

export const callbackJvps = (): JvpEntry[] => [
  ...refused.map(([primitive, name, pure]) =>
    jvpEntry(primitive, () => {
      throw refusal(name, pure);
    }),
  ),
  // They see the primal values, and have no results that could have tangents.
  ...looking.map((primitive) => jvpEntry(primitive, (primals, _tangents, params) => [bind(primitive, primals, params), []])),
];

export const callbackTransposes = (): TransposeEntry[] => [
  ...refused.map(([primitive, name, pure]) =>
    transposeEntry(primitive, () => {
      throw refusal(name, pure);
    }),
  ),
  ...looking.map((primitive) => transposeEntry(primitive, (_cts, operands) => operands.map(() => null))),
];
