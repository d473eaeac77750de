import type { Jaxpr } from "./jaxpr.ts";
import type { NDArray } from "./ndarray.ts";

/** A jaxpr together with the values of its constvars. */
export interface ClosedJaxpr {
  readonly jaxpr: Jaxpr;
  readonly consts: readonly NDArray[];
}
