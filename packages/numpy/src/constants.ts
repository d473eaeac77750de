/** π. */
export const pi: number = Math.PI;
/** Euler's number. */
export const e: number = Math.E;
/** Positive infinity. */
export const inf: number = Infinity;
/** Not a number. */
export const nan: number = NaN;
/** The Euler–Mascheroni constant. */
export const eulerGamma = 0.5772156649015329;
/** In an index: a new axis of size 1. */
export const newaxis: null = null;
