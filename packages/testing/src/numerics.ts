import type { Backend, NDArray } from "@traceform/core";
import { makeAval, traceToJaxpr } from "@traceform/core";

// Errors of element functions in units of the last place, against values recorded with mpmath: see
// goldens/record_numerics.py.

/** Inputs, values rounded to float64, and what the rounding lost, in 1/254 of a unit of the last place. */
export interface Recorded {
  readonly inputs: readonly Float64Array<ArrayBuffer>[];
  readonly values: Float64Array;
  readonly rests: Int8Array;
}

interface RecordedFile {
  readonly functions: Readonly<Record<string, { inputs: readonly string[]; values: string; rests: string }>>;
}

/** The functions of goldens/numerics.json, given as its text. */
export function readRecorded(text: string): ReadonlyMap<string, Recorded> {
  const bytes = (s: string): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
  const doubles = (s: string): Float64Array<ArrayBuffer> => new Float64Array(bytes(s).buffer);
  const { functions } = JSON.parse(text) as RecordedFile;
  return new Map(
    Object.entries(functions).map(([name, f]) => [
      name,
      { inputs: f.inputs.map(doubles), values: doubles(f.values), rests: new Int8Array(bytes(f.rests).buffer) },
    ]),
  );
}

export type Precision = "float32" | "float64";

type Floats = Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>;

/** A function of `arity` float arrays of `n` elements, as one compiled program on the first device of a backend. */
export function compiled(
  backend: Backend,
  fn: (...xs: NDArray[]) => NDArray,
  dtype: Precision,
  arity: number,
  n: number,
): (inputs: readonly Floats[]) => Floats {
  const aval = makeAval([n], dtype);
  const program = traceToJaxpr((...xs) => [fn(...xs)], Array<typeof aval>(arity).fill(aval), "f");
  const executable = backend.compile(program, {});
  const [device] = backend.devices;
  return (inputs) => {
    const operands = inputs.map((x) => backend.put({ shape: [n], dtype, bytes: new Uint8Array(x.buffer, x.byteOffset) }, device));
    const [y] = executable.run(operands);
    const { buffer } = new Uint8Array(backend.readSync!(y).bytes);
    for (const b of [...operands, y]) b.release();
    return dtype === "float32" ? new Float32Array(buffer) : new Float64Array(buffer);
  };
}

/** Evaluates a function of float arrays of one length. */
export function evaluate<T extends Floats>(backend: Backend, fn: (...xs: NDArray[]) => NDArray, inputs: readonly T[]): T {
  const dtype = inputs[0] instanceof Float32Array ? "float32" : "float64";
  return compiled(backend, fn, dtype, inputs.length, inputs[0].length)(inputs) as T;
}

/** The largest error of a sweep and the operands where it lies. */
export interface Worst {
  readonly ulps: number;
  readonly at: readonly number[];
}

const scratch = new DataView(new ArrayBuffer(8));
function exponentOf(x: number): number {
  scratch.setFloat64(0, x);
  return ((scratch.getUint32(0) >>> 20) & 0x7ff) - 1023;
}
/** Infinity stands for the first number that overflows, so that the neighbours of the threshold count as neighbours. */
const bounded = (x: number, limit: number): number => Math.max(-limit, Math.min(limit, x));

interface Format {
  readonly mantissa: number;
  readonly leastExponent: number;
  readonly overflow: number;
}
const single: Format = { mantissa: 23, leastExponent: -126, overflow: 2 ** 128 };
/** Scaled by 2^-512, because 2^1024 is no double, in the upper half; by 2^512 below, where units are subnormal. */
const double: Format = { mantissa: 52, leastExponent: -1022, overflow: 2 ** 512 };

/**
 * The distance of `got` from `want + rest` units of the last place, of `least` where `want` is smaller. NaN is at distance 0
 * from itself, and zeros have signs.
 */
