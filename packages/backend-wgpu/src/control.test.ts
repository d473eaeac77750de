import { type Backend, effectsBarrier, makeAval, type NDArray, ShapeDtypeStruct, traceToJaxpr } from "@traceform/core";
import { cpu } from "@traceform/backend-cpu";
import * as lax from "@traceform/lax";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { WgpuDevice } from "./device.ts";
import { wgpu } from "./index.ts";
import { Run } from "./run.ts";

let backend: Backend;
let device: WgpuDevice;
beforeEach(async () => {
  backend = await wgpu();
  device = backend.devices[0] as WgpuDevice;
});
afterEach(() => backend[Symbol.dispose]());

type Fn = (...xs: NDArray[]) => NDArray | readonly NDArray[];

function compile(on: Backend, f: Fn, inputs: readonly (readonly number[])[], name = "f") {
  const avals = inputs.map((x) => makeAval(x.length === 1 ? [] : [x.length], "float32"));
  const { jaxpr, consts } = traceToJaxpr((...xs: NDArray[]) => [f(...xs)].flat() as NDArray[], avals, name);
  return on.compile({ jaxpr, consts }, { name });
}
const put = (on: Backend, x: readonly number[]) =>
  on.put(
    { shape: x.length === 1 ? [] : [x.length], dtype: "float32", bytes: new Uint8Array(Float32Array.from(x).buffer) },
    on.devices[0],
  );
const floats = (bytes: Uint8Array): number[] => [...new Float32Array(bytes.slice().buffer)];

/** All results of a function on a backend. */
async function results(on: Backend, f: Fn, ...inputs: readonly (readonly number[])[]): Promise<number[][]> {
  using executable = compile(on, f, inputs);
  const args = inputs.map((x) => put(on, x));
  const outs = executable.run(args);
  const arrays = await Promise.all(outs.map((b) => on.read(b)));
  for (const b of [...args, ...outs]) b.release();
  return arrays.map((a) => floats(a.bytes));
}

const below = (x: NDArray, y: NDArray): NDArray => lax.lt(x, y);
/** Doubles both until the counter is there; carries trade places in every round. */
const countTo =
  (extra: (x: NDArray) => NDArray = (x) => x): Fn =>
  (n, x) => {
    const zero = lax.fullLike(n, 0);
    const [i, a, b] = lax.whileLoop(
      ([k]: [NDArray, NDArray, NDArray]) => below(k, n),
      ([k, p, q]: [NDArray, NDArray, NDArray]) => [lax.add(k, 1), lax.add(q, 1), extra(p)] as [NDArray, NDArray, NDArray],
      [zero, x, lax.neg(x)] as [NDArray, NDArray, NDArray],
    );
    return [i, a, b];
  };

describe("loops of unknown length", () => {
  test.each([0, 1, 2, 7, 8, 9, 23, 24, 25, 70])("run %i rounds", async (n) => {
    const f = countTo();
    expect(await results(backend, f, [n], [1, 2, 3])).toEqual(await results(cpu(), f, [n], [1, 2, 3]));
  });

  test("are looked at once for many rounds", async () => {
    const look = vi.spyOn(device.reads, "words");
    const n = 100;
    expect((await results(backend, countTo(), [n], [1, 2]))[0]).toEqual([n]);
    // 8 rounds, then 16, 32, 64.
    expect(look).toHaveBeenCalledTimes(4);
  });

  test("have branches in them, and loops of known length, without anybody looking at every round", async () => {
    const f = countTo((x) =>
      lax.cond(
        below(lax.reduceSum(x), lax.fullLike(lax.reduceSum(x), 5)),
        (y: NDArray) => lax.foriLoop(0, 3, (_, z: NDArray) => lax.add(z, 2), y),
        (y: NDArray) =>
          lax.cond(below(lax.reduceMax(y), lax.fullLike(lax.reduceMax(y), 9)), lax.neg, (z: NDArray) => lax.mul(z, 0.5), y),
        x,
      ),
    );
    const look = vi.spyOn(device.reads, "words");
    expect(await results(backend, f, [19], [1, 2, 3])).toEqual(await results(cpu(), f, [19], [1, 2, 3]));
    expect(look).toHaveBeenCalledTimes(2);
  });

  test("are in loops, in branches and in scans, and hold them", async () => {
    const inner = (x: NDArray): NDArray =>
      lax.whileLoop(
        (y: NDArray) => below(lax.reduceMax(y), lax.fullLike(lax.reduceMax(y), 40)),
        (y: NDArray) => lax.add(lax.mul(y, 1.5), 1),
        x,
      );
    const inLoop = countTo((x) => lax.mul(inner(x), 0.25));
    const inBranch: Fn = (n, x) =>
      lax.cond(
        below(n, lax.fullLike(n, 2)),
        (y: NDArray) => inner(y),
        (y: NDArray) => lax.neg(y),
        x,
      );
    const inScan: Fn = (_, x) =>
      lax.scan((c: NDArray, y: NDArray) => [lax.sub(inner(lax.add(c, y)), 30), c] as const, lax.reduceSum(x), x);
    for (const f of [inLoop, inBranch, inScan])
      for (const n of [1, 4, 5]) expect(await results(backend, f, [n], [1, 2, 3])).toEqual(await results(cpu(), f, [n], [1, 2, 3]));
  });
});

