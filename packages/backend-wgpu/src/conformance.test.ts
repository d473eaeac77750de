import { backendConformance } from "../../testing/src/conformance.ts";
import { wgpu } from "./index.ts";

backendConformance(() => wgpu(), { only: (name, dtype) => dtype === "float32" || dtype === "int32"  || dtype === "uint32" || dtype === "bool" });
