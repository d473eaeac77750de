import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import ts from "typescript6";
import { describe, expect, test } from "vitest";
import { root } from "./process.ts";

// What people see when they point at a transformed function: the names of its arguments, and their own types by name. TypeScript 6
// is asked as an editor asks it; TypeScript 7 by the declarations that it writes.

const prelude = `
import { checkpoint, customVmap, grad, hessian, jit, lax, type NDArray, valueAndGrad, vjp, vmap } from "traceform";
interface Params { readonly w: NDArray; readonly b?: NDArray }
declare function loss(params: Params, batch: { image: NDArray; label: NDArray }, rate: NDArray): NDArray;
declare const params: Params;
`;
/** Transformed functions, with the names of their arguments. */
const functions: Record<string, readonly [code: string, names: readonly string[]]> = {
  jit: ["jit(loss)", ["params", "batch", "rate"]],
  grad: ["grad(loss)", ["params", "batch", "rate"]],
  valueAndGrad: ["valueAndGrad(loss, { argnums: [0, 1] })", ["params", "batch", "rate"]],
  hessian: ["hessian((point: NDArray, scale: NDArray) => point)", ["point", "scale"]],
  vmap: ["vmap(loss, { inAxes: [null, 0, null] })", ["params", "batch", "rate"]],
  checkpoint: ["checkpoint(loss)", ["params", "batch", "rate"]],
  customVmap: ["customVmap(loss)", ["params", "batch", "rate"]],
  nested: ["jit(vmap(grad(loss), { inAxes: [null, 0, null] }))", ["params", "batch", "rate"]],
};
const names = Object.keys(functions);
const file = `${root}out/hovers/example.ts`;
const config = {
  extends: "../../tsconfig.tests.json",
  compilerOptions: {
    noUnusedLocals: false,
    noEmit: false,
    declaration: true,
    emitDeclarationOnly: true,
    outDir: "declarations",
    rootDir: "../..",
  },
  include: ["example.ts"],
};
const code = `${prelude}${names.map((n) => `export const ${n}_ = ${functions[n][0]};`).join("\n")}\n${names.map((n) => `${n}_();`).join("\n")}\n`;

mkdirSync(`${root}out/hovers`, { recursive: true });
writeFileSync(file, code);
writeFileSync(`${root}out/hovers/tsconfig.json`, JSON.stringify(config));

describe("TypeScript 6, as in an editor", () => {
  const parsed = ts.parseJsonConfigFileContent(config, ts.sys, `${root}out/hovers`);
  const service = ts.createLanguageService({
    getCompilationSettings: () => parsed.options,
    getScriptFileNames: () => [file],
    getScriptVersion: () => "1",
    getScriptSnapshot: (path) => (ts.sys.fileExists(path) ? ts.ScriptSnapshot.fromString(ts.sys.readFile(path)!) : undefined),
    getCurrentDirectory: () => root,
    getDefaultLibFileName: (options) => ts.getDefaultLibFilePath(options),
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories,
  });
  test.each(names)("%s: a call shows the names of the arguments", (name) => {
    const help = service.getSignatureHelpItems(file, code.indexOf(`${name}_()`) + name.length + 2, undefined);
    expect(help?.items[0].parameters.map((p) => p.name)).toEqual(functions[name][1]);
  });
  test.each(names)("%s: pointing at it shows the user's types by name", (name) => {
    const info = service.getQuickInfoAtPosition(file, code.indexOf(`const ${name}_`) + "const ".length);
    const text = ts.displayPartsToString(info?.displayParts);
    for (const argument of functions[name][1]) expect(text).toContain(`${argument}: `);
    if (functions[name][1].includes("params")) expect(text).toMatch(/params: (?:Input<)?Params/);
  });
  test("a gradient is shown as the user's type", () => {
    const info = service.getQuickInfoAtPosition(file, code.indexOf("const grad_") + "const ".length);
    expect(ts.displayPartsToString(info?.displayParts)).toMatch(/=> Params$/);
  });
});

test("TypeScript 7: declarations keep the names of arguments and types", () => {
  rmSync(`${root}out/hovers/declarations`, { recursive: true, force: true });
  try {
    execFileSync(`${root}node_modules/.bin/tsc`, ["-p", `${root}out/hovers`], { stdio: "pipe" });
  } catch {
    // The calls without arguments are errors on purpose; declarations are written all the same.
  }
  const text = readFileSync(`${root}out/hovers/declarations/out/hovers/example.d.ts`, "utf8");
  for (const name of names) {
    const line = new RegExp(`export declare const ${name}_: [\\s\\S]*?;\\n(?=export|$)`).exec(text)?.[0] ?? "";
    for (const argument of functions[name][1]) expect(line).toContain(`${argument}: `);
  }
  expect(/ grad_: ([\s\S]*?)\nexport/.exec(text)?.[1]).toMatch(/=> Params;$/);
});
