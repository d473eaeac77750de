import type { Ex, Exprs } from "../expr.ts";

const rotations: readonly (readonly number[])[] = [
  [13, 15, 26, 6],
  [17, 29, 16, 24],
];

/**
 * The Threefry-2x32 block cipher, 20 rounds, on i32 words.
 * @see Salmon, Moraes, Dror & Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3"
 */
export function threefry(e: Exprs, k1: Ex, k2: Ex, x1: Ex, x2: Ex): readonly [Ex, Ex] {
  const keys = [k1, k2, e.xor(e.xor(k1, k2), e.i32(0x1bd11bda))];
  let a = e.add(x1, keys[0]);
  let b = e.add(x2, keys[1]);
  for (let round = 0; round < 5; round++) {
    for (const r of rotations[round % 2]) {
      a = e.add(a, b);
      b = e.xor(a, e.or(e.shl(b, r), e.shrU(b, 32 - r)));
    }
    a = e.add(a, keys[(round + 1) % 3]);
    b = e.add(e.add(b, keys[(round + 2) % 3]), e.i32(round + 1));
  }
  return [a, b];
}
