import { type Ex, Exprs, type Storage, storageType } from "./expr.ts";
import type { LanesLoop, Routine, Statement } from "./routine.ts";

/** A whole number while compiling, or one computed at run time. */
export type Whole = Ex | number;
/** A real number of the routine's type, or a complex one: its real and its imaginary part. */
export type Num = readonly Ex[];

/** A dense matrix among the pointers: one slot, or one for each plane of a complex one. */
export interface Matrix {
  readonly slots: readonly number[];
  readonly storage: Storage;
  /** The position of the element (i, j) in each plane. */
  at(i: Whole, j: Whole): Ex;
}

/** Writes routines: statements go to the innermost open loop or branch, and every value that is kept has a variable. */
export class RoutineBuilder {
  readonly e: Exprs;
  readonly begin: Ex;
  readonly end: Ex;
  readonly #variables: Ex[] = [];
  #list: Statement[] = [];

  /** `float64`: see `Exprs`. */
  constructor(float64 = true) {
    this.e = new Exprs(float64);
    this.begin = this.e.param("i32");
    this.end = this.e.param("i32");
  }

  /** The routine whose body runs for each of `tasks` independent tasks. */
  static tasks(key: string, tasks: number, chunk: number, body: (r: RoutineBuilder, task: Ex) => void, float64 = true): Routine {
    const r = new RoutineBuilder(float64);
    r.for(r.begin, r.end, (task) => body(r, task));
    const { begin, end } = r;
    return {
      key: `${key} ${tasks} ${chunk}`,
      begin,
      end,
      tasks,
      chunk: Math.max(1, chunk),
      variables: r.#variables,
      body: r.#list,
    };
  }

  variable(type: Ex["type"]): Ex {
    const v = this.e.param(type);
    this.#variables.push(v);
    return v;
  }
  /** A new variable that holds a value. */
  let(value: Ex): Ex {
    const v = this.variable(value.type);
    this.set(v, value);
    return v;
  }
  set(variable: Ex, value: Ex): void {
    this.#list.push({ kind: "set", variable, value });
  }
  whole(x: Whole): Ex {
    return typeof x === "number" ? this.e.i32(x) : x;
  }
  add(a: Whole, b: Whole): Ex {
    return this.e.add(this.whole(a), this.whole(b));
  }
  sub(a: Whole, b: Whole): Ex {
    return this.e.sub(this.whole(a), this.whole(b));
  }
  mul(a: Whole, b: Whole): Ex {
    return this.e.mul(this.whole(a), this.whole(b));
  }
  smaller(a: Whole, b: Whole): Ex {
    const [x, y] = [this.whole(a), this.whole(b)];
    return this.e.select(this.e.lt(x, y), x, y);
  }

  load(slot: number, storage: Storage, position: Whole): Ex {
    const variable = this.variable(storageType[storage]);
    this.#list.push({ kind: "load", variable, slot, storage, position: this.whole(position) });
    return variable;
  }
  store(slot: number, storage: Storage, position: Whole, value: Ex): void {
    this.#list.push({ kind: "store", slot, storage, position: this.whole(position), value });
  }
  get(m: Matrix, i: Whole, j: Whole): Num {
    return m.slots.map((slot) => this.load(slot, m.storage, m.at(i, j)));
  }
  put(m: Matrix, i: Whole, j: Whole, value: Num): void {
    m.slots.forEach((slot, p) => this.store(slot, m.storage, m.at(i, j), value[p]));
  }

  #inside(body: () => void): readonly Statement[] {
    const before = this.#list;
    this.#list = [];
    body();
    const list = this.#list;
    this.#list = before;
    return list;
  }
  for(from: Whole, to: Whole, body: (i: Ex) => void): void {
    const variable = this.variable("i32");
    const statements = this.#inside(() => body(variable));
    this.#list.push({ kind: "for", variable, from: this.whole(from), to: this.whole(to), body: statements });
  }
  /** Iterations run on the lanes of vectors: see `LanesLoop`. */
  lanes(from: Whole, to: Whole, body: (j: Ex) => void, options: { groups?: LanesLoop["groups"]; sums?: readonly Ex[] } = {}): void {
    const variable = this.variable("i32");
    const statements = this.#inside(() => body(variable));
    const { groups = 2, sums = [] } = options;
    this.#list.push({ kind: "lanes", variable, from: this.whole(from), to: this.whole(to), sums, groups, body: statements });
  }
  if(test: Ex, then: () => void, otherwise: () => void = () => {}): void {
    this.#list.push({ kind: "if", test, then: this.#inside(then), otherwise: this.#inside(otherwise) });
  }
  /** Runs the body while what `condition` returns holds; its statements run before every test. */
  while(condition: () => Ex, body: () => void): void {
    let test: Ex | null = null;
    const statements = this.#inside(() => (test = condition()));
    this.#list.push({ kind: "while", condition: statements, test: test!, body: this.#inside(body) });
  }
}