describe("loops of unknown length in others", () => {
  /** Runs as many rounds as its operand says; its carries trade places. */
  const countdown = (n: NDArray, x: NDArray): NDArray =>
    lax.whileLoop(
      ([k]: readonly [NDArray, NDArray, NDArray]) => below(lax.fullLike(k, 0), k),
      ([k, p, q]: readonly [NDArray, NDArray, NDArray]) => [lax.sub(k, 1), lax.add(q, k), p] as const,
      [n, x, lax.neg(x)] as const,
    )[1];
  const inScan: Fn = (x, ns) =>
    lax.scan(
      (c: NDArray, n: NDArray) => [lax.mul(countdown(n, c), 0.5), lax.reduceSum(c)] as const,
      x,
      ns,
    ) as unknown as readonly NDArray[];
  /** The looks of a run whose results are those of the CPU. */
  async function looks(f: Fn, ...inputs: readonly (readonly number[])[]): Promise<number> {
    const wanted = await results(cpu(), f, ...inputs);
    const look = vi.spyOn(device.reads, "words");
    expect(await results(backend, f, ...inputs)).toEqual(wanted);
    const { length } = look.mock.calls;
    look.mockRestore();
    return length;
  }

  test("are walked by the device alone", async () => {
    // Loops of less than 8 rounds, in as many dispatches as are encoded at once.
    expect(await looks(inScan, [1, 2], [1, 0, 3, 7])).toBe(1);
    // A loop of 6 rounds, each of them around one of 3.
    const nested: Fn = (n, x) => countTo((y) => countdown(lax.fullLike(n, 3), y))(n, x);
    expect(await looks(nested, [6], [1, 2])).toBeLessThanOrEqual(2);
  });

  test("stall where they take longer than was thought, and go on from there", async () => {
    // 8 rounds, then 16; what comes later has 16 at once, or 32 from then on.
    expect(await looks(inScan, [1, 2], [3, 9, 2, 15, 0, 1])).toBe(2);
    expect(await looks(inScan, [1, 2], [3, 9, 2, 31, 8, 30, 0, 16])).toBeLessThanOrEqual(4);
    const long: Fn = (n, x) => countTo((y) => countdown(lax.reduceSum(lax.floor(lax.mul(lax.abs(y), 0.3))), y))(n, x);
    expect(await looks(long, [21], [1, 2])).toBeLessThanOrEqual(12);
  });

  test("with branches in them and around them, three deep, in odd and even rounds", async () => {
    const some = (x: NDArray, n: NDArray): NDArray =>
      lax.cond(
        below(lax.reduceSum(x), lax.fullLike(n, 20)),
        (y: NDArray) =>
          lax.whileLoop(
            (z: NDArray) => below(lax.reduceMax(z), lax.fullLike(n, 30)),
            (z: NDArray) => lax.add(countdown(lax.fullLike(n, 2), z), 1),
            y,
          ),
        (y: NDArray) =>
          lax.cond(below(lax.reduceMax(y), lax.fullLike(n, 25)), lax.neg, (z: NDArray) => lax.mul(countdown(n, z), 0.25), y),
        x,
      );
    const f: Fn = (n, x, ns) => {
      const [last, sums] = lax.scan(
        (c: NDArray, y: NDArray) => [lax.sub(some(lax.add(c, y), n), 9), lax.reduceSum(c)] as const,
        x,
        ns,
      ) as unknown as readonly NDArray[];
      return [some(last, n), sums];
    };
    for (const n of [1, 4, 11]) expect(await looks(f, [n], [1, 2, 3], [1, -30, 2, 5, 40])).toBeLessThanOrEqual(14);
  });

  test("are not expected to be long because one of them was", async () => {
    const add = vi.spyOn(Run.prototype, "add");
    expect(await looks(inScan, [1, 2], [500, ...new Array<number>(12).fill(1)])).toBeLessThanOrEqual(12);
    const dispatches = add.mock.calls.reduce((sum, [list]) => sum + list.length, 0);
    add.mockRestore();
    // 512 rounds of one loop, and 64 of the others, of four dispatches; and what was encoded after each of six stalls.
    expect(dispatches).toBeLessThan(4 * (512 + 12 * 64) + 6 * 512);
  });

  test("of so many rounds that they are not encoded at once", async () => {
    const ns = Array.from({ length: 60 }, (_, i) => (i * 7) % 13);
    // 60 loops of 16 rounds of three dispatches.
    expect(await looks(inScan, [1, 2], ns)).toBeLessThanOrEqual(6);
  });
});

