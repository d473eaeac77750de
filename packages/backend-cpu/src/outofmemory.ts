import { dtypeName, formatShape, type StandardDType } from "@traceform/core";
import type { BufferInfo, Program, Step } from "@traceform/compiler";

/** What a range of the heap is for. It is formatted only when an error needs it. */
export type Label = { readonly shape: readonly number[]; readonly dtype: StandardDType } | string | (() => string);

export function labelText(label: Label): string {
  if (typeof label === "function") return label();
  return typeof label === "string" ? label : `${dtypeName(label.dtype)}${formatShape(label.shape)}`;
}

const units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** A number of bytes as people read it. */
export function readableBytes(bytes: number): string {
  const i = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${Number((bytes / 1024 ** i).toFixed(i === 0 ? 0 : 2))} ${units[i]}`;
}

/** The remedies. `disposing`: whether other arrays are in the way. `growing`: whether the heap could be larger. */
export function memoryFix({ disposing, growing }: { readonly disposing: boolean; readonly growing: boolean }): string {
  const ways = [
    ...(disposing ? ["dispose of arrays that are no longer needed"] : []),
    "use smaller batches",
    "recompute instead of keeping (checkpoint) in what is differentiated",
    "donate arguments that are not needed afterwards",
    ...(growing ? ["give cpu({ maxMemoryBytes }) more"] : []),
  ];
  return `${ways.slice(0, -1).join(", ")}, or ${ways[ways.length - 1]}`;
}

/** The largest temporaries of a program, each with the kernel that writes it first. */
export function largestTemporaries(program: Program, count = 5): string {
  const writers = new Map<BufferInfo, string>();
  const visit = (steps: readonly Step[]): void => {
    for (const s of steps) {
      if (s.kind === "launch") {
        for (const { buffer } of s.args) if (!writers.has(buffer)) writers.set(buffer, s.kernel.name);
      } else if (s.kind === "host") {
        for (const { buffer } of s.writes) if (!writers.has(buffer)) writers.set(buffer, program.hosts[s.step].name);
      } else if (s.kind === "branch") s.branches.forEach(visit);
      else if (s.kind === "loop") {
        visit(s.condition);
        visit(s.body);
      }
    }
  };
  visit(program.steps);
  return program.buffers
    .filter((b) => b.kind === "temporary" && program.offsets.has(b.id))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, count)
    .map((b) => `${readableBytes(b.bytes)} of ${writers.get(b) ?? "a loop"}`)
    .join(", ");
}
