import { Jaxpr } from "./jaxpr.ts";

/** The jaxprs among an equation's parameters, directly or in arrays. */
export function innerJaxprs(params: Readonly<Record<string, unknown>>): Jaxpr[] {
  const found: Jaxpr[] = [];
  for (const value of Object.values(params)) {
    if (value instanceof Jaxpr) found.push(value);
    else if (Array.isArray(value)) for (const v of value) if (v instanceof Jaxpr) found.push(v);
  }
  return found;
}
