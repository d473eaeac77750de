import { describe, expect, test } from "vitest";
import { compareNumbers, installed, type Numbers, runProcesses } from "../fixtures/processes.ts";

interface Said {
  readonly process: number;
  readonly said: { readonly called: readonly unknown[]; readonly results: readonly (readonly (readonly number[])[])[] };
  readonly text: Numbers;
  readonly errors: Readonly<Record<string, string>>;
  readonly facts: {
    readonly addressable: boolean;
    readonly replicated: boolean;
    readonly printed: string;
    readonly shards: readonly unknown[];
    readonly parts: readonly unknown[];
    readonly bytes: readonly number[];
    readonly total: number;
  };
}

describe.runIf(installed)("arrays of which a process holds a block", () => {
  const [alone] = installed ? runProcesses<Said>("held.ts", 1, 4) : [];
  const values = Array.from({ length: 8 }, (_, r) => Array.from({ length: 8 }, (_, c) => Math.fround(Math.sin(8 * r + c))));

  test.each([
    [2, 2],
    [4, 1],
  ])("%i processes with %i devices each compute what one with four does", (processes, devices) => {
    for (const { process, said, text, facts, errors } of runProcesses<Said>("held.ts", processes, devices)) {
      compareNumbers(text, alone.text);
      expect(said.called).toEqual(process === 0 ? ["[2, 2, 2, 2, 2, 2, 2, 2]", [8, 2]] : []);
      expect(said.results.flat(2)).toEqual(new Array(4 * devices).fill(19));
      expect(facts).toMatchObject({
        addressable: false,
        replicated: false,
        printed: "Array<float32[8,8]> (a block of it, NamedSharding(Mesh('i': 4), P('i')))",
        local: [[8 / processes, 8], true, devices],
        others: [0, 1, 2, 3].map((k) => [2 * k, Math.floor(k / devices) === process]),
        parts: [false, "NamedSharding(Mesh('i': 4), P(None, 'i'))", true],
      });
      expect(facts.shards.length).toBe(devices);
      facts.shards.forEach((shard, k) => {
        const first = 2 * (process * devices + k);
        const [index, replica, shape, data] = shard as [unknown, number, readonly number[], readonly (readonly number[])[]];
        expect([index, replica, shape]).toEqual([
          [
            [first, first + 2],
            [0, 8],
          ],
          0,
          [2, 8],
        ]);
        data.flat().forEach((v, i) => expect(v).toBeCloseTo(values.slice(first, first + 2).flat()[i], 6));
      });
      // One array, two, and three: a process has its part of each, and nothing of the others'.
      expect(facts.bytes.map((b) => b / facts.total)).toEqual([1, 2, 3].map((k) => k / processes));
      const block = new RegExp(
        `needs all of float32\\[8,8\\], of which process ${process} holds a block only[\\s\\S]*await processAllgather\\(x\\)`,
      );
      expect(errors["data"]).toMatch(block);
      expect(errors["jsSync"]).toMatch(block);
      expect(errors["item"]).toMatch(block);
      expect(errors["one device"]).toMatch(block);
      expect(errors["whole checkpoint"]).toMatch(block);
      expect(errors["NaN"]).toMatch(/log: a NaN among the values of the result, float32\[8,8\]/);
      expect(errors["NaN under jit"]).toMatch(/a NaN among the values of the result, float32\[8,8\]/);
      expect(errors["no NaN"]).toBe("nothing");
      expect(errors["no rule"]).toMatch(/sort: operand 0, float32\[1024,512\], is cut along axis 0/);
      expect(errors["other mesh"]).toMatch(
        devices === 1
          ? /operand, float32\[8,8\], over Mesh\('j': 4\), as Mesh\('i': 4\) cannot cut it/
          : /the devices of each process must be a block of Mesh\('j': 4\)/,
      );
      expect(errors["uneven"]).toMatch(/axis 0 of the array, of size 6, cannot be cut into 4 equal shards along "i"/);
      expect(errors["local data"]).toMatch(/of an array of shape \[8,8\] this process has a block of shape \[\d,8\]/);
    }
  });

  test("alone, a process holds all of them", () => {
    expect(alone.facts).toMatchObject({ addressable: true, replicated: false, bytes: [1, 2, 3].map((k) => k * alone.facts.total) });
    expect(alone.errors["data"]).toBe("nothing");
    expect(alone.errors["whole checkpoint"]).toBe("nothing");
  });
});
