import { flattenIndex } from "./affine.ts";
import { Exprs, type Ex, type Index } from "./expr.ts";
import type { Node, Value } from "./graph.ts";
import { convertElement } from "./convert.ts";
import { storing } from "./kernels.ts";
import type { Scope } from "./scope.ts";
import type { RoutineKernel, View } from "./program.ts";
import type { Routine, Statement } from "./routine.ts";
import { scalarInfo } from "./scalars.ts";

/**
 * A key whose unsigned order is the order of the values: NaN last, -0 equal to 0. Sorting then needs one routine for
 * each width and no comparison function.
 */
export function orderKey(e: Exprs, value: Value, x: Ex): Ex {
  const { kind, type } = scalarInfo(value.dtype);
  if (kind === "bool") return e.convert("from_bool", "i32", x);
  if (kind === "uint") return x;
  const bits = type === "f32" || type === "i32" ? "i32" : "i64";
  const top = e.constant(bits, bits === "i32" ? -0x80000000 : -(1n << 63n));
  if (kind === "int") return e.xor(x, top);
  const zero = e.constant(type, 0);
  const raw = e.bitcast(bits, e.select(e.eq(x, zero), zero, x));
  const flipped = e.select(e.lt(raw, e.constant(bits, 0)), e.not(raw), e.xor(raw, top));
  return e.select(e.ne(x, x), e.constant(bits, -1), flipped);
}

/**
 * Stable sort of permutations by keys: `perm` of each row of `n` is reordered so that `keys[perm]` ascends (unsigned).
 * Short rows by insertion; long ones by a least-significant-digit radix sort, eight bits a pass, skipping passes in
 * which all keys share the digit.
 *
 * Slots: 0 keys, 1 perm, 2 scratch permutation, 3 256 counters for the call.
 */
function sortRoutine(rows: number, n: number, wide: boolean): Routine {
  const e = new Exprs();
  const i32 = (v: number): Ex => e.i32(v);
  const variables: Ex[] = [];
  const variable = (type: "i32" | "i64" = "i32"): Ex => {
    const v = e.param(type);
    variables.push(v);
    return v;
  };
  const begin = e.param("i32");
  const end = e.param("i32");
  const keyType = wide ? "i64" : "i32";
  const row = variable();
  const base = variable();
  const set = (v: Ex, value: Ex): Statement => ({ kind: "set", variable: v, value });
  const load = (v: Ex, slot: number, position: Ex): Statement => ({
    kind: "load",
    variable: v,
    slot,
    storage: v.type === "i64" ? "i64" : "i32",
    position,
  });
  const store = (slot: number, position: Ex, value: Ex): Statement => ({ kind: "store", slot, storage: "i32", position, value });
  const loop = (v: Ex, from: Ex, to: Ex, body: readonly Statement[]): Statement => ({ kind: "for", variable: v, from, to, body });

  const insertion = (): Statement[] => {
    const [i, j, p, q, go] = [variable(), variable(), variable(), variable(), variable()];
    const [key, other] = [variable(keyType), variable(keyType)];
    return [
      loop(i, i32(1), i32(n), [
        load(p, 1, e.add(base, i)),
        load(key, 0, e.add(base, p)),
        set(j, i),
        {
          kind: "while",
          condition: [
            set(go, i32(0)),
            {
              kind: "if",
              test: e.gt(j, i32(0)),
              otherwise: [],
              then: [
                load(q, 1, e.add(base, e.sub(j, i32(1)))),
                load(other, 0, e.add(base, q)),
                { kind: "if", test: e.compare("gt_u", other, key), then: [set(go, i32(1))], otherwise: [] },
              ],
            },
          ],
          test: e.ne(go, i32(0)),
          body: [store(1, e.add(base, j), q), set(j, e.sub(j, i32(1)))],
        },
        store(1, e.add(base, j), p),
      ]),
    ];
  };

  const radixPass = (shift: number, from: number, to: number): Statement[] => {
    const [i, p, digit, count, sum, largest] = [variable(), variable(), variable(), variable(), variable(), variable()];
    const key = variable(keyType);
    const digitOf = (): Statement => {
      const shifted = e.op("shr_u", keyType, [key, e.constant(keyType, shift)]);
      const low = wide ? e.op("wrap", "i32", [shifted]) : shifted;
      return set(digit, e.and(low, i32(255)));
    };
    return [
      loop(i, i32(0), i32(256), [store(3, i, i32(0))]),
      set(largest, i32(0)),
      loop(i, i32(0), i32(n), [
        load(key, 0, e.add(base, i)),
        digitOf(),
        load(count, 3, digit),
        set(count, e.add(count, i32(1))),
        store(3, digit, count),
        { kind: "if", test: e.gt(count, largest), then: [set(largest, count)], otherwise: [] },
      ]),
      {
        kind: "if",
        test: e.eq(largest, i32(n)),
        // All keys share this digit: the order stays.
        then: [loop(i, i32(0), i32(n), [load(p, from, e.add(base, i)), store(to, e.add(base, i), p)])],
        otherwise: [
          set(sum, i32(0)),
          loop(i, i32(0), i32(256), [load(count, 3, i), store(3, i, sum), set(sum, e.add(sum, count))]),
          loop(i, i32(0), i32(n), [
            load(p, from, e.add(base, i)),
            load(key, 0, e.add(base, p)),
            digitOf(),
            load(count, 3, digit),
            store(to, e.add(base, count), p),
            store(3, digit, e.add(count, i32(1))),
          ]),
        ],
      },
    ];
  };

  const body: Statement[] = [];
  if (n <= 64) body.push(...insertion());
  else
    for (let shift = 0; shift < (wide ? 64 : 32); shift += 16) body.push(...radixPass(shift, 1, 2), ...radixPass(shift + 8, 2, 1));
  return {
    begin,
    end,
    tasks: rows,
    chunk: Math.max(1, Math.floor((1 << 15) / Math.max(1, n))),
    variables,
    body: [loop(row, begin, end, [set(base, e.mul(row, i32(n))), ...body])],
  };
}

