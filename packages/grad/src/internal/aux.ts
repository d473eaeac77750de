import { isNDArray, type NDArray, refuseAsync, TransformError, treeFlatten, treeUnflatten } from "@traceform/core";

/** A function split from its auxiliary results. */
export interface AuxFunction {
  /** The function without `aux`. */
  readonly fn: (...args: never[]) => unknown;
  /** Replaces tracers among the auxiliary results by their values. Call it before the trace ends. */
  strip(primalOf: (x: NDArray) => NDArray): void;
  /** The auxiliary results. Leaves that are no arrays stay as they are. */
  value: unknown;
}

/** @throws {TransformError} when the function does not return `[result, aux]` */
export function stripAux(name: string, fn: (...args: never[]) => unknown, hasAux: boolean): AuxFunction {
  if (!hasAux) return { fn, strip: () => {}, value: undefined };
  const self: AuxFunction = {
    fn: (...args) => {
      const result = refuseAsync(name, fn(...args));
      if (!Array.isArray(result) || result.length !== 2) {
        throw new TransformError(name, {
          message: "with hasAux the function must return [value, aux]",
          fix: "return a list of the value to differentiate and anything else",
        });
      }
      self.value = result[1];
      return result[0];
    },
    strip: (primalOf) => {
      const [leaves, def] = treeFlatten(self.value);
      self.value = treeUnflatten(
        def,
        leaves.map((x) => (isNDArray(x) ? primalOf(x) : x)),
      );
    },
    value: undefined,
  };
  return self;
}
