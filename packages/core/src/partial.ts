import { pytreeNode, type PytreeNode } from "./pytree.ts";

/**
 * A function with its first arguments already given, as a pytree: the arguments are children, the function is part of
 * the structure. So a closure over arrays can go through transformations as an argument.
 *
 * @example
 * ```ts
 * const f = new Partial((a: number, b: number) => a + b, 1);
 * f.call(2) // => 3
 * ```
 */
export class Partial<A extends readonly unknown[], B extends readonly unknown[], R> {
  static {
    const node: PytreeNode<Partial<readonly unknown[], readonly unknown[], unknown>> = {
      flatten: (p) => [p.args, p.fn],
      unflatten: (fn, args) => new Partial(fn as (...xs: unknown[]) => unknown, ...args),
    };
    // Declared so, because a symbol as a member's name is more than isolatedDeclarations can write down.
    Object.defineProperty(this, pytreeNode, { value: node });
  }
  readonly fn: (...args: [...A, ...B]) => R;
  readonly args: A;

  constructor(fn: (...args: [...A, ...B]) => R, ...args: A) {
    this.fn = fn;
    this.args = args;
  }
  call(...rest: B): R {
    return this.fn(...this.args, ...rest);
  }
}
