import { backendConformance } from "../../testing/src/conformance.ts";
import { wgpu } from "./index.ts";

/** What tiles and shared rows are for: products, convolutions, folds of rows, and what they are joined with. */
const families = /^(dotGeneral|convGeneralDilated|reduceSum|reduceMax|fusion)/;

backendConformance(() => wgpu({ schedule: "full" }), {
  only: (name, dtype) => families.test(name) && (dtype === "float32" || dtype === "int32"),
  flushesSubnormals: true,
  skip: {},
});
