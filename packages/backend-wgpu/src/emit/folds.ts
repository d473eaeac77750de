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

  /** Names for values that others have. */
  read(texts: readonly string[]): string[] {
    return texts.map((text) => {
      const name = this.name("o");
      this.#values.line(`let ${name} = ${text};`);
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

  /**
   * Folds what the lanes of a workgroup have into what the first of them has, the second half into the first, and so on: it is in the memory
   * then. `lane` is the text of an invocation's own, and lanes are `stride` apart.
   */
  halve(
    list: readonly { readonly r: Reduction; readonly own: readonly string[]; readonly shared: readonly string[] }[],
    { lane, lanes, stride }: { readonly lane: string; readonly lanes: number; readonly stride: number },
  ): void {
    const values = this.#values;
    const publish = (): void =>
      list.forEach(({ own, shared }) => shared.forEach((name, k) => values.line(`${name}[local] = ${own[k]};`)));
    publish();
    values.line("workgroupBarrier();");
    values.block(`for (var half = ${lanes / 2}; half > 0; half >>= 1u) `, () => {
      values.block(`if (${lane} < half) `, () => {
        for (const { r, own, shared } of list)
          this.combine(r, own, this.read(shared.map((name) => `${name}[i32(local) + half * ${stride}]`)));
        publish();
      });
      values.line("workgroupBarrier();");
    });
  }
}
