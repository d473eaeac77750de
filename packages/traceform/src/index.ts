/**
 * Traceform in one import: the transformations, the libraries as namespaces, methods on arrays, and the CPU backend,
 * which starts when an operation first needs it.
 */
import "@traceform/numpy/methods";
import "./start.ts";

export {
  type ArrayLike,
  arrayScope,
  config,
  debugInfs,
  debugNans,
  deviceGet,
  devicePut,
  devices,
  deviceCount,
  type DType,
  defaultBackend,
  effectsBarrier,
  localDeviceCount,
  localDevices,
  makeArrayFromCallback,
  makeArrayFromProcessLocalData,
  makeArrayFromSingleDeviceArrays,
  NDArray,
  namedScope,
  printJaxpr,
  profiler,
  processCount,
  processIndex,
  pytreeNode,
  registerPytreeNode,
  setDefaultBackend,
} from "@traceform/core";
export { cpu } from "@traceform/backend-cpu";
export {
  checkpoint,
  checkpointName,
  checkpointPolicies,
  closureConvert,
  customGradient,
  customJvp,
  customVjp,
  grad,
  type GradOptions,
  hessian,
  jacfwd,
  jacobian,
  jacrev,
  jvp,
  linearize,
  linearTranspose,
  remat,
  stopGradient,
  valueAndGrad,
  vjp,
  vjpWithAux,
} from "@traceform/grad";
export { jet } from "@traceform/grad/jet";
export {
  clearCaches,
  disableJit,
  ensureCompileTimeEval,
  evalShape,
  explainCacheMisses,
  jit,
  type JitFunction,
  type JitOptions,
  makeJaxpr,
  ShapeDtypeStruct,
} from "@traceform/jit";
export {
  getMesh,
  makeMesh,
  Mesh,
  NamedSharding,
  P,
  PartitionSpec,
  pmap,
  type PmapOptions,
  reshard,
  setMesh,
  shardMap,
  type ShardMapOptions,
  SingleDeviceSharding,
  withShardingConstraint,
} from "@traceform/pmap";
export { customVmap, sequentialVmap, vmap, type VmapOptions } from "@traceform/vmap";
export { debug, ioCallback, pureCallback } from "@traceform/lax";
export * as checkify from "@traceform/checkify";
export * as lax from "@traceform/lax";
export * as nn from "@traceform/nn";
export * as numpy from "@traceform/numpy";
export * as optim from "@traceform/optim";
export * as random from "@traceform/random";
export * as tree from "./tree.ts";
