import { learning } from "./published/learning.ts";
import { matrices } from "./published/matrices.ts";
import { optimisation } from "./published/optimisation.ts";
import { physics } from "./published/physics.ts";
import type { Published } from "./published/case.ts";

export { type Argument, type Published, toArray } from "./published/case.ts";

/** Functions of the literature with known derivatives, each with its source. */
export function published(): Published[] {
  return [...optimisation(), ...matrices(), ...learning(), ...physics()];
}
