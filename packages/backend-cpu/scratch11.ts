import * as lax from "../lax/dist/index.js";
import { kernelRules } from "../compiler/dist/families.js";
import { inlineRule } from "../compiler/dist/views.js";
const skip = new Set(["jit","scan","while","cond","custom_jvp_call","custom_vjp_call","checkpoint","name","stop_gradient","copy","optimization_barrier","random_wrap","random_unwrap"]);
for (const k of Object.keys(lax)) if (k.endsWith("P")) { const p = (lax as any)[k]; if (!kernelRules[p.name] && !inlineRule(p.name) && !skip.has(p.name)) console.log(p.name); }
