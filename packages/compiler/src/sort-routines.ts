import type { DType } from "@traceform/core";
import { Exprs, type Ex, type ScalarType } from "./expr.ts";
import type { Routine, Statement } from "./routine.ts";
import { scalarInfo } from "./scalars.ts";

/**
 * A key whose unsigned order is the order of the values, NaN last: sorting then needs one routine for each width and no
 * comparison function. Equal values have equal keys, but for the two zeros unless they are `merged`.
 */
export function orderKey(e: Exprs, dtype: DType, x: Ex, merged: boolean): Ex {
  const { kind, type, bits } = scalarInfo(dtype);
  if (kind === "bool") return e.convert("from_bool", "i32", x);
  if (kind === "uint") return x;
  if (kind === "int" && bits < 32) return e.add(x, e.i32(2 ** (bits - 1)));
  const [word, top] = wordOf(e, type);
  if (kind === "int") return e.xor(x, top);
  const zero = e.constant(type, 0);
  const raw = e.bitcast(word, merged ? e.select(e.eq(x, zero), zero, x) : x);
  const flipped = e.select(e.lt(raw, e.constant(word, 0)), e.not(raw), e.xor(raw, top));
  return e.select(e.ne(x, x), e.constant(word, -1), flipped);
}

/** The value that has a key. */
export function fromOrderKey(e: Exprs, dtype: DType, key: Ex): Ex {
  const { kind, type, bits } = scalarInfo(dtype);
  if (kind === "bool") return e.ne(key, e.i32(0));
  if (kind === "uint") return key;
  if (kind === "int" && bits < 32) return e.sub(key, e.i32(2 ** (bits - 1)));
  const [word, top] = wordOf(e, type);
  if (kind === "int") return e.xor(key, top);
  return e.bitcast(type, e.select(e.lt(key, e.constant(word, 0)), e.xor(key, top), e.not(key)));
}
/** The integer type of a key, and its top bit. */
function wordOf(e: Exprs, type: ScalarType): readonly ["i32" | "i64", Ex] {
  return type === "f32" || type === "i32" ? ["i32", e.i32(-0x80000000)] : ["i64", e.constant("i64", -(1n << 63n))];
}

// Statements of routines, in few words.
const set = (v: Ex, value: Ex): Statement => ({ kind: "set", variable: v, value });
const load = (v: Ex, slot: number, position: Ex): Statement => ({
  kind: "load",
  variable: v,
  slot,
  storage: v.type === "i64" ? "i64" : "i32",
  position,
});
const store = (slot: number, position: Ex, value: Ex): Statement => ({
  kind: "store",
  slot,
  storage: value.type === "i64" ? "i64" : "i32",
  position,
  value,
});
const loop = (v: Ex, from: Ex, to: Ex, body: readonly Statement[]): Statement => ({ kind: "for", variable: v, from, to, body });
const when = (test: Ex, then: readonly Statement[], otherwise: readonly Statement[] = []): Statement => ({
  kind: "if",
  test,
  then,
  otherwise,
});

/** Where a row in the making lies: the position of its i-th element, and the slots of its keys and payloads. */
interface Run {
  readonly at: (i: Ex) => Ex;
  readonly keys: number;
  readonly payload: number | null;
}
/** Puts a key and its item where they belong in a sorted run of j elements, behind equal keys. The others are scratch. */
function insert(
  e: Exprs,
  { at, keys, payload }: Run,
  { j, key, item, other, moved, go }: Readonly<Record<"j" | "key" | "item" | "other" | "moved" | "go", Ex>>,
): Statement[] {
  const before = e.sub(j, e.i32(1));
  const move = payload === null ? [] : [load(moved, payload, at(before)), store(payload, at(j), moved)];
  return [
    {
      kind: "while",
      condition: [
        set(go, e.i32(0)),
        when(e.gt(j, e.i32(0)), [load(other, keys, at(before)), when(e.compare("gt_u", other, key), [set(go, e.i32(1))])]),
      ],
      test: e.ne(go, e.i32(0)),
      body: [store(keys, at(j), other), ...move, set(j, before)],
    },
    store(keys, at(j), key),
    ...(payload === null ? [] : [store(payload, at(j), item)]),
  ];
}

/** What to sort: rows of keys of so many bits, alone or each with a number that moves along. */
export interface Order {
  readonly rows: number;
  readonly n: number;
  readonly bits: number;
  /** Numbers that move with the keys: none, the places in the row, or those of an earlier sort. */
  readonly payload: "none" | "places" | "given";
  /** Both zeros of a float have keys, and come out in the order in which they went in, because they are equal. */
  readonly zeros: boolean;
}
export type Word = "i32" | "i64";
export function wordFor(bits: number): Word {
  return bits === 64 ? "i64" : "i32";
}

