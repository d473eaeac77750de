import { describe, expect, test } from "vitest";
import { installed, runProcesses } from "../fixtures/processes.ts";

type Said = Readonly<Record<string, unknown>>;

describe.runIf(installed)("what is wrong", () => {
  const said = installed ? runProcesses<Said>("badinput.ts", 2, 2) : [];

  test.each([
    ["an axis that does not match the devices", /the mapped axes have size 3, but 4 devices were given/],
    [
      "mapped axes of different sizes",
      /the sizes of the mapped axes differ:\n {4}args\[0\].* size 4 along axis 0\n {4}args\[1\].* size 3/,
    ],
    ["a name that nothing binds", /unbound axis name "j"[\s\S]*axis names in scope: i/],
    ["uneven shards", /axis 0 of args\[0\], of size 6, cannot be cut into 4 equal shards along "i"[\s\S]*pad the axis to 8/],
    [
      "too few devices",
      /needs 8 devices, but there are 4[\s\S]*cpu\(\{ devices: 4 \}\)\) before the first operation in every process/,
    ],
    ["too few devices for pmap", /needs 5 devices, but there are 4[\s\S]*cpu\(\{ devices: 3 \}\)\)/],
    ["a collective under a predicate that differs", /cond: .*predicate.* "i"/],
    ["the same, unchecked", /cond: its predicate differs between the positions along "k"/],
    [
      "other operations",
      /the processes differ in the program that they run:\n {2}process 0: sin over .*\n {2}process 1: cos over Mesh\('i': 4\): float32\[8,4\]/,
    ],
    ["other shapes", /differ in the program[\s\S]*process 0: .*float32\[8,2\] ->[\s\S]*process 1: .*float32\[8,3\] ->/],
    ["other collectives", /differ in the program[\s\S]*process 0: shard_map over[\s\S]*process 1: shard_map over/],
    [
      "other shapes to compare",
      /assertEqual: the processes differ in what they exchange:\n {2}process 0: array 2 of 2: float32\[3\] \.w\n {2}process 1: array 2 of 2: float32\[4\] \.w/,
    ],
    [
      "other shapes to gather",
      /processAllgather: the processes differ in what they exchange:[\s\S]*float32\[3\] \.w\n.*float32\[4\] \.w/,
    ],
    ["other dtypes to broadcast", /process 0: array 1 of 1: float32\[3\]\n {2}process 1: array 1 of 1: float64\[3\]/],
    ["more arrays to compare", /process 0: array 1 of 1: float32\[2\] \[0\]\n {2}process 1: array 1 of 2: float32\[2\] \[0\]/],
    ["blocks of different sizes", /the devices of each process must be a block of Mesh\('i': 3\), all blocks of one size/],
    ["devices that are no block", /the devices of each process must be a block of Mesh\('i': 4\)/],
  ])("%s is the same error in every process", (what, message) => {
    for (const s of said) expect(s[what]).toMatch(message);
  });

  test("a mesh of the devices of one process is its own, and refused in others", () => {
    expect(said[0]["devices of another process only"]).toBe(true);
    expect(said[1]["devices of another process only"]).toMatch(
      /must be a block of Mesh\('l': 2\), .*and every process must have one/,
    );
    expect(said.map((s) => s["devices of this process"])).toEqual([[2], [4]]);
  });

  test("after an error in all of them the processes go on together", () => {
    for (const s of said) expect(s["together again"]).toBeCloseTo(said[0]["together again"] as number, 6);
    expect(said[0]["together again"]).toBeTypeOf("number");
  });

  test("different numbers of devices are named in every process", () => {
    for (const { devices } of runProcesses<Said>("badinput.ts", 2, "uneven"))
      expect(devices).toMatch(
        /the processes differ in their devices:\n {2}process 0: 1 of the backend cpu\n {2}process 1: 2 of the/,
      );
  });
});
