import { drawChart, type Scale, smooth } from "./chart.ts";
import { unpackDigits } from "./digits.ts";
import type { BackendName, News, Request } from "./messages.ts";
import { makePad } from "./pad.ts";

const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const canvas = (id: string): HTMLCanvasElement => element(id);
const query = new URLSearchParams(location.search);
/** The page is made for people; tests ask for less. */
const digits = Number(query.get("digits") ?? 12_000);
const batch = Number(query.get("batch") ?? 64);
const shown = 72;

const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
const ask = (request: Request): void => worker.postMessage(request);

/** What is shown. */
const state = {
  training: false,
  /** Steps of trainings before this one. */
  earlier: 0,
  losses: [] as [number, number][],
  accuracies: [] as [number, number][],
  drawn: null as Uint8Array | null,
  asked: 0,
  labels: new Uint8Array(0) as Uint8Array,
};

const lossScale: Scale = {
  low: 0.01,
  high: 4,
  logarithmic: true,
  marks: [3, 1, 0.3, 0.1, 0.03, 0.01].map((v) => [v, String(v)]),
};
const accuracyScale: Scale = {
  low: 0.5,
  high: 1,
  logarithmic: false,
  marks: [0.5, 0.6, 0.7, 0.8, 0.9, 1].map((v) => [v, `${Math.round(100 * v)} %`]),
};

function draw(): void {
  const thin = { points: state.losses, colour: "--faint", width: 1 };
  const mean = { points: smooth(state.losses, 15), colour: "--accent", width: 2 };
  drawChart(canvas("losses"), [thin, mean], lossScale);
  const end = state.losses.at(-1)?.[0] ?? 0;
  // Both charts have the same width of steps.
  const frame = { points: [[end, 0]] as [number, number][], colour: "--card", width: 0 };
  drawChart(canvas("accuracies"), [frame, { points: state.accuracies, colour: "--good", width: 2, dots: true }], accuracyScale);
}

function say(text: string, failed = false): void {
  element("status").textContent = text;
  element("status").classList.toggle("failed", failed);
}

function setTraining(training: boolean): void {
  state.training = training;
  element("train").textContent = training ? "Stop" : "Train";
  element<HTMLButtonElement>("train").disabled = false;
  for (const input of document.querySelectorAll("input")) input.disabled = training;
}

const chosen = (name: string): string => document.querySelector<HTMLInputElement>(`input[name=${name}]:checked`)!.value;
const check = (name: string, value: string): void => {
  document.querySelector<HTMLInputElement>(`input[name=${name}][value=${value}]`)!.checked = true;
};

function openChosen(): void {
  element<HTMLButtonElement>("train").disabled = true;
  say("Starting…");
  ask({ kind: "open", backend: chosen("backend") as BackendName, model: chosen("model") });
}

function forget(): void {
  Object.assign(state, { earlier: 0, losses: [], accuracies: [] });
  for (const id of ["loss", "accuracy", "speed"]) element(id).textContent = "–";
  element("steps").textContent = "0";
  element<HTMLProgressElement>("progress").value = 0;
  document.querySelectorAll(".sample").forEach((s) => s.classList.remove("right", "wrong"));
  draw();
}

/** What is open, to go back to where something else cannot be opened. */
let open: { readonly backend: BackendName; readonly model: string } | null = null;

function hear(news: News): void {
  switch (news.kind) {
    case "loaded":
      openChosen();
      break;
    case "opened": {
      if (!news.trained) forget();
      open = news;
      document.body.dataset["backend"] = news.backend;
      say(`${news.device}. ${news.trained ? "The network came along: train on, or draw." : "Ready to train."}`);
      setTraining(false);
      readDrawing();
      break;
    }
    case "step": {
      const first = state.earlier + news.step - news.losses.length;
      news.losses.forEach((loss, i) => state.losses.push([first + i + 1, loss]));
      element("loss").textContent = news.losses.at(-1)!.toFixed(3);
      element("speed").textContent = news.digitsPerSecond === 0 ? "–" : Math.round(news.digitsPerSecond).toLocaleString("en");
      element("steps").textContent = (state.earlier + news.step).toLocaleString("en");
      element<HTMLProgressElement>("progress").value = news.step / news.steps;
      say(`Pass ${news.epoch}, step ${news.step} of ${news.steps}`);
      draw();
      readDrawing();
      break;
    }
    case "tested":
      state.accuracies.push([Math.max(state.losses.at(-1)?.[0] ?? 0, 1), news.accuracy]);
      element("accuracy").textContent = `${(100 * news.accuracy).toFixed(1)} %`;
      markSamples(news.predictions);
      draw();
      break;
    case "stopped":
      state.earlier = news.step;
      say(`${news.step.toLocaleString("en")} steps learned. Draw a digit, or train on.`);
      setTraining(false);
      readDrawing();
      break;
    case "answer":
      if (news.id === state.asked && state.drawn !== null) showAnswer(news.probabilities);
      break;
    case "failed":
      say(news.message, true);
      setTraining(false);
      if (open === null || (open.backend === chosen("backend") && open.model === chosen("model"))) break;
      check("backend", open.backend);
      check("model", open.model);
  }
}

