/**
 * `using s = arrayScope()` disposes at the end of the block of every array that was made inside it, except those
 * that `s.keep(tree)` names.
 */
export interface ArrayScope extends Disposable {
  keep<T>(value: T): T;
}

interface Member {
  dispose(): void;
}

class Scope implements ArrayScope {
  readonly #parent: Scope | null;
  readonly #members = new Set<Member>();

  constructor(parent: Scope | null) {
    this.#parent = parent;
  }
  add(x: Member): void {
    this.#members.add(x);
  }
  keep<T>(value: T): T {
    const visit = (node: unknown): void => {
      if (node === null || typeof node !== "object") return;
      if (this.#members.delete(node as Member)) {
        this.#parent?.add(node as Member);
      } else if (Array.isArray(node)) node.forEach(visit);
      else if (!ArrayBuffer.isView(node) && !("aval" in node)) Object.values(node).forEach(visit);
    };
    visit(value);
    return value;
  }
  [Symbol.dispose](): void {
    if (current === this) current = this.#parent;
    for (const x of this.#members) x.dispose();
    this.#members.clear();
  }
}

let current: Scope | null = null;

/** Opens a scope that ends with the block: arrays made until then are disposed of, unless kept. */
export function arrayScope(): ArrayScope {
  return (current = new Scope(current));
}

/** @internal */
export function currentScope(): Scope | null {
  return current;
}
