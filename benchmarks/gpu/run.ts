// Traceform on WebGPU beside other libraries, in Node by Dawn: all sides in one process, timed alternately, medians.
//
//   npm run bench -- --gpu [--json] [--only matmul] [--tiny] [--allow-cpu]
import { parseArgs } from "node:util";
import { create, globals } from "webgpu";
import { writeTable } from "./measure.ts";
import { benchmarkGpu } from "./report.ts";

const { values } = parseArgs({
  options: {
    gpu: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    only: { type: "string" },
    tiny: { type: "boolean", default: false },
    "allow-cpu": { type: "boolean", default: false },
  },
});

// What pages have: the libraries look for it there.
Object.assign(globalThis, globals);
// Units that multiply matrices are an experiment of Dawn's, which has to be asked for them.
const gpu = create(["enable-dawn-features=allow_unsafe_apis"]);
Object.defineProperty(globalThis.navigator, "gpu", { value: gpu });
const { makers } = await import("./libraries.ts");

try {
  const report = await benchmarkGpu(gpu, makers, {
    size: values.tiny ? "tiny" : "full",
    only: values.only,
    allowCpu: values["allow-cpu"],
    complain: (line) => console.error(line),
    onRow: (row) => values.json || console.error(`${row.name}: ${JSON.stringify(row.milliseconds)}`),
  });
  console.log(values.json ? JSON.stringify(report) : writeTable(report));
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
