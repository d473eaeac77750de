import { makers } from "virtual:libraries";
import { refusal, reportAdapter } from "../../benchmarks/gpu/adapter.ts";
import { formatTime, type GpuReport, headline } from "../../benchmarks/gpu/measure.ts";
import { benchmarkGpu } from "../../benchmarks/gpu/report.ts";

const query = new URLSearchParams(location.search);
const size = query.has("tiny") ? "tiny" : "full";
const allowCpu = query.has("allow-cpu");
const status = document.getElementById("status")!;
const start = document.getElementById("start") as HTMLButtonElement;
const copy = document.getElementById("copy") as HTMLButtonElement;
const table = document.getElementById("table") as HTMLTableElement;
const notes = document.getElementById("notes")!;

function say(text: string, failed = false): void {
  status.textContent = text;
  status.classList.toggle("failed", failed);
}
function note(text: string): void {
  notes.append(Object.assign(document.createElement("li"), { textContent: text }));
}

function show(report: GpuReport): void {
  const names = Object.keys(report.rows[0]?.milliseconds ?? {});
  table.replaceChildren();
  const caption = table.createCaption();
  caption.textContent = headline(report);
  caption.classList.toggle("failed", report.adapter.cpu);
  const head = table.createTHead().insertRow();
  for (const text of ["case", ...names, "best peer / ours", "of the adapter's limit"])
    head.append(Object.assign(document.createElement("th"), { textContent: text }));
  const body = table.createTBody();
  for (const { name, milliseconds, ratio, ofLimit } of report.rows) {
    const row = body.insertRow();
    const best = Math.min(...Object.values(milliseconds).filter((t) => t !== null));
    row.insertCell().textContent = name;
    for (const n of names) {
      const cell = row.insertCell();
      cell.textContent = formatTime(milliseconds[n]);
      cell.classList.toggle("best", milliseconds[n] === best);
    }
    row.insertCell().textContent = ratio === null ? "" : `${ratio.toFixed(2)}×`;
    row.insertCell().textContent = ofLimit === null ? "" : `${(100 * ofLimit).toFixed(0)} %`;
  }
}

async function measure(): Promise<void> {
  start.disabled = true;
  say("Measuring what the adapter can do…");
  try {
    const report = await benchmarkGpu(navigator.gpu, makers, {
      size,
      ...(query.has("only") ? { only: query.get("only")! } : {}),
      allowCpu,
      complain: note,
      onRow: (row, soFar) => {
        for (const text of row.notes) note(`${row.name}: ${text}`);
        say(`${row.name} is done…`);
        show(soFar);
      },
    });
    say("Done.");
    copy.hidden = false;
    copy.onclick = () => navigator.clipboard.writeText(JSON.stringify(report));
    Object.assign(globalThis, { report });
  } catch (error) {
    say(error instanceof Error ? error.message : String(error), true);
  }
  start.disabled = false;
}

const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
if (adapter === undefined || adapter === null) {
  say("There is no WebGPU here: use a browser that has it, on a machine with a GPU, over https or on localhost.", true);
} else {
  const report = reportAdapter(adapter);
  const peers = Object.keys(makers).slice(1);
  if (report.cpu && !allowCpu) say(refusal(report), true);
  else {
    say(`${report.name}. Beside Traceform: ${peers.length > 0 ? peers.join(", ") : "nobody, the peers are not installed"}.`);
    start.disabled = false;
  }
}
start.addEventListener("click", () => void measure());
