import {
  type Backend,
  bind1,
  definePrimitive,
  type HostArray,
  hostMeetRule,
  makeAval,
  type NDArray,
  type Seat,
  setDefaultBackend,
  traceToJaxpr,
} from "@traceform/core";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { WgpuDevice } from "./device.ts";
import { wgpu } from "./index.ts";

// Programs that meet others, with a test in place of these: it decides when they come, and what they bring.
let backend: Backend;
let device: WgpuDevice;
beforeEach(async () => {
  backend = setDefaultBackend(await wgpu({ schedule: "tiny" }));
  device = backend.devices[0] as WgpuDevice;
});
afterEach(() => {
  setDefaultBackend(null);
  backend[Symbol.dispose]();
});

const meetP = definePrimitive<{ readonly name: string }>("meet", {
  abstractEval: ([x]) => [x],
  rules: {
    [hostMeetRule]: async ([x]: readonly HostArray[], seat: Seat, { name }: { readonly name: string }) => seat.meet(name, [0], x),
  },
});
const meet = (name: string, x: NDArray): NDArray => bind1(meetP, [x], { name });

/** A seat whose meetings end when the test says so; `come` are the values of those that have been come to, by name. */
function table() {
  const come = new Map<string, number[]>();
  const open = new Map<string, PromiseWithResolvers<readonly HostArray[]>>();
  const met = (name: string): PromiseWithResolvers<readonly HostArray[]> => {
    if (!open.has(name)) open.set(name, Promise.withResolvers());
    return open.get(name)!;
  };
  const left = vi.fn();
  const seat: Seat = {
    index: 0,
    meet: (name, _, x) => {
      come.set(name, [...new Float32Array(x.bytes.slice().buffer)]);
      return met(name).promise;
    },
    leave: left,
  };
  const bring = (name: string, ...values: number[]): void =>
    met(name).resolve([{ shape: [values.length], dtype: "float32", bytes: new Uint8Array(Float32Array.from(values).buffer) }]);
  return { seat, come, bring, fail: (name: string, error: Error) => met(name).reject(error), left };
}

function start(f: (x: NDArray) => NDArray, seat: Seat) {
  const { jaxpr, consts } = traceToJaxpr((x: NDArray) => [f(x)], [makeAval([2], "float32")], "f");
  const program = backend.compile({ jaxpr, consts }, { name: "f" });
  const x = backend.put({ shape: [2], dtype: "float32", bytes: new Uint8Array(Float32Array.of(1, 2).buffer) }, device);
  const [out] = program.run([x], undefined, seat);
  x.release();
  return async () => {
    const { bytes } = await backend.read(out).finally(() => out.release());
    return [...new Float32Array(bytes.buffer)];
  };
}

test("a program comes to all meetings that need nothing of each other before the first one has ended, and they end in any order", async () => {
  const { seat, come, bring, left } = table();
  const read = start((x) => {
    const first = np.add(lax.sort(meet("first", x)), 1);
    const second = meet("second", np.multiply(x, 10));
    return np.add(np.multiply(first, meet("third", second)), np.sin(second));
  }, seat);
  await vi.waitFor(() => expect([...come.keys()]).toEqual(["first", "second"]));
  expect([...come.values()]).toEqual([
    [1, 2],
    [10, 20],
  ]);
  bring("second", 0, 0);
  bring("third", 3, 4);
  expect(left).not.toHaveBeenCalled();
  bring("first", 5, 6);
  expect(await read()).toEqual([18, 28]);
  expect(left).toHaveBeenCalledTimes(1);
});

test("a program comes to its meetings in one order, whichever operand has been read first", async () => {
  const { words } = device.reads;
  vi.spyOn(device.reads, "words").mockImplementationOnce(async (ranges) => {
    const read = words.call(device.reads, ranges);
    await new Promise((resolve) => setTimeout(resolve, 50));
    return read;
  });
  const { seat, come, bring } = table();
  bring("first", 1, 2);
  bring("second", 3, 4);
  const read = start((x) => np.add(meet("first", x), meet("second", x)), seat);
  expect(await read()).toEqual([4, 6]);
  expect([...come.keys()]).toEqual(["first", "second"]);
});

test("what is done beside a meeting does not change what is sent", async () => {
  const { seat, come, bring } = table();
  const read = start((x) => {
    const y = np.add(x, 1);
    const sent = meet("sent", y);
    // As many temporaries as there may be: none of them may have the memory of what is to come.
    let z = y;
    for (let i = 0; i < 6; i++) z = lax.optimizationBarrier(np.add(lax.rev(z, [0]), 1));
    return np.add(z, sent);
  }, seat);
  await vi.waitFor(() => expect(come.get("sent")).toEqual([2, 3]));
  bring("sent", 100, 200);
  expect(await read()).toEqual([108, 209]);
});

test("loops and branches come to one meeting after another where trips need each other", async () => {
  const { seat, come, bring } = table();
  for (let i = 0; i < 3; i++) bring("turn", 7, 8);
  const read = start(
    (x) =>
      lax.whileLoop(
        (c: NDArray) => lax.lt(np.sum(c), 40),
        (c: NDArray) => np.add(c, meet("turn", c)),
        lax.cond(
          lax.gt(np.sum(x), 0),
          () => meet("branch", x),
          () => x,
        ),
      ),
    seat,
  );
  await vi.waitFor(() => expect(come.get("branch")).toEqual([1, 2]));
  bring("branch", 1, 1);
  expect(await read()).toEqual([22, 25]);
  expect(come.get("turn")).toEqual([15, 17]);
});

test("a meeting that fails is the failure of the program, and what comes after it to another one is not written", async () => {
  const { seat, come, bring, fail, left } = table();
  const read = start((x) => np.add(np.add(meet("first", x), 1), meet("second", np.multiply(x, 10))), seat);
  await vi.waitFor(() => expect(come.size).toBe(2));
  const write = vi.spyOn(device.gpu.queue, "writeBuffer");
  fail("first", new Error("the GPU burned"));
  await expect(read()).rejects.toThrow("the GPU burned");
  expect(left.mock.calls).toEqual([[expect.objectContaining({ message: "the GPU burned" })]]);
  write.mockClear();
  bring("second", 1, 1);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(write).not.toHaveBeenCalled();
  expect(device.memoryStats().bytesInUse).toBe(0);
});
