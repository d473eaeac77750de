import type { NDArray } from "@traceform/core";
import { vmap } from "./index.ts";

interface Params {
  readonly w: NDArray;
  readonly b: NDArray;
}
declare const params: Params;
declare const xs: NDArray;
declare function apply(params: Params, batch: { image: NDArray; label: NDArray }): { loss: NDArray; logits: NDArray };

// Arguments and results keep their types and their names.
const batched = vmap(apply, { inAxes: [null, { image: 0, label: 0 }] });
const out: { loss: NDArray; logits: NDArray } = batched(params, { image: xs, label: xs });
void out;
const names: (params: Params, batch: { image: NDArray; label: NDArray }) => unknown = batched;
void names;

// One axis for all, none for some, a tree of axes for parts.
vmap(apply, { inAxes: 0 });
vmap(apply, { inAxes: [{ w: 0, b: null }, -1], outAxes: { loss: 0, logits: 1 } });
vmap(apply, { outAxes: null, axisName: "i", axisSize: 4 });
// A number goes where an array goes.
vmap((x: NDArray, y: NDArray) => [x, y] as const, { inAxes: [0, null] })(xs, 2);

// @ts-expect-error a mistyped key
vmap(apply, { inAxes: [null, { imge: 0, label: 0 }] });
// @ts-expect-error one entry for each argument
vmap(apply, { inAxes: [0] });
// @ts-expect-error an axis is a number
vmap(apply, { inAxes: ["0", 0] });
// @ts-expect-error a tree of axes for results has the keys of the result
vmap(apply, { outAxes: { los: 0 } });
// @ts-expect-error a missing argument
batched(params);
