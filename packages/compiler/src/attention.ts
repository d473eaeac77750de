import { axisIndex } from "./affine.ts";
import { freeDims, type DotNumbers, dotOperands } from "./dot.ts";
import { elementRules } from "./elementwise.ts";
import { type Axis, type Ex, type Index, indexKey } from "./expr.ts";
import { readersOf } from "./fuse.ts";
import { attentionOperation, type Block, type Node, type Value } from "./graph.ts";
import type { GroupDraft } from "./group.ts";
import { KernelBuilder } from "./kernels.ts";
import { extentOf } from "./nest.ts";
import type { Attention, Target } from "./program.ts";
import { roundToDType, scalarInfo } from "./scalars.ts";
import { dependsOn } from "./schedule.ts";
import { type Scope, whole } from "./scope.ts";
import { inlineRule } from "./views.ts";

// Attention in one kernel: a product whose left operand is the softmax of another product, whatever was done to that before. The matrix
// of scores, which is larger than all else, then never is in memory.

/** The values of the graph that the kernel computes by itself, as far as they are spoken of. */
interface Parts {
  /** The products of queries and keys. */
  readonly products: Value;
  /** What the softmax is of: scaled, masked. */
  readonly logits: Value;
  /** The softmax, and the same as the operand of the second product. */
  readonly softmax: Value;
  readonly weights: Value;
  readonly values: Value;
}

/** Fewer rows, or keys, would leave most of a tile empty. */
const fewest = 8;

/** The block with attention as operations, where the target has a kernel for it. */
export function attend(block: Block, target: Target): Block {
  if (target.attentionColumns === 0) return block;
  for (const node of block.nodes) {
    // In place, because values know their nodes.
    if (node.blocks.length > 0) Object.assign(node, { blocks: node.blocks.map((b) => attend(b, target)) });
  }
  const readers = readersOf(block);
  const gone = new Set<Node>();
  for (const node of block.nodes) {
    const found = node.op === "dot_general" ? match(node, target) : null;
    if (found === null) continue;
    const { parts, inside } = found;
    const only = (v: Value): boolean =>
      !block.outs.includes(v) && (readers.get(v) ?? []).every((reader) => reader === node || inside.has(reader));
    if (![...inside].every((n) => n.outs.every(only))) continue;
    const read = [...inside, node]
      .flatMap((n) => n.ins)
      .filter((v) => v.literal === null && !(v.node !== null && inside.has(v.node)));
    Object.assign(node, { op: attentionOperation, ins: [...new Set(read)], params: { ...node.params, ...parts } });
    for (const n of inside) gone.add(n);
  }
  return gone.size === 0 ? block : { ...block, nodes: block.nodes.filter((n) => !gone.has(n)) };
}

const sameElements: ReadonlySet<string> = new Set(["reshape", "squeeze", "transpose", "convert_element_type"]);
const alongAxis: ReadonlySet<string> = new Set([...sameElements, "broadcast_in_dim"]);

/** The product as attention, with the nodes between its operands and itself; null if it is something else. */
function match(node: Node, target: Target): { readonly parts: Parts; readonly inside: ReadonlySet<Node> } | null {
  const inside = new Set<Node>();
  /** What a chain of such operations begins with. */
  const origin = (v: Value, ops: ReadonlySet<string>): Value => {
    while (v.node !== null && ops.has(v.node.op)) {
      inside.add(v.node);
      v = v.node.ins[0];
    }
    return v;
  };
  /** The operands of the node behind a value, if it is such a one. */
  const operands = (v: Value, op: string): readonly Value[] | null => {
    if (v.node?.op !== op) return null;
    inside.add(v.node);
    return v.node.ins;
  };
  const [weights, values] = node.ins;
  const softmax = origin(weights, sameElements);
  const quotient = operands(softmax, "div");
  if (quotient === null) return null;
  const [powers, totals] = quotient;
  const total = origin(totals, alongAxis);
  const summed = operands(total, "reduce_sum");
  const difference = operands(powers, "exp");
  if (summed === null || difference === null || origin(summed[0], sameElements) !== powers) return null;
  const shifted = operands(difference[0], "sub");
  if (shifted === null) return null;
  const [logits, mosts] = shifted;
  const most = origin(mosts, alongAxis);
  const folded = operands(most, "reduce_max");
  if (folded === null || origin(folded[0], sameElements) !== logits) return null;
  const product = onlyProduct(logits, inside);
  if (product === null) return null;
  const parts: Parts = { products: product.outs[0], logits, softmax, weights, values };
  const floats = [softmax, powers, logits, ...node.ins, ...node.outs, ...product.ins, ...product.outs];
  if (!floats.every((v) => scalarInfo(v.dtype).kind === "float" && scalarInfo(v.dtype).type === "f32")) return null;
  return fits(node, parts, inside, { totals, total, mosts, most }, target) ? { parts, inside } : null;
}

