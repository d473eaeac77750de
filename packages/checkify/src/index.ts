export { check, checkError, debugCheck } from "./check.ts";
export {
  allChecks,
  automaticChecks,
  checkify,
  type CheckifyOptions,
  divChecks,
  floatChecks,
  indexChecks,
  nanChecks,
  userChecks,
} from "./checkify.ts";
export { Error, type ErrorCategory, JaxRuntimeError } from "./error.ts";
