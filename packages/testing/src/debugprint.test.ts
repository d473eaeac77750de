import { cpu } from "@traceform/backend-cpu";
import { type NDArray, setDefaultBackend } from "@traceform/core";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import "@traceform/numpy/methods";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import recorded from "../goldens/format.json" with { type: "json" };

const { debug } = lax;
let lines: string[] = [];

beforeAll(() => {
  setDefaultBackend(cpu());
});
afterEach(() => {
  lines = [];
  debug.setPrintSink((text) => lines.push(text));
});
afterAll(() => {
  debug.setPrintSink(null);
});

/** What one call prints, at once and compiled. */
function printed(format: string, ...args: readonly unknown[]): string {
  lines = [];
  debug.setPrintSink((text) => lines.push(text));
  debug.print(format, ...args);
  jit(() => {
    debug.print(format, ...args);
    return 0;
  })();
  expect(lines).toHaveLength(2);
  expect(lines[1]).toBe(lines[0]);
  return lines[0];
}

const words: Record<string, number> = { nan: NaN, inf: Infinity, "-inf": -Infinity };

test("numbers are formatted as Python formats them", () => {
  const wrong = (recorded as unknown as readonly (readonly [string, number | string, string])[]).filter(
    ([spec, value, expected]) => {
      const x = typeof value === "string" ? words[value] : value;
      return debug.formatText(`{:${spec}}`, [x], {}) !== expected;
    },
  );
  expect(wrong).toEqual([]);
});

describe("fields", () => {
  test("positional, numbered and named ones", () => {
    const x = np.array([1, 2.5]);
    expect(printed("{} and {}", x, 3)).toBe("[1, 2.5] and 3");
    expect(printed("{1} {0} {1}", x, 3)).toBe("3 [1, 2.5] 3");
    expect(printed("{x} {} {y:.2f}", x, { x: 1, y: x })).toBe("1 [1, 2.5] [1.00, 2.50]");
    expect(printed("{{}} {x!r}", { x: 1 })).toBe("{} 1");
    expect(printed("nothing")).toBe("nothing");
    expect(printed("in order", { ordered: true })).toBe("in order");
  });

  test("properties, elements, trees and what is no array", () => {
    const x = np.array([
      [1, 2],
      [3, 4],
    ]);
    expect(printed("{} {name}", "loss", { name: "text" })).toBe("loss text");
    expect(printed("{p} {p[w]} {q[1]}", { p: { w: x }, q: [1, 2] })).toBe("{w: [[1, 2], [3, 4]]} [[1, 2], [3, 4]] 2");
    expect(printed("{x.shape} {x.dtype} {x[1]}", { x })).toBe("[2, 2] float32 [3, 4]");
  });

  test("dtypes: the shortest decimal of a float32, complex numbers, bools, big integers", () => {
    expect(printed("{}", np.array([0.1, 1e-10, 16777216, 1 / 3]))).toBe("[0.1, 1e-10, 16777216, 0.33333334]");
    expect(printed("{}", np.array([0.1], { dtype: "float64" }))).toBe("[0.1]");
    expect(printed("{}", lax.complex(np.array([1, 0]), np.array([-2, 3])))).toBe("[1-2j, 0+3j]");
    expect(printed("{}", np.array([true, false]))).toBe("[true, false]");
    expect(printed("{} {:,}", np.array(12345678901234567890n, { dtype: "uint64" }), 1234567)).toBe(
      "12345678901234567890 1,234,567",
    );
    expect(printed("{} {}", np.array([NaN, Infinity, -0]), np.zeros([0]))).toBe("[NaN, Infinity, -0] []");
  });

  test("mistakes are found when it is called, not when it runs", () => {
    const x = np.array(1);
    expect(() => debug.print("{} {}", x)).toThrow(/needs 2 positional arguments, got 1/);
    expect(() => debug.print("{x}", { y: x })).toThrow(/needs an argument named x/);
    expect(() => debug.print("{}", x, 3)).toThrow(/does not use the argument at position 1/);
    expect(() => debug.print("{}", x, { y: x })).toThrow(/does not use the argument y/);
    expect(() => debug.print("{} {0}", x)).toThrow(/mixes \{\} with \{0\}/);
    expect(() => debug.print("{", x)).toThrow(/is no field/);
    expect(() => debug.print("{:5q}", x)).toThrow(/":5q" is no format/);
    expect(lines).toEqual([]);
  });
});

test("console.log is where it goes by default", () => {
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  const before = debug.setPrintSink(null);
  debug.print("x {}", 1);
  expect(log).toHaveBeenCalledExactlyOnceWith("x 1");
  debug.setPrintSink(before);
  log.mockRestore();
});

test("a print that is traced again is the program that it was", () => {
  const run = (): void => void jit((x: NDArray) => (debug.print("{}", x), np.add(x, 1)))(np.array(1));
  run();
  const text = jit((x: NDArray) => (debug.print("{}", x), np.add(x, 1)))
    .lower(np.array(1))
    .asText();
  expect(text).toMatch(/= debug_print\[fmt=\{\} ordered=False\] a/);
  run();
});