/** The one product that a value is made of, elementwise; null where there are several. The nodes on the way come to `inside`. */
function onlyProduct(value: Value, inside: Set<Node>): Node | null {
  const found = new Set<Node>();
  const known = new Map<Value, boolean>();
  const leads = (v: Value): boolean => {
    let does = known.get(v);
    if (does === undefined) {
      const { node } = v;
      if (node?.op === "dot_general") {
        found.add(node);
        does = true;
      } else does = node !== null && inlineRule(node.op) !== undefined && node.ins.map(leads).includes(true);
      if (does) inside.add(node!);
      known.set(v, does);
    }
    return does;
  };
  return leads(value) && found.size === 1 ? [...found][0] : null;
}

/**
 * Whether rows, keys and columns are what they seem to be: what has been matched is names of operations, which may have met other
 * axes. The kernel is built once on memory that there is not, and its expressions tell.
 */
function fits(
  node: Node,
  parts: Parts,
  inside: ReadonlySet<Node>,
  { totals, total, mosts, most }: Record<"totals" | "total" | "mosts" | "most", Value>,
  target: Target,
): boolean {
  const { lhsContract } = node.params["dimensionNumbers"] as DotNumbers;
  if (lhsContract.length !== 1) return false;
  const k = new KernelBuilder(() => undefined, target);
  const outside = (v: Value, position: readonly Index[]): Ex | null =>
    v.node !== null && inside.has(v.node)
      ? null
      : k.load(v, whole({ id: v.id, bytes: 0, kind: "temporary", position: -1, threadBytes: 0 }), position);
  const { axes, position } = k.axes(node.outs[0].shape);
  const built = build(k, node, parts, axes, position, outside);
  if (built === null) return false;
  const { rows, keys, columns, a, b, score, value, at } = built;
  if (extentOf(rows) < fewest || extentOf(keys) < fewest || extentOf(columns) > target.attentionColumns) return false;
  const free = (x: Ex, ...lists: readonly (readonly Axis[])[]): boolean => !lists.flat().some((axis) => dependsOn(x, axis));
  if (!free(a, keys, columns) || !free(b, rows, columns) || !free(score, columns) || !free(value, rows)) return false;
  // Sums and extremes are those of the row, along the keys.
  const along = keyDimension(at, keys);
  return (
    along !== null &&
    [
      [totals, total],
      [mosts, most],
    ].every(([spread, folded]) => {
      const axesOf = folded.node!.params["axes"] as readonly number[];
      if (axesOf.length !== 1 || axesOf[0] !== along) return false;
      const place = placeOf(k, spread, at, folded, outside);
      return place !== null && samePosition(place, at.toSpliced(along, 1));
    })
  );
}

/** The dimension of a position that is the keys, all of them and nothing else. */
function keyDimension(at: readonly Index[], keys: readonly Axis[]): number | null {
  const found = at.flatMap(({ c, terms }, i) =>
    c === 0 && terms.length === 1 && terms[0].coef === 1 && terms[0].atom.axis === keys[0] ? [i] : [],
  );
  return found.length === 1 ? found[0] : null;
}
const samePosition = (a: readonly Index[], b: readonly Index[]): boolean =>
  a.length === b.length && a.every((x, i) => indexKey(x) === indexKey(b[i]));

type Intercept = (value: Value, position: readonly Index[]) => Ex | null;

/** Reads a value while others are read elsewhere. */
function reading(k: KernelBuilder, value: Value, position: readonly Index[], intercept: Intercept): Ex {
  const before = k.intercept;
  k.intercept = (v, p) => intercept(v, p) ?? before?.(v, p) ?? null;
  try {
    return k.read(value, position, null);
  } finally {
    k.intercept = before;
  }
}

/** Where `inner` is read to make an element of a value; null if at several places. */
function placeOf(
  k: KernelBuilder,
  value: Value,
  position: readonly Index[],
  inner: Value,
  outside: Intercept,
): readonly Index[] | null {
  const found: (readonly Index[])[] = [];
  reading(k, value, position, (v, p) => {
    if (v !== inner) return outside(v, p);
    if (!found.some((q) => samePosition(p, q))) found.push(p);
    return k.e.param("f32");
  });
  return found.length === 1 ? found[0] : null;
}

