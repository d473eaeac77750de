import { RuleTable } from "../../rule.ts";
import type { JetRule } from "../rule.ts";
import { controlJets } from "./control.ts";
import { elementwiseJets } from "./elementwise.ts";
import { linearJets } from "./linear.ts";

/** Primitives that are not listed are differentiated one order at a time: see `nested.ts`. */
export const jetRules: RuleTable<JetRule<never>> = /* @__PURE__ */ new RuleTable(() => [
  linearJets(),
  elementwiseJets(),
  controlJets(),
]);
