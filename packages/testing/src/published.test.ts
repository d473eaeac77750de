import { type NDArray, provideVmap, setDefaultBackend } from "@traceform/core";
import { grad, hessian, jacfwd, jacrev, jvp } from "@traceform/grad";
import { jit } from "@traceform/jit";
import { vmap } from "@traceform/vmap";
import { cpu } from "@traceform/backend-cpu";
import * as np from "@traceform/numpy";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { close, finiteDifference, numbers } from "./derivatives.ts";
import { type Published, published, toArray } from "./published.ts";

setDefaultBackend(cpu());
beforeAll(() => provideVmap(vmap));
afterAll(() => provideVmap(null));

const cases = published();

test("there are more than twenty-five, each with a source", () => {
  expect(cases.length).toBeGreaterThanOrEqual(25);
  for (const c of cases) expect(c.source).toMatch(/\((19|20)\d\d\)|Jacobi/);
  expect(new Set(cases.map((c) => c.name)).size).toBe(cases.length);
});

/** The columns of the derivatives by central differences: `[...result, ...argument]` for each argument. */
function differences(fn: Published["fn"], args: readonly NDArray[]): number[][] {
  return args.map((x, k) => {
    const columns = Array.from({ length: x.size }, (_, i) => {
      const direction = Array.from({ length: x.size }, (_, j) => (i === j ? 1 : 0));
      const tangents = args.map((_, m) => (m === k ? direction : null));
      return finiteDifference((...xs) => [fn(...xs)], args, tangents, 1e-5)[0]!;
    });
    return columns[0].flatMap((_, row) => columns.map((c) => c[row]));
  });
}

describe.each(cases.map((c) => [c.name, c] as const))("%s", (_name, { fn, points, jacobian, hessian: second, tolerance }) => {
  test.each(points.map((p, i) => [i, p] as const))("point %i", (_i, point) => {
    const args = point.map(toArray);
    const plain = point.map((a) => [...a.values]);
    const argnums = args.map((_, i) => i);
    const want = jacobian?.(...plain) ?? differences(fn, args);
    const allowed = tolerance ?? (jacobian === undefined ? 1e-6 : 1e-10);
    const expectClose = (got: readonly NDArray[], what: string): void =>
      got.forEach((g, k) => {
        expect(g.dtype).toBe("float64");
        expect(close(numbers(g), want[k], allowed), `${what}, argument ${k}: ${numbers(g)} against ${want[k]}`).toBe(true);
      });
    // A closed form of the derivative is one of this function: differences of the function itself agree with it.
    if (jacobian !== undefined) {
      differences(fn, args).forEach((d, k) =>
        expect(close(d, want[k], 1e-5), `differences, argument ${k}: ${d} against ${want[k]}`).toBe(true),
      );
    }
    const reverse = jacrev(fn, { argnums });
    expectClose(reverse(...args) as NDArray[], "jacrev");
    expectClose(jacfwd(fn, { argnums })(...args) as NDArray[], "jacfwd");
    expectClose(jit(reverse)(...args) as NDArray[], "jit(jacrev)");
    if (fn(...args).ndim === 0) expectClose(grad(fn, { argnums })(...args) as NDArray[], "grad");
    const tangents = args.map((x) => np.ones([...x.shape], { dtype: "float64" }));
    const along = numbers(jvp(fn, [...args], tangents)[1]);
    const sums = along.map((_, row) =>
      want.reduce((s, w, k) => s + w.slice(row * args[k].size, (row + 1) * args[k].size).reduce((a, b) => a + b, 0), 0),
    );
    expect(close(along, sums, 10 * allowed), `jvp: ${along} against ${sums}`).toBe(true);
    if (second !== undefined) {
      const got = numbers(hessian(fn)(...args) as NDArray);
      expect(close(got, second(...plain), allowed), `hessian: ${got} against ${second(...plain)}`).toBe(true);
    }
  });
});
