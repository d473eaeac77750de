import { communicatesRule, innerJaxprs, type Jaxpr, JaxprMemo, TransformError } from "@traceform/core";

const memo = new JaxprMemo<ReadonlySet<string>>();

/** The named axes along which positions communicate somewhere in a jaxpr. */
export function communicates(jaxpr: Jaxpr): ReadonlySet<string> {
  return memo.get(jaxpr, "", () => {
    const names = new Set<string>();
    for (const { primitive, params } of jaxpr.eqns) {
      const rule = primitive.rules[communicatesRule] as ((p: typeof params) => readonly string[]) | undefined;
      for (const name of rule?.(params) ?? []) names.add(name);
      for (const inner of innerJaxprs(params)) for (const name of communicates(inner)) names.add(name);
    }
    return names;
  });
}

/**
 * Refuses what would wait forever on devices of their own: a collective in a branch or loop whose predicate differs between the
 * positions that are to take part in it.
 *
 * @throws {TransformError} naming the axis
 */
export function refuseDivergence(fn: string, varying: readonly string[], jaxprs: readonly Jaxpr[]): void {
  if (varying.length === 0) return;
  const name = varying.find((a) => jaxprs.some((jaxpr) => communicates(jaxpr).has(a)));
  if (name === undefined) return;
  throw new TransformError(fn, {
    message: `its predicate differs between the positions along "${name}", but a collective inside it needs all of them`,
    fix: `make the predicate the same for all, e.g. with pmax(predicate, "${name}"), or move the collective out`,
  });
}
