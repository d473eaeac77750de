import { describe, expect, test, vi } from "vitest";
import { BackendError } from "@traceform/core";
import { type Ended, installed, launchers, start, startAlone } from "../fixtures/processes.ts";
import { mpi, startedByMpi } from "./mpi.ts";
import { hintForOpenMpi, launcherOf } from "./mpi/launchers.ts";
import { detectAbi, libraryNames } from "./mpi/abi.ts";
import { countOf } from "./mpi/counts.ts";
import { loadMpi } from "./mpi/library.ts";

test("where it is not installed what follows is left out, as the README says; a build server has to have it", () => {
  if (!installed) expect(process.env["CI"], "install mpirun: apt-get install openmpi-bin libopenmpi3").toBeUndefined();
});

describe.each(launchers.map((l) => [l.name, l] as const))("several processes (%s)", (_name, launcher) => {
  const launched = test.runIf(launcher.installed);
  /** What every process of the test does. */
  const run = (processes: number, scenario: string, timeout = 6): Ended =>
    start("collectives.ts", processes, [scenario, String(timeout)], launcher);

  launched.each([1, 2, 3])("%i of them exchange values of all dtypes", (count) => {
    const { code, out, err } = run(count, "collectives");
    expect(err.includes("BackendError") ? err : "").toBe("");
    expect(code, err).toBe(0);
    const said = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .sort((a, b) => Number(a["index"]) - Number(b["index"]));
    expect(said.map((s) => [s["index"], s["count"]])).toEqual(said.map((_, i) => [i, count]));
    expect(said.length).toBe(count);
    const all = said.map((_, i) => i);
    const total = all.reduce((a, b) => a + b, 0);
    const even = all.filter((i) => i % 2 === 0).reverse();
    const odd = all.filter((i) => i % 2 === 1);
    said.forEach((s, i) => {
      for (const dtype of ["float32", "float64", "int8", "int16", "int32", "uint8", "uint16", "uint32"]) {
        expect(s[`sum ${dtype}`]).toEqual([total, count, 2 * total]);
        expect(s[`max ${dtype}`]).toEqual([count - 1, 1, 2 * count - 2]);
        expect(s[`min ${dtype}`]).toEqual([0, 1, 0]);
      }
      expect(s).toMatchObject({
        "sum int64": String(BigInt(count) * 2n ** 40n + BigInt(total)),
        "sum uint64": String(BigInt(count) * 2n ** 40n + BigInt(total)),
        "sum complex64": [count, total],
        shared: [i, i + 1, total, total + count],
        allGather: all.flatMap((j) => [j, j === 0 ? 0 : -j]),
        reduceScatter: [total + i * count],
        allToAll: all.map((j) => 10 * j + i),
        ring: [(i + count - 1) % count],
        chain: [i === 0 ? 0 : i - 1],
        broadcast: [count - 1 + 100],
        groups: i % 2 === 0 ? even : odd,
      });
    });
  });

  // Its watchdogs have hardly begun when it ends.
  launched("a program that just ends leaves in good order", () => {
    expect(run(2, "ends").code).toBe(0);
  });

  launched("a call that MPI refuses is an error, and the processes go on", () => {
    const { code, out, err } = run(2, "refused");
    expect(code, err).toBe(0);
    expect(out.match(/broadcast: MPI refused the call: /g), err).toHaveLength(2);
  });

  launched("who has ended waits for those that have not, longer than a call may take", () => {
    const { code, err } = run(2, "late", 1.5);
    expect(err).toBe("");
    expect(code, err).toBe(0);
  });

  const failures: readonly (readonly [string, string, RegExp])[] = [
    [
      "calls that do not fit together are named in every process",
      "mismatch",
      /process 0 of 2 calls allReduce, call 1 of the program, but process 1 calls barrier there/,
    ],
    [
      "who has ended is named where another still calls",
      "left",
      /process 1 of 2 calls barrier, call 1 of the program, but process 0 calls finalize there/,
    ],
    ["a process that does not come is named", "missing", /process 0 of 2 calls barrier.* and has waited 6 s for process 1/],
    ["an error of one process ends the others, and is seen", "throws", /process 1 of 2: Error: the data of this process is lost/],
    // Without the moment that `endAll` gives it, a fifth of the runs of MPICH say nothing.
    [
      "an error is seen where what starts the processes is slow to read it",
      "unread",
      /process 1 of 2: Error: the data of this process is lost/,
    ],
    ["a process that is killed ends the others", "killed", /signal 9|Killed/],
  ];
  launched.each(failures)("%s", (_what, scenario, message) => {
    const begin = performance.now();
    const { code, out, err } = run(2, scenario);
    // MPICH says on the one what Open MPI says on the other.
    expect(err + out).toMatch(message);
    expect(code).not.toBe(0);
    expect(performance.now() - begin).toBeLessThan(40_000);
  });
});

