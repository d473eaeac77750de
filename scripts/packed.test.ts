import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readmeExamples } from "./docs.ts";
import { root } from "./process.ts";

// What a user gets: the packages as npm would publish them, installed in a clean folder.
const folder = mkdtempSync(join(tmpdir(), "traceform-packed-"));
const node = process.execPath;
const compilers = { "TypeScript 7": "typescript/bin/tsc", "TypeScript 6": "typescript6/bin/tsc" };

/** Packs packages as they would be published. */
function pack(destination: string, ...filters: string[]): void {
  const { packageManager } = JSON.parse(readFileSync(`${root}package.json`, "utf8")) as { packageManager: string };
  mkdirSync(destination);
  const chosen = filters.flatMap((f) => ["--filter", f]);
  execFileSync("npx", ["-y", packageManager, "-r", ...chosen, "pack", "--pack-destination", destination], {
    cwd: root,
    stdio: "pipe",
  });
}

function compileWithBoth(project: string): void {
  for (const [name, tsc] of Object.entries(compilers)) {
    const { status, stdout } = spawnSync(node, [`${root}node_modules/${tsc}`, "-p", project], { cwd: project, encoding: "utf8" });
    expect(status, `${name}: ${stdout}`).toBe(0);
  }
}

beforeAll(() => {
  const tarballs = join(folder, "tarballs");
  pack(tarballs, "./packages/*", "!@traceform/testing");
  const dependencies = Object.fromEntries(
    readdirSync(tarballs).map((file) => {
      const name = file.replace(/-\d+\.\d+\.\d+\.tgz$/, "").replace(/^traceform-/, "@traceform/");
      return [name, `file:${join(tarballs, file)}`];
    }),
  );
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({ name: "app", private: true, type: "module", dependencies, overrides: dependencies }),
  );
  execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund"], { cwd: folder, stdio: "pipe" });
}, 120_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the packages hold what they should and no tests", () => {
  const files = readdirSync(join(folder, "node_modules/@traceform/core"), { recursive: true }).map(String);
  expect(files).toContain("dist/index.js");
  expect(files).toContain("dist/index.d.ts");
  expect(files).toContain("README.md");
  expect(files.filter((f) => /\.test(-d)?\.ts$/.test(f))).toEqual([]);
});

test("the first example of the README compiles under strict and runs", () => {
  const [example] = readmeExamples().filter((e) => e.place.startsWith("README.md"));
  writeFileSync(join(folder, "app.ts"), example.code);
  const options = {
    strict: true,
    target: "ES2023",
    lib: ["ES2023", "ESNext.Disposable", "DOM"],
    module: "NodeNext",
    moduleResolution: "NodeNext",
    types: [],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: ["app.ts"] }));
  compileWithBoth(folder);
  const printed = execFileSync(node, ["app.js"], { cwd: folder, encoding: "utf8" });
  expect(printed).toContain("[-21.25, -28.25, -35.25]");
  expect(printed).toContain("[[-4.5, -9, -13.5], [-38, -47.5, -57]]");
}, 60_000);

