import type { Primitive } from "@traceform/core";
import { customJvpCallP, customVjpCallP, customVmapCallP } from "@traceform/lax";
import { type PartialEvalRule, RuleTable, type SymbolicJvpRule, type TransposeRule } from "../rule.ts";
import { binaryJvps, binaryTransposes } from "./binary.ts";
import { callbackJvps, callbackTransposes } from "./callback.ts";
import { checkpointJvps, checkpointPartialEvals, checkpointTransposes } from "./checkpoint.ts";
import { collectiveJvps, collectiveTransposes } from "./collectives.ts";
import { condJvps, condPartialEvals, condTransposes } from "./cond.ts";
import { convertJvps, convertTransposes } from "./convert.ts";
import { convJvps, convTransposes } from "./conv.ts";
import { customJvps, customLinearP, customTransposes } from "./custom.ts";
import { customVmapJvps, customVmapPartialEvals, customVmapTransposes } from "./customvmap.ts";
import { dotJvps, dotTransposes } from "./dot.ts";
import { indexingJvps, indexingTransposes } from "./indexing.ts";
import { implicitJvps, implicitTransposes } from "./implicit.ts";
import { jitJvps, jitPartialEvals, jitTransposes } from "./jit.ts";
import { reduceJvps, reduceTransposes } from "./reduce.ts";
import { scanJvps, scanPartialEvals, scanTransposes } from "./scan.ts";
import { selectJvps, selectTransposes } from "./select.ts";
import { shapeJvps, shapeTransposes } from "./shape.ts";
import { shardMapJvps, shardMapPartialEvals, shardMapTransposes } from "./shardmap.ts";
import { unaryJvps, unaryTransposes } from "./unary.ts";
import { whileJvps, whilePartialEvals, whileTransposes } from "./while.ts";
import { windowJvps, windowTransposes } from "./window.ts";
import { windowFoldJvps } from "./windowfold.ts";

export const jvpRules: RuleTable<SymbolicJvpRule<never>> = /* @__PURE__ */ new RuleTable(() => [
  unaryJvps(),
  binaryJvps(),
  selectJvps(),
  convertJvps(),
  shapeJvps(),
  reduceJvps(),
  dotJvps(),
  convJvps(),
  indexingJvps(),
  windowJvps(),
  windowFoldJvps(),
  collectiveJvps(),
  shardMapJvps(),
  callbackJvps(),
  jitJvps(),
  scanJvps(),
  whileJvps(),
  condJvps(),
  customJvps(),
  customVmapJvps(),
  checkpointJvps(),
  implicitJvps(),
]);

export const transposeRules: RuleTable<TransposeRule<never>> = /* @__PURE__ */ new RuleTable(() => [
  unaryTransposes(),
  binaryTransposes(),
  selectTransposes(),
  convertTransposes(),
  shapeTransposes(),
  reduceTransposes(),
  dotTransposes(),
  convTransposes(),
  indexingTransposes(),
  windowTransposes(),
  collectiveTransposes(),
  shardMapTransposes(),
  callbackTransposes(),
  jitTransposes(),
  scanTransposes(),
  whileTransposes(),
  condTransposes(),
  customTransposes(),
  customVmapTransposes(),
  checkpointTransposes(),
  implicitTransposes(),
]);

/** Primitives that are not listed are recorded whole when an operand is unknown. */
export const partialEvalRules: RuleTable<PartialEvalRule<never>> = /* @__PURE__ */ new RuleTable(() => [
  jitPartialEvals(),
  scanPartialEvals(),
  whilePartialEvals(),
  condPartialEvals(),
  customVmapPartialEvals(),
  checkpointPartialEvals(),
  shardMapPartialEvals(),
]);

/** The primitives whose rules run functions that users wrote. */
export const userRules: ReadonlySet<Primitive<never>> = /* @__PURE__ */ new Set<Primitive<never>>([
  customJvpCallP,
  customVjpCallP,
  customLinearP,
  customVmapCallP,
] as unknown as Primitive<never>[]);
