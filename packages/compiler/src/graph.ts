import type { StandardDType } from "@traceform/core";
import { hostOperation } from "./host.ts";
import type { Origin } from "./program.ts";
import { sumProducts } from "./summedproducts.ts";

/**
 * The compiler's own form of a program, after legalisation: values are dense arrays of real standard dtypes, calls are
 * inlined, equal pure operations are merged. Operations keep the names and parameters of lax's primitives.
 */
export interface Value {
  readonly id: number;
  readonly shape: readonly number[];
  readonly dtype: StandardDType;
  readonly size: number;
  /** The node that computes it, or `null` for parameters of a block and for literals. */
  readonly node: Node | null;
  readonly out: number;
  /** A scalar known while compiling. */
  readonly literal: number | bigint | boolean | null;
}

export interface Node {
  readonly op: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly ins: readonly Value[];
  readonly outs: readonly Value[];
  /** Bodies of control flow, and the combining functions of general reductions. */
  readonly blocks: readonly Block[];
  /** Whether it does something beside computing its results: it is kept, once, and in its place. */
  readonly effect: boolean;
  /** Of equal ones, that of the first; null for what the compiler made by itself. */
  readonly origin: Origin | null;
}

/** A closed list of nodes in the order of execution. */
export interface Block {
  readonly params: readonly Value[];
  readonly nodes: readonly Node[];
  readonly outs: readonly Value[];
}

export interface TensorType {
  readonly shape: readonly number[];
  readonly dtype: StandardDType;
}

/**
 * The most operands whose concatenation is an expression, which chooses among all of them for each element and may meet limits on
 * the depth of expressions and the parameters of functions. Longer ones are copied operand by operand.
 */
const mostChosen = 64;

/** What a product with a softmax of a product becomes: see `attention.ts`. Its operands are all that its kernel reads. */
export const attentionOperation = "attention";

const emptyParams: Readonly<Record<string, unknown>> = {};
let nextId = 0;

function makeValue(type: TensorType, node: Node | null, out: number, literal: number | bigint | boolean | null): Value {
  return { id: nextId++, shape: type.shape, dtype: type.dtype, size: type.shape.reduce((a, b) => a * b, 1), node, out, literal };
}

/** Builds one block. */
export class BlockBuilder {
  readonly params: Value[] = [];
  readonly nodes: Node[] = [];
  /** Whether the target has 64-bit floats; otherwise values between that gain from them are float32. */
  readonly float64: boolean;
  #seen = new Map<string, readonly Value[]>();
  /** What the nodes that are added now are made for. */
  origin: Origin | null = null;

  constructor(float64 = true) {
    this.float64 = float64;
  }

  param(type: TensorType): Value {
    const v = makeValue(type, null, 0, null);
    this.params.push(v);
    return v;
  }

  literal(value: number | bigint | boolean, dtype: StandardDType): Value {
    const key = `lit:${dtype}:${typeof value}:${Object.is(value, -0) ? "-0" : String(value)}`;
    let found = this.#seen.get(key);
    if (found === undefined) this.#seen.set(key, (found = [makeValue({ shape: [], dtype }, null, 0, value)]));
    return found[0]!;
  }

  /** Adds a node, or returns the results of an equal one. */
  add(
    op: string,
    ins: readonly Value[],
    outs: readonly TensorType[],
    params: Readonly<Record<string, unknown>> = emptyParams,
    blocks: readonly Block[] = [],
    effect = false,
  ): readonly Value[] {
    if (op === "concatenate" && ins.length > mostChosen) op = "concatenate_each";
    // Functions cannot be compared by their text, so host steps are not merged either.
    const key =
      blocks.length > 0 || op === hostOperation
        ? null
        : `${op}(${ins.map((v) => v.id).join(",")})${JSON.stringify(params, jsonValue)}${outs.map((t) => t.dtype + t.shape.join("x")).join(";")}`;
    if (key !== null) {
      const seen = this.#seen.get(key);
      if (seen !== undefined) return seen;
    }
    const values: Value[] = [];
    const effects = effect || blocks.some((b) => b.nodes.some((n) => n.effect));
    const node: Node = { op, params, ins, outs: values, blocks, effect: effects, origin: this.origin };
    outs.forEach((t, i) => values.push(makeValue(t, node, i, null)));
    this.nodes.push(node);
    if (key !== null) this.#seen.set(key, values);
    return values;
  }

  /** Runs `fn`, whose nodes are not merged with equal ones outside. */
  apart<T>(fn: () => T): T {
    const outside = this.#seen;
    this.#seen = new Map();
    try {
      return fn();
    } finally {
      this.#seen = outside;
    }
  }

  /** An elementwise operation; rank-0 operands broadcast. */
  map(
    op: string,
    ins: readonly Value[],
    dtype: StandardDType = ins[ins.length - 1]!.dtype,
    params: Readonly<Record<string, unknown>> = emptyParams,
  ): Value {
    let shape: readonly number[] = [];
    for (const v of ins) if (v.shape.length > shape.length) shape = v.shape;
    return this.add(op, ins, [{ shape, dtype }], params)[0]!;
  }

  finish(outs: readonly Value[]): Block {
    return sumProducts(pruned({ params: this.params, nodes: this.nodes, outs }));
  }
}

function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  return typeof value === "function" ? undefined : value;
}

/** Drops the nodes that neither a result nor an effect needs. */
function pruned(block: Block): Block {
  const live = new Set<Node>();
  const stack: Node[] = [];
  const keep = (n: Node): void => {
    if (live.has(n)) return;
    live.add(n);
    stack.push(n);
  };
  const want = (v: Value): void => {
    if (v.node !== null) keep(v.node);
  };
  block.outs.forEach(want);
  for (const n of block.nodes) if (n.effect) keep(n);
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) node.ins.forEach(want);
  return { ...block, nodes: block.nodes.filter((n) => live.has(n)) };
}