// A batch script is no step of Slurm, so a program that it runs by itself is one process; `mpirun` uses steps with a task for a machine.
test.each([
  [{}, false, 1, false],
  [{ OMPI_COMM_WORLD_SIZE: "1" }, true, 1, false],
  [{ OMPI_COMM_WORLD_SIZE: "2" }, true, 2, false],
  [{ PMI_SIZE: "4" }, true, 4, false],
  [{ SLURM_NTASKS: "2", SLURM_JOB_ID: "7" }, false, 1, false],
  [{ SLURM_NTASKS: "2", SLURM_STEP_NUM_TASKS: "1" }, false, 1, true],
  [{ SLURM_NTASKS: "2", SLURM_STEP_NUM_TASKS: "2" }, true, 2, true],
  [{ SLURM_STEP_NUM_TASKS: "1", PMIX_RANK: "0" }, true, 1, false],
  [{ SLURM_STEP_NUM_TASKS: "2", PMIX_RANK: "1" }, true, 2, false],
  [{ SLURM_STEP_NUM_TASKS: "2", PMI_SIZE: "2" }, true, 2, true],
  [{ SLURM_STEP_NUM_TASKS: "3", OMPI_COMM_WORLD_SIZE: "1", PMIX_RANK: "0" }, true, 1, false],
  [{ SLURM_STEP_NUM_TASKS: "3", PMI_SIZE: "1" }, true, 1, true],
])(
  "in an environment with %j a launcher of MPI was at work: %s, for %i; Open MPI lacks PMIx: %s",
  (environment, started, count, lacking) => {
    expect(startedByMpi(environment)).toBe(started);
    expect(launcherOf(environment)?.count ?? 1).toBe(count);
    expect(hintForOpenMpi(environment) !== null).toBe(lacking);
  },
);

// What `srun` without a plug-in for MPI does, and a launcher of one kind with a library of another.
test.runIf(installed).each([
  ["SLURM_STEP_NUM_TASKS", /srun has started 2 processes, but MPI \(.*\) sees this one only[\s\S]*srun --mpi=pmix/],
  ["PMI_SIZE", /mpiexec of MPICH \(or srun --mpi=pmi2\) has started 2[\s\S]*TRACEFORM_MPI_LIBRARY/],
])("processes that MPI does not see are an error, not as many jobs: %s", (variable, message) => {
  vi.stubEnv(variable, "2");
  vi.stubEnv("OMPI_COMM_WORLD_SIZE", undefined);
  const { code, err } = startAlone("collectives.ts", ["collectives"]);
  vi.unstubAllEnvs();
  expect(err).toMatch(message);
  expect(code).toBe(1);
});

test("counts are what a C int holds: larger moves are of wider elements, or refused", () => {
  expect(countOf("allGather", 2 ** 31 - 1, [1, 8])).toEqual([2 ** 31 - 1, 1]);
  expect(countOf("allGather", 2 ** 33, [1, 8])).toEqual([2 ** 30, 8]);
  expect(countOf("allReduce", 2 ** 32, [4])).toEqual([2 ** 30, 4]);
  expect(() => countOf("allReduce", 2 ** 31, [1])).toThrow("allReduce: a call of MPI takes at most 2147483647 elements");
  expect(() => countOf("allGather", 2 ** 31 + 1, [1, 8])).toThrow("exchange the array in several parts");
  expect(() => countOf("allGather", 2 ** 34, [1, 8])).toThrow(BackendError);
});

describe("libraries", () => {
  test("their handles are told apart by what they say of themselves, and their symbols", () => {
    const having =
      (...names: readonly string[]) =>
      (name: string): bigint | null =>
        names.includes(name) || (names[0] === "ompi" && name.startsWith("ompi_mpi_")) ? 4096n : null;
    expect(detectAbi(having("ompi"), -1)).toMatchObject({ name: "Open MPI", handle: "uintptr_t", world: 4096n });
    expect(detectAbi(having("MPI_Comm_rank"), -1)).toMatchObject({ name: "MPICH", handle: "int", world: 0x44000000 });
    // Of MPI 5, built on Open MPI.
    expect(detectAbi(having("ompi"), 1)).toMatchObject({ name: "MPI ABI", handle: "uintptr_t", world: 0x101 });
  });

  test("without one, the error says what to install", async () => {
    vi.stubEnv("TRACEFORM_MPI_LIBRARY", "/nowhere/libmpi.so");
    await expect(loadMpi()).rejects.toThrow(
      /no MPI library was found under the names \/nowhere\/libmpi\.so[\s\S]*apt-get install openmpi-bin libopenmpi3/,
    );
    await expect(mpi()).rejects.toThrow(BackendError);
    vi.unstubAllEnvs();
  });

  test("without koffi, the error says so", async () => {
    vi.doMock("koffi", () => {
      throw new Error("Cannot find package 'koffi'");
    });
    await expect(loadMpi()).rejects.toThrow(
      /the package koffi, through which MPI is called, could not be loaded[\s\S]*npm install koffi/,
    );
    vi.doUnmock("koffi");
  });

  test("that of the launcher is looked for first, and one that is named only", () => {
    expect(libraryNames({ OMPI_COMM_WORLD_RANK: "0" }, "linux")[0]).toBe("libmpi.so.40");
    expect(libraryNames({ PMI_RANK: "0" }, "linux")[0]).toBe("libmpich.so.12");
    expect(libraryNames({ TRACEFORM_MPI_LIBRARY: "/opt/libmpi.so" }, "linux")).toEqual(["/opt/libmpi.so"]);
  });
});
