import type { Treedef } from "@traceform/core";

/** The places of the leaves of a structure, as a program writes them: `batch.image`, `xs[0]`. */
export function leafPlaces(def: Treedef, at: string): string[] {
  if (def.kind === "leaf") return [at];
  return def.children.flatMap((c, i) => leafPlaces(c, def.keys === null ? `${at}[${i}]` : `${at}.${def.keys[i]}`));
}

/** The names of a function's parameters, as far as its source shows them; `null` for patterns. */
export function parameterNames(f: (...args: never[]) => unknown): (string | null)[] {
  const text = String(f).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
  const single = /^(?:async\s+)?([A-Za-z_$][\w$]*)\s*=>/.exec(text);
  if (single !== null) return [single[1]];
  const open = text.indexOf("(");
  const names: (string | null)[] = [];
  let depth = 0;
  let start = open + 1;
  for (let i = open; open >= 0 && i < text.length; i++) {
    const c = text[i];
    if ("([{".includes(c)) depth++;
    const ends = depth === 1 && (c === "," || c === ")");
    if (ends && text.slice(start, i).trim() !== "") {
      names.push(/^\s*(?:\.\.\.)?([A-Za-z_$][\w$]*)/.exec(text.slice(start, i))?.[1] ?? null);
    }
    if (ends) start = i + 1;
    if (")]}".includes(c) && --depth === 0) break;
  }
  return names;
}
