import { AxisError } from "./errors.ts";
import { refuseTracedIntegers } from "./integers.ts";

/** `axis` counted from the front. @throws {AxisError} outside `[-ndim, ndim)` or not an integer */
export function canonicalAxis(fn: string, axis: number, ndim: number): number {
  if (!Number.isInteger(axis) || axis < -ndim || axis >= ndim) {
    refuseTracedIntegers(fn, "an axis", [axis]);
    throw new AxisError(fn, {
      message: `axis ${String(axis)} is outside [-${ndim}, ${ndim}) of an array with ${ndim} dimension${ndim === 1 ? "" : "s"}`,
      fix: ndim === 0 ? "a scalar has no axes; leave the axis out" : "axes are integers and may count from the end as -1",
    });
  }
  return axis < 0 ? axis + ndim : axis;
}

/** Several axes, canonical, in the order given. @throws {AxisError} also when one is named twice */
export function canonicalAxes(fn: string, axes: readonly number[], ndim: number): number[] {
  if (!Array.isArray(axes)) {
    refuseTracedIntegers(fn, "an axis", [axes]);
    throw new AxisError(fn, { message: `${String(axes)} is no list of axes`, fix: "give an axis, or a list of axes" });
  }
  const out = axes.map((a) => canonicalAxis(fn, a, ndim));
  if (new Set(out).size !== out.length) {
    throw new AxisError(fn, { message: `an axis is named twice in [${axes.join(",")}]`, fix: "name each axis once" });
  }
  return out;
}

/** The axis names in scope and their sizes: `vmap(…, { axisName })` and meshes bind them. */
const environment = new Map<string, number>();

/** Runs `fn` with `name` bound to an axis of `size`. */
export function withAxis<T>(name: string, size: number, fn: () => T): T {
  const outer = environment.get(name);
  environment.set(name, size);
  try {
    return fn();
  } finally {
    if (outer === undefined) environment.delete(name);
    else environment.set(name, outer);
  }
}

/** Runs `fn` with no axis bound. */
export function withoutAxes<T>(fn: () => T): T {
  if (environment.size === 0) return fn();
  const outer = [...environment];
  environment.clear();
  try {
    return fn();
  } finally {
    environment.clear();
    for (const [name, size] of outer) environment.set(name, size);
  }
}

/** The size of a named axis. @throws {AxisError} for a name that nothing binds here */
export function namedAxisSize(fn: string, name: string): number {
  const size = environment.get(name);
  if (size === undefined) {
    const known = [...environment.keys()];
    throw new AxisError(fn, {
      message: `unbound axis name "${name}"`,
      fix: known.length > 0 ? `axis names in scope: ${known.join(", ")}` : "bind it with vmap(f, { axisName }), pmap or shardMap",
    });
  }
  return size;
}

/** The bound axis names with their sizes, for cache keys of traced functions. */
export function axisEnvironmentKey(): string {
  if (environment.size === 0) return "";
  return [...environment].map(([name, size]) => `${name}:${size}`).join(",");
}
