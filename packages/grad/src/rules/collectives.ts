import { bind } from "@traceform/core";
import { psumP } from "@traceform/lax";
import { type JvpEntry, jvpEntry, type TransposeEntry, transposeEntry } from "../rule.ts";

export const collectiveJvps = (): JvpEntry[] => [
  jvpEntry(psumP, (primals, tangents, params) => {
    const outs = bind(psumP, primals, params);
    const present = tangents.filter((t) => t !== null);
    const dots = bind(psumP, present, params);
    let k = 0;
    return [outs, tangents.map((t) => (t === null ? null : dots[k++]))];
  }),
];

export const collectiveTransposes = (): TransposeEntry[] => [
  // Every member's result depends on every member's operand, so the cotangents of all results are summed.
  transposeEntry(psumP, (cts, _operands, params) => {
    const present = cts.filter((ct) => ct !== null);
    const outs = bind(psumP, present, params);
    let k = 0;
    return cts.map((ct) => (ct === null ? null : outs[k++]));
  }),
];
