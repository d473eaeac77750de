import type { CostAnalysis, SegmentInfo } from "@traceform/core";
import { dtypeName } from "@traceform/core";
import type { Kernel, Program, Step, View } from "./program.ts";

/** The kernels and host steps of a program by name, in the order of launches; those of loops and branches once. */
export function programSegments(program: Program): SegmentInfo[] {
  const segments: { kind: SegmentInfo["kind"]; kernels: string[] }[] = [];
  const see = (kind: SegmentInfo["kind"], name: string): void => {
    const last = segments.at(-1);
    if (last?.kind === kind) last.kernels.push(name);
    else segments.push({ kind, kernels: [name] });
  };
  const walk = (steps: readonly Step[]): void => {
    for (const s of steps) {
      if (s.kind === "launch") see("device", s.kernel.name);
      else if (s.kind === "copy") see("device", "copy");
      else if (s.kind === "host") see("host", program.hosts[s.step].name);
      else if (s.kind === "branch") s.branches.forEach(walk);
      else {
        walk(s.condition);
        walk(s.body);
      }
    }
  };
  walk(program.steps);
  return segments.length === 0 ? [{ kind: "device", kernels: [] }] : segments;
}

/** Operations and bytes of one run. Loops of unknown length count once. */
export function programCost(program: Program): CostAnalysis {
  let bytesAccessed = 0;
  const walk = (steps: readonly Step[], times: number): void => {
    for (const s of steps) {
      if (s.kind === "launch") {
        for (const v of s.args) if (v.steps.length === 0) bytesAccessed += times * v.buffer.bytes;
      } else if (s.kind === "copy") bytesAccessed += 2 * times * s.bytes;
      else if (s.kind === "host") {
        for (const v of [...s.reads, ...s.writes]) if (v.steps.length === 0) bytesAccessed += times * v.buffer.bytes;
      } else if (s.kind === "branch") s.branches.forEach((b) => walk(b, times));
      else {
        const n = times * (s.trips ?? 1);
        walk(s.condition, n);
        walk(s.body, n);
      }
    }
  };
  walk(program.steps, 1);
  const { flops, transcendentals } = program.operations;
  return { flops: Math.round(flops), bytesAccessed, transcendentals, temporaryBytes: program.arenaBytes };
}

/** A listing for people: arguments, kernels with their loops and pointers, results. */
export function programText(program: Program): string {
  const lines: string[] = [`program ${program.name}`];
  if (program.constants.length > 0) lines.push(`  tables of ${program.constants.reduce((n, c) => n + c.byteLength, 0)} bytes`);
  program.arguments.forEach((a, i) => lines.push(`  argument ${i}: ${dtypeName(a.dtype)}[${a.shape.join(",")}]`));
  const walk = (steps: readonly Step[], indent: string): void => {
    for (const s of steps) {
      switch (s.kind) {
        case "launch":
          lines.push(`${indent}${s.kernel.name} ${loopsOf(s.kernel)}(${s.args.map(place).join(", ")})`);
          break;
        case "copy":
          lines.push(`${indent}copy ${s.bytes} bytes (${place(s.from)} -> ${place(s.to)})`);
          break;
        case "host":
          lines.push(
            `${indent}host ${program.hosts[s.step].name} (${s.reads.map(place).join(", ")} -> ${s.writes.map(place).join(", ")})`,
          );
          break;
        case "branch":
          s.branches.forEach((b, i) => {
            lines.push(`${indent}branch ${i} of ${place(s.index)}:`);
            walk(b, `${indent}  `);
          });
          break;
        case "loop":
          lines.push(s.trips === null ? `${indent}while ${place(s.predicate!)}:` : `${indent}loop ${s.trips}:`);
          walk(s.condition, `${indent}  `);
          walk(s.body, `${indent}  `);
      }
    }
  };
  walk(program.steps, "  ");
  program.sources.forEach((s, i) =>
    lines.push(
      `  result ${i}: ${dtypeName(program.results[i].dtype)}[${program.results[i].shape.join(",")}] = ${s.kind} ${s.position}`,
    ),
  );
  return lines.join("\n");
}

function loopsOf(kernel: Kernel): string {
  if (kernel.kind !== "nest") return "";
  const extents = (axes: readonly { readonly extent: number }[]): string => axes.map((a) => a.extent).join("x");
  const inner = kernel.stages.map((s) => extents(s.axes)).filter((s) => s !== "");
  return `[${extents(kernel.outer)}${inner.length > 0 ? ` | ${inner.join(" ; ")}` : ""}] `;
}

function place(v: View): string {
  const name = v.buffer.kind === "temporary" ? `t${v.buffer.id}` : `${v.buffer.kind} ${v.buffer.position}`;
  return `${name}${v.offset === 0 ? "" : `+${v.offset}`}${v.steps.length > 0 ? "[step]" : ""}`;
}
