import { TracerIntegerConversionError } from "./errors.ts";
import { isTracer } from "./ndarray.ts";

/**
 * Refuses a tracer among what must be integers that are known while tracing.
 * @throws {TracerIntegerConversionError} naming `what` they are
 */
export function refuseTracedIntegers(fn: string, what: string, values: Iterable<unknown>): void {
  for (const x of values) {
    if (!isTracer(x)) continue;
    throw new TracerIntegerConversionError(fn, {
      message: `${what} must be known while tracing, but is a traced ${x.aval} inside ${x.tracedBy.name}`,
      fix: "mark the argument static (staticArgnums), or take the number from a shape",
    });
  }
}
