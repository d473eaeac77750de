import { globSync, readFileSync } from "node:fs";
import { root } from "./process.ts";

export interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
}

export interface Source {
  /** The package's folder name under `packages/`. */
  readonly pkg: string;
  /** Path from the repository's root. */
  readonly path: string;
  readonly imports: readonly Import[];
}

const statement = /^(?:import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?"([^"]+)";/gm;

/** The shipped sources of every package (tests left out) with their imports. */
export function packageSources(): Source[] {
  return globSync("packages/*/src/**/*.ts", { cwd: root })
    .filter((p) => !/\.test(-d)?\.ts$/.test(p))
    .sort()
    .map((path) => ({
      pkg: path.split("/")[1],
      path,
      imports: [...readFileSync(root + path, "utf8").matchAll(statement)].map((m) => ({
        specifier: m[2],
        // `import { type A, type B }` brings nothing at run time either.
        typeOnly: m[1] !== undefined || /\{\s*(type\s+\w+(\s+as\s+\w+)?,?\s*)+\}/.test(m[0]),
      })),
    }));
}
