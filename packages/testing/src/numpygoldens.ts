import { fromTyped, isNDArray, type NDArray, type StandardDType, type TypedArray } from "@traceform/core";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import * as compositions from "./linalgcompositions.ts";

// The language of goldens/numpy.json and goldens/transforms.json: see goldens/record_numpy.py.

export type Encoded = null | number | string | boolean | readonly Encoded[] | { readonly [key: string]: Encoded };
export interface EncodedArray {
  readonly d: StandardDType;
  readonly s: readonly number[];
  readonly v: readonly (number | string)[];
  readonly w?: boolean;
}
export type NumpyCase = readonly [name: string, args: readonly Encoded[], result: Encoded, tolerance?: number];

const storage: Partial<Record<StandardDType, new (values: readonly number[]) => TypedArray>> = {
  bool: Uint8Array as never,
  int8: Int8Array as never,
  int16: Int16Array as never,
  int32: Int32Array as never,
  uint8: Uint8Array as never,
  uint16: Uint16Array as never,
  uint32: Uint32Array as never,
};

export function isEncodedArray(x: unknown): x is EncodedArray {
  return typeof x === "object" && x !== null && "d" in x && "s" in x && "v" in x;
}

function decodeArray({ d, s, v }: EncodedArray): NDArray {
  const Store = storage[d] ?? (Float32Array as never);
  return fromTyped(new Store(v.map(Number)), s, d);
}

const modules = { np, lax, laxlinalg: lax.linalg, own: compositions } as unknown as Record<
  string,
  Record<string, (...args: unknown[]) => unknown>
>;
function lookup(name: string): (...args: unknown[]) => unknown {
  // "lax.sort", "fft.rfft" (a namespace of numpy), or a name of numpy.
  const [prefix, plain] = name.includes(".") ? name.split(".") : ["np", name];
  const fn = (modules[prefix] ?? (np as unknown as typeof modules)[prefix])[plain];
  if (fn === undefined) throw new Error(`there is no function ${name}`);
  return fn;
}

export function decode(x: Encoded): unknown {
  if (x === "Infinity" || x === "-Infinity" || x === "NaN") return Number(x);
  if (isEncodedArray(x)) return decodeArray(x);
  if (Array.isArray(x)) return x.map(decode);
  if (typeof x !== "object" || x === null) return x;
  const object = x as { readonly [key: string]: Encoded };
  if ("fn" in object) return lookup(object["fn"] as string);
  if ("slice" in object) {
    const [start, stop, step] = object["slice"] as (number | null)[];
    return (object["slice"] as unknown[]).length === 1
      ? { start: null, stop: start, step: null }
      : { start, stop, step: step ?? null };
  }
  return Object.fromEntries(Object.entries(object).map(([k, v]) => [k, decode(v)]));
}

export function call(name: string, decoded: readonly unknown[]): unknown {
  if (name === "getItem") return np.getItem(decoded[0] as NDArray, decoded[1] as np.Index[], decoded[2] as np.GetOptions);
  if (name === "at") {
    const [x, index, method, ...rest] = decoded;
    const place = np.at(x as NDArray, index as np.Index[]) as unknown as Record<string, (...args: unknown[]) => unknown>;
    return place[method as string](...rest);
  }
  return lookup(name)(...decoded);
}

const tolerances: Partial<Record<StandardDType, number>> = { float16: 2e-3, bfloat16: 2e-2, float32: 4e-6, complex64: 4e-6 };

/** The first difference between a value and what was recorded, or null. */
export function difference(got: unknown, want: Encoded, tolerance: number | undefined, weakTypes = true): string | null {
  if (isEncodedArray(want)) {
    if (!isNDArray(got)) return `expected an array, got ${String(got)}`;
    if (got.dtype !== want.d) return `dtype ${String(got.dtype)}, expected ${want.d}`;
    if (weakTypes && got.weakType !== (want.w ?? false) && want.d !== "bool")
      return `${got.weakType ? "weakly" : "strongly"} typed`;
    if (got.shape.join() !== want.s.join()) return `shape [${got.shape}], expected [${want.s}]`;
    const data = Array.from(got.dataSync() as Iterable<number>, Number);
    const exact = tolerances[want.d] === undefined;
    const rtol = tolerance ?? tolerances[want.d] ?? 0;
    const scale = Math.max(1e-30, ...want.v.map((v) => Math.abs(Number(v))).filter(Number.isFinite));
    for (let i = 0; i < want.v.length; i++) {
      const w = Number(want.v[i]);
      const same = Object.is(data[i], w) || (Number.isNaN(w) && Number.isNaN(data[i]));
      if (same) continue;
      const close = !exact && Math.abs(data[i] - w) <= rtol * Math.abs(w) + rtol * 0.1 * Math.min(scale, 10);
      if (!close)
        return `element ${i} is ${data[i]}, expected ${w}; all: [${data.slice(0, 12).join(", ")}] expected [${want.v.slice(0, 12).join(", ")}]`;
    }
    return null;
  }
  if (Array.isArray(want)) {
    const list = got as readonly unknown[];
    if (!Array.isArray(list) || list.length !== want.length) return `expected a list of ${want.length}`;
    for (let i = 0; i < want.length; i++) {
      const d = difference(list[i], want[i], tolerance, weakTypes);
      if (d !== null) return `result ${i}: ${d}`;
    }
    return null;
  }
  if (typeof want === "object" && want !== null) {
    for (const [k, v] of Object.entries(want)) {
      const d = difference((got as Record<string, unknown>)[k], v, tolerance, weakTypes);
      if (d !== null) return `${k}: ${d}`;
    }
    return null;
  }
  if (typeof want === "number" && typeof got === "number")
    return Math.abs(got - want) <= 1e-6 * Math.abs(want) ? null : `${got}, expected ${want}`;
  return got === want ? null : `${String(got)}, expected ${String(want)}`;
}

export function describeCase([name, args]: NumpyCase): string {
  const show = (x: Encoded): string =>
    isEncodedArray(x)
      ? `${x.d}[${x.s}]${x.v.length <= 6 ? `(${x.v})` : ""}`
      : Array.isArray(x)
        ? `[${x.map(show).join(", ")}]`
        : JSON.stringify(x);
  return `${name}(${args.map(show).join(", ")})`;
}
