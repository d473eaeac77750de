import { posix } from "node:path";
import { packageSources } from "./sources.ts";

/** Cycles of run-time imports between the files of a package, one line each. */
export function cycles(): string[] {
  const graph = new Map<string, string[]>();
  for (const { path, imports } of packageSources()) {
    const targets = imports
      .filter((i) => i.specifier.startsWith(".") && !i.typeOnly)
      .map((i) => posix.join(posix.dirname(path), i.specifier));
    graph.set(path, targets);
  }
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (node: string, trail: readonly string[]): void => {
    const at = trail.indexOf(node);
    if (at >= 0) {
      found.push(`import cycle: ${[...trail.slice(at), node].join(" -> ")}`);
      return;
    }
    if (done.has(node)) return;
    for (const next of graph.get(node) ?? []) visit(next, [...trail, node]);
    done.add(node);
  };
  for (const node of graph.keys()) visit(node, []);
  return found;
}
