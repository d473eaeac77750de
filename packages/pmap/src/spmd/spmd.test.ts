import {
  checkJaxpr,
  devicePut,
  fromTyped,
  makeAval,
  NamedSharding,
  type NDArray,
  printJaxpr,
  RuleError,
  setDefaultBackend,
  treeLeaves,
} from "@traceform/core";
import { cpu } from "@traceform/backend-cpu";
import { checkpoint, grad } from "@traceform/grad";
import { jit, makeJaxpr } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { vmap } from "@traceform/vmap";
import { afterAll, describe, expect, test } from "vitest";
import {
  getMesh,
  makeMesh,
  P,
  propagateShardings,
  reshard,
  runPartitioned,
  setMesh,
  shardMap,
  type SpecEntry,
  withShardingConstraint,
} from "../index.ts";

const backend = setDefaultBackend(cpu({ devices: 4 }));
afterAll(() => backend[Symbol.dispose]());
const mesh = makeMesh([2, 2], ["a", "b"]);
const on = (...entries: SpecEntry[]): NamedSharding => new NamedSharding(mesh, P(...entries));
const values = (...shape: number[]): NDArray =>
  fromTyped(
    Float32Array.from({ length: shape.reduce((x, y) => x * y, 1) }, (_, i) => Math.sin(i + 1)),
    shape,
    "float32",
  );
const { add, mul, sin } = lax;
const dot = (x: NDArray, y: NDArray): NDArray =>
  lax.dotGeneral(x, y, [
    [[x.ndim - 1], [0]],
    [[], []],
  ]);
const rows = fromTyped(Int32Array.of(3, 0, 2, 1), [4, 1], "int32");
const taken = (x: NDArray, indices: NDArray): NDArray =>
  lax.gather(x, indices, { offsetDims: [1], collapsedSliceDims: [0], startIndexMap: [0] }, [1, x.shape[1]]);
const takeFilled = (x: NDArray, indices: NDArray): NDArray =>
  lax.gather(x, indices, { offsetDims: [1], collapsedSliceDims: [0], startIndexMap: [0] }, [1, x.shape[1]], {
    mode: "fill",
    fillValue: 7,
  });
const f32 = (...shape: number[]): NDArray => values(...shape);
/** Index updates of rows, two of them of one row, one of none. */
const places = fromTyped(Int32Array.of(1, 3, 1, 9), [4, 1], "int32");
const ofRows = { updateWindowDims: [1], insertedWindowDims: [0], scatterDimsToOperandDims: [0] };
const updated = (update: typeof lax.scatter, mode: lax.ScatterMode = "fill"): F => {
  return (x, at, u) => update(x, at, u, ofRows, { mode });
};
/** x[i, j] for pairs of indices. */
const pairs = fromTyped(Int32Array.of(3, 0, 1, 2, 0, 3, 2, 2), [4, 2], "int32");
const elements = { offsetDims: [], collapsedSliceDims: [0, 1], startIndexMap: [0, 1] };
const spd = (n: number): NDArray => {
  const a = f32(4, n, n);
  const square = lax.dotGeneral(a, a, [
    [[2], [2]],
    [[0], [0]],
  ]);
  return add(
    square,
    lax.broadcastInDim(
      lax.convertElementType(lax.eq(lax.broadcastedIota("int32", [n, n], 0), lax.broadcastedIota("int32", [n, n], 1)), "float32"),
      [4, n, n],
      [1, 2],
    ),
  );
};
const pooled = (x: NDArray): NDArray => lax.reduceWindow(x, -Infinity, lax.max, [1, 2, 1], [1, 2, 1], "VALID");

type F = (...xs: NDArray[]) => NDArray | readonly NDArray[];
interface Case {
  readonly f: F;
  readonly args: readonly (readonly [NDArray, NamedSharding | null])[];
  /** The layouts of the results. */
  readonly out: readonly string[];
  /** Names of the collectives that the program of one shard needs. */
  readonly needs: readonly string[];
}
const x44 = f32(4, 4);

