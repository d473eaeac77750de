/** The letters of one operand or result of a contraction. */
export type Letters = string;

/** Pairs of positions in the list of operands: each pair is removed and its result put at the end. */
export type ContractionPath = readonly (readonly number[])[];

/** `auto` is optimal up to six operands and greedy beyond. */
export type PathStrategy = "auto" | "optimal" | "greedy";

/** Letters that a pair's contraction keeps: those of other operands and of the output. */
function kept(pair: ReadonlySet<string>, others: readonly Letters[], output: Letters): string {
  return [...pair].filter((c) => output.includes(c) || others.some((o) => o.includes(c))).join("");
}

function volume(letters: Iterable<string>, sizes: ReadonlyMap<string, number>): number {
  let v = 1;
  for (const c of letters) v *= sizes.get(c)!;
  return v;
}

/**
 * The order in which to contract operands pairwise. Optimal: fewest multiplications over all orders (dynamic
 * programming over subsets). Greedy: the pair whose result shrinks memory most, then the cheapest.
 *
 * @see Smith & Gray (2018), "opt_einsum: a Python package for optimizing contraction order"
 */
export function contractionPath(
  operands: readonly Letters[],
  output: Letters,
  sizes: ReadonlyMap<string, number>,
  strategy: PathStrategy = "auto",
): ContractionPath {
  if (operands.length <= 2) return [operands.map((_, i) => i)];
  if (strategy === "optimal" || (strategy === "auto" && operands.length <= 6)) return optimal(operands, output, sizes);
  return greedy(operands, output, sizes);
}

interface Best {
  readonly cost: number;
  readonly letters: string;
  /** Subsets (bit masks) whose contraction is the last step; 0 for single operands. */
  readonly split: readonly [number, number];
}

function optimal(operands: readonly Letters[], output: Letters, sizes: ReadonlyMap<string, number>): ContractionPath {
  const n = operands.length;
  const full = (1 << n) - 1;
  const best = new Map<number, Best>();
  operands.forEach((letters, i) => best.set(1 << i, { cost: 0, letters, split: [0, 0] }));
  const outside = (mask: number): Letters[] => operands.filter((_, i) => (mask & (1 << i)) === 0);
  for (let mask = 1; mask <= full; mask++) {
    if (best.has(mask)) continue;
    let found: Best | undefined;
    for (let a = (mask - 1) & mask; a > 0; a = (a - 1) & mask) {
      const b = mask ^ a;
      if (a < b) continue;
      const [x, y] = [best.get(a)!, best.get(b)!];
      const pair = new Set(x.letters + y.letters);
      const cost = x.cost + y.cost + volume(pair, sizes);
      if (found === undefined || cost < found.cost) found = { cost, letters: kept(pair, outside(mask), output), split: [a, b] };
    }
    best.set(mask, found!);
  }
  // The tree of splits, replayed as positions in the shrinking list.
  const path: number[][] = [];
  const list = operands.map((_, i) => 1 << i);
  const replay = (mask: number): void => {
    const { split } = best.get(mask)!;
    if (split[0] === 0) return;
    replay(split[0]);
    replay(split[1]);
    const pair = split.map((s) => list.indexOf(s)).sort((p, q) => p - q);
    path.push(pair);
    list.splice(pair[1], 1);
    list.splice(pair[0], 1);
    list.push(mask);
  };
  replay(full);
  return path;
}

function greedy(operands: readonly Letters[], output: Letters, sizes: ReadonlyMap<string, number>): ContractionPath {
  const list = [...operands];
  const path: number[][] = [];
  while (list.length > 2) {
    let best: { score: readonly [number, number]; pair: [number, number]; letters: string } | undefined;
    for (let i = 0; i < list.length; i++) {
      for (let j = i + 1; j < list.length; j++) {
        const union = new Set(list[i] + list[j]);
        const others = list.filter((_, k) => k !== i && k !== j);
        const letters = kept(union, others, output);
        const growth = volume(letters, sizes) - volume(list[i], sizes) - volume(list[j], sizes);
        const score = [growth, volume(union, sizes)] as const;
        const better = best === undefined || score[0] < best.score[0] || (score[0] === best.score[0] && score[1] < best.score[1]);
        if (better) best = { score, pair: [i, j], letters };
      }
    }
    const { pair, letters } = best!;
    path.push(pair);
    list.splice(pair[1], 1);
    list.splice(pair[0], 1);
    list.push(letters);
  }
  path.push(list.map((_, i) => i));
  return path;
}
