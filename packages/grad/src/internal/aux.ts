import { isNDArray, type NDArray, refuseAsync, TransformError, treeFlatten, treeUnflatten } from "@traceform/core";

/** A function split from its auxiliary results. */
export interface AuxFunction {
  /** The function without `aux`. */
  readonly fn: (...args: never[]) => unknown;
  /** `flat`, a form of the function that a trace runs, which leaves no tracers among the auxiliary results. */
  around<I, R>(flat: (inputs: I) => R): (inputs: I, primalOf: (x: NDArray) => NDArray) => R;
  /** The auxiliary results. Leaves that are no arrays stay as they are. */
  value: unknown;
}

/** @throws {TransformError} when the function does not return `[result, aux]` */
export function stripAux(name: string, fn: (...args: never[]) => unknown, hasAux: boolean): AuxFunction {
  if (!hasAux) return { fn, around: (flat) => flat, value: undefined };
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
    around: (flat) => (inputs, primalOf) => {
      const outs = flat(inputs);
      const [leaves, def] = treeFlatten(self.value);
      self.value = treeUnflatten(
        def,
        leaves.map((x) => (isNDArray(x) ? primalOf(x) : x)),
      );
      return outs;
    },
    value: undefined,
  };
  return self;
}
