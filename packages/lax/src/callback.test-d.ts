import { type NDArray, ShapeDtypeStruct } from "@traceform/core";
import { debugCallback, ioCallback, pureCallback } from "./index.ts";

declare const x: NDArray;
declare const params: { readonly w: NDArray; readonly layers: readonly NDArray[] };
const struct = new ShapeDtypeStruct([3], "float32");

// Results have the structure of their description.
const one: NDArray = pureCallback((a: NDArray) => a, struct, x);
const tree: { a: NDArray; b: [NDArray, NDArray] } = pureCallback(
  (a: NDArray) => ({ a, b: [1, [2, 3]] as [number, number[]] }),
  { a: x, b: [struct, x] as [ShapeDtypeStruct, NDArray] },
  x,
);
const nothing: null = ioCallback((a: NDArray) => console.log(a), null, x, { ordered: true });

// Arguments reach the callback under their types, numbers as arrays, and without the options.
pureCallback((p, n) => [p.w, n, p.layers[0]][0], struct, params, 2, { vmapMethod: "sequential" });
pureCallback((a: NDArray, b: NDArray) => [a.shape[0], b.size], struct, x, 2);
debugCallback((a, text) => console.log(a, text satisfies string), x, "text", { ordered: true });
debugCallback(() => {});

// @ts-expect-error the callback takes more arguments than there are
pureCallback((a: NDArray, b: NDArray) => b, struct, x, { vmapMethod: "sequential" });
// @ts-expect-error a result that is none
pureCallback(() => "text", struct, x);
// @ts-expect-error another structure than described
pureCallback((a: NDArray) => ({ b: a }), { a: struct }, x);
// @ts-expect-error the argument is a tree, not an array
pureCallback((a: NDArray) => a, struct, params);

void [one, tree, nothing];
