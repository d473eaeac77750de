import {
  type Backend,
  type Buffer,
  expandLowerRules,
  type HostArray,
  makeAval,
  type NDArray,
  type StandardDType,
  traceToJaxpr,
} from "@traceform/core";
import { afterAll, describe, expect, test } from "vitest";
import { referenceBackend } from "../reference/backend.ts";
import { callbackCases } from "./callbacks.ts";
import type { ConformanceCase } from "./case.ts";
import { difference } from "./compare.ts";
import { contractionCases } from "./contractions.ts";
import { controlCases } from "./control.ts";
import { elementwiseCases } from "./elementwise.ts";
import { fourierCases } from "./fourier.ts";
import { fusionCases } from "./fusion.ts";
import { indexingCases } from "./indexing.ts";
import { makeInput } from "./inputs.ts";
import { linalgCases } from "./linalg.ts";
import { reductionCases } from "./reductions.ts";
import { structuralCases } from "./structural.ts";
import { windowCases } from "./windows.ts";

export interface ConformanceOptions {
  /**
   * What the backend does not do, with the reason: `dtype: float64`, the name of a case (`sort: long`), or a case with a
   * dtype (`sort: long float16`). A skipped case that passes fails the suite.
   */
  readonly skip?: Readonly<Record<string, string>>;
  /** Which cases to run, by name and dtype; all unless given. For a backend that is not meant to be complete. */
  readonly only?: (name: string, dtype: StandardDType) => boolean;
  /**
   * Whether the backend may take numbers of float32 below the smallest normal one for zero, as GPUs do: then no operand has any, and
   * results of less than that size count as equal.
   */
  readonly flushesSubnormals?: boolean;
}

const families = {
  elementwise: elementwiseCases,
  structural: structuralCases,
  reductions: reductionCases,
  contractions: contractionCases,
  indexing: indexingCases,
  windows: windowCases,
  fourier: fourierCases,
  control: controlCases,
  callbacks: callbackCases,
  fusion: fusionCases,
  linalg: linalgCases,
};

/** Seeds differ between cases and stay the same between runs. */
function seedOf(text: string): number {
  let h = 2166136261;
  for (const c of text) h = Math.imul(h ^ c.codePointAt(0)!, 16777619);
  return h >>> 0;
}

async function runOn(backend: Backend, c: ConformanceCase, inputs: readonly HostArray[]): Promise<HostArray[]> {
  const avals = inputs.map((x) => makeAval(x.shape, x.dtype));
  const { jaxpr, consts } = traceToJaxpr((...xs: NDArray[]) => [c.run(...xs)].flat(2) as NDArray[], avals, c.name);
  expect(consts).toEqual([]);
  const [device] = backend.devices;
  const expanded = expandLowerRules(jaxpr, backend.capabilities.ownPrimitives);
  const executable = backend.compile({ jaxpr: expanded, consts: [] }, { name: c.name });
  const args = inputs.map((x) => backend.put(x, device));
  const outs: Buffer[] = executable.run(args);
  const results = await Promise.all(outs.map((b) => backend.read(b)));
  for (const b of [...args, ...outs]) b.release();
  executable[Symbol.dispose]();
  return results;
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
              const problem = await check(backend, reference, c, dtype, flushesSubnormals);
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

/** The array with zeros in place of its subnormals. */
function withoutSubnormals(x: HostArray): HostArray {
  if (x.dtype !== "float32") return x;
  const values = new Float32Array(x.bytes.slice().buffer);
  for (let i = 0; i < values.length; i++) if (Math.abs(values[i]) < 2 ** -126) values[i] *= 0;
  return { ...x, bytes: new Uint8Array(values.buffer) };
}

async function check(
  backend: Backend,
  reference: Backend,
  c: ConformanceCase,
  dtype: StandardDType,
  flushes: boolean,
): Promise<string | null> {
  const drawn = c.operands.map((o, i) => makeInput(o, dtype, seedOf(`${c.name} ${dtype} ${i}`)));
  const inputs = flushes ? drawn.map(withoutSubnormals) : drawn;
  const expected = await runOn(reference, c, inputs);
  let actual: HostArray[];
  try {
    actual = await runOn(backend, c, inputs);
  } catch (error) {
    return `throws ${String(error instanceof Error ? error.message : error)
      .split("\n")
      .slice(0, 3)
      .join(" | ")}`;
  }
  const half = dtype === "float16" || dtype === "bfloat16";
  for (let i = 0; i < expected.length; i++) {
    // The reference sums in double precision; a 16-bit result may still round the other way.
    const ulps = half && (c.ulps ?? 0) + (c.relative ?? 0) > 0 ? Math.max(c.ulps ?? 0, 1) : (c.ulps ?? 0);
    const relative = dtype === "float64" ? (c.relative ?? 0) * 1e-8 : (c.relative ?? 0);
    const [a, b] = flushes ? [withoutSubnormals(actual[i]), withoutSubnormals(expected[i])] : [actual[i], expected[i]];
    const d = difference(a, b, { ulps, relative });
    if (d !== null) return `result ${i}: ${d}`;
  }
  return null;
}
