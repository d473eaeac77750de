import {
  type Backend,
  type Buffer,
  type Executable,
  expandLowerRules,
  type HostArray,
  invariant,
  makeAval,
  type NDArray,
  type StandardDType,
  traceToJaxpr,
} from "@traceform/core";
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

// What the suite runs, without a test runner: pages run it too.

/** Every case, by family. */
export const families: Readonly<Record<string, () => readonly ConformanceCase[]>> = {
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

/** A case compiled for a backend, as every caller of a backend does it. */
export function compileCase(backend: Backend, c: ConformanceCase, inputs: readonly HostArray[]): Executable {
  const avals = inputs.map((x) => makeAval(x.shape, x.dtype));
  const { jaxpr, consts } = traceToJaxpr((...xs: NDArray[]) => [c.run(...xs)].flat(2) as NDArray[], avals, c.name);
  invariant(consts.length === 0, `the case ${c.name} captures arrays`);
  const expanded = expandLowerRules(jaxpr, backend.capabilities.ownPrimitives);
  return backend.compile({ jaxpr: expanded, consts: [] }, { name: c.name });
}

/** The operands of a case for a dtype: the same ones in every run. */
export function inputsOf(c: ConformanceCase, dtype: StandardDType): HostArray[] {
  return c.operands.map((o, i) => makeInput(o, dtype, seedOf(`${c.name} ${dtype} ${i}`)));
}

async function runOn(backend: Backend, c: ConformanceCase, inputs: readonly HostArray[]): Promise<HostArray[]> {
  const [device] = backend.devices;
  const executable = compileCase(backend, c, inputs);
  const args = inputs.map((x) => backend.put(x, device));
  const outs: Buffer[] = executable.run(args);
  const results = await Promise.all(outs.map((b) => backend.read(b)));
  for (const b of [...args, ...outs]) b.release();
  executable[Symbol.dispose]();
  return results;
}

/** The array with zeros in place of its subnormals. */
function withoutSubnormals(x: HostArray): HostArray {
  if (x.dtype === "bfloat16") {
    const bits = new Uint16Array(x.bytes.slice().buffer);
    // An exponent of zero leaves the sign.
    return { ...x, bytes: new Uint8Array(bits.map((b) => ((b & 0x7f80) === 0 ? b & 0x8000 : b)).buffer) };
  }
  if (x.dtype !== "float32" && x.dtype !== "complex64") return x;
  const values = new Float32Array(x.bytes.slice().buffer);
  for (let i = 0; i < values.length; i++) if (Math.abs(values[i]) < 2 ** -126) values[i] *= 0;
  return { ...x, bytes: new Uint8Array(values.buffer) };
}

/** What a backend does differently from the reference backend, in words, or `null`. `flushes`: see `flushesSubnormals` of the suite. */
export async function checkCase(
  backend: Backend,
  reference: Backend,
  c: ConformanceCase,
  dtype: StandardDType,
  flushes: boolean,
): Promise<string | null> {
  const drawn = inputsOf(c, dtype);
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
