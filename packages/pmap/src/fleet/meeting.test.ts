import type { HostArray } from "@traceform/core";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { Meeting } from "./meeting.ts";

const array = (...values: number[]): HostArray => ({ shape: [values.length], dtype: "uint8", bytes: Uint8Array.from(values) });
const both = [0, 1];

test("everybody gets what all give, in the order of the group, as often as they come", async () => {
  const [a, b] = new Meeting("f", 2).seats;
  const [x, y, z] = [array(1), array(2), array(3)];
  const early = [a.meet("gather", both, x), a.meet("gather", both, y)];
  const late = [b.meet("gather", both, z), b.meet("gather", both, x)];
  expect(await Promise.all(early)).toEqual([
    [x, z],
    [y, x],
  ]);
  expect(await Promise.all(late)).toEqual(await Promise.all(early));
  expect(await a.meet("gather", [0], z)).toEqual([z]);
});

test("another collective is an error of both", async () => {
  const [a, b] = new Meeting("f", 2).seats;
  const waits = [a.meet("gather", both, array(1)), b.meet("permute", both, array(1))];
  for (const w of await Promise.allSettled(waits)) {
    expect(w).toMatchObject({
      status: "rejected",
      reason: { message: expect.stringMatching(/different collectives: gather and permute/) },
    });
  }
});

test("who ends without coming is waited for no more, before and after", async () => {
  const [a, b] = new Meeting("f", 2).seats;
  const waits = a.meet("gather", both, array(1));
  b.leave(new Error("the GPU burned"));
  await expect(waits).rejects.toThrow("the GPU burned");
  await expect(a.meet("gather", both, array(2))).rejects.toThrow("the GPU burned");

  const [c, d] = new Meeting("g", 2).seats;
  d.leave();
  await expect(c.meet("allToAll", both, array(1))).rejects.toThrow(/program of GPU 1 has ended without the allToAll/);
});

test("what was exchanged is not kept until the program ends", async () => {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  const { seats } = new Meeting("f", 2);
  const given = await (async () => {
    const x = array(1, 2, 3);
    await Promise.all(seats.map((s) => s.meet("gather", both, x)));
    return new WeakRef(x);
  })();
  await new Promise((resolve) => setTimeout(resolve));
  gc();
  expect(given.deref()).toBeUndefined();
  seats[0].leave();
});
