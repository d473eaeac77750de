import { expect, test } from "vitest";
import { checkpoint, checkpointName, checkpointPolicies, grad, jit, lax, numpy as np, type NDArray } from "./index.ts";

// What checkpoint is for: the compiled gradient needs less memory at once. Counted from the plan, not measured.

const n = 64;
const matrix = n * n * 4;
const x = np.ones([n, n]).mul(0.01);
const ws = Array.from({ length: 16 }, (_, i) => np.ones([n, n]).mul(0.01 + i / 1000));
type Block = (h: NDArray, ws: readonly NDArray[]) => NDArray;

const layer = (h: NDArray, w: NDArray): NDArray => np.sin(checkpointName(np.sin(np.matmul(np.sin(h), w)), "middle"));
const block: Block = (h, ws) => ws.reduce(layer, h);
/** Sixteen layers in blocks of `per`. */
const network =
  (wrap: (f: Block) => Block, per: number) =>
  (ws: readonly NDArray[], x: NDArray): NDArray => {
    let h = x;
    for (let i = 0; i < ws.length; i += per) h = wrap(block)(h, ws.slice(i, i + per));
    return np.sum(h);
  };

interface Plan {
  /** Matrices that are alive at once. */
  readonly matrices: number;
  readonly transcendentals: number;
}
function plan(loss: (ws: readonly NDArray[], x: NDArray) => NDArray): Plan {
  const { temporaryBytes, transcendentals } = jit(grad(loss)).lower(ws, x).compileSync().costAnalysis();
  return { matrices: temporaryBytes / matrix, transcendentals };
}

const plain = plan(network((f) => f, 4));

test("without checkpoint every layer's values are kept", () => {
  expect(plain.matrices).toBeGreaterThan(4 * 16);
});

test("checkpoint keeps what goes into the blocks, and computes the rest again", () => {
  const kept = plan(network(checkpoint, 4));
  expect(kept.matrices).toBeLessThan(plain.matrices / 3);
  expect(kept.transcendentals).toBeGreaterThan(1.2 * plain.transcendentals);
});

test("blocks of about the square root of the number of layers need least", () => {
  const [one, four, sixteen] = [1, 2, 16].map((per) => plan(network(checkpoint, per)).matrices);
  expect(four).toBeLessThan(one);
  expect(four).toBeLessThan(sixteen / 3);
});

test("policies lie between", () => {
  const { dotsSaveable, everythingSaveable, nothingSaveable, saveOnlyTheseNames, saveFromBothPolicies } = checkpointPolicies;
  const by = (policy: typeof dotsSaveable): Plan => plan(network((f) => checkpoint(f, { policy }), 4));
  const nothing = by(nothingSaveable);
  expect(nothing).toEqual(plan(network(checkpoint, 4)));
  expect(by(everythingSaveable)).toEqual(plain);
  for (const policy of [dotsSaveable, saveOnlyTheseNames("middle")]) {
    const some = by(policy);
    expect(some.matrices).toBeGreaterThan(nothing.matrices);
    expect(some.matrices).toBeLessThan(plain.matrices);
  }
  expect(by(saveOnlyTheseNames("another"))).toEqual(nothing);
  const both = by(saveFromBothPolicies(dotsSaveable, saveOnlyTheseNames("middle")));
  expect(both.matrices).toBeGreaterThan(by(dotsSaveable).matrices);
});

test("preventCse: false lets the compiler merge what it computes again with what it has, for who knows better", () => {
  expect(plan(network((f) => checkpoint(f, { preventCse: false }), 4)).matrices).toBe(plain.matrices);
});

test("in a scan the residuals of a step are its carry", () => {
  const stacked = np.ones([16, n, n]).mul(0.01);
  const bytes = (step: (h: NDArray, w: NDArray) => NDArray): number => {
    const loss = (ws: NDArray, x: NDArray): NDArray => np.sum(lax.scan((h: NDArray, w: NDArray) => [step(h, w), null], x, ws)[0]);
    return jit(grad(loss)).lower(stacked, x).compileSync().costAnalysis().temporaryBytes;
  };
  expect(bytes(checkpoint(layer))).toBeLessThan(bytes(layer) / 2.5);
});

test("gradients are the same", () => {
  const want = grad(network((f) => f, 4))(ws, x);
  for (const policy of [null, checkpointPolicies.dotsSaveable, checkpointPolicies.saveOnlyTheseNames("middle")]) {
    const got = jit(grad(network((f) => checkpoint(f, { policy }), 4)))(ws, x);
    got.forEach((g, i) => expect(Number(np.max(np.abs(g.sub(want[i]))).itemSync())).toBeLessThan(1e-6));
  }
});
