/** `jax.tree`: the functions of pytrees under their short names. */
export {
  treeAll as all,
  treeFlatten as flatten,
  treeLeaves as leaves,
  treeMap as map,
  treeReduce as reduce,
  treeStructure as structure,
  treeUnflatten as unflatten,
} from "@traceform/core";