function distance(got: number, want: number, rest: number, precision: Precision, least: number): number {
  if (Number.isNaN(want) || Number.isNaN(got)) return Number.isNaN(want) === Number.isNaN(got) ? 0 : Infinity;
  if (want === 0 && rest === 0) return Object.is(got, want) ? 0 : Infinity;
  if (precision === "float32") {
    const w = bounded(want, single.overflow);
    const unit = 2 ** (Math.max(exponentOf(Math.max(Math.abs(w), least)), single.leastExponent) - single.mantissa);
    return Math.abs(bounded(got, single.overflow) - w) / unit;
  }
  const scale = Math.abs(want) > 1 ? 2 ** -512 : 2 ** 512;
  const w = bounded(want * scale, double.overflow);
  const g = bounded(got * scale, double.overflow);
  const unit = 2 ** (Math.max(exponentOf(want), double.leastExponent) - double.mantissa) * scale;
  const shrunk = Math.abs(want) < least ? 2 ** (exponentOf(want) - exponentOf(least)) : 1;
  return Math.abs((g - w) / (Number.isFinite(want) ? unit : 2 ** (971 - 512)) - rest) * shrunk;
}

/** What `got` should be: values in float64, and what they lost if that is known. */
export interface Wanted {
  readonly values: Float64Array;
  readonly rests?: Int8Array;
  readonly inputs: readonly (Float32Array | Float64Array)[];
  /** Below this magnitude an error counts as absolute: where a function crosses zero and its terms cancel. */
  readonly least?: (...xs: readonly number[]) => number;
}

/** The largest error of `got`, in units of the last place of its own precision. */
export function worst(got: Float32Array | Float64Array, { values, rests, inputs, least }: Wanted): Worst {
  const precision: Precision = got instanceof Float32Array ? "float32" : "float64";
  let ulps = 0;
  let at = 0;
  for (let i = 0; i < got.length; i++) {
    if (got[i] === values[i] && rests === undefined && got[i] !== 0) continue;
    const floor = least === undefined ? 0 : least(...inputs.map((x) => x[i]));
    const error = distance(got[i], values[i], rests === undefined ? 0 : rests[i] / 254, precision, floor);
    if (!(error <= ulps)) [ulps, at] = [error, i];
  }
  return { ulps, at: inputs.map((x) => x[at]) };
}

/** Evenly spaced numbers from -range to range. */
const spaced = (range: number, n: number): number[] => Array.from({ length: n }, (_, k) => ((2 * k) / n - 1) * range);

/**
 * Single-precision operands: every 16381st bit pattern, so all binades of both signs with NaN and infinities; evenly spaced
 * ones around zero; and the recorded operands with their neighbours. Operands of two are the recorded pairs, and pairs of
 * a bit pattern and an evenly spaced number.
 */
export function singleOperands(recorded: readonly Float64Array[]): readonly Float32Array<ArrayBuffer>[] {
  const patterns = new Float32Array(Uint32Array.from({ length: 2 ** 18 }, (_, k) => Math.imul(k, 16381)).buffer);
  if (recorded.length > 1) {
    const some = patterns.filter((_, i) => i % 4 === 0);
    // Neighbouring patterns meet numbers far apart.
    const partners = some.map((_, i) => ((i * 7919) % some.length) / some.length - 0.5).map((t, i) => t * [4, 40, 300][i % 3]);
    return recorded.map((x, i) => joined([Float32Array.from(x), i === 0 ? some : partners]));
  }
  const hard = Float32Array.from(recorded[0]);
  const bits = new Int32Array(hard.buffer);
  const beside = [-1, 1].map((d) => new Float32Array(bits.map((b) => b + d).buffer));
  return [joined([patterns, ...[2, 20, 150].map((range) => Float32Array.from(spaced(range, 30_000))), hard, ...beside])];
}

function joined(parts: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const all = new Float32Array(parts.reduce((n, p) => n + p.length, 0));
  parts.reduce((n, p) => (all.set(p, n), n + p.length), 0);
  return all;
}
