import { Code } from "./wasm/code.ts";
import { ModuleBuilder } from "./wasm/encoder.ts";

let relaxed: boolean | null = null;

/** Whether the engine takes relaxed SIMD instructions. */
export function relaxedSimdWorks(): boolean {
  if (relaxed === null) {
    const module = new ModuleBuilder();
    const slot = module.declare(["v128"], ["v128"]);
    const code = new Code(slot);
    for (let i = 0; i < 3; i++) code.get(0);
    code.op("f32x4.relaxed_madd");
    code.finish();
    relaxed = WebAssembly.validate(module.finish({ shared: false, maximumPages: 2 }));
  }
  return relaxed;
}
