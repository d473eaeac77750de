import { cpu } from "@traceform/backend-cpu";
import {
  checkJaxpr,
  devices,
  type Jaxpr,
  type Mesh,
  NamedSharding,
  type NDArray,
  PartitionSpec,
  printJaxpr,
  setDefaultBackend,
} from "@traceform/core";
import { makeJaxpr } from "@traceform/jit";
import { makeMesh, propagateShardings, runPartitioned } from "@traceform/pmap";
import { vmap } from "@traceform/vmap";
import { afterAll, describe, expect, test } from "vitest";
import { close, numbers } from "./derivatives.ts";
import { applyCase, makeOperand, mulberry32, type OperandSpec, type PrimitiveCase, primitiveCases } from "./primitivecases.ts";

// Every primitive, on operands that are cut: the program of one shard, with its collectives, gives what the whole one gives.
const backend = setDefaultBackend(cpu({ devices: 6 }));
afterAll(() => backend[Symbol.dispose]());
const random = mulberry32(1618);
const cases = primitiveCases().filter((c) => c.operands.some((o) => o.shape.length > 0));

type ArrayFn = (...xs: NDArray[]) => NDArray[];
interface Split {
  readonly collectives: readonly string[];
  /** Which results are cut. */
  readonly cut: readonly boolean[];
  readonly got: readonly NDArray[];
}

/** Runs a function on operands of which some are cut along one axis each. */
function split(f: ArrayFn, args: readonly NDArray[], axes: readonly (number | null)[], size: number): Split {
  const mesh = makeMesh([size], ["i"], { devices: devices().slice(0, size) });
  const layouts = args.map((x, i) => cutAlong(mesh, x, axes[i]));
  const { jaxpr } = makeJaxpr(f)(...args) as { readonly jaxpr: Jaxpr };
  const run: ArrayFn = (...xs) => runPartitioned(jaxpr, xs, mesh, layouts);
  const parted = makeJaxpr(run)(...args).jaxpr;
  checkJaxpr(parted);
  return {
    collectives: [...new Set(printJaxpr(parted).match(/\b(psum|pmax|pmin|all_gather|reduce_scatter|all_to_all|ppermute)\b/g))],
    cut: propagateShardings(jaxpr, layouts).map((s) => s !== null && !s.isFullyReplicated),
    got: run(...args),
  };
}
function cutAlong(mesh: Mesh, x: NDArray, axis: number | null): NamedSharding | null {
  return axis === null ? null : new NamedSharding(mesh, PartitionSpec(...x.shape.map((_, d) => (d === axis ? "i" : null))));
}

function expectSame(got: readonly NDArray[], wanted: readonly NDArray[], what: string): void {
  got.forEach((y, k) => {
    expect(y.shape, what).toEqual(wanted[k].shape);
    expect(close(numbers(y), numbers(wanted[k]), 1e-9), `${what}: ${numbers(y)} for ${numbers(wanted[k])}`).toBe(true);
  });
}

describe("any axis of any operand may be cut", () => {
  test.each(cases.map((c) => [c.name, c] as const))("%s", (_name, c) => {
    const args = c.operands.map((o) => makeOperand(o, random));
    const wanted = applyCase(c)(...args);
    args.forEach((x, i) =>
      x.shape.forEach((n, d) => {
        if (n < 2) return;
        const axes = args.map((_, k) => (k === i ? d : null));
        expectSame(split(applyCase(c), args, axes, n).got, wanted, `axis ${d} of operand ${i}`);
      }),
    );
  });
});

/** What goes between devices that have different examples, and why. */
const exchanged: Readonly<Record<string, string>> = {
  reduce: "all_gather: a general reduction with an initial value for each example is a loop over the examples",
  reduce_window: "all_gather: as reduce",
  while: "pmax: the loop goes on while any example does",
};

// What works on one example works on a batch that is cut: each device has its own. A primitive without a rule fails here.
describe("an axis of vmap may be cut, and every device works on its own", () => {
  const batch = (c: PrimitiveCase, i: number): boolean => c.batch?.includes(i) ?? true;
  test.each(cases.map((c) => [c.name, c] as const))("%s", (_name, c) => {
    const batched = (o: OperandSpec, i: number): readonly number[] => (batch(c, i) ? [2, ...o.shape] : o.shape);
    const args = c.operands.map((o, i) => makeOperand(o, random, batched(o, i)));
    const axes = c.operands.map((_, i) => (batch(c, i) ? 0 : null));
    const f = vmap(applyCase(c), { inAxes: axes as never }) as ArrayFn;
    const { collectives, cut, got } = split(f, args, axes, 2);
    expectSame(got, f(...args), "all operands cut");
    const reason = exchanged[c.primitive.name];
    expect(collectives).toEqual(reason === undefined ? [] : [reason.split(":")[0]]);
    if (!reason?.startsWith("all_gather")) expect(cut).not.toContain(false);
  });
});
