import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

interface Said {
  readonly process: number;
  readonly processes: number;
  readonly devices: readonly number[];
  readonly hosts: {
    readonly given: readonly (readonly number[])[];
    readonly gathered: readonly (readonly number[])[];
    readonly refused: string;
    readonly files: number;
    readonly same: boolean;
  };
  readonly text: Readonly<Record<string, readonly (readonly [shape: readonly number[], values: readonly (number | string)[]])[]>>;
}

const fixture = fileURLToPath(new URL("../fixtures/mesh.ts", import.meta.url));
const env = { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" };

/** What each of so many processes with so many devices computes. */
function run(processes: number, devices: number): Said[] {
  const folder = mkdtempSync(join(tmpdir(), "traceform-mesh-"));
  try {
    const args = ["-np", String(processes), "--oversubscribe", process.execPath, fixture, String(devices), folder];
    const { status, stderr } = spawnSync("mpirun", args, { env, encoding: "utf8", timeout: 50_000 });
    expect(status, stderr).toBe(0);
    return Array.from(
      { length: processes },
      (_, i) => JSON.parse(readFileSync(join(folder, `${processes}-${i}.json`), "utf8")) as Said,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

// As in mpi.test.ts.
const installed = spawnSync("mpirun", ["--version"]).error === undefined;

describe.runIf(installed)("a mesh over processes", () => {
  const [alone] = installed ? run(1, 4) : [];

  test.each([
    [2, 2],
    [4, 1],
  ])("%i processes with %i devices each compute what one with four does", (processes, devices) => {
    for (const said of run(processes, devices)) {
      expect(said).toMatchObject({ processes, devices: [devices, 4] });
      expect(said.hosts).toMatchObject({
        given: [
          [1, 1, 1],
          [1, 1, 1],
        ],
        gathered: Array.from({ length: processes }, (_, i) => [i + 1, i + 1, i + 1]),
        files: processes,
        same: true,
      });
      expect(said.hosts.refused).toMatch(/\.wrong of process 1 is not that of process 0/);
      expect(Object.keys(said.text)).toEqual(Object.keys(alone.text));
      for (const [name, arrays] of Object.entries(said.text)) {
        // Sums have another order: first within a process, then between them.
        const tolerance = name.includes("bfloat16") ? 2 ** -7 : 1e-6;
        arrays.forEach(([shape, values], i) => {
          const [wantShape, want] = alone.text[name][i];
          expect(shape, name).toEqual(wantShape);
          values.forEach((v, k) => {
            const w = want[k];
            if (typeof v === "string" || typeof w === "string") expect(v, name).toBe(w);
            else expect(Math.abs(v - w), name).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(w)));
          });
        });
      }
    }
  });
});
