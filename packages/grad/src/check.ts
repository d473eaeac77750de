import { type ArrayLike, asArray, fromTyped, isFloat, type NDArray, treeFlatten, treeUnflatten, ValueError } from "@traceform/core";
import { jvp, vjp } from "./vjp.ts";

export interface CheckGradsOptions {
  /** How many derivatives to check; 1 by default. */
  readonly order?: number;
  readonly modes?: readonly ("fwd" | "rev")[];
  readonly atol?: number;
  readonly rtol?: number;
  /** The step of the finite differences. */
  readonly eps?: number;
}

type AnyFunction = (...args: never[]) => unknown;

interface Flat {
  readonly values: number[][];
  readonly arrays: NDArray[];
  rebuild(leaves: readonly NDArray[]): unknown;
}

function flat(tree: unknown): Flat {
  const [leaves, def] = treeFlatten(tree);
  const arrays = leaves.map((x) => asArray(x as ArrayLike));
  return {
    arrays,
    values: arrays.map((x) => Array.from(x.dataSync() as Iterable<number>, Number)),
    rebuild: (xs) => treeUnflatten(def, xs),
  };
}

/** A wave of numbers of about unit size: a direction that meets every element differently, the same every time. */
function directions(of: Flat, phase: number): (NDArray | null)[] {
  let k = phase;
  return of.arrays.map((x) =>
    isFloat(x.dtype)
      ? fromTyped(
          Float64Array.from({ length: x.size }, () => Math.sin((k += 1.7))),
          x.shape,
          x.dtype as "float32",
        )
      : null,
  );
}

function moved(f: AnyFunction, args: Flat, along: readonly (NDArray | null)[], step: number): number[][] {
  const leaves = args.arrays.map((x, i) => {
    const t = along[i];
    if (t === null) return x;
    const d = Array.from(t.dataSync() as Iterable<number>);
    return fromTyped(
      Float64Array.from(args.values[i], (v, k) => v + step * d[k]),
      x.shape,
      x.dtype as "float32",
    );
  });
  return flat(f(...(args.rebuild(leaves) as never[]))).values;
}

function compare(
  fn: string,
  got: readonly (readonly number[])[],
  want: readonly (readonly number[])[],
  o: Required<CheckGradsOptions>,
): void {
  got.forEach((xs, i) =>
    xs.forEach((x, k) => {
      const y = want[i][k];
      if (Object.is(x, y) || Math.abs(x - y) <= o.atol + o.rtol * Math.abs(y)) return;
      throw new ValueError(fn, {
        message: `element ${k} of result ${i} is ${x}, finite differences give ${y}`,
        fix: "correct the derivative; where the function is steep or single precision does not suffice, use float64 arguments or change eps, atol, rtol",
      });
    }),
  );
}

function settings(options: CheckGradsOptions, double: boolean): Required<CheckGradsOptions> {
  const eps = double ? 1e-6 : 1e-2;
  const tol = double ? 1e-5 : 2e-2;
  return { order: 1, modes: ["fwd", "rev"], atol: tol, rtol: tol, eps, ...options };
}

/** Checks `jvp` of `f` at `args` against central differences. @throws {ValueError} naming the element that differs */
export function checkJvp<A extends readonly unknown[]>(f: (...args: A) => unknown, args: A, options: CheckGradsOptions = {}): void {
  const point = flat([...args]);
  const o = settings(
    options,
    point.arrays.some((x) => x.dtype === "float64"),
  );
  const along = directions(point, 0);
  const [, dot] = jvp(
    f as unknown as (...xs: unknown[]) => unknown,
    [...args],
    point.rebuild(along.map((t) => t as NDArray)) as unknown[],
  );
  const after = moved(f as unknown as AnyFunction, point, along, o.eps);
  const before = moved(f as unknown as AnyFunction, point, along, -o.eps);
  const tangents = flat(dot);
  const floats = tangents.arrays.map((t) => isFloat(t.dtype));
  compare(
    "checkJvp",
    tangents.values.filter((_, i) => floats[i]),
    after.map((xs, i) => xs.map((x, k) => (x - before[i][k]) / (2 * o.eps))).filter((_, i) => floats[i]),
    o,
  );
}

/** Checks `vjp` of `f` at `args` against central differences. @throws {ValueError} when they differ */
export function checkVjp<A extends readonly unknown[]>(f: (...args: A) => unknown, args: A, options: CheckGradsOptions = {}): void {
  const point = flat([...args]);
  const o = settings(
    options,
    point.arrays.some((x) => x.dtype === "float64"),
  );
  const along = directions(point, 0);
  const [out, pullback] = vjp(f as unknown as (...xs: unknown[]) => unknown, ...args);
  const results = flat(out);
  const cts = directions(results, 0.5);
  const grads = flat(pullback(results.rebuild(cts as NDArray[])));
  const after = moved(f as unknown as AnyFunction, point, along, o.eps);
  const before = moved(f as unknown as AnyFunction, point, along, -o.eps);
  const dot = (xs: readonly number[], t: NDArray | null): number =>
    t === null ? 0 : Array.from(t.dataSync() as Iterable<number>).reduce((s, v, k) => s + v * xs[k], 0);
  const wanted = after.reduce(
    (s, xs, i) =>
      s +
      dot(
        xs.map((x, k) => (x - before[i][k]) / (2 * o.eps)),
        cts[i],
      ),
    0,
  );
  const got = grads.values.reduce((s, g, i) => s + dot(g, along[i]), 0);
  compare("checkVjp", [[got]], [[wanted]], o);
}

/**
 * Checks the derivatives of `f` at `args` against central differences, in both modes and up to `order`: derivatives
 * are checked of derivatives. For tests; needs a backend that reads synchronously.
 *
 * @throws {ValueError} naming the element that differs
 * @see `jax.test_util.check_grads`
 */
export function checkGrads<A extends readonly unknown[]>(
  f: (...args: A) => unknown,
  args: A,
  options: CheckGradsOptions = {},
): void {
  const { order = 1, modes = ["fwd", "rev"] } = options;
  const run = f as unknown as (...xs: unknown[]) => unknown;
  if (modes.includes("fwd")) {
    checkJvp(f, args, options);
    if (order > 1) {
      const point = flat([...args]);
      const along = point.rebuild(directions(point, 3) as NDArray[]) as unknown[];
      checkGrads((...xs: A) => jvp(run, [...xs], along)[1], args, { ...options, order: order - 1 });
    }
  }
  if (modes.includes("rev")) {
    checkVjp(f, args, options);
    if (order > 1) {
      const results = flat(f(...args));
      const ct = results.rebuild(directions(results, 4) as NDArray[]);
      checkGrads((...xs: A) => vjp(run, ...xs)[1](ct), args, { ...options, order: order - 1 });
    }
  }
}
