// Turns the examples of the documentation into programs: every `// =>` becomes an assertion.
import { globSync, readFileSync } from "node:fs";
import { root } from "./process.ts";

export interface Example {
  /** Where it stands, e.g. `packages/grad/README.md:12`. */
  readonly place: string;
  readonly code: string;
  readonly pkg: string | null;
}

const fence = /^```ts\n([\s\S]*?)^```/gm;

/** Examples of the READMEs and of docs/: each fenced block of TypeScript that imports something. */
export function readmeExamples(): Example[] {
  return globSync(["README.md", "packages/*/README.md", "docs/*.md", "examples/*/README.md"], { cwd: root })
    .sort()
    .flatMap((path) => {
      const text = readFileSync(root + path, "utf8");
      return [...text.matchAll(fence)]
        .filter((m) => /^import /m.test(m[1]))
        .map((m) => ({ place: `${path}:${text.slice(0, m.index).split("\n").length + 1}`, code: m[1], pkg: null }));
    });
}

const comment = /^[ \t]*\/\*\*[\s\S]*?\*\//gm;

/** Examples of doc comments that state results. They import nothing: the names come from the package and from numpy. */
export function commentExamples(): Example[] {
  return globSync("packages/*/src/**/*.ts", { cwd: root })
    .filter((p) => !/\.test(-d)?\.ts$/.test(p))
    .sort()
    .flatMap((path) => {
      const text = readFileSync(root + path, "utf8");
      return [...text.matchAll(comment)].flatMap((c) => {
        const body = c[0].replace(/^[ \t]*\* ?/gm, "");
        return [...body.matchAll(fence)]
          .filter((m) => m[1].includes("// =>"))
          .map((m) => ({ place: `${path}:${text.slice(0, c.index).split("\n").length}`, code: m[1], pkg: path.split("/")[1] }));
      });
    });
}

/** Where names without an import are looked up, after the example's own package. */
export const nameSources = [
  "numpy",
  "jit",
  "grad",
  "vmap",
  "pmap",
  "nn",
  "optim",
  "random",
  "core",
  "lax",
  "testing",
  "checkify",
] as const;

/** Import statements for the free names of an example, found among the exports of `modules`. */
export function importsFor({ code, pkg }: Example, modules: Readonly<Record<string, readonly string[]>>): string {
  const order = [...new Set([...(pkg === null ? [] : [pkg]), ...nameSources])].filter((m) => m in modules);
  const used = new Set(code.replace(/\/\/(?! =>).*$/gm, "").match(/(?<![.\w"'])[A-Za-z_]\w*/g) ?? []);
  const declared = new Set([...code.matchAll(/\b(?:const|let|function|class)\s+(\w+)/g)].map((m) => m[1]));
  const lines = new Map<string, string[]>();
  for (const name of used) {
    if (declared.has(name)) continue;
    const from = order.find((m) => modules[m].includes(name));
    if (from !== undefined) lines.set(from, [...(lines.get(from) ?? []), name]);
  }
  return [...lines].map(([m, names]) => `import { ${names.join(", ")} } from "@traceform/${m}";`).join("\n");
}

/** Replaces `expression; // => expected` by a check of the two, and `expression; // throws Name` by one of the error. */
export function assertResults(code: string): string {
  const lines = code.split("\n");
  const out: string[] = [];
  for (let i = 0; i < lines.length; i++) {
    const failure = /^(\s*)(.*?);?\s*\/\/ throws (\w+)$/.exec(lines[i]);
    if (failure !== null) {
      out.push(`${failure[1]}await __throws(async () => (${failure[2]}), "${failure[3]}");`);
      continue;
    }
    const match = /^(\s*)(.*?);?\s*\/\/ => (.*)$/.exec(lines[i]);
    if (match === null) {
      out.push(lines[i]);
      continue;
    }
    // A long expectation goes on in the comment lines below.
    let expected = match[3];
    while (/^\s*\/\/ {4}/.test(lines[i + 1] ?? "")) expected += lines[++i].replace(/^\s*\/\/ {4}/, " ");
    const indent = match[1];
    // The result of a long statement may stand on the line below it.
    const statement = match[2] === "" ? (out.pop() ?? "").trim().replace(/;$/, "") : match[2];
    const declaration = /^(?:const|let) (\w+)/.exec(statement);
    if (declaration !== null) out.push(`${indent}${statement};`, `${indent}await __check(${declaration[1]}, (${expected}));`);
    else out.push(`${indent}await __check(${statement.replace(/^console\.log\((.*)\)$/, "$1")}, (${expected}));`);
  }
  return out.join("\n");
}
