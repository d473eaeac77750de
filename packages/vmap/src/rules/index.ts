import type { Primitive } from "@traceform/core";
import { customVmapCallP } from "@traceform/lax";
import { BatchTable } from "../rule.ts";
import { callbackRules } from "./callback.ts";
import { collectiveRules } from "./collectives.ts";
import { controlRules } from "./control.ts";
import { customRules } from "./custom.ts";
import { customVmapRules } from "./customvmap.ts";
import { dotRules } from "./dot.ts";
import { elementwiseRules } from "./elementwise.ts";
import { implicitRules } from "./implicit.ts";
import { indexingRules } from "./indexing.ts";
import { reduceRules } from "./reduce.ts";
import { shapeRules } from "./shape.ts";
import { shardMapRules } from "./shardmap.ts";
import { windowRules } from "./window.ts";

export const batchRules: BatchTable = /* @__PURE__ */ new BatchTable(() => [
  elementwiseRules(),
  shapeRules(),
  reduceRules(),
  dotRules(),
  indexingRules(),
  windowRules(),
  collectiveRules(),
  shardMapRules(),
  callbackRules(),
  controlRules(),
  customRules(),
  customVmapRules(),
  implicitRules(),
]);

/** The primitives whose rules run functions that users wrote. */
export const userRules: ReadonlySet<Primitive<never>> = /* @__PURE__ */ new Set([customVmapCallP as unknown as Primitive<never>]);
