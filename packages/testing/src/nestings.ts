import { fromTyped, type NDArray } from "@traceform/core";
import { checkpoint, checkpointPolicies, grad, jacfwd, jacrev, jvp, linearize, vjp } from "@traceform/grad";
import { jet } from "@traceform/grad/jet";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { makeMesh, P, pmap, shardMap } from "@traceform/pmap";
import { vmap } from "@traceform/vmap";
import { finiteDifference, numbers } from "./derivatives.ts";

type Fn = (x: NDArray) => NDArray;

/** A transformation of functions from float64[3] to float64[3], and what it means in the plainest terms. */
export interface Transformation {
  readonly name: string;
  readonly apply: (f: Fn) => Fn;
  /** The definition: loops, finite differences, ordinary JavaScript branches. */
  readonly define: (f: Fn) => Fn;
  readonly tolerance: number;
  readonly reverse?: boolean;
  readonly forward?: boolean;
}

const vector = (xs: readonly number[]): NDArray => fromTyped(Float64Array.from(xs), [xs.length], "float64");
const weights = [0.7, -1.1, 0.4];
const direction = [0.3, 0.9, -0.6];

/** The gradient of `sum(weights * f(x))` by finite differences. */
function gradientByDifferences(f: Fn): Fn {
  return (x) =>
    vector(
      [0, 1, 2].map((k) => {
        const [column] = finiteDifference((y) => [f(y)], [x], [[0, 1, 2].map((i) => (i === k ? 1 : 0))], 1e-5);
        return column!.reduce((sum, v, i) => sum + v * weights[i], 0);
      }),
    );
}

let nextMesh = 1;

/** `f` of the vector times each of two numbers, summed over two devices. A mesh inside of another has axes of its own. */
function overDevices(checkVma: boolean): Transformation["apply"] {
  return (f) => {
    const axis = `devices${nextMesh++}`;
    return (x) =>
      shardMap((factor: NDArray, y: NDArray) => lax.psum(f(lax.mul(y, lax.broadcastInDim(factor, y.shape, [0]))), axis), {
        mesh: makeMesh([2], [axis]),
        inSpecs: [P(axis), P()],
        outSpecs: P(),
        checkVma,
      })(vector([1, 0.5]), x);
  };
}

export const transformations: readonly Transformation[] = [
  { name: "jit", apply: (f) => jit(f), define: (f) => f, tolerance: 1e-12 },
  {
    name: "vmap",
    apply: (f) => (x) =>
      lax.reduceSum(vmap(f)(lax.mul(lax.broadcast(x, [2]), lax.broadcastInDim(vector([1, 0.5]), [2, 3], [0]))), [0]),
    define: (f) => (x) => lax.add(f(x), f(lax.mul(x, 0.5))),
    tolerance: 1e-12,
  },
  {
    name: "grad",
    apply: (f) => grad((x: NDArray) => lax.reduceSum(lax.mul(f(x), vector(weights)))),
    define: gradientByDifferences,
    tolerance: 1e-5,
    reverse: true,
  },
  {
    name: "jvp",
    apply: (f) => (x) => jvp(f, [x], [vector(direction)])[1],
    define: (f) => (x) => vector(finiteDifference((y) => [f(y)], [x], [direction], 1e-5)[0]!),
    tolerance: 1e-5,
    forward: true,
  },
  { name: "shardMap", apply: overDevices(true), define: (f) => (x) => lax.add(f(x), f(lax.mul(x, 0.5))), tolerance: 1e-12 },
  {
    name: "scan",
    apply: (f) => (x) => lax.scan((c: NDArray, _: null) => [lax.add(c, lax.mul(f(c), 0.1)), null], x, null, { length: 2 })[0],
    define: (f) => (x) => {
      const once = lax.add(x, lax.mul(f(x), 0.1));
      return lax.add(once, lax.mul(f(once), 0.1));
    },
    tolerance: 1e-11,
  },
];

