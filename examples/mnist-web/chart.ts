/** A line over the numbers of steps. */
export interface Line {
  readonly points: readonly (readonly [step: number, value: number])[];
  /** A custom property of the style sheet. */
  readonly colour: string;
  readonly width: number;
  readonly dots?: boolean;
}

export interface Scale {
  /** The lowest and the highest value that are always shown. */
  readonly low: number;
  readonly high: number;
  readonly logarithmic: boolean;
  /** Where lines go across, and what is written there. */
  readonly marks: readonly (readonly [value: number, label: string])[];
}

const [left, bottom, top, right] = [44, 20, 8, 10];

/** Draws lines over one scale, sharp on every screen. */
export function drawChart(canvas: HTMLCanvasElement, lines: readonly Line[], { low, high, logarithmic, marks }: Scale): void {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = globalThis.devicePixelRatio;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d")!;
  context.scale(ratio, ratio);
  // Custom properties are text until an element uses them.
  const colourOf = (name: string): string => {
    canvas.style.color = `var(${name})`;
    return getComputedStyle(canvas).color;
  };
  const measure = (v: number): number => (logarithmic ? Math.log10(Math.max(v, 1e-9)) : v);
  const last = Math.max(1, ...lines.map((l) => l.points.at(-1)?.[0] ?? 0));
  const x = (step: number): number => left + (step / last) * (width - left - right);
  const span = measure(high) - measure(low);
  const y = (v: number): number => height - bottom - ((measure(v) - measure(low)) / span) * (height - bottom - top);
  context.font = "11px system-ui";
  context.textBaseline = "middle";
  for (const [value, label] of marks) {
    if (value < low || value > high) continue;
    context.strokeStyle = colourOf("--line");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(left, Math.round(y(value)) + 0.5);
    context.lineTo(width - right, Math.round(y(value)) + 0.5);
    context.stroke();
    context.fillStyle = colourOf("--soft");
    context.textAlign = "right";
    context.fillText(label, left - 8, y(value));
  }
  context.textAlign = "right";
  context.fillStyle = colourOf("--soft");
  if (last > 1) context.fillText(`${last} steps`, width - right, height - bottom / 2 + 2);
  for (const { points, colour, width: lineWidth, dots } of lines) {
    context.strokeStyle = context.fillStyle = colourOf(colour);
    context.lineWidth = lineWidth;
    context.lineJoin = "round";
    context.beginPath();
    for (const [step, value] of points) context.lineTo(x(step), y(Math.min(high, Math.max(low, value))));
    context.stroke();
    if (!dots) continue;
    for (const [step, value] of points) {
      context.beginPath();
      context.arc(x(step), y(Math.min(high, Math.max(low, value))), 3, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

/** The running mean of the last so many values. */
export function smooth(points: readonly (readonly [number, number])[], window: number): [number, number][] {
  let sum = 0;
  return points.map(([step, value], i) => {
    sum += value - (i >= window ? points[i - window][1] : 0);
    return [step, sum / Math.min(i + 1, window)];
  });
}
