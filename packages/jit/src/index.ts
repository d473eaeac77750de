export { ShapeDtypeStruct } from "@traceform/core";
export { evalShape, makeJaxpr, type Structs } from "./inspect.ts";
export { jit, type JitFunction, type JitOptions, traceCount } from "./jit.ts";
export { type CompiledFunction, Lowered } from "./stages.ts";
