import type { Tensor } from "./cases.ts";

/** One library's version of one case, inputs already in its memory. */
export interface Side {
  /** Computes the result once, to the end. */
  run(): unknown;
  /** The values of the result, flat. */
  result(): Promise<ArrayLike<number>>;
}

export type Setup = (inputs: Readonly<Record<string, Tensor>>) => Side | Promise<Side>;

export interface Library {
  readonly name: string;
  /** Native code is reported but is no peer for the ratio. */
  readonly native: boolean;
  /** Cases by name; what is not here is printed as missing. */
  readonly cases: Readonly<Record<string, Setup>>;
  /** Resolves when all that runs have begun is done; missing where a run ends when it returns, or resolves. */
  readonly settle?: () => Promise<unknown>;
}
