import {
  type ClosedJaxpr,
  evalClosedJaxpr,
  type NDArray,
  TransformError,
  traceToJaxpr,
  type Treedef,
  treeUnflatten,
  type Inputs,
} from "@traceform/core";
import { customVjp } from "@traceform/lax";
import { matchTangents } from "./internal/check.ts";
import { pullBack } from "./internal/linear.ts";
import { flatten, flattenArrays, nameOf } from "./internal/trees.ts";
import { float0Zeros, hasTangent, zeros } from "./internal/zeros.ts";
import { linearizeFlat, type Linearized } from "./linearize.ts";

import type { Cotangents } from "./vjp.ts";

/** A function of pytrees staged, with what it closes over made explicit. */
interface Converted {
  readonly closed: ClosedJaxpr;
  readonly outTree: Treedef;
}

function convert(name: string, f: (...args: never[]) => unknown, args: readonly unknown[]): Converted {
  const [values, inTree] = flattenArrays(name, [...args]);
  const flat = flatten(name, f, inTree);
  const closed = traceToJaxpr(
    (...xs) => flat(xs),
    values.map((x) => x.aval),
    name,
  );
  return { closed, outTree: flat.outTree! };
}

function run({ closed, outTree }: Converted, consts: readonly NDArray[], args: readonly unknown[]): unknown {
  const [values] = flattenArrays("closureConvert", [...args]);
  return treeUnflatten(outTree, evalClosedJaxpr({ jaxpr: closed.jaxpr, consts }, values));
}

/**
 * A function without closure, for arguments of the types of `examples`: arrays and tracers that `f` closes over become
 * trailing arguments, so that custom rules and loops can pass them on.
 */
export function closureConvert<A extends unknown[], R>(
  f: (...args: A) => R,
  ...examples: Inputs<A>
): [converted: (...argsAndConsts: [...A, ...NDArray[]]) => R, consts: NDArray[]] {
  const converted = convert(nameOf("closureConvert", f), f as (...args: never[]) => unknown, examples as readonly unknown[]);
  const n = (examples as readonly unknown[]).length;
  const call = (...all: unknown[]): unknown => run(converted, all.slice(n) as NDArray[], all.slice(0, n));
  return [call as never, [...converted.closed.consts]];
}

/**
 * A function with a gradient of its own, from one that returns its result and its pullback, a function from the
 * cotangent of the result to the list of cotangents of the arguments (or one, when there is one argument). The pullback
 * may close over values of its own call, but not over others that are being differentiated: make those arguments.
 *
 * @example
 * ```ts
 * const f = customGradient((x: NDArray) => [multiply(x, x), (ct: NDArray) => multiply(ct, 10)]);
 * grad(f)(3).itemSync(); // => 10
 * ```
 */
export function customGradient<A extends unknown[], R>(
  f: (...args: A) => readonly [R, (cotangent: R) => unknown],
): (...args: A) => R {
  const name = f.name || "customGradient";
  const both = (args: readonly unknown[]): readonly [R, (cotangent: R) => unknown] => {
    const result = f(...(args as A));
    if (Array.isArray(result) && result.length === 2 && typeof result[1] === "function") return result;
    throw new TransformError(name, {
      message: "the function given to customGradient must return [result, pullback]",
      fix: "return a list of the two",
    });
  };
  const wrapped = customVjp((...args: A): R => both(args)[0]);
  wrapped.defvjp(
    (...args: A) => {
      const [out, back] = both(args);
      // What the pullback closes over is what is kept for the backward pass.
      const pullback = convert(name, back as (...cts: never[]) => unknown, [out]);
      const residuals: NDArray[] = [...pullback.closed.consts];
      const call = (consts: NDArray[], cotangent: R): unknown => run(pullback, consts, [cotangent]);
      return [out, [call, residuals] as const] as const;
    },
    ([call, residuals], cotangent: R) => {
      const cts = call(residuals, cotangent);
      return Array.isArray(cts) ? cts : [cts];
    },
  );
  return (...args) => wrapped(...args);
}

/**
 * `vjp` in two functions, which can be jitted apart: `fwd` returns the result and the residuals as arrays, `bwd` takes
 * residuals and a cotangent. Call `fwd` before `bwd`, with arguments of the same types each time.
 */
export function fwdAndBwd<A extends unknown[], R>(
  f: (...args: A) => R,
): [
  fwd: (...args: Inputs<A>) => [out: R, residuals: NDArray[]],
  bwd: (residuals: readonly NDArray[], cotangent: R) => Cotangents<A>,
] {
  const name = nameOf("fwdAndBwd", f);
  let last: { lin: Linearized; inTree: Treedef; outTree: Treedef; values: NDArray[] } | null = null;
  return [
    (...args) => {
      const [values, inTree] = flattenArrays(name, [...(args as readonly unknown[])]);
      const flat = flatten(name, f as (...xs: never[]) => unknown, inTree);
      const lin = linearizeFlat(name, (inputs) => flat(inputs), values);
      last = { lin, inTree, outTree: flat.outTree!, values };
      return [treeUnflatten(flat.outTree!, lin.outs) as R, [...lin.residuals]];
    },
    (residuals, cotangent) => {
      if (last === null)
        throw new TransformError(name, { message: "bwd was called before fwd", fix: "call fwd first: it gives the residuals" });
      const { lin, inTree, outTree, values } = last;
      const cts = matchTangents(name, "cotangent", outTree, cotangent, lin.outs);
      const grads = pullBack({ ...lin, residuals: [...residuals] }, cts);
      return treeUnflatten(
        inTree,
        grads.map((g, i) => g ?? (hasTangent(values[i].aval) ? zeros(values[i].aval) : float0Zeros(values[i].shape))),
      ) as Cotangents<A>;
    },
  ];
}
