import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { crc32, deflateSync } from "node:zlib";

export interface Report {
  readonly title: string;
  readonly losses: readonly number[];
  readonly accuracies: readonly number[];
  readonly accuracy: number;
  readonly seconds: number;
  readonly confusion: readonly (readonly number[])[];
  readonly labels: Uint8Array;
  readonly predictions: Uint8Array;
  readonly images: Uint8Array;
}

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}

/** A grey PNG of one digit, as a data URI. */
export function digitPng(pixels: Uint8Array, size = 28): string {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  header[8] = 8;
  const raw = Buffer.alloc(size * (size + 1));
  for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) raw[y * (size + 1) + 1 + x] = 255 - pixels[y * size + x];
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const png = Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", deflateSync(raw)), chunk("IEND", Buffer.alloc(0))]);
  return `data:image/png;base64,${png.toString("base64")}`;
}

function polyline(values: readonly number[], low: number, high: number, colour: string, dots = false): string {
  const x = (i: number): number => 50 + (500 * i) / Math.max(1, values.length - 1);
  const y = (v: number): number => 180 - (160 * (v - low)) / (high - low || 1);
  const points = values.map((v, i) => `${x(i).toFixed(1)},${y(v).toFixed(1)}`);
  const marks = dots ? points.map((p) => `<circle cx="${p.split(",")[0]}" cy="${p.split(",")[1]}" r="3" fill="${colour}"/>`) : [];
  return `<polyline points="${points.join(" ")}" fill="none" stroke="${colour}" stroke-width="1.5"/>${marks.join("")}`;
}

function chart(title: string, values: readonly number[], format: (v: number) => string, colour: string, dots = false): string {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return `<figure><figcaption>${title}</figcaption><svg viewBox="0 0 560 200" role="img" aria-label="${title}">
<line x1="50" y1="180" x2="550" y2="180" stroke="#bbb"/><line x1="50" y1="20" x2="50" y2="180" stroke="#bbb"/>
<text x="44" y="184" text-anchor="end">${format(low)}</text><text x="44" y="24" text-anchor="end">${format(high)}</text>
${polyline(values, low, high, colour, dots)}</svg></figure>`;
}

function confusionTable(counts: readonly (readonly number[])[]): string {
  const most = Math.max(...counts.flatMap((row, i) => row.filter((_, j) => i !== j)), 1);
  const cell = (n: number, i: number, j: number): string =>
    `<td style="background:${i === j ? "#e3f1e5" : `rgba(200,60,40,${((0.75 * n) / most).toFixed(3)})`}">${n === 0 ? "" : n}</td>`;
  const head = counts.map((_, j) => `<th>${j}</th>`).join("");
  return `<table><tr><th></th>${head}</tr>${counts.map((row, i) => `<tr><th>${i}</th>${row.map((n, j) => cell(n, i, j)).join("")}</tr>`).join("")}</table>`;
}

function wrongDigits({ labels, predictions, images }: Report, limit = 120): string {
  const wrong = [...labels.keys()].filter((i) => labels[i] !== predictions[i]).slice(0, limit);
  return wrong
    .map((i) => {
      const png = digitPng(images.subarray(i * 784, (i + 1) * 784));
      return `<figure class="digit"><img src="${png}" width="56" height="56" alt="digit ${i}"><figcaption>${labels[i]} → ${predictions[i]}</figcaption></figure>`;
    })
    .join("");
}

/** Writes one self-contained HTML page: curves, confusion matrix, and the digits that were taken for others. */
export function writeReport(path: string, report: Report): void {
  const html = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>${report.title}</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:1180px;margin:2rem auto;padding:0 1rem;color:#222}
.curves{display:grid;grid-template-columns:1fr 1fr;gap:1rem}figure{margin:0}svg text{font-size:11px;fill:#666}
table{border-collapse:collapse}td,th{width:3rem;text-align:right;padding:.15rem .4rem;font-variant-numeric:tabular-nums}
.grid{display:flex;flex-wrap:wrap;gap:.6rem}.digit{text-align:center;font-size:12px}.digit img{image-rendering:pixelated;border:1px solid #ddd}
</style>
<h1>${report.title}</h1>
<p>Test accuracy <strong>${(100 * report.accuracy).toFixed(2)} %</strong> after ${report.accuracies.length} epochs in ${report.seconds.toFixed(1)} s.</p>
<div class="curves">${chart(
    "training loss (log₁₀)",
    report.losses.map((x) => Math.log10(Math.max(x, 1e-6))),
    (v) => v.toFixed(1),
    "#c63",
  )}
${chart("test accuracy", report.accuracies, (v) => `${(100 * v).toFixed(1)}%`, "#287", true)}</div>
<h2>Confusion matrix</h2><p>Rows: true class. Columns: predicted class.</p>${confusionTable(report.confusion)}
<h2>Digits that were taken for others</h2><p>True → predicted.</p><div class="grid">${wrongDigits(report)}</div>
</html>
`;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, html);
}
