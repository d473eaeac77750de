import { describe, expect, test } from "vitest";
import { compareNumbers, installed, type Numbers, runProcesses } from "../fixtures/processes.ts";

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
  readonly text: Numbers;
}

describe.runIf(installed)("a mesh over processes", () => {
  const [alone] = installed ? runProcesses<Said>("mesh.ts", 1, 4) : [];

  test.each([
    [2, 2],
    [4, 1],
  ])("%i processes with %i devices each compute what one with four does", (processes, devices) => {
    for (const said of runProcesses<Said>("mesh.ts", processes, devices)) {
      expect(said).toMatchObject({ processes, devices: [devices, 4] });
      expect(said.hosts).toMatchObject({
        given: [
          [1, 1, 1],
          [1, 1, 1],
        ],
        gathered: Array.from({ length: processes }, (_, i) => [i + 1, i + 1, i + 1]),
        joined: Array.from({ length: 3 * processes }, (_, i) => 1 + Math.floor(i / 3)),
        files: processes + 1,
        same: true,
      });
      expect(said.hosts.refused).toMatch(/\.wrong of process 1 is not that of process 0/);
      compareNumbers(said.text, alone.text);
    }
  });
});
