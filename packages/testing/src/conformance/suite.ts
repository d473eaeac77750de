import type { Backend, StandardDType } from "@traceform/core";
import { afterAll, describe, expect, test } from "vitest";
import { referenceBackend } from "../reference/backend.ts";
import type { ConformanceCase } from "./case.ts";
import { checkCase, families } from "./check.ts";

export interface ConformanceOptions {
  /**
   * What the backend does not do, with the reason: `dtype: float64`, the name of a case (`sort: long`), or a case with a
   * dtype (`sort: long float16`). A skipped case that passes fails the suite.
   */
  readonly skip?: Readonly<Record<string, string>>;
  /** Which cases to run, by name and dtype; all unless given. For a backend that is not meant to be complete. */
  readonly only?: (name: string, dtype: StandardDType) => boolean;
  /**
   * Whether the backend may take numbers of float32 (and bfloat16) below the smallest normal one for zero, as GPUs do: then no operand has any, and
   * results of less than that size count as equal.
   */
  readonly flushesSubnormals?: boolean;
}

/**
 * Every lax primitive, over dtypes, shapes and edge cases, against the reference backend. Whoever writes a backend runs
 * it inside a vitest file:
 *
 * ```ts
 * backendConformance(() => myBackend(), { skip: { "dtype: float64": "the device has no 64-bit floats" } });
 * ```
 */
export function backendConformance(factory: () => Backend | Promise<Backend>, options: ConformanceOptions = {}): void {
  const skip = new Map(Object.entries(options.skip ?? {}));
  const used = new Set<string>();
  const { only = () => true, flushesSubnormals = false } = options;
  let backend: Backend | null = null;
  const reference = referenceBackend();

  const reasonFor = (c: ConformanceCase, dtype: StandardDType): string | null => {
    for (const key of [`dtype: ${dtype}`, c.name, `${c.name} ${dtype}`]) {
      if (skip.has(key)) {
        used.add(key);
        return skip.get(key)!;
      }
    }
    return null;
  };

  for (const [family, cases] of Object.entries(families)) {
    // One test a case and not one a dtype: thousands of tests would say no more.
    const byName = new Map<string, ConformanceCase[]>();
    for (const c of cases()) {
      const dtypes = c.dtypes.filter((dtype) => only(c.name, dtype));
      if (dtypes.length > 0) byName.set(c.name, [...(byName.get(c.name) ?? []), { ...c, dtypes }]);
    }
    if (byName.size === 0) continue;
    describe(`conformance: ${family}`, () => {
      for (const [name, variants] of byName) {
        test(name, async () => {
          backend ??= await factory();
          const problems: string[] = [];
          for (const c of variants) {
            for (const dtype of c.dtypes) {
              const reason = reasonFor(c, dtype);
              const problem = await checkCase(backend, reference, c, dtype, flushesSubnormals);
              if (reason === null && problem !== null) problems.push(`${dtype}: ${problem}`);
              if (reason !== null && problem === null) problems.push(`${dtype}: passes, although it is skipped (${reason})`);
            }
          }
          expect(problems, name).toEqual([]);
        });
      }
    });
  }

  test("conformance: every skip names something that exists", () => {
    expect([...skip.keys()].filter((k) => !used.has(k))).toEqual([]);
  });
  afterAll(() => backend?.[Symbol.dispose]());
}
