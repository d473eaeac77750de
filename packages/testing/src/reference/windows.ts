import { combiner } from "./elementwise.ts";
import { identityOf } from "./reduce.ts";
import { build, type Element, flatIndex, forEachIndex, reader, type RefArray, rounder, stridesOf } from "./values.ts";

export interface WindowParams {
  readonly windowDimensions: readonly number[];
  readonly windowStrides: readonly number[];
  readonly padding: readonly (readonly [number, number])[];
  readonly baseDilation?: readonly number[];
  readonly windowDilation?: readonly number[];
}

/** Calls `visit` with the source index of each element under the window at `index`; padding is passed over. */
export function forWindow(
  x: RefArray,
  index: readonly number[],
  p: WindowParams,
  visit: (source: readonly number[]) => void,
): void {
  const source = x.shape.map(() => 0);
  forEachIndex(p.windowDimensions, (w) => {
    for (let d = 0; d < source.length; d++) {
      const offset = index[d] * p.windowStrides[d] + w[d] * (p.windowDilation?.[d] ?? 1) - p.padding[d][0];
      const base = p.baseDilation?.[d] ?? 1;
      if (offset < 0 || offset % base !== 0 || offset / base >= x.shape[d]) return;
      source[d] = offset / base;
    }
    visit(source);
  });
}

export function reduceWindow(x: RefArray, op: string, p: WindowParams, shape: readonly number[]): RefArray {
  const combine = combiner(op, x.dtype);
  const round = rounder(x.dtype);
  const at = reader(x);
  return build(shape, x.dtype, (index) => {
    let acc = identityOf(op, x.dtype);
    forWindow(x, index, p, (source) => (acc = combine(acc, at(source))));
    return round(acc);
  });
}

/** Where in each window `operand` is greatest (`ge`) or least (`le`), first wins; `null` in a window of padding only. */
function selected(operand: RefArray, index: readonly number[], p: WindowParams, selectPrim: string): readonly number[] | null {
  const at = reader(operand);
  let best: number[] | null = null;
  let value: Element = 0;
  forWindow(operand, index, p, (source) => {
    const v = at(source);
    if (best === null || (selectPrim === "ge" ? v > value : v < value)) {
      best = [...source];
      value = v;
    }
  });
  return best;
}

export function selectAndScatterAdd(source: RefArray, operand: RefArray, selectPrim: string, p: WindowParams): RefArray {
  const values: Element[] = operand.values.map(() => identityOf("add", operand.dtype));
  const strides = stridesOf(operand.shape);
  const combine = combiner("add", operand.dtype);
  forEachIndex(source.shape, (index, flat) => {
    const place = selected(operand, index, p, selectPrim);
    if (place === null) return;
    const at = flatIndex(place, strides);
    values[at] = combine(values[at], source.values[flat]);
  });
  return { ...operand, values: values.map(rounder(operand.dtype)) };
}

export function selectAndGatherAdd(
  tangents: RefArray,
  operand: RefArray,
  selectPrim: string,
  p: WindowParams,
  shape: readonly number[],
): RefArray {
  const at = reader(tangents);
  return build(shape, tangents.dtype, (index) => {
    const place = selected(operand, index, p, selectPrim);
    return place === null ? 0 : at(place);
  });
}
