import type { Jaxpr } from "./jaxpr.ts";
import { isTracer, type NDArray } from "./ndarray.ts";
import { PlaceMemo } from "./process.ts";

const newTable = <T>(): Map<string, T> => new Map();

/** Results of a transformation of jaxprs, or what is known of them, kept as long as the jaxpr lives. */
export class JaxprMemo<T> {
  readonly #table = new PlaceMemo<Jaxpr, Map<string, T>>();

  get(jaxpr: Jaxpr, key: string, make: () => T): T {
    const byKey = this.#table.get(jaxpr, newTable<T>);
    let value = byKey.get(key);
    if (value === undefined) {
      value = make();
      // A tracer dies with its trace, so a result that closes over one serves this call only.
      const { consts } = value as { readonly consts?: readonly NDArray[] };
      if (!consts?.some(isTracer)) byKey.set(key, value);
    }
    return value;
  }
}
