import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { asArray, isNDArray } from "./index.ts";

test("a second copy of core warns when it loads, and its arrays are refused by name and path", async () => {
  const folder = mkdtempSync(join(tmpdir(), "traceform-core-"));
  try {
    cpSync(import.meta.dirname, folder, { recursive: true, filter: (p) => !/\.test(-d)?\.ts$/.test(p) });
    const source = join(folder, "duplicate.ts");
    writeFileSync(source, readFileSync(source, "utf8").replace(/version = ".*?"/, 'version = "9.9.9"'));
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const other = (await import(join(folder, "index.ts"))) as { asArray: typeof asArray };
    expect(warn.mock.calls.flat().join()).toMatch(/two copies[\s\S]*9\.9\.9/);
    warn.mockRestore();
    expect(() => isNDArray(other.asArray([1]))).toThrow(/another copy[\s\S]*9\.9\.9 at .*traceform-core-/);
    expect(isNDArray(asArray([1]))).toBe(true);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
