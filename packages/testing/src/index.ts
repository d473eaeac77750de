export { referenceBackend } from "./reference/backend.ts";
export { referenceRules } from "./reference/interpret.ts";