/** Further ones, which deep nestings draw from too. */
export const moreTransformations: readonly Transformation[] = [
  ...transformations,
  {
    name: "shardMap, unchecked",
    apply: overDevices(false),
    define: (f) => (x) => lax.add(f(x), f(lax.mul(x, 0.5))),
    tolerance: 1e-12,
  },
  {
    name: "pmap",
    apply: (f) => (x) => {
      const parts = lax.mul(lax.broadcast(x, [2]), lax.broadcastInDim(vector([0.3, -0.8]), [2, 3], [0]));
      return lax.reduceSum(pmap(f)(parts), [0]);
    },
    define: (f) => (x) => lax.add(f(lax.mul(x, 0.3)), f(lax.mul(x, -0.8))),
    tolerance: 1e-12,
  },
  { name: "checkpoint", apply: (f) => checkpoint(f), define: (f) => f, tolerance: 1e-12 },
  {
    name: "vmap along columns",
    apply: (f) => (x) => {
      const batch = lax.mul(lax.broadcastInDim(x, [3, 2], [0]), lax.broadcastInDim(vector([0.8, -0.4]), [3, 2], [1]));
      return lax.reduceSum(vmap(f, { inAxes: 1, outAxes: 1 })(batch), [1]);
    },
    define: (f) => (x) => lax.add(f(lax.mul(x, 0.8)), f(lax.mul(x, -0.4))),
    tolerance: 1e-12,
  },
  {
    name: "vjp",
    apply: (f) => (x) => vjp(f, x)[1](vector(weights))[0],
    define: gradientByDifferences,
    tolerance: 1e-5,
    reverse: true,
  },
  {
    name: "jacfwd",
    apply: (f) => (x) => lax.dot(vector(weights), jacfwd(f)(x)),
    define: gradientByDifferences,
    tolerance: 1e-5,
    forward: true,
  },
  {
    name: "jacrev",
    apply: (f) => (x) => lax.dot(vector(weights), jacrev(f)(x)),
    define: gradientByDifferences,
    tolerance: 1e-5,
    reverse: true,
  },
  {
    name: "linearize",
    apply: (f) => (x) => linearize(f, x)[1](vector(direction)),
    define: (f) => (x) => vector(finiteDifference((y) => [f(y)], [x], [direction], 1e-5)[0]!),
    tolerance: 1e-5,
    forward: true,
  },
  {
    name: "jet",
    apply: (f) => (x) => jet(f, [x], [[vector(direction), null]])[1][0],
    define: (f) => (x) => vector(finiteDifference((y) => [f(y)], [x], [direction], 1e-5)[0]!),
    tolerance: 1e-5,
    forward: true,
  },
  {
    name: "checkpoint that keeps products",
    apply: (f) => checkpoint(f, { policy: checkpointPolicies.dotsSaveable }),
    define: (f) => f,
    tolerance: 1e-12,
  },
  {
    name: "associative scan",
    apply: (f) => (x) => {
      const rows = lax.concatenate(
        [f(x), x, lax.neg(x)].map((y) => lax.reshape(y, [1, 3])),
        0,
      );
      const sums = lax.associativeScan((a: NDArray, b: NDArray) => lax.add(a, b), rows, { reverse: true });
      return lax.reduceSum(sums, [0]);
    },
    define: (f) => (x) => lax.sub(f(x), x),
    tolerance: 1e-12,
  },
  {
    name: "cond",
    apply: (f) => (x) => lax.cond(lax.gt(lax.reduceSum(x), 0.05), f, (y: NDArray) => lax.sin(f(lax.neg(y))), x),
    define: (f) => (x) => (numbers(x).reduce((a, b) => a + b, 0) > 0.05 ? f(x) : lax.sin(f(lax.neg(x)))),
    tolerance: 1e-12,
  },
  {
    name: "map",
    apply: (f) => (x) =>
      lax.reduceSum(lax.map(f, lax.mul(lax.broadcast(x, [2]), lax.broadcastInDim(vector([1, -1]), [2, 3], [0]))), [0]),
    define: (f) => (x) => lax.add(f(x), f(lax.neg(x))),
    tolerance: 1e-12,
  },
];
