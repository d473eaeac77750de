/**
 * Traceform in one import: the transformations, the libraries as namespaces, methods on arrays, and the CPU backend,
 * which starts when an operation first needs it.
 */
import "@traceform/numpy/methods";
import "./start.ts";

export {
  type ArrayLike,
  arrayScope,
  devices,
  deviceCount,
  type DType,
  defaultBackend,
  NDArray,
  namedScope,
  printJaxpr,
  pytreeNode,
  registerPytreeNode,
  setDefaultBackend,
} from "@traceform/core";
export { cpu } from "@traceform/backend-cpu";
export * from "@traceform/grad";
export * from "@traceform/jit";
export * from "@traceform/vmap";
export * as lax from "@traceform/lax";
export * as nn from "@traceform/nn";
export * as numpy from "@traceform/numpy";
export * as optim from "@traceform/optim";
export * as random from "@traceform/random";
export * as tree from "./tree.ts";
