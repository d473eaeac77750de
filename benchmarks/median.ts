/** The middle one of some numbers; the upper of two. */
export const median = (xs: readonly number[]): number => xs.toSorted((a, b) => a - b)[xs.length >> 1];