/** The permutation that sorts each row along `dim` by the keys, the first key foremost; dense, `dim` last. */
function argsort(scope: Scope, keys: readonly Value[], dim: number, descending: boolean): View {
  const { shape } = keys[0];
  const n = shape[dim];
  const outer = shape.filter((_, i) => i !== dim);
  const rows = outer.reduce((a, b) => a * b, 1);
  const rowShape = [...outer, n];
  const { lowering } = scope;
  const perm = lowering.temporary(rows * n * 4);
  const scratch = lowering.temporary(rows * n * 4);
  const counters = lowering.temporary(1024);
  {
    const k = scope.builder();
    const { axes, position } = k.axes([rows, n]);
    const store = k.store({ shape: [rows, n], dtype: "int32" }, perm, position, k.e.fromIndex(position[1]));
    scope.launch(k.nest("sort.iota", axes, [storing([], [store])]), k.slots);
  }
  for (let j = keys.length - 1; j >= 0; j--) {
    const wide = scalarInfo(keys[j].dtype).bits === 64;
    const view = lowering.temporary(rows * n * (wide ? 8 : 4));
    const k = scope.builder();
    const { axes, position } = k.axes(rowShape);
    let key = orderKey(k.e, keys[j], k.read(keys[j], insertDim(position, dim), null));
    if (descending) key = k.e.not(key);
    const store = {
      slot: k.slot(view),
      storage: wide ? "i64" : "i32",
      index: flattenIndex(position, rowShape),
      value: key,
      guard: null,
    } as const;
    scope.launch(k.nest("sort.keys", axes, [storing([], [store])]), k.slots);
    const kernel: RoutineKernel = {
      kind: "routine",
      name: "sort.order",
      routine: sortRoutine(rows, n, wide),
      slots: 4,
      flops: rows * n * 8,
    };
    scope.launch(kernel, [view, perm, scratch, counters]);
  }
  return perm;
}

/** A position whose last component moves to `dim`. */
function insertDim(position: readonly Index[], dim: number): Index[] {
  const rest = position.slice(0, -1);
  return [...rest.slice(0, dim), position[position.length - 1], ...rest.slice(dim)];
}

/** sort of several operands by the first `numKeys` of them; stable; NaN last. */
export function lowerSort(scope: Scope, node: Node): void {
  const dim = Number(node.params["dimension"]);
  const numKeys = Number(node.params["numKeys"] ?? 1);
  permute(scope, node.ins, node.outs, dim, argsort(scope, node.ins.slice(0, numKeys), dim, false));
}

/** Moves the elements of each operand along `dim` as a permutation says. The results may be shorter. */
function permute(scope: Scope, ins: readonly Value[], outs: readonly Value[], dim: number, perm: View): void {
  const k = scope.builder();
  const { e } = k;
  const { shape } = outs[0];
  const inShape = ins[0].shape;
  const { axes, position } = k.axes(shape);
  const rowShape = [...inShape.filter((_, i) => i !== dim), inShape[dim]];
  const rowPosition = [...position.filter((_, i) => i !== dim), position[dim]];
  const from = e.load(k.slot(perm), "i32", flattenIndex(rowPosition, rowShape));
  const at = position.map((p, i) => (i === dim ? { c: 0, terms: [{ atom: from, coef: 1 }] } : p));
  const stores = outs.map((v, i) => k.store(v, scope.target(v), position, k.read(ins[i], at, null)));
  scope.launch(k.nest("sort.permute", axes, [storing([], stores)]), k.slots);
}

/** top_k along an axis: values in descending order and their positions; of equals the first comes first. */
export function lowerTopK(scope: Scope, node: Node): void {
  const [x] = node.ins;
  const [values, indices] = node.outs;
  const dim =
    node.params["axis"] === undefined ? x.shape.length - 1 : (Number(node.params["axis"]) + x.shape.length) % x.shape.length;
  const perm = argsort(scope, [x], dim, true);
  permute(scope, [x], [values], dim, perm);
  const k = scope.builder();
  const { e } = k;
  const { axes, position } = k.axes(indices.shape);
  const rowShape = [...x.shape.filter((_, i) => i !== dim), x.shape[dim]];
  const rowPosition = [...position.filter((_, i) => i !== dim), position[dim]];
  const from = e.load(k.slot(perm), "i32", flattenIndex(rowPosition, rowShape));
  const store = k.store(indices, scope.target(indices), position, convertElement(e, from, "int32", indices.dtype));
  scope.launch(k.nest("top_k.indices", axes, [storing([], [store])]), k.slots);
}
