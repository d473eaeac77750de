import { fromTyped, type NDArray, scalar, setDefaultBackend, ValueError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { beforeAll, describe, expect, test } from "vitest";
import { checkGrads, checkJvp, checkpoint, checkpointName, checkpointPolicies, checkVjp, customJvp, grad, remat } from "./index.ts";

beforeAll(() => {
  setDefaultBackend(referenceBackend());
});

describe("checkGrads", () => {
  const x = (): NDArray => fromTyped(Float64Array.of(0.3, -0.8), [2], "float64");
  test("accepts right derivatives, in trees, to third order, in single precision too", () => {
    checkGrads((p: { a: NDArray; n: NDArray }) => [lax.sin(lax.mul(p.a, p.a)), p.n], [{ a: x(), n: scalar(3, "int32") }], {
      order: 3,
    });
    checkGrads((v: NDArray) => lax.tanh(v), [fromTyped(Float32Array.of(0.3, -0.8), [2], "float32")]);
  });
  test("refuses wrong ones", () => {
    const wrong = customJvp((v: NDArray) => lax.sin(v));
    wrong.defjvp(([v], [dv]) => [wrong(v), lax.mul(dv, lax.sin(v))]);
    const f = (v: NDArray): NDArray => wrong(v);
    for (const check of [checkJvp, checkVjp, checkGrads]) expect(() => check(f, [x()])).toThrow(ValueError);
  });
});

describe("checkpoint policies", () => {
  const w = (): NDArray => fromTyped(Float64Array.of(1, 2, 3, 4), [2, 2], "float64");
  const f = (v: NDArray): NDArray =>
    lax.reduceSum(lax.sin(checkpointName(lax.exp(checkpointName(lax.dot(w(), v), "product")), "exponential")));
  const saved = (policy: (typeof checkpointPolicies)["dotsSaveable"]): string[] => {
    const kept: string[] = [];
    const g = checkpoint(f, {
      policy: (p, params) => policy(p, params) && (kept.push(p.name === "name" ? String(params["name"]) : p.name), true),
    });
    const x = fromTyped(Float64Array.of(0.1, 0.2), [2], "float64");
    expect(grad(g)(x).jsSync()).toEqual(grad(remat(f))(x).jsSync());
    return [...new Set(kept)].sort();
  };
  test("keep what they say", () => {
    const p = checkpointPolicies;
    expect(saved(p.nothingSaveable)).toEqual([]);
    expect(saved(p.dotsSaveable)).toEqual(["dot_general"]);
    expect(saved(p.dotsWithNoBatchDimsSaveable)).toEqual(["dot_general"]);
    expect(saved(p.saveOnlyTheseNames("product"))).toEqual(["product"]);
    expect(saved(p.saveAnyNamesButThese("product"))).toEqual(["exponential"]);
    expect(saved(p.saveFromBothPolicies(p.dotsSaveable, p.saveOnlyTheseNames("exponential")))).toEqual([
      "dot_general",
      "exponential",
    ]);
    expect(saved(p.everythingSaveable)).toContain("exp");
    expect(saved(p.saveAnythingExceptTheseNames("product"))).not.toContain("product");
  });
});
