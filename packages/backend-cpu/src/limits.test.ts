import { BackendError, makeAval, type NDArray, OutOfMemoryError, type StandardDType, traceToJaxpr } from "@traceform/core";
import type { Backend, Buffer, ClosedJaxpr, Executable } from "@traceform/core";
import * as lax from "@traceform/lax";
import { describe, expect, test } from "vitest";
import { Allocator } from "./allocator.ts";
import { cpu } from "./index.ts";

type Type = readonly [shape: readonly number[], dtype?: StandardDType];
const many = (n: number, shape: readonly number[]): Type[] => Array.from({ length: n }, () => [shape]);

function trace(fn: (...xs: NDArray[]) => NDArray[], types: readonly Type[]): ClosedJaxpr {
  return traceToJaxpr(
    fn,
    types.map(([shape, dtype = "float32"]) => makeAval(shape, dtype)),
    "f",
  );
}

/** An executable, and its results for float32 arguments that are filled with their positions. */
function run(backend: Backend, program: ClosedJaxpr): Float32Array[] {
  const executable: Executable = backend.compile(program, { name: "f" });
  const args = program.jaxpr.invars.map(({ aval: { shape } }, i): Buffer => {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(i);
    return backend.put({ shape, dtype: "float32", bytes: new Uint8Array(values.buffer) }, backend.devices[0]);
  });
  return executable.run(args).map((b) => new Float32Array(backend.readSync!(b).bytes.buffer));
}

/** Products whose intermediate results have a megabyte or two. */
function products(x: NDArray, y: NDArray): NDArray[] {
  const a = lax.dot(x, y);
  return [lax.dot(lax.sort(a), lax.tanh(a))];
}

describe("what does not fit says so, by name", () => {
  test("temporaries beside arrays that fill the heap", () => {
    const backend = cpu({ threads: 1, maxMemoryBytes: 8 << 20 });
    const program = trace(products, many(2, [512, 512]));
    // Three megabytes are arguments and the result, one is each product; pinned ones are not spilled.
    expect(() => run(backend, program)).toThrow(OutOfMemoryError);
    expect(() => run(backend, program)).toThrow(
      /no room for the temporaries of f, of which the largest are [\d.]+ MiB of \w+.* in a heap of 8 MiB, of which [\d.]+ MiB are taken by arrays.*\n.*largest in use float32\[512,512\].*\n.*fix: dispose of arrays.*checkpoint.*maxMemoryBytes/s,
    );
  });

  test("a program that could not even run alone is refused when it is compiled", () => {
    const program = trace(
      (x) => [lax.reduceSum(lax.sort(lax.mul(lax.broadcastInDim(x, [50_000, 50_000], [0]), 2)), [0, 1])],
      [[[50_000]]],
    );
    expect(() => cpu({ threads: 1 }).compile(program, { name: "f" })).toThrow(OutOfMemoryError);
    expect(() => cpu({ threads: 1 }).compile(program, { name: "f" })).toThrow(
      /f: the program needs [\d.]+ GiB for temporaries at once, more than the heap of 4 GiB\n.*largest temporaries 9\.31 GiB of .*\n.*fix: use smaller batches(?!.*maxMemoryBytes)/s,
    );
  });

  test("an array of more than 4 GiB, and nothing else makes room for it in vain", () => {
    const backend = cpu({ threads: 1 });
    const [device] = backend.devices;
    const small = backend.put({ shape: [1], dtype: "float32", bytes: new Uint8Array(4) }, device);
    const program = trace((x) => [lax.broadcastInDim(x, [2 ** 16, 2 ** 15], [])], [[[]]]);
    expect(() => backend.compile(program, {})).toThrow(/float32\[65536,32768\] has 8 GiB, more than the heap of 4 GiB/);
    expect(() => backend.put({ shape: [2 ** 31], dtype: "float32", bytes: new Uint8Array(4) }, device)).toThrow(
      /float32\[2147483648\] \(8 GiB\) in a heap of 4 GiB, not even if it were empty/,
    );
    expect(device.memoryStats()).toMatchObject({ liveBuffers: 1, bytesSpilled: 0 });
    expect(device.memoryStats().bytesReserved).toBeLessThan(2 ** 27);
    small.release();
  });

  test("a range of more than 32 bits is not mistaken for a small one", () => {
    const a = new Allocator(0, 1 << 16, 1 << 16);
    for (const bytes of [2 ** 32 + 64, 2 ** 40, Number.MAX_SAFE_INTEGER]) expect(a.allocate(bytes)).toBe(-1);
    expect(a.freeBytes).toBe(1 << 16);
  });

  test("an axis to which loops cannot count", () => {
    const program = trace((x) => [lax.broadcastInDim(x, [2 ** 31], [])], [[[], "uint8"]]);
    expect(() => cpu({ threads: 1 }).compile(program, {})).toThrow(/uint8\[2147483648\] has an axis longer than 2147483647/);
  });

  test("a kernel with more operands than a function may have parameters", () => {
    const program = trace((...xs) => lax.sort(xs, 0), many(1200, [4]));
    const compile = (): Executable => cpu({ threads: 1 }).compile(program, { name: "f" });
    expect(compile).toThrow(BackendError);
    expect(compile).toThrow(/f: the program, of 1 equations, 1200 arguments and 1200 results, could not be compiled: .*\n.*fix: /);
  });
});

