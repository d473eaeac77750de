import { wgpu } from "@traceform/backend-wgpu";
import { check, checkify } from "@traceform/checkify";
import { type Backend, type NDArray, setDefaultBackend } from "@traceform/core";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import { vmap } from "@traceform/vmap";
import { afterAll, beforeAll, expect, test } from "vitest";

// Errors of checks where values have to be awaited.

let backend: Backend;
beforeAll(async () => {
  backend = setDefaultBackend(await wgpu({ schedule: "tiny" }));
});
afterAll(() => {
  setDefaultBackend(null);
  backend[Symbol.dispose]();
});

function root(x: NDArray): NDArray {
  check(np.all(np.greaterEqual(x, 0)), "no root of {}", x);
  return lax.sqrt(x);
}

test("are looked at without blocking", async () => {
  const safe = jit(checkify(root));
  const [good, value] = safe(np.array([4, 9]));
  expect((await good.onHost()).get()).toBeNull();
  expect([...(await value.data())]).toEqual([2, 3]);
  const [bad] = safe(np.array([4, -9]));
  expect(() => bad.get()).toThrow("cannot read without awaiting");
  const error = await bad.onHost();
  expect(error.get()).toBe("no root of [4, -9] (`check` failed)");
  expect(() => error.throw()).toThrow("no root of [4, -9]");
});

test("of the members of a batch, each by itself", async () => {
  const [error] = vmap(checkify((x: NDArray) => root(x)))(np.array([[1], [-2], [3], [-4]]));
  expect((await error.onHost()).get()).toBe(
    "at mapped index 1: no root of [-2] (`check` failed)\nat mapped index 3: no root of [-4] (`check` failed)",
  );
});