test("the guide to extensions shows the code of the example", () => {
  const guide = readFileSync(`${root}docs/extending.md`, "utf8");
  const shown = [...guide.matchAll(/^```ts (examples\/\S+?)(?:#(\w+))?\n([\s\S]*?)^```/gm)];
  const files = new Set(shown.map(([, path]) => path));
  const all = readdirSync(`${root}examples/extension`).filter((f) => f.endsWith(".ts") && !f.endsWith(".test.ts"));
  expect([...files].sort()).toEqual(all.map((f) => `examples/extension/${f}`).sort());
  for (const [, path, region, code] of shown) {
    const text = readFileSync(root + path, "utf8");
    const part = region === undefined ? text : new RegExp(`^// #region ${region}\n([\\s\\S]*?)^// #endregion`, "m").exec(text)?.[1];
    expect(code, `${path}${region === undefined ? "" : `#${region}`} in docs/extending.md`).toBe(part);
  }
});

test("the example of extensions needs no more than the packed packages export", () => {
  const extension = join(folder, "extension");
  cpSync(`${root}examples/extension`, extension, { recursive: true, filter: (path) => !path.includes("node_modules") });
  // The conformance suite brings vitest, which is taken from here.
  pack(join(folder, "suite"), "@traceform/testing");
  const [tarball] = readdirSync(join(folder, "suite"));
  const modules = join(folder, "node_modules");
  mkdirSync(join(modules, "@traceform/testing"));
  execFileSync("tar", ["-xzf", join(folder, "suite", tarball), "--strip-components=1", "-C", join(modules, "@traceform/testing")]);
  symlinkSync(`${root}node_modules/vitest`, join(modules, "vitest"));
  const compilerOptions = {
    strict: true,
    noEmit: true,
    allowImportingTsExtensions: true,
    target: "ES2023",
    lib: ["ES2024", "ESNext.Disposable", "DOM"],
    module: "NodeNext",
    moduleResolution: "NodeNext",
    // vitest's declarations want types that the example does not.
    skipLibCheck: true,
    types: [],
  };
  writeFileSync(join(extension, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  compileWithBoth(extension);
  // A run of its own: this one's settings are in the environment.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("VITEST")));
  const vitest = [
    `${root}node_modules/vitest/vitest.mjs`,
    "run",
    "--root",
    extension,
    "--reporter=json",
    "--outputFile=report.json",
  ];
  const { stdout, stderr } = spawnSync(node, vitest, { cwd: extension, encoding: "utf8", env });
  const report = join(extension, "report.json");
  expect(existsSync(report), stdout + stderr).toBe(true);
  const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, "utf8")) as Record<string, number>;
  expect(numFailedTests).toBe(0);
  expect(numPassedTests).toBeGreaterThan(70);
}, 120_000);

test("one copy of core is installed, and the separate packages work without the umbrella", () => {
  writeFileSync(
    join(folder, "pieces.mjs"),
    `import { setDefaultBackend, version } from "@traceform/core";
     import { cpu } from "@traceform/backend-cpu";
     import { grad } from "@traceform/grad";
     import { array, sum, tanh } from "@traceform/numpy";
     import { det } from "@traceform/numpy/linalg";
     setDefaultBackend(cpu());
     console.log(version, grad((x) => sum(tanh(x)))(array([0, 0])).jsSync(), det(array([[2, 0], [0, 3]])).itemSync());`,
  );
  expect(execFileSync(node, ["pieces.mjs"], { cwd: folder, encoding: "utf8" }).trim()).toBe("0.1.0 [ 1, 1 ] 6");
});

test("a bundler keeps what runs, and an import costs what it names", async () => {
  writeFileSync(join(folder, "one.mjs"), `export { add } from "@traceform/numpy";`);
  const bundle = async (entry: string): Promise<string> => {
    const options = {
      configFile: false,
      root: folder,
      logLevel: "silent",
      build: { write: false, lib: { entry: join(folder, entry), formats: ["es"] } },
    } as const;
    const [{ output }] = (await build(options as never)) as unknown as [{ output: { code: string }[] }];
    return output[0].code;
  };
  const app = await bundle("pieces.mjs");
  writeFileSync(join(folder, "bundled.mjs"), app);
  expect(execFileSync(node, ["bundled.mjs"], { cwd: folder, encoding: "utf8" }).trim()).toBe("0.1.0 [ 1, 1 ] 6");
  // The eager machinery of core is most of it; the rest of numpy must not come along. The bundler notes the path of each module, whose
  // length is that of the folder.
  const one = (await bundle("one.mjs")).replaceAll(/^\/\/ .*\n/gm, "");
  expect(one).not.toContain("einsum");
  expect(one.length).toBeLessThan(76_000);
}, 60_000);
