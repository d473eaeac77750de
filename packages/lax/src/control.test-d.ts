import type { NDArray } from "@traceform/core";
import * as lax from "./index.ts";
export function t(x: NDArray, p: { w: NDArray; i: number }): void {
  const [c, y] = lax.scan((c, v) => [lax.add(c, v), v], 0, x);
  lax.add(c, y);
  const [d] = lax.scan(([i, a], v) => [[lax.add(i, 1), lax.add(a, v)], null], [0, x], x);
  lax.add(d[0], d[1]);
  const [e] = lax.scan((c: NDArray, v: NDArray) => [lax.add(c, v), 0], x, x);
  e.size;
  const q = lax.foriLoop(0, 3, (i, a) => ({ w: lax.add(a.w, i), i: a.i }), p);
  q.w.size;
  q.i.size;
  const w = lax.whileLoop(
    (a) => lax.lt(a, 3),
    (a) => lax.add(a, 1),
    0,
  );
  w.size;
  const z = lax.cond(
    true,
    (a, b) => lax.add(a, b),
    () => 0,
    x,
    3,
  );
  z.size;
  const u = lax.switch_(1, [(a) => lax.add(a, 1), (a) => a], 3);
  u.size;
}
