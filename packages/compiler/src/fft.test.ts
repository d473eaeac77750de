import { describe, expect, test } from "vitest";
import { planFft } from "./fft-plan.ts";
import { chirpSpectrum, rootOfUnity, rootsOfUnity } from "./fft-roots.ts";

const never = (): boolean => false;
const product = (list: readonly number[]): number => list.reduce((a, b) => a * b, 1);

describe("plans", () => {
  test("radices multiply to the length, for every length and with anything beside it", () => {
    for (let n = 1; n <= 3000; n++) {
      for (const inner of [1, 3, 64]) {
        const plan = planFft(n, inner, never);
        if (plan.kind === "columns") expect(product(plan.radices)).toBe(n);
        else if (plan.kind === "matrix") expect(product(plan.first) * product(plan.second)).toBe(n);
        else expect(plan.size).toBeGreaterThanOrEqual(2 * n - 1);
      }
    }
  });
  test("only large primes go through a chirp", () => {
    expect(planFft(10007, 1, never)).toEqual({ kind: "chirp", size: 32768 });
    for (const n of [3 ** 10, 1000, 1001, 44100, 65536]) expect(planFft(n, 1, never).kind).toBe("matrix");
  });
  test("a matrix has long rows in both phases", () => {
    const plan = planFft(65536, 1, never);
    expect(plan.kind === "matrix" && [product(plan.first), product(plan.second)]).toEqual([256, 256]);
  });
  test("where elements collide in the cache, the first and the last radix are small", () => {
    for (const [n, inner] of [
      [65536, 1],
      [1024, 1024],
      [2 ** 15 * 3, 1],
    ]) {
      const plan = planFft(n, inner, () => true);
      const radices = plan.kind === "columns" ? plan.radices : plan.kind === "matrix" ? [...plan.first, ...plan.second] : [];
      expect(product(radices)).toBe(n);
      expect([radices[0] <= 4, radices.at(-1)! <= 4]).toEqual([true, true]);
    }
  });
});

describe("roots of unity", () => {
  test("lie on the circle, and mirror images are equal", () => {
    for (const n of [1, 2, 3, 4, 5, 6, 7, 8, 12, 20, 63, 100, 1000, 4096]) {
      const { re, im } = rootsOfUnity(n);
      for (let k = 0; k < n; k++) {
        expect(Math.abs(Math.hypot(re[k], im[k]) - 1)).toBeLessThan(3e-16);
        const [c, s] = rootOfUnity(k, n);
        expect([re[k] + 0, im[k] + 0]).toEqual([c + 0, s + 0]);
        expect(Math.abs(c - Math.cos((2 * Math.PI * k) / n)) + Math.abs(s + Math.sin((2 * Math.PI * k) / n))).toBeLessThan(2e-15);
      }
    }
    expect(rootOfUnity(1, 8)[0]).toBe(-rootOfUnity(1, 8)[1]);
    expect(rootOfUnity(5, 12).map(Math.abs)).toEqual(rootOfUnity(1, 12).map(Math.abs));
  });
  test("the chirp's filter undoes the chirp: it sums to its first element", () => {
    const [n, size] = [5, 16];
    const { re, im } = chirpSpectrum(n, size);
    // The inverse transform at 0 is the conjugate chirp at 0, which is 1; the filter is divided by its length already.
    expect(re.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 14);
    expect(im.reduce((a, b) => a + b, 0)).toBeCloseTo(0, 14);
  });
});