/** How an order is sorted: by insertion, or by radix passes of some bits from buffer to buffer. */
export interface Method {
  readonly digit: number;
  readonly passes: number;
  /** Rows of one call, and the counters that it needs. */
  readonly chunk: number;
  readonly counters: number;
  /** Which of the buffers 1 and 2 ends up with the result. */
  readonly last: 1 | 2;
}
export function methodFor({ n, bits }: Order): Method {
  const chunk = Math.max(1, Math.floor(2 ** 15 / Math.max(1, n)));
  if (n <= 64) return { digit: 0, passes: 0, chunk, counters: 0, last: 1 };
  // Counters stay few beside the elements of a call.
  const digit = n >= 4096 ? 11 : 8;
  const passes = Math.ceil(bits / digit);
  return { digit, passes, chunk, counters: passes << digit, last: passes % 2 === 1 ? 1 : 2 };
}

/** Slots of the sorting routine: three buffers of keys, three of payloads, the counters. */
const keysAt = (k: number): number => k;
const payloadAt = (k: number): number => 3 + k;
const countersAt = 6;

/**
 * Stable sort of rows by unsigned keys, from buffer 0 to the method's last one. Short rows by insertion; long ones by a
 * least-significant-digit radix sort that counts all digits at once and only copies where all keys share a digit. Calls have
 * counters of their own, because they may run on several threads.
 */
export function sortRoutine(order: Order, method: Method): Routine {
  const { rows, n, bits, payload, zeros } = order;
  const { digit, passes, chunk, counters, last } = method;
  const e = new Exprs();
  const i32 = (v: number): Ex => e.i32(v);
  const word = wordFor(bits);
  const moves = payload !== "none";
  const variables: Ex[] = [];
  const variable = (type: Word = "i32"): Ex => {
    const v = e.param(type);
    variables.push(v);
    return v;
  };
  const begin = e.param("i32");
  const end = e.param("i32");
  const [row, base, counted] = [variable(), variable(), variable()];
  const at = (i: Ex): Ex => e.add(base, i);
  /** The payload of place i of buffer k; before the first pass it may be the place itself. */
  const loadPayload = (v: Ex, k: number, i: Ex): Statement[] =>
    !moves ? [] : k === 0 && payload === "places" ? [set(v, i)] : [load(v, payloadAt(k), at(i))];
  const storePayload = (k: number, i: Ex, v: Ex): Statement[] => (moves ? [store(payloadAt(k), at(i), v)] : []);

  const insertion = (): Statement[] => {
    const [i, j, p, q, go] = [variable(), variable(), variable(), variable(), variable()];
    const [key, other] = [variable(word), variable(word)];
    return [
      loop(i, i32(0), i32(n), [
        load(key, keysAt(0), at(i)),
        ...loadPayload(p, 0, i),
        set(j, i),
        ...insert(e, { at, keys: keysAt(1), payload: moves ? payloadAt(1) : null }, { j, key, item: p, other, moved: q, go }),
      ]),
    ];
  };

  const digitOf = (key: Ex, pass: number): Ex => {
    const shifted = e.op("shr_u", word, [key, e.constant(word, pass * digit)]);
    const low = word === "i64" ? e.op("wrap", "i32", [shifted]) : shifted;
    return e.and(low, i32(2 ** digit - 1));
  };
  const radix = (): Statement[] => {
    const [i, p, count, sum, place] = [variable(), variable(), variable(), variable(), variable()];
    const key = variable(word);
    const counter = (pass: number, d: Ex): Ex => e.add(counted, e.add(i32(pass << digit), d));
    const each = Array.from({ length: passes }, (_, pass) => pass);
    const counting = each.flatMap((pass) => [
      set(place, counter(pass, digitOf(key, pass))),
      load(count, countersAt, place),
      store(countersAt, place, e.add(count, i32(1))),
    ]);
    const scatter = (pass: number): Statement[] => {
      const [from, to] = [pass === 0 ? 0 : pass % 2 === 1 ? 1 : 2, pass % 2 === 0 ? 1 : 2];
      // Nobody reads the keys of the last pass if the payload is what is wanted.
      const storeKey = (i: Ex): Statement[] => (moves && pass === passes - 1 ? [] : [store(keysAt(to), at(i), key)]);
      return [
        load(key, keysAt(from), base),
        load(count, countersAt, counter(pass, digitOf(key, pass))),
        when(
          e.eq(count, i32(n)),
          [
            loop(i, i32(0), i32(n), [
              load(key, keysAt(from), at(i)),
              ...loadPayload(p, from, i),
              ...storeKey(i),
              ...storePayload(to, i, p),
            ]),
          ],
          [
            set(sum, i32(0)),
            loop(i, i32(0), i32(2 ** digit), [
              load(count, countersAt, counter(pass, i)),
              store(countersAt, counter(pass, i), sum),
              set(sum, e.add(sum, count)),
            ]),
            loop(i, i32(0), i32(n), [
              load(key, keysAt(from), at(i)),
              ...loadPayload(p, from, i),
              set(place, counter(pass, digitOf(key, pass))),
              load(count, countersAt, place),
              ...storeKey(count),
              ...storePayload(to, count, p),
              store(countersAt, place, e.add(count, i32(1))),
            ]),
          ],
        ),
      ];
    };
    return [
      loop(i, i32(0), i32(counters), [store(countersAt, e.add(counted, i), i32(0))]),
      loop(i, i32(0), i32(n), [load(key, keysAt(0), at(i)), ...counting]),
      ...each.flatMap(scatter),
    ];
  };

  /** Sets v to the number of sorted keys below a constant. */
  const below = (v: Ex, bound: Ex): Statement[] => {
    const [high, middle] = [variable(), variable()];
    const key = variable(word);
    return [
      set(v, i32(0)),
      set(high, i32(n)),
      {
        kind: "while",
        condition: [],
        test: e.lt(v, high),
        body: [
          set(middle, e.shrU(e.add(v, high), 1)),
          load(key, keysAt(last), at(middle)),
          when(e.compare("lt_u", key, bound), [set(v, e.add(middle, i32(1)))], [set(high, middle)]),
        ],
      },
    ];
  };
  /** Writes the zeros of a row once more, in their first order, where there are both. */
  const restoreZeros = (): Statement[] => {
    const [i, minus, plus, rest] = [variable(), variable(), variable(), variable()];
    const key = variable(word);
    const [, positive] = wordOf(e, word);
    const negative = e.sub(positive, e.constant(word, 1));
    return [
      ...below(minus, negative),
      ...below(plus, positive),
      ...below(rest, e.add(positive, e.constant(word, 1))),
      when(e.and(e.lt(minus, plus), e.lt(plus, rest)), [
        loop(i, i32(0), i32(n), [
          load(key, keysAt(0), at(i)),
          when(e.or(e.eq(key, negative), e.eq(key, positive)), [
            store(keysAt(last), at(minus), key),
            set(minus, e.add(minus, i32(1))),
          ]),
        ]),
      ]),
    ];
  };

  const body = [...(passes === 0 ? insertion() : radix()), ...(zeros ? restoreZeros() : [])];
  return {
    key: `sort ${JSON.stringify(order)}`,
    begin,
    end,
    tasks: rows,
    chunk,
    variables,
    body: [
      set(counted, e.mul(e.op("div_u", "i32", [begin, i32(chunk)]), i32(counters))),
      loop(row, begin, end, [set(base, e.mul(row, i32(n))), ...body]),
    ],
  };
}

