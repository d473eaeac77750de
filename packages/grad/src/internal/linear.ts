import { evalJaxpr, type NDArray, type Ownership, withTrace } from "@traceform/core";
import { varyTo } from "@traceform/lax";
import type { Linearized } from "../linearize.ts";
import { pick, place } from "./flags.ts";
import { instantiate } from "./zeros.ts";
import { LinearOperand, type Tangent } from "../rule.ts";
import { backwardPass } from "../transpose.ts";

/** The recorded derivative applied to tangents of all inputs. */
export function pushForward(lin: Linearized, tangents: readonly Tangent[]): NDArray[] {
  const { jaxpr } = lin;
  const args = pick(tangents, lin.nonzeroIn).map((t, i) => instantiate(t, jaxpr.invars[i].aval));
  const outs = evalJaxpr(jaxpr, lin.residuals, args);
  return place(lin.nonzeroOut, outs).map((t, i) => instantiate(t, lin.outs[i].aval));
}

/** The transposed derivative applied to cotangents of all results; `null` for inputs without one. */
export function pullBack(lin: Linearized, cotangents: readonly Tangent[], ownership: Ownership | null = null): Tangent[] {
  const { jaxpr } = lin;
  const operands = jaxpr.invars.map((v) => new LinearOperand(v.aval));
  const cts = cotangents.map((ct, i) => (ct === null ? null : varyTo(ct, lin.outs[i].aval.varying)));
  const run = (): Tangent[] => backwardPass(jaxpr, lin.residuals, operands, pick(cts, lin.nonzeroOut), ownership);
  return place(lin.nonzeroIn, ownership === null ? run() : withTrace(ownership.trace, run));
}