interface Built extends Pick<
  Attention,
  "batches" | "rows" | "keys" | "columns" | "depth" | "a" | "b" | "product" | "score" | "value"
> {
  /** Where the softmax is read. */
  readonly at: readonly Index[];
}

/** The expressions of the kernel. `outside` reads what is not computed by it. */
function build(
  k: KernelBuilder,
  node: Node,
  { products, logits, softmax, weights, values }: Parts,
  axes: readonly Axis[],
  position: readonly Index[],
  outside: Intercept,
): Built | null {
  const { e } = k;
  const d = node.params["dimensionNumbers"] as DotNumbers;
  const nb = d.lhsBatch.length;
  const rowDims = freeDims(weights.shape.length, d.lhsContract, d.lhsBatch).length;
  const key = e.axis(weights.shape[d.lhsContract[0]]);
  const operands = dotOperands(weights, values, d);
  const [left, right] = operands(position, [axisIndex(e, key)]);
  const at = placeOf(k, weights, left, softmax, outside);
  if (at === null) return null;
  const product = e.param("f32");
  let place: readonly Index[] | null = null;
  let several = false;
  const score = reading(k, logits, at, (v, p) => {
    if (v !== products) return outside(v, p);
    several ||= place !== null && !samePosition(place, p);
    place = p;
    return roundToDType(e, products.dtype, product);
  });
  if (place === null || several) return null;
  const first = products.node!;
  const numbers = first.params["dimensionNumbers"] as DotNumbers;
  const { axes: depth, position: deep } = k.axes(numbers.lhsContract.map((i) => first.ins[0].shape[i]));
  const [p, q] = dotOperands(first.ins[0], first.ins[1], numbers)(place, deep);
  const [x, y] = [reading(k, first.ins[0], p, outside), reading(k, first.ins[1], q, outside)];
  const value = reading(k, values, right, outside);
  const lists = {
    batches: axes.slice(0, nb),
    rows: axes.slice(nb, nb + rowDims),
    columns: axes.slice(nb + rowDims),
    keys: [key],
    depth,
  };
  // Queries do not depend on the keys; the product may have been written either way.
  const [a, b] = dependsOn(x, key) ? [y, x] : [x, y];
  return { ...lists, a, b, product, score, value, at };
}

/** Emits the kernel. What is done next with its elements joins it. */
export function lowerAttention(scope: Scope, node: Node): void {
  const [out] = node.outs;
  let built: Built | null = null;
  let result: Pick<Attention, "total" | "most" | "logit" | "weight"> | null = null;
  const none: Intercept = () => null;
  const element = (k: KernelBuilder, position: readonly Index[]): Ex => {
    const { e } = k;
    const axes = position.map((p) => p.terms[0]?.atom.axis ?? e.axis(1));
    built = build(k, node, node.params as unknown as Parts, axes, position, none);
    const [total, most, logit] = [0, 1, 2].map(() => e.param("f32"));
    const context = { dtypes: ["float32"], out: "float32", params: {} } as const;
    // Nothing of what a mask has taken out; and before the first of a row there was nothing.
    const weight = e.select(e.eq(logit, e.f32(-Infinity)), e.f32(0), elementRules["exp"](e, [e.sub(logit, most)], context));
    result = { total, most, logit, weight };
    return roundToDType(e, out.dtype, total);
  };
  scope.begin(
    out,
    scope.target(out),
    element,
    true,
    ({ builder, name, stages }: GroupDraft) => {
      const joined = name.split(".").filter((part) => part !== "store");
      const { batches, rows, keys, columns, depth, a, b, product, score, value } = built!;
      const elements = [batches, rows].flat().concat(columns);
      const kernel: Attention = {
        kind: "attention",
        e: builder.e,
        name: [attentionOperation, ...joined].join("."),
        batches,
        rows,
        keys,
        columns,
        depth,
        a,
        b,
        product,
        score,
        value,
        ...result!,
        stages,
        slots: builder.slots.length,
        flops: 2 * extentOf([...batches, ...rows, ...keys]) * (extentOf(depth) + extentOf(columns)) + extentOf(elements),
      };
      scope.launch(kernel, builder.slots);
    },
    { rows: false },
  );
}
