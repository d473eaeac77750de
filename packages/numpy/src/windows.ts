import type { NDArray } from "@traceform/core";
import { fromTyped } from "@traceform/core";

// Window functions of signal processing. They depend on sizes only, so they are computed here in double precision.

function table(m: number, value: (i: number) => number): NDArray {
  return fromTyped(
    m === 1 ? Float32Array.of(1) : Float32Array.from({ length: Math.max(0, m) }, (_, i) => value(i)),
    [Math.max(0, m)],
    "float32",
  );
}

/** The triangular window of m points with zeros at the ends. */
export function bartlett(m: number): NDArray {
  return table(m, (i) => 1 - Math.abs((2 * i - (m - 1)) / (m - 1)));
}
/** The Blackman window of m points. */
export function blackman(m: number): NDArray {
  return table(m, (i) => 0.42 - 0.5 * Math.cos((2 * Math.PI * i) / (m - 1)) + 0.08 * Math.cos((4 * Math.PI * i) / (m - 1)));
}
/** The Hamming window of m points. */
export function hamming(m: number): NDArray {
  return table(m, (i) => 0.54 - 0.46 * Math.cos((2 * Math.PI * i) / (m - 1)));
}
/** The Hann window of m points. */
export function hanning(m: number): NDArray {
  return table(m, (i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / (m - 1)));
}
export { hanning as hann };
/** The Kaiser window of m points; larger `beta` is narrower. */
export function kaiser(m: number, beta: number): NDArray {
  return table(m, (i) => bessel0(beta * Math.sqrt(Math.max(0, 1 - ((2 * i) / (m - 1) - 1) ** 2))) / bessel0(beta));
}

/** The modified Bessel function I0, by its power series: all terms are positive, so it is accurate. */
function bessel0(x: number): number {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > sum * 1e-17; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}
