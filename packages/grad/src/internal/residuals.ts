import { type Atom, Jaxpr, type NDArray, Var } from "@traceform/core";
import type { PartialEvalJaxpr } from "../rule.ts";

/** Where a residual comes from: a known operand or a known result as it is, or a further result. */
interface Source {
  readonly from: "operand" | "result";
  readonly index: number;
}

/** A known jaxpr that does not return again what its caller has already. */
export interface Forwarded {
  /** known operands -> (known results, the residuals that are new). */
  readonly known: Jaxpr;
  readonly sources: readonly Source[];
}

const memo = new WeakMap<PartialEvalJaxpr, Forwarded>();

export function forwarded(split: PartialEvalJaxpr): Forwarded {
  let result = memo.get(split);
  if (result === undefined) memo.set(split, (result = forward(split)));
  return result;
}

function forward({ known, residuals }: PartialEvalJaxpr): Forwarded {
  const numOuts = known.outvars.length - residuals.length;
  const outvars: Atom[] = known.outvars.slice(0, numOuts);
  const sources = known.outvars.slice(numOuts).map((v): Source => {
    const operand = v instanceof Var ? known.invars.indexOf(v) : -1;
    if (operand >= 0) return { from: "operand", index: operand };
    const index = outvars.indexOf(v);
    return { from: "result", index: index >= 0 ? index : outvars.push(v) - 1 };
  });
  return { known: new Jaxpr([], known.invars, known.eqns, outvars, known.effects), sources };
}

export function residualsOf({ sources }: Forwarded, operands: readonly NDArray[], results: readonly NDArray[]): NDArray[] {
  return sources.map((s) => (s.from === "operand" ? operands : results)[s.index]);
}
