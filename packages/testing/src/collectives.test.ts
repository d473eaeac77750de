import { setDefaultBackend, standardDTypes } from "@traceform/core";
import { cpu } from "@traceform/backend-cpu";
import { describe } from "vitest";
import { collectiveConformance } from "./collectives.ts";
import { referenceBackend } from "./reference/backend.ts";

const dtypes = standardDTypes;
describe("four logical CPU devices", () => {
  collectiveConformance(() => setDefaultBackend(cpu({ devices: 4 })).devices, { dtypes });
});
describe("two logical CPU devices", () => {
  collectiveConformance(() => setDefaultBackend(cpu({ devices: 2 })).devices, { dtypes });
});
describe("four devices of the reference backend", () => {
  collectiveConformance(() => setDefaultBackend(referenceBackend({ devices: 4 })).devices, { dtypes: ["float32", "int32"] });
});
