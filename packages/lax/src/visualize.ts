import {
  type Device,
  type NDArray,
  processCount,
  processOf,
  ShapeError,
  type Sharding,
  type Slice,
  wholeSlices,
} from "@traceform/core";

/** A rectangle of an array of at most two axes, and the devices that hold it. */
interface Part {
  readonly rows: Slice;
  readonly columns: Slice;
  readonly devices: readonly Device[];
}

interface Picture {
  /** Drawn with characters, for terminals and logs. */
  readonly text: string;
  /** Drawn as an image: the text of an SVG file. */
  readonly svg: string;
  toString(): string;
}

/** @throws {ShapeError} for shapes of more than two axes */
function partsOf(shape: readonly number[], sharding: Sharding): { rows: number; columns: number; parts: Part[] } {
  if (shape.length > 2) {
    throw new ShapeError("visualizeArraySharding", {
      message: `pictures have at most two axes, but the shape [${shape.join(",")}] has ${shape.length}`,
      fix: "take a slice of two axes, or reshape the array",
    });
  }
  const plane = [...new Array<number>(2 - shape.length).fill(1), ...shape];
  const whole = wholeSlices(plane.slice(0, 2 - shape.length));
  const byPlace = new Map<string, { rows: Slice; columns: Slice; devices: Device[] }>();
  sharding.indices(shape).forEach((index, k) => {
    const [rows, columns] = [...whole, ...index];
    const key = `${rows.start},${columns.start}`;
    const part = byPlace.get(key);
    if (part === undefined) byPlace.set(key, { rows, columns, devices: [sharding.devices[k]] });
    else part.devices.push(sharding.devices[k]);
  });
  const parts = [...byPlace.values()].sort((a, b) => a.rows.start - b.rows.start || a.columns.start - b.columns.start);
  return { rows: plane[0], columns: plane[1], parts };
}

/** Devices of several processes are told apart by their process: `cpu 1:0` is the first of process 1. */
const nameOf = (d: Device): string => (processCount() === 1 ? String(d.id) : `${processOf(d)}:${d.id}`);
const label = ({ devices }: Part): string => `${devices[0].kind} ${devices.map(nameOf).join(",")}`;

function draw(parts: readonly Part[]): string {
  const width = Math.max(...parts.map((p) => label(p).length)) + 4;
  const lines: string[] = [];
  const starts = [...new Set(parts.map((p) => p.rows.start))];
  starts.forEach((start, i) => {
    const row = parts.filter((p) => p.rows.start === start);
    const rule = (left: string, middle: string, right: string): string =>
      left + row.map(() => "─".repeat(width)).join(middle) + right;
    if (i === 0) lines.push(rule("┌", "┬", "┐"));
    const centred = row.map((p) => {
      const text = label(p);
      const before = Math.floor((width - text.length) / 2);
      return " ".repeat(before) + text + " ".repeat(width - before - text.length);
    });
    lines.push(`│${centred.join("│")}│`, i === starts.length - 1 ? rule("└", "┴", "┘") : rule("├", "┼", "┤"));
  });
  return lines.join("\n");
}

const colors = ["#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#eeca3b", "#9d755d"];

function paint(rows: number, columns: number, parts: readonly Part[]): string {
  const [width, height] = [480, Math.max(60, Math.min(480, (480 * rows) / Math.max(1, columns)))];
  const boxes = parts.map((p, i) => {
    const x = (p.columns.start / columns) * width;
    const y = (p.rows.start / rows) * height;
    const w = ((p.columns.stop - p.columns.start) / columns) * width;
    const h = ((p.rows.stop - p.rows.start) / rows) * height;
    const place = `x="${x}" y="${y}" width="${w}" height="${h}"`;
    const middle = `x="${x + w / 2}" y="${y + h / 2}" text-anchor="middle" dominant-baseline="central"`;
    return `<rect ${place} fill="${colors[i % colors.length]}" stroke="white"/><text ${middle} fill="white">${label(p)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="14">${boxes.join("")}</svg>`;
}

/**
 * Which device holds which part of an array of at most two axes. The picture prints as text, and has an `svg`.
 *
 * @throws {ShapeError} for arrays of more than two axes
 * @example
 * ```ts
 * const x = devicePut(ones([4, 2]), new NamedSharding(makeMesh([2], ["data"]), P("data")));
 * debug.visualizeArraySharding(x).text.split("\n").slice(0, 2); // => ["┌─────────┐", "│  cpu 0  │"]
 * ```
 */
export function visualizeArraySharding(x: NDArray): Picture {
  return visualizeSharding(x.shape, x.sharding);
}

/** The same for arrays of a shape that are laid out so. */
export function visualizeSharding(shape: readonly number[], sharding: Sharding): Picture {
  const { rows, columns, parts } = partsOf(shape, sharding);
  const text = draw(parts);
  return { text, svg: paint(rows, columns, parts), toString: () => text };
}
