export * from "./expr.ts";
export * from "./identity.ts";
export * from "./inspect.ts";
export * from "./lower.ts";
export * from "./nest.ts";
export * from "./program.ts";
export * from "./routine.ts";
export { halfBits } from "./scalars.ts";
export * from "./schedule.ts";