/** Arithmetic on real or complex numbers of one precision, so that an algorithm is written once for both. */
export class Field {
  readonly r: RoutineBuilder;
  readonly type: "f32" | "f64";
  readonly complex: boolean;

  constructor(r: RoutineBuilder, type: "f32" | "f64", complex: boolean) {
    this.r = r;
    this.type = type;
    this.complex = complex;
  }

  /** A dense matrix: `offset + i * rowStride + j`, in one slot or two from `slot` on. */
  matrix(slot: number, offset: Whole, rowStride: number, columnStride = 1): Matrix {
    const { r } = this;
    const slots = this.complex ? [slot, slot + 1] : [slot];
    return {
      slots,
      storage: this.type,
      at: (i, j) => r.add(offset, r.add(r.mul(i, rowStride), r.mul(j, columnStride))),
    };
  }
  /** A real vector or matrix. */
  real(slot: number, offset: Whole, rowStride: number, columnStride = 1): Matrix {
    return { ...this.matrix(slot, offset, rowStride, columnStride), slots: [slot] };
  }

  constant(value: number): Ex {
    return this.r.e.constant(this.type, value);
  }
  zero(): Num {
    return this.complex ? [this.constant(0), this.constant(0)] : [this.constant(0)];
  }
  fromReal(x: Ex): Num {
    return this.complex ? [x, this.constant(0)] : [x];
  }
  let(x: Num): Num {
    return x.map((part) => this.r.let(part));
  }
  set(variable: Num, value: Num): void {
    if (variable.length === 1) return this.r.set(variable[0], value[0]);
    // Both parts are computed before either variable changes.
    const parts = this.let(value);
    variable.forEach((v, p) => this.r.set(v, parts[p]));
  }
  add(a: Num, b: Num): Num {
    return a.map((x, p) => this.r.e.add(x, b[p]));
  }
  sub(a: Num, b: Num): Num {
    return a.map((x, p) => this.r.e.sub(x, b[p]));
  }
  neg(a: Num): Num {
    return a.map((x) => this.r.e.neg(x));
  }
  conj(a: Num): Num {
    return this.complex ? [a[0], this.r.e.neg(a[1])] : a;
  }
  scale(a: Num, s: Ex): Num {
    return a.map((x) => this.r.e.mul(x, s));
  }
  mul(a: Num, b: Num): Num {
    return this.mulAdd(a, b, null);
  }
  /** `a * b + c`. */
  mulAdd(a: Num, b: Num, c: Num | null): Num {
    const { e } = this.r;
    if (!this.complex) return [c === null ? e.mul(a[0], b[0]) : e.fma(a[0], b[0], c[0])];
    const re = e.fma(e.neg(a[1]), b[1], c === null ? e.mul(a[0], b[0]) : e.fma(a[0], b[0], c[0]));
    const im = e.fma(a[1], b[0], c === null ? e.mul(a[0], b[1]) : e.fma(a[0], b[1], c[1]));
    return [re, im];
  }
  /** `c - a * b`. */
  mulSub(a: Num, b: Num, c: Num): Num {
    return this.mulAdd(this.neg(a), b, c);
  }
  /** |re| + |im|: how pivots are compared. */
  abs1(a: Num): Ex {
    const { e } = this.r;
    return a.map((x) => e.unary("abs", x)).reduce((x, y) => e.add(x, y));
  }
  abs2(a: Num): Ex {
    const { e } = this.r;
    return a.map((x) => e.mul(x, x)).reduce((x, y) => e.add(x, y));
  }
  /** a / b, by Smith's method for complex numbers: no overflow in between. */
  div(a: Num, b: Num): Num {
    const { r } = this;
    const { e } = r;
    if (!this.complex) return [e.div(a[0], b[0])];
    const swap = r.let(e.lt(e.unary("abs", b[0]), e.unary("abs", b[1])));
    const [large, small] = [r.let(e.select(swap, b[1], b[0])), r.let(e.select(swap, b[0], b[1]))];
    const ratio = r.let(e.div(small, large));
    const scale = r.let(e.div(this.constant(1), e.fma(ratio, small, large)));
    const [x, y] = [e.select(swap, a[1], a[0]), e.select(swap, a[0], a[1])];
    const re = e.mul(e.fma(ratio, y, x), scale);
    const im = e.mul(e.fma(e.neg(ratio), x, y), scale);
    return [re, e.select(swap, e.neg(im), im)];
  }
  /** Sums `term(j)` over lanes. */
  sum(from: Whole, to: Whole, term: (j: Ex, acc: Num) => Num, groups: LanesLoop["groups"] = 2): Num {
    const acc = this.let(this.zero());
    this.r.lanes(from, to, (j) => this.set(acc, term(j, acc)), { groups, sums: acc });
    return acc;
  }
}
