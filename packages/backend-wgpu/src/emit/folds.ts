import type { Reduction } from "@traceform/compiler";
import type { Values } from "./values.ts";

/** Writes folds: their accumulators, and how values are folded into them. */
export class Folds {
  readonly #values: Values;
  #names = 0;

  constructor(values: Values) {
    this.#values = values;
  }

  name(prefix: string): string {
    return `${prefix}${this.#names++}`;
  }

  /** Variables for the results of a fold, holding its initial values. */
  start(r: Reduction): string[] {
    return r.init.map((x) => {
      const name = this.name("f");
      const init = this.#values.use(x);
      this.#values.line(`var ${name}: ${this.#values.typeOf(x)} = ${init};`);
      return name;
    });
  }

  /** Folds `right` into accumulators. All results are computed before any is assigned. */
  combine(r: Reduction, accumulators: readonly string[], right: readonly string[]): void {
    this.join(r, accumulators, right, accumulators);
  }
  /** Sets variables to the fold of what is left and what is right. */
  join(r: Reduction, left: readonly string[], right: readonly string[], to: readonly string[]): void {
    const values = this.#values;
    values.block("", () => {
      r.left.forEach((x, i) => values.bind(x, left[i]));
      r.right.forEach((x, i) => values.bind(x, right[i]));
      const next = r.combined.map((x) => {
        const name = this.name("n");
        const value = values.use(x);
        values.line(`let ${name} = ${value};`);
        return name;
      });
      next.forEach((name, i) => values.line(`${to[i]} = ${name};`));
    });
  }
}