function readDrawing(): void {
  if (state.drawn !== null && open !== null) ask({ kind: "read", id: ++state.asked, pixels: state.drawn });
}

const bars = Array.from({ length: 10 }, (_, digit) => {
  const item = document.createElement("li");
  item.append(document.createElement("i"), String(digit));
  element("bars").append(item);
  return item;
});

function showAnswer(probabilities: readonly number[]): void {
  const best = probabilities.indexOf(Math.max(...probabilities));
  element("digit").textContent = String(best);
  probabilities.forEach((p, digit) => {
    bars[digit].style.setProperty("--p", String(p));
    bars[digit].classList.toggle("best", digit === best);
    bars[digit].title = `${(100 * p).toFixed(1)} %`;
  });
}

/** Draws a digit of MNIST: dark ink on white paper. */
function paint(target: HTMLCanvasElement, pixels: Uint8Array): void {
  const context = target.getContext("2d")!;
  const image = context.createImageData(28, 28);
  pixels.forEach((v, i) => image.data.set([255 - v, 255 - v, 255 - v, 255], 4 * i));
  context.putImageData(image, 0, 0);
}

const pad = makePad(canvas("pad"), (pixels) => {
  state.drawn = pixels;
  paint(canvas("seen"), pixels ?? new Uint8Array(784));
  if (pixels !== null) return readDrawing();
  element("digit").textContent = "?";
  for (const bar of bars) {
    bar.style.setProperty("--p", "0");
    bar.classList.remove("best");
  }
});
element("clear").addEventListener("click", () => pad.clear());

element("train").addEventListener("click", () => {
  if (state.training) {
    element<HTMLButtonElement>("train").disabled = true;
    return ask({ kind: "stop" });
  }
  setTraining(true);
  say("Compiling…");
  ask({ kind: "train", epochs: Math.max(1, element<HTMLInputElement>("epochs").valueAsNumber || 1), batch, digits });
});
for (const input of document.querySelectorAll("input[type=radio]")) input.addEventListener("change", openChosen);

function markSamples(predictions: Uint8Array): void {
  document.querySelectorAll<HTMLElement>(".sample").forEach((sample, i) => {
    const right = predictions[i] === state.labels[i];
    sample.classList.toggle("right", right);
    sample.classList.toggle("wrong", !right);
    sample.lastChild!.textContent = right ? String(state.labels[i]) : `${state.labels[i]} → ${predictions[i]}`;
  });
}

function showSamples(images: Uint8Array): void {
  for (let i = 0; i < shown; i++) {
    const sample = Object.assign(document.createElement("figure"), { className: "sample" });
    const picture = Object.assign(document.createElement("canvas"), { width: 28, height: 28 });
    paint(picture, images.subarray(784 * i, 784 * (i + 1)));
    sample.append(picture, String(state.labels[i]));
    element("samples").append(sample);
  }
}

worker.addEventListener("message", ({ data }: MessageEvent<News>) => hear(data));
worker.addEventListener("error", (event) => say(event.message || "The worker could not be started.", true));
new ResizeObserver(draw).observe(element("losses"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

const url = new URL("digits.bin", document.baseURI).href;
ask({ kind: "load", url });
const response = await fetch(url);
if (response.ok) {
  const { test } = unpackDigits(await response.arrayBuffer());
  state.labels = test.labels;
  showSamples(test.images);
}
