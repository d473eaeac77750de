// Another process, which takes the training step of one thread when it is told to, for so many milliseconds: see `computeBound` in
// parallel.ts.
import { sample, trainingStep } from "./step.ts";

using step = trainingStep(1);
sample(step.run, 500);
process.on("message", (milliseconds: number) => process.send!(sample(step.run, milliseconds)));
process.send!("ready");
await new Promise((resolve) => process.on("disconnect", resolve));
