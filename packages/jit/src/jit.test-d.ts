import type { NDArray } from "@traceform/core";
import { jit } from "./index.ts";

interface Params {
  readonly w: NDArray;
  readonly b?: NDArray;
}

// Types go in and come out unchanged.
declare const params: Params;
declare const x: NDArray;
const step = jit((p: Params, y: NDArray): [Params, NDArray] => [p, y]);
const [next, value]: [Params, NDArray] = step(params, x);
void next.w;
void value;

// @ts-expect-error a missing argument is an arity error
step(params);
// @ts-expect-error a wrong argument is a type error
step(x, x);

// Where an array goes, a number goes too.
const scaled: NDArray = jit((a: NDArray, b: NDArray) => a ?? b)(x, 2);
void scaled;
