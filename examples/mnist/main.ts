import { type Backend, BackendError, setDefaultBackend } from "@traceform/core";
import { cpu } from "@traceform/backend-cpu";
import { wgpu } from "@traceform/backend-wgpu";
import { initialize, processCount, processIndex } from "@traceform/distributed";
import { mpi, startedByMpi } from "@traceform/distributed/mpi";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { loadMnist } from "./data.ts";
import { models } from "./models.ts";
import { writeReport } from "./report.ts";
import { confusionMatrix, formatConfusion, lossCurve, ProgressBar } from "./terminal.ts";
import { train } from "./train.ts";

const usage = `Trains a network on the MNIST digits.

  --model mlp|cnn      the network (mlp)
  --backend cpu|wgpu   where it is trained: WebAssembly, or WebGPU by Dawn (cpu)
  --epochs N           passes over the training digits (the model's own default)
  --batch N            digits in a step (128)
  --lr X               peak learning rate (the model's own default)
  --seed N             seed of weights and order (0)
  --devices N          spread each minibatch over N logical devices, under mpirun over those of all processes
  --limit N            use the first N training digits only
  --report FILE        where the HTML report goes (out/mnist.html)`;

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "mlp" },
    backend: { type: "string", default: "cpu" },
    epochs: { type: "string" },
    batch: { type: "string", default: "128" },
    lr: { type: "string" },
    seed: { type: "string", default: "0" },
    devices: { type: "string" },
    limit: { type: "string" },
    report: { type: "string", default: "out/mnist.html" },
    help: { type: "boolean", default: false },
  },
});

const backends: Readonly<Record<string, () => Backend | Promise<Backend>>> = {
  cpu: () => cpu({ devices: Number(values.devices ?? 1) / processCount() }),
  wgpu: () => wgpu({ devices: Number(values.devices ?? 1) }),
};

const model = models[values.model];
const start = backends[values.backend];
const unknown = model === undefined ? `model "${values.model}"` : start === undefined ? `backend "${values.backend}"` : null;
if (values.help || unknown !== null) {
  console.log(unknown === null ? usage : `unknown ${unknown}\n\n${usage}`);
  process.exit(unknown === null ? 0 : 2);
}

// The same program in every process; what it prints, the first one prints for all.
if (startedByMpi()) await initialize({ transport: mpi() });
const speaks = processIndex() === 0;

const begun = performance.now();
const devices = values.devices === undefined ? undefined : Number(values.devices);
let backend: Backend;
try {
  backend = setDefaultBackend(await start());
} catch (error) {
  if (!(error instanceof BackendError)) throw error;
  console.error(error.message);
  process.exit(1);
}
const data = loadMnist("train", values.limit === undefined ? undefined : Number(values.limit));
const test = loadMnist("t10k");
const options = {
  epochs: Number(values.epochs ?? model.epochs),
  batch: Number(values.batch),
  learningRate: Number(values.lr ?? model.learningRate),
  seed: Number(values.seed),
  ...(devices === undefined ? {} : { devices }),
};
say(
  `${values.model} on ${data.size} digits, ${options.epochs} epochs of minibatches of ${options.batch}, Adam, ${values.backend}\n`,
);

function say(text: string): void {
  if (speaks) console.log(text);
}

const bar = new ProgressBar();
let loss = "";
const trained = await train(model, data, test, options, {
  onStep(s) {
    if (!speaks) return;
    if (s.loss !== null) loss = `loss ${s.loss.toFixed(4)}`;
    bar.update({
      label: `epoch ${s.epoch}/${options.epochs}`,
      fraction: s.step / s.steps,
      detail: `${Math.round(s.images / s.seconds).toLocaleString("en")} digits/s  ${loss}`,
    });
  },
  onEpoch(e) {
    if (speaks) bar.end();
    say(`           test accuracy ${(100 * e.accuracy).toFixed(2)} %  (${e.seconds.toFixed(1)} s)`);
  },
});

const seconds = (performance.now() - begun) / 1000;
const confusion = confusionMatrix(test.hostLabels, trained.predictions);
say(`\n${lossCurve(trained.losses)}\n\n${formatConfusion(confusion)}\n`);
const report = resolve(values.report);
if (speaks)
  writeReport(report, {
    title: `MNIST, ${values.model}`,
    losses: trained.losses,
    accuracies: trained.accuracies,
    accuracy: trained.accuracy,
    seconds,
    confusion,
    labels: test.hostLabels,
    predictions: trained.predictions,
    images: test.hostImages,
  });
say(`report: ${report}`);
say(`test accuracy ${trained.accuracy.toFixed(4)} in ${seconds.toFixed(1)} s`);
backend[Symbol.dispose]();
