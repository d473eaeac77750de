/**
 * Whether what a buffer holds came to be. Errors of WebGPU are known only later, so they belong to the results: whoever reads one
 * is told. `null` stands for work of which no harm is known.
 */
export class Outcome {
  failure: unknown = null;
  /** Null when it is known. */
  settled: Promise<void> | null;

  constructor(work: Promise<void>) {
    this.settled = work.then(
      () => void (this.settled = null),
      (error: unknown) => {
        this.failure = error;
        this.settled = null;
      },
    );
  }

  /** @throws the failure, once it is known */
  async check(): Promise<void> {
    await this.settled;
    if (this.failure !== null) throw this.failure;
  }
}

/** The outcome of work that needs others to have gone well; null when all are known to have. */
export function joinOutcomes(outcomes: Iterable<Outcome | null>): Outcome | null {
  const open = [...new Set(outcomes)].filter((o): o is Outcome => o !== null && (o.settled !== null || o.failure !== null));
  if (open.length < 2) return open[0] ?? null;
  return new Outcome(Promise.all(open.map((o) => o.check())).then(() => undefined));
}
