import { backendConformance } from "../../testing/src/conformance.ts";
import { wgpu } from "./index.ts";

backendConformance(() => wgpu(), { flushesSubnormals: true, only: (_, dtype) => dtype === "float32" || dtype === "int32"  || dtype === "uint32" || dtype === "bool" });