/** name: function, arguments with their layouts, layouts of the results, collectives. */
const cases: Record<string, Case> = {
  elementwise: {
    f: (x, y) => mul(sin(x), y),
    args: [
      [x44, on("a", "b")],
      [x44, on("a", "b")],
    ],
    out: ["P('a', 'b')"],
    needs: [],
  },
  "elementwise with a scalar": { f: (x) => add(x, 2), args: [[x44, on("a")]], out: ["P('a', None)"], needs: [] },
  "elementwise, cut in one operand only": {
    f: (x, y) => add(x, y),
    args: [
      [x44, on("a")],
      [x44, null],
    ],
    out: ["P('a', None)"],
    needs: [],
  },
  "elementwise, cut differently": {
    f: (x, y) => add(x, y),
    args: [
      [x44, on("a")],
      [x44, on(null, "a")],
    ],
    out: ["P('a', None)"],
    needs: ["all_gather"],
  },
  "elementwise, cut along different axes": {
    f: (x, y) => add(x, y),
    args: [
      [x44, on("a")],
      [x44, on(null, "b")],
    ],
    out: ["P('a', 'b')"],
    needs: [],
  },
  "product, rows cut": {
    f: dot,
    args: [
      [x44, on("a")],
      [x44, null],
    ],
    out: ["P('a', None)"],
    needs: [],
  },
  "product, rows and columns cut": {
    f: dot,
    args: [
      [x44, on("a")],
      [x44, on(null, "b")],
    ],
    out: ["P('a', 'b')"],
    needs: [],
  },
  "product, depth cut": {
    f: dot,
    args: [
      [x44, on("a", "b")],
      [x44, on("b")],
    ],
    out: ["P('a', None)"],
    needs: ["psum"],
  },
  "product, depth cut in one operand": {
    f: dot,
    args: [
      [x44, on(null, "b")],
      [x44, null],
    ],
    out: ["P(None, None)"],
    needs: ["psum"],
  },
  "two layers": {
    f: (x, v, w) => dot(lax.tanh(dot(x, v)), w),
    args: [
      [x44, on("a")],
      [f32(4, 8), on(null, "b")],
      [f32(8, 2), on("b")],
    ],
    out: ["P('a', None)"],
    needs: ["psum"],
  },
  "sum over a cut axis": { f: (x) => lax.reduceSum(x, [0]), args: [[x44, on("a", "b")]], out: ["P('b')"], needs: ["psum"] },
  "sum over an axis that is whole": { f: (x) => lax.reduceSum(x, [1]), args: [[x44, on("a")]], out: ["P('a')"], needs: [] },
  "maximum over both": { f: (x) => lax.reduceMax(x, [0, 1]), args: [[x44, on("a", "b")]], out: ["P()"], needs: ["pmax"] },
  "product over a cut axis": {
    f: (x) => lax.reduceProd(x, [0]),
    args: [[x44, on("a", "b")]],
    out: ["P('b')"],
    needs: ["all_gather"],
  },
  argmax: { f: (x) => lax.argmax(x, 1, "int32"), args: [[x44, on("a")]], out: ["P('a')"], needs: [] },
  softmax: {
    f: (x) => {
      const e = lax.exp(lax.sub(x, lax.broadcastInDim(lax.reduceMax(x, [1]), x.shape, [0])));
      return lax.div(e, lax.broadcastInDim(lax.reduceSum(e, [1]), x.shape, [0]));
    },
    args: [[x44, on("a", "b")]],
    out: ["P('a', 'b')"],
    needs: ["pmax", "psum"],
  },
  transposition: { f: (x) => lax.transpose(x, [1, 0]), args: [[x44, on("a")]], out: ["P(None, 'a')"], needs: [] },
  broadcast: { f: (x) => lax.broadcastInDim(x, [3, 4, 2], [1]), args: [[f32(4), on("a")]], out: ["P(None, 'a', None)"], needs: [] },
  "reshape that joins": { f: (x) => lax.reshape(x, [16]), args: [[x44, on("a")]], out: ["P('a')"], needs: [] },
  "reshape that joins, the inner axis cut": {
    f: (x) => lax.reshape(x, [16]),
    args: [[x44, on(null, "b")]],
    out: ["P(None)"],
    needs: ["all_gather"],
  },
  "reshape that splits": {
    f: (x) => lax.reshape(x, [2, 4, 2]),
    args: [[f32(8, 2), on(["a"], "b")]],
    out: ["P('a', None, 'b')"],
    needs: [],
  },
  "reshape too small to stay cut": {
    f: (x) => lax.reshape(x, [3, 4]),
    args: [[f32(12), on(["a"])]],
    out: ["P(None, None)"],
    needs: ["all_gather"],
  },
  "squeeze and expand": {
    f: (x) => lax.expandDims(lax.squeeze(x, [1]), [0]),
    args: [[f32(4, 1, 2), on("a")]],
    out: ["P(None, 'a', None)"],
    needs: [],
  },
  "slice of another axis": { f: (x) => lax.slice(x, [0, 1], [4, 3]), args: [[x44, on("a")]], out: ["P('a', None)"], needs: [] },
  "slice of the cut axis": {
    f: (x) => lax.slice(x, [1, 0], [3, 4]),
    args: [[x44, on("a", "b")]],
    out: ["P(None, 'b')"],
    needs: ["psum"],
  },
  "slice with steps of both axes": {
    f: (x) => lax.slice(x, [1, 0], [4, 3], [2, 2]),
    args: [[x44, on("a", "b")]],
    out: ["P(None, None)"],
    needs: ["psum"],
  },
  "dynamic slice of the cut axis": {
    f: (x, i) => lax.dynamicSlice(x, [i, 1], [2, 2]),
    args: [
      [x44, on("a")],
      [lax.full([], 3, "int32"), null],
    ],
    out: ["P(None, None)"],
    needs: ["psum"],
  },
  "rows of a table that is cut along its rows": {
    f: taken,
    args: [
      [x44, on("a", "b")],
      [rows, null],
    ],
    out: ["P(None, 'b')"],
    needs: ["psum"],
  },
  "rows of a table, some of them outside": {
    f: (x, at) => takeFilled(x, lax.sub(lax.mul(at, 2), 1)),
    args: [
      [x44, on("a")],
      [rows, null],
    ],
    out: ["P(None, None)"],
    needs: ["psum"],
  },
  "truth values of the cut axis": {
    f: (x) => lax.slice(lax.gt(x, 0), [1, 0], [3, 4]),
    args: [[x44, on("a")]],
    out: ["P(None, None)"],
    needs: ["pmax"],
  },
  "dynamic slice": { f: (x) => lax.dynamicSlice(x, [0, 1], [4, 2]), args: [[x44, on("a")]], out: ["P('a', None)"], needs: [] },
  "dynamic update": {
    f: (x, u) => lax.dynamicUpdateSlice(x, u, [0, 1]),
    args: [
      [x44, on("a")],
      [f32(4, 2), null],
    ],
    out: ["P('a', None)"],
    needs: [],
  },
  "concatenation along another axis": {
    f: (x, y) => lax.concatenate([x, y], 1),
    args: [
      [x44, on("a")],
      [x44, null],
    ],
    out: ["P('a', None)"],
    needs: [],
  },
  pad: {
    f: (x) =>
      lax.pad(x, 0, [
        [0, 0, 0],
        [1, 2, 0],
      ]),
    args: [[x44, on("a")]],
    out: ["P('a', None)"],
    needs: [],
  },
  "cumulative sum along another axis": { f: (x) => lax.cumsum(x, 1), args: [[x44, on("a")]], out: ["P('a', None)"], needs: [] },
  "sort along another axis": { f: (x) => lax.sort(x, 1), args: [[x44, on("a")]], out: ["P('a', None)"], needs: [] },
  "rows by cut indices": {
    f: taken,
    args: [
      [x44, null],
      [rows, on("a")],
    ],
    out: ["P('a', None)"],
    needs: [],
  },
  "parts of rows": {
    f: taken,
    args: [
      [x44, on(null, "b")],
      [rows, on("a")],
    ],
    out: ["P('a', 'b')"],
    needs: [],
  },
  jit: { f: (x) => jit((y: NDArray) => sin(y))(x), args: [[x44, on("a")]], out: ["P('a', None)"], needs: [] },
  checkpoint: { f: (x) => checkpoint((y: NDArray) => sin(y))(x), args: [[x44, on("a")]], out: ["P('a', None)"], needs: [] },
  scan: {
    f: (c, xs) => lax.scan((s: NDArray, x: NDArray) => [add(s, sin(x)), mul(s, x)] as const, c, xs),
    args: [
      [f32(4), on("a")],
      [f32(3, 4), on(null, "a")],
    ],
    out: ["P('a')", "P(None, 'a')"],
    needs: [],
  },
  "scan whose carry becomes whole": {
    f: (c, w) => lax.scan((s: NDArray, _: null) => [dot(s, w), null] as const, c, null, { length: 3 })[0],
    args: [
      [f32(4), on("a")],
      [x44, on("a")],
    ],
    out: ["P(None)"],
    needs: ["all_gather", "psum"],
  },
  while: {
    f: (x) =>
      lax.whileLoop(
        (c) => lax.lt(lax.reduceSum(c, [0]), 9),
        (c) => add(c, 1),
        x,
      ),
    args: [[f32(4), on("a")]],
    out: ["P('a')"],
    needs: ["psum"],
  },
  cond: {
    f: (x, y) =>
      lax.cond(
        lax.gt(lax.reduceSum(x, [0, 1]), 0),
        (u, v) => add(u, v),
        (u) => sin(u),
        x,
        y,
      ),
    args: [
      [x44, on("a")],
      [x44, on("a")],
    ],
    out: ["P('a', None)"],
    needs: ["psum"],
  },
  constraint: {
    f: (x) => sin(withShardingConstraint(x, on(null, "b"))),
    args: [[x44, on("a")]],
    out: ["P(None, 'b')"],
    needs: ["all_gather"],
  },
  shardMap: {
    f: (x) => sin(shardMap((y: NDArray) => lax.psum(y, "a"), { mesh, inSpecs: P("a", "b"), outSpecs: P(null, "b") })(x)),
    args: [[x44, on("a")]],
    out: ["P(None, 'b')"],
    needs: ["psum"],
  },
  gradient: {
    f: (w, x) => grad((v: NDArray) => lax.reduceSum(sin(dot(x, v)), [0, 1]))(w),
    args: [
      [x44, on(null, "b")],
      [x44, on("a")],
    ],
    out: ["P(None, 'b')"],
    needs: ["psum"],
  },
  vmap: {
    f: (x) => vmap((y: NDArray) => lax.reduceSum(mul(y, y), [0]))(x),
    args: [[x44, on("a", "b")]],
    out: ["P('a')"],
    needs: ["psum"],
  },
  convolution: {
    f: (x, w) => lax.convGeneralDilated(x, w, [1, 1], "SAME"),
    args: [
      [f32(4, 2, 5, 5), on("a")],
      [f32(4, 2, 3, 3), on("b")],
    ],
    out: ["P('a', 'b', None, None)"],
    needs: [],
  },
  "updates of rows, the updates cut": {
    f: updated(lax.scatterAdd),
    args: [
      [x44, null],
      [places, on("a")],
      [x44, on("a", "b")],
    ],
    out: ["P(None, 'b')"],
    needs: ["psum"],
  },
  "updates of rows, the rows cut": {
    f: updated(lax.scatter),
    args: [
      [x44, on("a")],
      [fromTyped(Int32Array.of(2, 3, -1, 9), [4, 1], "int32"), null],
      [x44, null],
    ],
    out: ["P('a', None)"],
    needs: [],
  },
  "updates of rows, places outside moved to where they fit": {
    f: updated(lax.scatterMul, "clip"),
    args: [
      [x44, on("b")],
      [places, null],
      [x44, null],
    ],
    out: ["P('b', None)"],
    needs: [],
  },
  "updates of rows, rows and updates cut": {
    f: updated(lax.scatterAdd),
    args: [
      [f32(8, 4), on("b")],
      [places, on("a")],
      [x44, on("a")],
    ],
    out: ["P('b', None)"],
    needs: ["psum"],
  },
  "largest of rows and updates, the updates cut": {
    f: updated(lax.scatterMax),
    args: [
      [x44, null],
      [places, on(["a", "b"])],
      [x44, on(["a", "b"])],
    ],
    out: ["P(None, None)"],
    needs: ["pmax"],
  },
  "rows set by updates that are cut": {
    f: updated(lax.scatter),
    args: [
      [x44, null],
      [rows, on("a")],
      [x44, on("a", "b")],
    ],
    out: ["P(None, 'b')"],
    needs: ["all_gather"],
  },
  "elements of a matrix that is cut along both axes": {
    f: (x, at) => lax.gather(x, at, elements, [1, 1], { mode: "clip" }),
    args: [
      [x44, on("a", "b")],
      [pairs, null],
    ],
    out: ["P(None)"],
    needs: ["psum"],
  },
  "elements outside are filled once, whatever is cut": {
    f: (x, at) => lax.gather(x, lax.sub(lax.mul(at, 2), 1), elements, [1, 1], { mode: "fill", fillValue: 7 }),
    args: [
      [x44, on("a", "b")],
      [pairs, null],
    ],
    out: ["P(None)"],
    needs: ["psum"],
  },
  "one element of each row, in a loop": {
    f: (x, at) =>
      lax.scan((c: NDArray, i: NDArray) => [add(c, lax.gather(x, i, elements, [1, 1])), null] as const, lax.full([2], 0), at)[0],
    args: [
      [x44, on(null, "b")],
      [lax.reshape(pairs, [2, 2, 2]), null],
    ],
    out: ["P(None)"],
    needs: ["psum"],
  },
  "update of a slice of the cut axis": {
    f: (x, u, i) => lax.dynamicUpdateSlice(x, u, [i, 1]),
    args: [
      [x44, on("a", "b")],
      [f32(2, 2), null],
      [lax.full([], 1, "int32"), null],
    ],
    out: ["P('a', 'b')"],
    needs: [],
  },
  "windows of another axis": { f: pooled, args: [[f32(4, 6, 2), on("a", null, "b")]], out: ["P('a', None, 'b')"], needs: [] },
  "gradient of windows": {
    f: (x) => grad((y: NDArray) => lax.reduceSum(mul(pooled(y), pooled(y)), [0, 1, 2]))(x),
    args: [[f32(4, 6, 2), on("a", null, "b")]],
    out: ["P('a', None, 'b')"],
    needs: ["psum"], // of the loss
  },
  "windows of the cut axis": {
    f: pooled,
    args: [[f32(2, 4, 2), on("a", "b")]],
    out: ["P('a', None, None)"],
    needs: ["all_gather"],
  },
  "convolution in groups": {
    f: (x, w) => lax.convGeneralDilated(x, w, [1, 1], "SAME", { featureGroupCount: 4 }),
    args: [
      [f32(2, 4, 5, 5), on("a", "b")],
      [f32(8, 1, 3, 3), null],
    ],
    out: ["P('a', 'b', None, None)"],
    needs: [],
  },
  "gradient of a convolution in groups": {
    f: (x, w) =>
      grad((v: NDArray) => {
        const y = lax.convGeneralDilated(x, v, [1, 1], "SAME", { featureGroupCount: 4 });
        return lax.reduceSum(mul(y, y), [0, 1, 2, 3]);
      })(w),
    args: [
      [f32(2, 4, 5, 5), on("a", "b")],
      [f32(8, 1, 3, 3), null],
    ],
    out: ["P('b', None, None, None)"],
    needs: ["psum"],
  },
  "convolution of single pixels": {
    f: (x, w) => lax.convGeneralDilated(x, w, [1, 1], "VALID"),
    args: [
      [f32(2, 3, 4, 4), on(null, null, "a", "b")],
      [f32(5, 3, 1, 1), null],
    ],
    out: ["P(None, None, 'a', 'b')"],
    needs: [],
  },
  "Fourier transform of another axis": {
    f: (x) => lax.real(lax.fft(x, "FFT", [4])),
    args: [[f32(4, 4), on(["a", "b"])]],
    out: ["P(('a', 'b'), None)"],
    needs: [],
  },
  "Fourier transform of the cut axis": {
    f: (x) => lax.real(lax.fft(x, "FFT", [4])),
    args: [[x44, on("a", "b")]],
    out: ["P('a', None)"],
    needs: ["all_gather"],
  },
  "Cholesky factors and solutions": {
    f: (a, b) => lax.linalg.triangularSolve(lax.linalg.cholesky(a), b, { leftSide: true, lower: true }),
    args: [
      [spd(3), on("a")],
      [f32(4, 3, 2), on("a", null, "b")],
    ],
    out: ["P('a', None, 'b')"],
    needs: [],
  },
  "gradient of Cholesky factors": {
    f: (a) => grad((x: NDArray) => lax.reduceSum(sin(lax.linalg.cholesky(x)), [0, 1, 2]))(a),
    args: [[spd(3), on("a")]],
    out: ["P('a', None, None)"],
    needs: ["psum"], // of the loss
  },
  eigenvalues: { f: (a) => lax.linalg.eigvalsh(a), args: [[spd(3), on(["a", "b"])]], out: ["P(('a', 'b'), None)"], needs: [] },
  "scan from zeros": {
    f: (w, xs) => lax.scan((h: NDArray, x: NDArray) => [lax.tanh(add(dot(h, w), x)), null] as const, lax.full([4, 2], 0), xs)[0],
    args: [
      [f32(2, 2), null],
      [f32(3, 4, 2), on(null, "a")],
    ],
    out: ["P('a', None)"],
    needs: [],
  },
  "branches of which one is whole": {
    f: (x) =>
      lax.cond(
        lax.gt(lax.reduceSum(x, [0, 1]), 0),
        (u) => sin(u),
        () => lax.full([4, 4], 0),
        x,
      ),
    args: [[x44, on("a")]],
    out: ["P('a', None)"],
    needs: ["psum"],
  },
};

