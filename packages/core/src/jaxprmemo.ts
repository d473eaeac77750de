import type { Jaxpr } from "./jaxpr.ts";
import { isTracer, type NDArray } from "./ndarray.ts";

/** Results of a transformation of jaxprs, or what is known of them, kept as long as the jaxpr lives. */
export class JaxprMemo<T> {
  readonly #table = new WeakMap<Jaxpr, Map<string, T>>();

  get(jaxpr: Jaxpr, key: string, make: () => T): T {
    let byKey = this.#table.get(jaxpr);
    if (byKey === undefined) this.#table.set(jaxpr, (byKey = new Map()));
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