describe("large programs", () => {
  const backend = cpu({ threads: 2 });

  test("more pointers than a function may have locals for", () => {
    const n = 21_000;
    const results = run(
      backend,
      trace((_, y) => Array.from({ length: n }, (_, i) => lax.add(lax.mul(y, 3), i)), many(2, [2])),
    );
    expect(results).toHaveLength(n);
    results.forEach((r, i) => expect(r[1]).toBe(3 + i));
  }, 60_000);

  test("loops that exchange their buffers, among as many others", () => {
    const n = 21_000;
    const loop = (x: NDArray, y: NDArray): NDArray[] => {
      const step = ([a, b]: readonly [NDArray, NDArray]): [[NDArray, NDArray], null] => [
        [lax.add(b, lax.reduceSum(lax.mul(a, 2), [0])), a],
        null,
      ];
      return [...lax.scan(step, [x, y] as [NDArray, NDArray], null, { length: 5 })[0]];
    };
    const program = trace((x, y) => [...loop(x, y), ...Array.from({ length: n }, (_, i) => lax.add(y, i))], many(2, [2]));
    const few = trace(loop, many(2, [2]));
    expect(run(backend, program).slice(0, 2)).toEqual(run(backend, few));
  }, 60_000);

  test("a concatenation of more operands than a function may have parameters", () => {
    const n = 1500;
    const [all, halves] = run(
      backend,
      trace(
        (...xs) => [
          lax.concatenate(xs, 0),
          lax.concatenate(
            xs.map((x) => lax.mul(lax.reshape(x, [1, 3]), 0.5)),
            0,
          ),
        ],
        many(n, [3]),
      ),
    );
    expect(all).toEqual(Float32Array.from({ length: 3 * n }, (_, i) => Math.floor(i / 3)));
    expect(halves).toEqual(all.map((x) => x / 2));
  });

  test("compile times grow in proportion", () => {
    // Different operations and shapes, so that no two kernels are the same; every fourth operation is a result.
    const program = (n: number): ClosedJaxpr =>
      trace(
        (x) => {
          const results: NDArray[] = [];
          for (let i = 0; i < n; i++) {
            x = lax.neg(lax.sin(lax.mul(lax.add(x, i), 0.5)));
            const square = lax.reshape(x, [8, 8]);
            results.push(i % 2 === 0 ? square : lax.transpose(square, [1, 0]));
          }
          return results;
        },
        [[[64]]],
      );
    const milliseconds = (n: number): number => {
      const p = program(n);
      const start = performance.now();
      backend.compile(p, {});
      return performance.now() - start;
    };
    milliseconds(100);
    const small = Math.min(milliseconds(250), milliseconds(250));
    // Eight times as much; with the square of the size it would be 64 times.
    expect(milliseconds(2000)).toBeLessThan(24 * small);
  }, 60_000);
});