describe("loops of known length", () => {
  test("may have more rounds than anybody would write out, and are one program", async () => {
    const n = 20_001;
    const f: Fn = (a, b) =>
      lax.foriLoop(0, n, (_, [p, q]: readonly [NDArray, NDArray]) => [lax.add(q, 1), p] as const, [a, b] as const);
    expect(await results(backend, f, [0], [0.5])).toEqual(await results(cpu(), f, [0], [0.5]));
  });

  test("step through arrays in nests, with branches and callbacks in them", async () => {
    const seen: number[] = [];
    const f: Fn = (c, x) =>
      lax.scan(
        (p: NDArray, y: NDArray) => {
          const [q, zs] = lax.scan(
            (r: NDArray, z: NDArray) => {
              const next = lax.cond(
                below(z, y),
                (v: NDArray) => lax.add(v, z),
                (v: NDArray) => lax.mul(v, 0.5),
                r,
              );
              return [next, lax.sub(next, z)] as const;
            },
            p,
            x,
          );
          lax.debug.callback((v: NDArray) => void seen.push(Number(v.itemSync())), y);
          return [q, zs] as const;
        },
        c,
        x,
      ) as unknown as readonly NDArray[];
    const [, wanted] = await results(cpu(), f, [1], [3, 1, 2]);
    expect((await results(backend, f, [1], [3, 1, 2]))[1]).toEqual(wanted);
    expect(seen).toEqual([3, 1, 2, 3, 1, 2]);
  });
});

describe("programs that wait", () => {
  test("come in order, and the ones after them see their results", async () => {
    const loop = compile(backend, countTo(), [[9], [1, 2]]);
    const next = compile(backend, (x) => lax.mul(x, 10), [[1, 2]]);
    const args = [put(backend, [9]), put(backend, [1, 2])];
    const [, a] = loop.run(args);
    const [b] = next.run([a]);
    const [c] = next.run([args[1]]);
    for (const x of [...args, a]) x.release();
    // Memory that is free meanwhile is not that of pending results.
    const others = Array.from({ length: 4 }, (_, i) => put(backend, [i, i]));
    expect(floats((await backend.read(b)).bytes)).toEqual([40, 30]);
    expect(floats((await backend.read(c)).bytes)).toEqual([10, 20]);
    for (const [i, x] of others.entries()) expect(floats((await backend.read(x)).bytes)).toEqual([i, i]);
  });

  test("take the memory of donated arguments over", async () => {
    const avals = [makeAval([], "float32"), makeAval([256], "float32")];
    const program = traceToJaxpr((n: NDArray, x: NDArray) => [(countTo()(n, x) as readonly NDArray[])[1]], avals, "f");
    const loop = backend.compile(program, { donate: [1] });
    const n = put(backend, [2]);
    let x = put(backend, new Array<number>(256).fill(1));
    const { bytesInUse } = device.memoryStats();
    for (let i = 0; i < 3; i++) {
      const [next] = loop.run([n, x]);
      x.release();
      x = next;
      await device.queue.idle();
      expect(device.memoryStats().bytesInUse).toBe(bytesInUse);
    }
    expect(floats((await backend.read(x)).bytes)[0]).toBe(4);
  });

  test("may be disposed of, and their results released, before their turn; then all memory is free", async () => {
    const loop = compile(backend, countTo(), [[30], [1, 2]]);
    const args = [put(backend, [30]), put(backend, [1, 2])];
    const outs = loop.run(args);
    loop[Symbol.dispose]();
    for (const x of [...args, ...outs]) x.release();
    await effectsBarrier();
    await device.queue.idle();
    expect(device.memoryStats()).toMatchObject({ bytesInUse: 0, liveBuffers: 0 });
    expect(() => loop.run(args)).toThrow("disposed");
  });

  test("fail where they are read when a callback throws, and the next ones run", async () => {
    const f: Fn = (x) =>
      lax.pureCallback(
        () => {
          throw new Error("no such luck");
        },
        new ShapeDtypeStruct([2], "float32"),
        x,
      ) as NDArray;
    const broken = compile(backend, f, [[1, 2]]);
    const x = put(backend, [1, 2]);
    const [y] = broken.run([x]);
    const [z] = compile(backend, lax.neg, [[1, 2]]).run([y]);
    const [other] = compile(backend, lax.neg, [[1, 2]]).run([x]);
    await expect(backend.read(y)).rejects.toThrow("no such luck");
    await expect(backend.read(z)).rejects.toThrow("no such luck");
    expect(floats((await backend.read(other)).bytes)).toEqual([-1, -2]);
  });

  test("end with the device", async () => {
    const forever = compile(backend, (n, x) => countTo()(lax.add(n, Infinity), x), [[1], [1, 2]]);
    const [, a] = forever.run([put(backend, [1]), put(backend, [1, 2])]);
    device.gpu.destroy();
    await expect(backend.read(a)).rejects.toThrow("the GPU device was lost");
  });
});