const collectives = /\b(psum|pmax|pmin|all_gather|reduce_scatter|all_to_all|ppermute)\b/g;

describe("layouts are propagated, and the program of one shard gives what the whole one gives", () => {
  for (const [name, { f, args, out, needs }] of Object.entries(cases)) {
    test(name, () => {
      const flat = (...xs: NDArray[]): NDArray[] => treeLeaves(f(...xs) as never) as NDArray[];
      const arrays = args.map(([x]) => x);
      const shardings = args.map(([, s]) => s);
      const { jaxpr } = makeJaxpr(flat)(...(arrays as never[]));
      expect(jaxpr.constvars).toHaveLength(0);
      const layouts = propagateShardings(jaxpr, shardings).map((s) => (s === null ? "P()" : String((s as NamedSharding).spec)));
      const normal = (text: string): string => (/'/.test(text) ? text : "P()");
      expect(layouts.map(normal)).toEqual(out.map(normal));
      const expected = flat(...arrays).map((x) => x.jsSync());
      // One memory: the whole program, whose results know their layout.
      const laid = arrays.map((x, i) => (shardings[i] === null ? x : devicePut(x, shardings[i])));
      const whole = jit(flat)(...(laid as never[])) as NDArray[];
      expect(whole.map((x) => x.jsSync())).toEqual(expected);
      whole.forEach((x, i) => expect(x.sharding.isFullyReplicated).toBe(normal(out[i]) === "P()"));
      // Memories of their own: the program of one shard.
      const split = (...xs: NDArray[]): NDArray[] => runPartitioned(jaxpr, xs, mesh, shardings);
      const parted = makeJaxpr(split)(...(arrays as never[])).jaxpr;
      checkJaxpr(parted);
      expect([...new Set(printJaxpr(parted).match(collectives) ?? [])].sort()).toEqual([...needs].sort());
      split(...laid).forEach((x, i) => {
        const [got, want] = [[...x.dataSync()], [...whole[i].dataSync()]].map((v) => v.map(Number));
        got.forEach((v, k) => expect(Math.abs(v - want[k])).toBeLessThan(1e-5 * (1 + Math.abs(want[k]))));
      });
    });
  }
});

test("jit lays arguments and results out as asked", () => {
  const f = jit((x: NDArray, w: NDArray) => dot(x, w), { inShardings: [on("a"), on(null, "b")] });
  const y = f(x44, x44);
  expect(y.sharding.key).toBe(on("a", "b").key);
  const g = jit((x: NDArray, w: NDArray) => dot(x, w), { inShardings: [on("a"), null], outShardings: on(null, "b") });
  expect(g(x44, x44).sharding.key).toBe(on(null, "b").key);
  expect(g(x44, x44).jsSync()).toEqual(dot(x44, x44).jsSync());
  expect(() => jit(sin, { inShardings: on("a") })(values(3))).toThrow(/cannot be cut into 2 equal shards/);
  expect(() => jit(sin, { inShardings: 3 as never })(values(4))).toThrow(/no layout over a mesh/);
  expect(grad((x: NDArray) => lax.reduceSum(f(x, x44), [0, 1]))(x44).shape).toEqual([4, 4]);
});

test("a mesh that was set is that of specs without one", () => {
  const f = jit((x: NDArray) => withShardingConstraint(mul(x, 2), P("a")), { inShardings: P(null, "b") });
  const total = shardMap((x: NDArray) => lax.psum(x, "a"), { inSpecs: P("a"), outSpecs: P() });
  expect(() => f(x44)).toThrow(/without a mesh, and none was set[\s\S]*setMesh/);
  expect(() => total(x44)).toThrow(/none was set/);
  const outer = setMesh(mesh);
  expect(getMesh()).toBe(mesh);
  expect(f(x44).sharding.key).toBe(on("a").key);
  expect(total(x44).shape).toEqual([2, 4]);
  expect(reshard(x44, P("b")).sharding.key).toBe(on("b").key);
  // Another mesh is another program.
  const turned = makeMesh([2, 2], ["b", "a"]);
  const inner = setMesh(turned);
  expect(f(x44).sharding.key).toBe(new NamedSharding(turned, P("a")).key);
  inner[Symbol.dispose]();
  expect(f(x44).sharding.key).toBe(on("a").key);
  outer[Symbol.dispose]();
  expect(getMesh()).toBeNull();
});

test("eager operations keep layouts", () => {
  const x = devicePut(x44, on("a", "b"));
  expect(mul(x, 2).sharding.key).toBe(on("a", "b").key);
  expect(lax.reduceSum(x, [0]).addressableShards[1].data.shape).toEqual([2]);
});

test("a large array is never copied to all devices unasked", () => {
  const big = makeAval([1024, 512], "float32");
  const jaxprOf = (f: (x: NDArray) => NDArray) => makeJaxpr(f)(lax.full(big.shape, 0)).jaxpr;
  const sorted = jaxprOf((x) => lax.sort(x, 0));
  expect(() => propagateShardings(sorted, [on("a")])).toThrow(RuleError);
  expect(() => propagateShardings(sorted, [on("a")])).toThrow(
    /sort: operand 0, float32\[1024,512\], is cut along axis 0[\s\S]*withShardingConstraint/,
  );
  const asked = jaxprOf((x) => lax.sort(withShardingConstraint(x, on(null, "b")), 0));
  expect(String(propagateShardings(asked, [on("a")])[0])).toContain("P(None, 'b')");
  const windows = jaxprOf((x) => lax.reduceWindow(x, 0, lax.add, [2, 1], [2, 1], "VALID"));
  expect(() => propagateShardings(windows, [on("a", "b")])).toThrow(
    /reduce_window_sum: operand 0, float32\[1024,512\], is cut along axis 0, where[\s\S]*shardMap, with ppermute/,
  );
  const spectrum = jaxprOf((x) => lax.real(lax.fft(x, "FFT", [512])));
  expect(String(propagateShardings(spectrum, [on("a")])[0])).toContain("P('a', None)");
  expect(() => propagateShardings(spectrum, [on(null, "a")])).toThrow(/fft: operand 0, complex64\[1024,512\], is cut along axis 1/);
  const set = jaxprOf(
    (x) => updated(lax.scatter)(lax.full([2048, 512], 0), lax.broadcastedIota("int32", [1024, 1], 0), x) as NDArray,
  );
  expect(() => propagateShardings(set, [on("a")])).toThrow(/scatter: operand 2, float32\[1024,512\], is cut along axis 0/);
  expect(String(propagateShardings(set, [on(null, "a")])[0])).toContain("P(None, 'a')");
  const branches = jaxprOf((x) =>
    lax.cond(
      lax.lt(lax.reduceSum(x, [0, 1]), 0),
      (u) => u,
      (u) => withShardingConstraint(u, on(null, "a")),
      x,
    ),
  );
  expect(() => propagateShardings(branches, [on("a")])).toThrow(
    /cond: result 0 of branch 0, float32\[1024,512\], is cut along axis 1/,
  );
  // A product whose columns are cut starts the next step, where its depth is.
  const carried = makeJaxpr(
    (c: NDArray, w: NDArray) => lax.scan((y: NDArray, _: null) => [dot(y, w), null] as const, c, null, { length: 2 })[0],
  )(lax.full([4096, 256], 0), lax.full([256, 256], 0)).jaxpr;
  expect(() => propagateShardings(carried, [null, on(null, "a")])).toThrow(
    /scan: carry 0, after a step, float32\[4096,256\], is cut along axis 1/,
  );
  const called = jaxprOf((x) => lax.pureCallback((y: NDArray) => y, x, x));
  expect(() => propagateShardings(called, [on("a")])).toThrow(/there is no rule by which its result is laid out/);
});

test("a loop around a program over another mesh keeps what it knows", () => {
  const other = makeMesh([4], ["i"]);
  const doubled = shardMap((x: NDArray) => mul(x, 2), { mesh: other, inSpecs: P("i"), outSpecs: P("i") });
  const f = (x: NDArray): NDArray => lax.scan((c: NDArray, _: null) => [doubled(c), null] as const, x, null, { length: 2 })[0];
  expect(jit(f)(devicePut(x44, on("a"))).jsSync()).toEqual(mul(x44, 4).jsSync());
  expect(jit(f)(x44).jsSync()).toEqual(mul(x44, 4).jsSync());
});

test("an operand that lies whole on the devices of another mesh goes with one that has more axes", () => {
  const x = devicePut(values(4, 4, 4), on("a", null, null));
  const y = devicePut(x44, new NamedSharding(makeMesh([4], ["i"]), P()));
  expect(dot(x, y).jsSync()).toEqual(dot(values(4, 4, 4), x44).jsSync());
  expect(String(dot(x, y).sharding)).toContain("P('a'");
});

test("operands over different meshes are refused", () => {
  const other = makeMesh([4], ["i"]);
  const x = devicePut(x44, on("a"));
  const y = devicePut(x44, new NamedSharding(other, P("i")));
  expect(() => add(x, y)).toThrow(/different meshes[\s\S]*devicePut/);
  // The same parts on the same devices, in other words.
  expect(add(devicePut(x44, on(["a", "b"])), y).sharding.key).toBe(on(["a", "b"]).key);
});
