/** What the terminal shows: a progress bar, a loss curve and a confusion matrix. */

const blocks = " ▏▎▍▌▋▊▉█";

function bar(fraction: number, width: number): string {
  const eighths = Math.round(fraction * width * 8);
  const full = Math.floor(eighths / 8);
  return ("█".repeat(full) + (full < width ? blocks[eighths % 8] : "")).padEnd(width);
}

export interface BarState {
  readonly label: string;
  readonly fraction: number;
  readonly detail: string;
}

/** Redraws one line on a terminal; elsewhere prints a line per tenth. */
export class ProgressBar {
  readonly #out: NodeJS.WriteStream;
  #drawn = 0;
  #tenth = -1;
  constructor(out: NodeJS.WriteStream = process.stdout) {
    this.#out = out;
  }
  update({ label, fraction, detail }: BarState): void {
    if (this.#out.isTTY) {
      const now = performance.now();
      if (now - this.#drawn < 50 && fraction < 1) return;
      this.#drawn = now;
      this.#out.write(`\r${label} ${bar(fraction, 28)} ${(100 * fraction).toFixed(0).padStart(3)}%  ${detail}\x1b[K`);
      return;
    }
    const tenth = Math.floor(fraction * 10);
    if (tenth === this.#tenth) return;
    this.#tenth = tenth;
    this.#out.write(`${label} ${(100 * fraction).toFixed(0).padStart(3)}%  ${detail}\n`);
  }
  end(): void {
    this.#tenth = -1;
    if (this.#out.isTTY) this.#out.write("\n");
  }
}

/** A line chart in braille dots, two by four to a character, on a logarithmic scale. */
export function lossCurve(losses: readonly number[], columns = 64, rows = 10): string {
  const width = columns * 2;
  const height = rows * 4;
  const logs = losses.map((x) => Math.log10(Math.max(x, 1e-6)));
  const top = Math.max(...logs);
  const bottom = Math.min(...logs);
  const dots = Array.from({ length: rows }, () => new Uint8Array(columns));
  const bits = [
    [0x01, 0x02, 0x04, 0x40],
    [0x08, 0x10, 0x20, 0x80],
  ];
  let previous: number | null = null;
  for (let x = 0; x < width; x++) {
    const from = Math.floor((x * logs.length) / width);
    const to = Math.max(from + 1, Math.floor(((x + 1) * logs.length) / width));
    const value = logs.slice(from, to).reduce((a, b) => a + b, 0) / (to - from);
    const y = Math.round(((top - value) / (top - bottom || 1)) * (height - 1));
    // Neighbouring points are joined, or a noisy curve falls apart into dots.
    for (let at = Math.min(y, previous ?? y); at <= Math.max(y, previous ?? y); at++) dots[at >> 2][x >> 1] |= bits[x & 1][at & 3];
    previous = y;
  }
  const axis = (row: number): string => {
    const value = 10 ** (top - (row / (rows - 1)) * (top - bottom));
    return row % 3 === 0 || row === rows - 1 ? value.toPrecision(2).padStart(8) : "".padStart(8);
  };
  const lines = dots.map((line, r) => `${axis(r)} ┤${String.fromCodePoint(...[...line].map((b) => 0x2800 + b))}`);
  return ["training loss (log scale)", ...lines, `${"".padStart(8)} └${"─".repeat(columns)}`].join("\n");
}

/** Rows are true classes, columns predicted ones. */
export function confusionMatrix(labels: Uint8Array, predictions: Uint8Array): number[][] {
  const counts = Array.from({ length: 10 }, () => new Array<number>(10).fill(0));
  labels.forEach((label, i) => counts[label][predictions[i]]++);
  return counts;
}

export function formatConfusion(counts: readonly (readonly number[])[]): string {
  const cell = (n: number): string => (n === 0 ? "·" : String(n)).padStart(6);
  const header = ["confusion".padEnd(9), ...counts.map((_, i) => String(i).padStart(6))].join("");
  const lines = counts.map((row, i) => `${`true ${i}`.padEnd(9)}${row.map(cell).join("")}`);
  return [`${header}   (predicted)`, ...lines].join("\n");
}
