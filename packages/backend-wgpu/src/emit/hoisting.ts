import { type Axis, dependsOn, type Ex, type Nest, reachable, type Stage, stageRoots } from "@traceform/compiler";
import type { Values } from "./values.ts";

/** Computes values outside of the loops that do not change them. */
export class Hoisting {
  /** Bound by folds that run: what depends on them stays where it is. */
  readonly #running: ReadonlySet<Ex>;
  readonly #staying = new Map<Ex, boolean>();

  constructor(nest: Nest) {
    this.#running = new Set(nest.stages.filter((s) => s.scan).flatMap((s) => s.reductions.flatMap((r) => r.results)));
  }

  /** Computes here what does not change along the axes that are yet to be opened. */
  hoist(values: Values, stage: Stage, deeper: readonly Axis[]): void {
    if (deeper.length === 0) return;
    const roots = [...stageRoots(stage), ...stage.stores.flatMap((s) => s.index.terms.map((t) => t.atom))];
    for (const x of [...reachable(roots)].sort((a, b) => a.id - b.id))
      if (x.op !== "param" && !this.#stays(x) && !deeper.some((axis) => dependsOn(x, axis))) values.use(x);
  }

  /** Whether a value must be computed in the innermost loop: it is what a scan has reached, or memory that changes. */
  #stays(x: Ex): boolean {
    let stays = this.#staying.get(x);
    if (stays === undefined) {
      stays =
        x.pinned || this.#running.has(x) || [...x.args, ...(x.index?.terms.map((t) => t.atom) ?? [])].some((a) => this.#stays(a));
      this.#staying.set(x, stays);
    }
    return stays;
  }
}