/**
 * The k least keys of each row in ascending order, of equal ones the first, by insertion into the best so far. In no order
 * an element gets in with probability k / i; in the worst, all do, so k must be small.
 *
 * Slots: 0 keys, 1 the best keys, 2 their places.
 */
export function selectRoutine(rows: number, n: number, k: number, word: Word): Routine {
  const e = new Exprs();
  const variables: Ex[] = [];
  const variable = (type: Word = "i32"): Ex => {
    const v = e.param(type);
    variables.push(v);
    return v;
  };
  const begin = e.param("i32");
  const end = e.param("i32");
  const [row, base, out, i, j, place, go] = Array.from({ length: 7 }, () => variable());
  const [key, other, worst] = [variable(word), variable(word), variable(word)];
  const best = (at: Ex): Ex => e.add(out, at);
  const put = insert(e, { at: best, keys: 1, payload: 2 }, { j, key, item: i, other, moved: place, go });
  const last = best(e.i32(k - 1));
  return {
    key: `top ${rows} ${n} ${k} ${word}`,
    begin,
    end,
    tasks: rows,
    chunk: Math.max(1, Math.floor(2 ** 15 / n)),
    variables,
    body: [
      loop(row, begin, end, [
        set(base, e.mul(row, e.i32(n))),
        set(out, e.mul(row, e.i32(k))),
        loop(i, e.i32(0), e.i32(k), [load(key, 0, e.add(base, i)), set(j, i), ...put]),
        load(worst, 1, last),
        loop(i, e.i32(k), e.i32(n), [
          load(key, 0, e.add(base, i)),
          when(e.compare("lt_u", key, worst), [set(j, e.i32(k - 1)), ...put, load(worst, 1, last)]),
        ]),
      ]),
    ],
  };
}
