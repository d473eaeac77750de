import { BackendError, type Eqn } from "@traceform/core";
import type { BlockBuilder, Value } from "./graph.ts";

/**
 * An equation with complex operands or results as operations on the real and imaginary planes.
 *
 * @throws {BackendError} for primitives that have no such form yet
 */
export function importComplex(_g: BlockBuilder, eqn: Eqn, _ins: readonly (readonly Value[])[]): readonly (readonly Value[])[] {
  throw new BackendError(eqn.primitive.name, { message: `${eqn.primitive.name} of complex arrays is not supported by this compiler yet` });
}
