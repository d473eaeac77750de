import { jaxjs } from "../libraries/jaxjs.ts";
import { onnxGpu } from "../libraries/onnx.ts";
import { tfjsGpu } from "../libraries/tfjs.ts";
import type { Library } from "../library.ts";
import { ours } from "./own.ts";

/** Traceform and its peers, by name; ours comes first. */
export const makers: Readonly<Record<string, () => Promise<Library>>> = {
  traceform: ours,
  "jax-js": () => jaxjs("webgpu"),
  "tfjs-webgpu": tfjsGpu,
  "onnxruntime-web": onnxGpu,
};
