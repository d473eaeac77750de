import { AxisError } from "./errors.ts";
import { refuseTracedIntegers } from "./integers.ts";
import type { Mesh } from "./mesh.ts";

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

/** A named axis in scope. */
interface BoundAxis {
  readonly size: number;
  /** Whether it is an axis of a mesh along which values know that they vary: see `Aval.varying`. */
  readonly tracked: boolean;
}

/** The axis names in scope: `vmap(…, { axisName })` and meshes bind them. */
const environment = new Map<string, BoundAxis>();
let numTracked = 0;

/** Runs `fn` with `name` bound to an axis of `size`. `tracked`: values know whether they vary along it. */
export function withAxis<T>(name: string, size: number, fn: () => T, tracked = false): T {
  const outer = environment.get(name);
  bindAxis(name, { size, tracked });
  try {
    return fn();
  } finally {
    bindAxis(name, outer);
  }
}

function bindAxis(name: string, axis: BoundAxis | undefined): void {
  if (environment.get(name)?.tracked === true) numTracked--;
  if (axis === undefined) environment.delete(name);
  else environment.set(name, axis);
  if (axis?.tracked === true) numTracked++;
}

/** Runs `fn` with the axes of a mesh bound. */
export function withMesh<T>(mesh: Mesh, tracked: boolean, fn: () => T): T {
  const bind = (i: number): T =>
    i === mesh.axisNames.length ? fn() : withAxis(mesh.axisNames[i], mesh.axisSizes[i], () => bind(i + 1), tracked);
  return bind(0);
}

/** Whether something binds the name here. */
export function isBoundAxis(name: string): boolean {
  return environment.has(name);
}

/** Whether values know if they vary along the named axis. */
export function tracksVarying(name: string): boolean {
  return environment.get(name)?.tracked === true;
}

/** Whether an axis is in scope along which values know if they vary. */
export function anyTracked(): boolean {
  return numTracked > 0;
}

/** Runs `fn` with no axis bound. */
export function withoutAxes<T>(fn: () => T): T {
  if (environment.size === 0) return fn();
  const outer = [...environment];
  const tracked = numTracked;
  environment.clear();
  numTracked = 0;
  try {
    return fn();
  } finally {
    environment.clear();
    for (const [name, axis] of outer) environment.set(name, axis);
    numTracked = tracked;
  }
}

/** The size of a named axis. @throws {AxisError} for a name that nothing binds here */
export function namedAxisSize(fn: string, name: string): number {
  const size = environment.get(name)?.size;
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
  return [...environment].map(([name, { size, tracked }]) => `${name}:${size}${tracked ? "V" : ""}`).join(",");
}
