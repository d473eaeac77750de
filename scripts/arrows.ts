import { readFileSync } from "node:fs";
import { root } from "./process.ts";
import { packageSources } from "./sources.ts";

/** Which packages a package may import: the dependency arrows of docs/architecture.md. */
const arrows: Record<string, readonly string[]> = {
  core: [],
  lax: ["core"],
  numpy: ["core", "lax"],
  jit: ["core"],
  grad: ["core", "lax"],
  vmap: ["core", "lax"],
  // What devices that share a memory run is the program of one shard, batched: the one transformation that needs another.
  pmap: ["core", "lax", "jit", "vmap"],
  distributed: ["core", "lax"],
  compiler: ["core"],
  "backend-cpu": ["core", "compiler"],
  "backend-wgpu": ["core", "compiler"],
  random: ["core", "lax", "numpy"],
  nn: ["core", "lax", "numpy", "random"],
  optim: ["core", "lax"],
  checkify: ["core", "lax"],
  testing: ["core", "lax", "numpy", "jit", "grad", "vmap", "pmap"],
  traceform: ["core", "lax", "numpy", "jit", "grad", "vmap", "pmap", "random", "nn", "optim", "checkify", "backend-cpu"],
};

const nameOf = (pkg: string): string => (pkg === "traceform" ? pkg : `@traceform/${pkg}`);

/** Imports against the arrows, and package.json files that do not declare what is imported. */
export function arrowViolations(): string[] {
  const problems: string[] = [];
  for (const { pkg, path, imports } of packageSources()) {
    const allowed = arrows[pkg];
    if (allowed === undefined) {
      problems.push(`${path}: package ${pkg} has no line in scripts/arrows.ts`);
      continue;
    }
    const {
      dependencies = {},
      peerDependencies = {},
      devDependencies = {},
    } = JSON.parse(readFileSync(`${root}packages/${pkg}/package.json`, "utf8"));
    for (const { specifier } of imports) {
      if (specifier.startsWith(".") || specifier.startsWith("node:")) continue;
      const target = specifier.replace(/^@traceform\//, "").split("/")[0];
      if (!(target in arrows)) {
        if (!(specifier in { ...dependencies, ...peerDependencies, ...(pkg === "testing" ? devDependencies : {}) }))
          problems.push(`${path}: imports ${specifier}, which package.json does not name`);
      } else if (target !== pkg && !allowed.includes(target)) {
        problems.push(`${path}: ${pkg} must not import ${target}`);
      } else if (target !== pkg && !(nameOf(target) in { ...dependencies, ...peerDependencies })) {
        problems.push(`${path}: imports ${specifier}, which is no dependency in package.json`);
      }
    }
    if (pkg !== "core" && pkg !== "traceform" && !("@traceform/core" in peerDependencies)) {
      problems.push(`packages/${pkg}/package.json: core must be a peer dependency`);
    }
  }
  return [...problems, ...unusedDependencies()];
}

/** Packages with code that declare a Traceform package which they do not import. */
function unusedDependencies(): string[] {
  const imported = Map.groupBy(packageSources(), (s) => s.pkg);
  return [...imported].flatMap(([pkg, sources]) => {
    const used = new Set(sources.flatMap((s) => s.imports.map((i) => i.specifier.split("/").slice(0, 2).join("/"))));
    if (used.size === 0) return [];
    const { dependencies = {} } = JSON.parse(readFileSync(`${root}packages/${pkg}/package.json`, "utf8")) as {
      dependencies?: object;
    };
    return Object.keys(dependencies)
      .filter((name) => name.startsWith("@traceform/") && !used.has(name))
      .map((name) => `packages/${pkg}/package.json: ${name} is a dependency that nothing imports`);
  });
}
