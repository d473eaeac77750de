import * as lax from "@traceform/lax";
import { type ConformanceCase, complexes, every, type Operand } from "./case.ts";

const m: Operand = { shape: [3, 4, 5] };
const dtypes = [...every, ...complexes];

/** Moves of data: every dtype, exactly. */
export function structuralCases(): ConformanceCase[] {
  const cases: Omit<ConformanceCase, "dtypes">[] = [
    { name: "reshape: to other rank", operands: [m], run: (x) => lax.reshape(x, [12, 5]) },
    { name: "reshape: to scalar", operands: [{ shape: [1, 1] }], run: (x) => lax.reshape(x, []) },
    { name: "reshape: of a transpose", operands: [m], run: (x) => lax.reshape(lax.transpose(x, [2, 0, 1]), [60]) },
    { name: "transpose: rotate", operands: [m], run: (x) => lax.transpose(x, [2, 0, 1]) },
    { name: "transpose: matrix", operands: [{ shape: [33, 17] }], run: (x) => lax.transpose(x, [1, 0]) },
    { name: "broadcastInDim: new axes", operands: [{ shape: [4] }], run: (x) => lax.broadcastInDim(x, [3, 4, 2], [1]) },
    { name: "broadcastInDim: stretched axis", operands: [{ shape: [3, 1] }], run: (x) => lax.broadcastInDim(x, [3, 6], [0, 1]) },
    { name: "broadcastInDim: scalar", operands: [{ shape: [] }], run: (x) => lax.broadcastInDim(x, [2, 3], []) },
    { name: "squeeze: two axes", operands: [{ shape: [1, 3, 1] }], run: (x) => lax.squeeze(x, [0, 2]) },
    { name: "rev: two axes", operands: [m], run: (x) => lax.rev(x, [0, 2]) },
    {
      name: "pad: positive",
      operands: [{ shape: [3, 4] }, { shape: [] }],
      run: (x, v) =>
        lax.pad(x, v, [
          [1, 2, 0],
          [0, 3, 0],
        ]),
    },
    {
      name: "pad: negative",
      operands: [{ shape: [6, 7] }, { shape: [] }],
      run: (x, v) =>
        lax.pad(x, v, [
          [-1, -2, 0],
          [2, -3, 0],
        ]),
    },
    {
      name: "pad: interior",
      operands: [{ shape: [3, 4] }, { shape: [] }],
      run: (x, v) =>
        lax.pad(x, v, [
          [1, 0, 2],
          [-1, 1, 1],
        ]),
    },
    {
      name: "pad: of an empty array",
      operands: [{ shape: [0, 2] }, { shape: [] }],
      run: (x, v) =>
        lax.pad(x, v, [
          [2, 1, 0],
          [0, 0, 0],
        ]),
    },
    { name: "slice: with strides", operands: [{ shape: [9, 8] }], run: (x) => lax.slice(x, [1, 0], [8, 8], [3, 2]) },
    { name: "slice: empty", operands: [{ shape: [5] }], run: (x) => lax.slice(x, [2], [2]) },
    {
      name: "dynamicSlice: inside",
      operands: [
        m,
        { shape: [], dtype: "int32", values: [1] },
        { shape: [], dtype: "int32", values: [0] },
        { shape: [], dtype: "int32", values: [2] },
      ],
      run: (x, i, j, k) => lax.dynamicSlice(x, [i, j, k], [2, 4, 2]),
    },
    {
      name: "dynamicSlice: clamped",
      operands: [{ shape: [6] }, { shape: [], dtype: "int32", values: [5] }],
      run: (x, i) => lax.dynamicSlice(x, [i], [3]),
    },
    {
      name: "dynamicUpdateSlice: clamped",
      operands: [
        { shape: [6, 5] },
        { shape: [2, 3] },
        { shape: [], dtype: "int32", values: [9] },
        { shape: [], dtype: "int32", values: [1] },
      ],
      run: (x, u, i, j) => lax.dynamicUpdateSlice(x, u, [i, j]),
    },
    {
      name: "concatenate: three",
      operands: [{ shape: [2, 3] }, { shape: [2, 1] }, { shape: [2, 4] }],
      run: (a, b, c) => lax.concatenate([a, b, c], 1),
    },
    {
      name: "concatenate: with an empty one",
      operands: [{ shape: [0, 3] }, { shape: [2, 3] }],
      run: (a, b) => lax.concatenate([a, b], 0),
    },
    { name: "copy: of an argument", operands: [m], run: (x) => [x, x] },
  ];
  const iotas: ConformanceCase[] = every
    .filter((d) => d !== "bool")
    .map((d) => ({ name: `iota: ${d}`, dtypes: [d], operands: [], run: () => lax.broadcastedIota(d, [3, 4], 1) }));
  return [...cases.map((c) => ({ ...c, dtypes })), ...iotas];
}
