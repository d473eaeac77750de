import { BackendError, invariant } from "@traceform/core";
import { type Axis, type Ex, type Index, type Storage, storageBytes } from "@traceform/compiler";
import type { HelperName } from "./helpers.ts";
import { wgslType, writeConstant, writeOperation } from "./operations.ts";

/** Stores have the fields of those of nests. */
export interface StoreTarget {
  readonly slot: number;
  readonly storage: Storage;
  readonly index: Index;
  readonly value: Ex;
  readonly guard: Ex | null;
}

/** How an element is read from the text of its bits, as a u32: those of a word, or of a part of one. */
const fromBits: Readonly<Partial<Record<Storage, (bits: string) => string>>> = {
  bool: (bits) => `${bits} != 0u`,
  i8: (bits) => `extractBits(bitcast<i32>(${bits}), 0u, 8u)`,
  u8: (bits) => `bitcast<i32>(${bits})`,
  i16: (bits) => `extractBits(bitcast<i32>(${bits}), 0u, 16u)`,
  u16: (bits) => `bitcast<i32>(${bits})`,
  i32: (bits) => `bitcast<i32>(${bits})`,
  f32: (bits) => `bitcast<f32>(${bits})`,
};
const toBits: Readonly<Partial<Record<Storage, (value: string) => string>>> = {
  bool: (value) => `select(0u, 1u, ${value})`,
  i8: (value) => `bitcast<u32>(${value}) & 0xffu`,
  u8: (value) => `bitcast<u32>(${value}) & 0xffu`,
  i16: (value) => `bitcast<u32>(${value}) & 0xffffu`,
  u16: (value) => `bitcast<u32>(${value}) & 0xffffu`,
  i32: (value) => `bitcast<u32>(${value})`,
  f32: (value) => `bitcast<u32>(${value})`,
};

/** How many elements share a word. */
export function elementsOfWord(storage: Storage): number {
  return Math.max(1, 4 / storageBytes[storage]);
}

/** The place of a short element: which of the elements of the memory it is, and the first of its bits in its word. */
interface Place {
  readonly word: string;
  readonly shift: string;
}

const sums: ReadonlySet<string> = new Set(["add", "sub", "fma"]);

/** Whole numbers up to this one are written out. */
const largestUsual = 16;
/** The bits of a number in single precision. */
function bitsOf(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0];
}

/**
 * Writes expressions as WGSL statements. Every value that is computed gets a name, `v` and its number, in the innermost block
 * that is open; blocks see the names of those around them.
 */
export class Values {
  readonly helpers: Set<HelperName> = new Set();
  /** Extensions of WGSL that what is written needs. */
  readonly enables: Set<string> = new Set();
  /** Whether what is written uses subgroups. */
  subgroups = false;
  readonly #lines: string[] = [];
  readonly #blocks: Map<Ex, string>[] = [new Map()];
  readonly #axes = new Map<Axis, string>();
  readonly #kernel: string;
  /** For each pointer of the kernel, the binding in which its memory is. */
  readonly #bindings: readonly number[];
  /** For each slot of what is written now, the pointer that it is; null where they are the kernel's own. */
  #slots: readonly number[] | null = null;
  /** Arrays in the memory of the workgroup, by name. */
  readonly #shared = new Map<string, { readonly type: string; readonly length: number }>();

  /** Bindings of which invocations write parts of the same words: all access to them is atomic. */
  readonly #atomic: ReadonlySet<number>;
  /** Where the elements of stores are gathered until there is a word of them. */
  #gathered: ReadonlyMap<StoreTarget, string> = new Map();
  /** Whether what is stored is the last of all, which may end within a word; null where words are whole. */
  #last: string | null = null;
  #places = 0;

  constructor(kernel: string, bindings: readonly number[], atomic: ReadonlySet<number> = new Set()) {
    this.#kernel = kernel;
    this.#bindings = bindings;
    this.#atomic = atomic;
  }

  get text(): string {
    return this.#lines.join("\n");
  }
  line(text: string): void {
    this.#lines.push("  ".repeat(this.#blocks.length) + text);
  }
  /** A block of statements; names made inside end with it. */
  block(head: string, body: () => void): void {
    this.line(`${head}{`);
    this.#blocks.push(new Map());
    body();
    this.#blocks.pop();
    this.line("}");
  }

  /** Writes a part of the kernel, whose slots are some of the pointers. */
  part(slots: readonly number[], body: () => void): void {
    this.#slots = slots;
    this.#parts++;
    body();
    this.#slots = null;
  }
  #parts = 0;

  /** Words that the kernel is given when it runs, and how they are declared: so it is the same for other sizes. */
  readonly #given: { readonly bits: number; readonly type: string }[] = [];
  readonly #names = new Map<object | string, string>();
  /** The name of a size, an i32, that is not in the text of the kernel. `of` is what it is the size of, in this part of the kernel. */
  size(n: number, of: object | string): string {
    return this.#give(n >>> 0, "i32", typeof of === "string" && this.#slots !== null ? `${this.#parts} ${of}` : of);
  }
  #give(bits: number, type: string, of: object | string): string {
    let name = this.#names.get(of);
    if (name === undefined) this.#names.set(of, (name = `z${this.#given.push({ bits, type }) - 1}`));
    return name;
  }
  /** Those words. */
  get given(): readonly number[] {
    return this.#given.map((g) => g.bits);
  }
  /** Their declarations; `word` is the text of each. */
  declareGiven(word: (i: number) => string): string[] {
    return this.#given.map(({ type }, i) => `  let z${i} = bitcast<${type}>(${word(i)});`);
  }

  /** Constants that other programs may have others for. */
  literals: ReadonlySet<Ex> = new Set();
  /** Whether the steps of axes in memory are given, too: where positions are not taken apart by division, they are all that is left of sizes. */
  #givesSteps = false;
  givingSteps(body: () => void): void {
    this.#givesSteps = true;
    body();
    this.#givesSteps = false;
  }

  /**
   * An array in the memory of the workgroup. Parts of a kernel use the same memory, as no workgroup runs two of them: what they name alike
   * is one array.
   */
  shared(purpose: string, type: string, length: number): string {
    const name = `${purpose}_${type.replaceAll(/\W/g, "")}`;
    this.#shared.set(name, { type, length: Math.max(length, this.#shared.get(name)?.length ?? 0) });
    return name;
  }
  /** Declarations of the module, once for each key; what their names begin with. */
  module(key: string, declare: (prefix: string) => readonly string[]): string {
    const prefix = `own${[...this.#modules.keys(), key].indexOf(key)}_`;
    if (!this.#modules.has(key)) this.#modules.set(key, declare(prefix));
    return prefix;
  }
  get declarations(): string[] {
    return [...this.#modules.values()].flat();
  }
  readonly #modules = new Map<string, readonly string[]>();

  /** The declarations of that memory. */
  get sharedMemory(): string[] {
    return [...this.#shared].map(([name, { type, length }]) => `var<workgroup> ${name}: array<${type}, ${length}>;`);
  }

  bindAxis(axis: Axis, name: string): void {
    this.#axes.set(axis, name);
  }
  bind(x: Ex, name: string): void {
    this.#blocks.at(-1)!.set(x, name);
  }

  /** The name of a value, or its text where that is as short; computes it if no open block has. */
  use(x: Ex): string {
    if (x.op === "const")
      return this.#typed(x, this.#isGiven(x) ? this.#give(bitsOf(Number(x.value)), "f32", x) : writeConstant(x));
    if (x.op === "axis") return this.#axes.get(x.axis!)!;
    for (let i = this.#blocks.length - 1; i >= 0; i--) {
      const name = this.#blocks[i].get(x);
      if (name !== undefined) return name;
    }
    const text = this.#compute(x);
    const name = `v${x.id}`;
    this.line(`let ${name} = ${this.#typed(x, text)};`);
    this.bind(x, name);
    return name;
  }

  /** Small whole numbers belong to formulas, not to sizes. */
  #isGiven(x: Ex): boolean {
    const value = Number(x.value);
    const usual = value === Math.round(value) ? Math.abs(value) <= largestUsual : Math.abs(value) === 0.5;
    return x.type === "f32" && Number.isFinite(value) && !usual && this.literals.has(x);
  }

  typeOf(x: Ex): string {
    const type = wgslType[x.type];
    if (type === undefined) {
      throw new BackendError(this.#kernel, {
        message: `the kernel computes in ${x.type === "f64" ? "float64" : "int64"}, which WebGPU does not have`,
        fix: "run this part on the CPU backend",
      });
    }
    return type;
  }
  #typed(x: Ex, text: string): string {
    this.typeOf(x);
    return text;
  }

  #compute(x: Ex): string {
    switch (x.op) {
      case "param":
        return invariant(false, `unbound parameter ${x.id} of type ${x.type}`) as never;
      case "index":
        return this.index(x.index!);
      case "idiv":
      case "imod":
        return this.#indexDivision(x);
      case "load":
        return this.element(x.slot, x.storage!, x.index!, x.args[0] ?? null);
      default: {
        const text = writeOperation(
          x,
          x.args.map((a) => this.#operand(x, a)),
          (name) => this.#helper(name),
        );
        if (text !== null) return text;
        this.typeOf(x);
        x.args.forEach((a) => this.typeOf(a));
        throw new BackendError(this.#kernel, {
          message: `the WebGPU backend has no ${x.op} of ${x.type}`,
          fix: "run this part on the CPU backend, or express it with other operations",
        });
      }
    }
  }
  /**
   * An operand of an operation. Compilers of shaders take `(x + c) - c` for `x`, but it is how values are rounded and errors of
   * sums are found: such a sum goes through an operation of whose second operand, which is zero, nothing is known before the run.
   */
  #operand(x: Ex, a: Ex): string {
    const text = this.use(a);
    const cancels = x.op === "sub" && x.type === "f32" && sums.has(a.op) && x.args.some((b) => b !== a && a.args.includes(b));
    return cancels ? `bitcast<f32>(bitcast<u32>(${text}) ^ zero)` : text;
  }
  #helper(name: HelperName): HelperName {
    this.helpers.add(name);
    return name;
  }
  /** The text of a number of half precision, of whose bits `bits` is the text. */
  half(bits: string): string {
    this.enables.add("f16");
    return `${this.#helper("half")}(${bits})`;
  }

  /** The index, in the memory of a pointer if it is one, as the text of an i32. */
  index(index: Index, slot: number | null = null): string {
    const step = ({ atom, coef }: Index["terms"][number]): string =>
      this.#givesSteps && atom.op === "axis" && Math.abs(coef) > largestUsual
        ? this.size(coef, `step ${slot} ${atom.axis!.id} ${coef}`)
        : coef < 0
          ? `(${coef})`
          : String(coef);
    const terms = index.terms.map((t) => (t.coef === 1 ? this.use(t.atom) : `${this.use(t.atom)} * ${step(t)}`));
    if (index.c !== 0 || terms.length === 0) terms.push(index.c < 0 ? `(${index.c})` : String(index.c));
    return terms.join(" + ");
  }
  /** Floor division and remainder by a positive constant. */
  #indexDivision(x: Ex): string {
    const n = Number(x.value);
    const a = `(${this.index(x.index!)})`;
    if ((n & (n - 1)) === 0) return x.op === "idiv" ? `${a} >> ${Math.log2(n)}u` : `${a} & ${n - 1}`;
    const quotient = `${this.#helper("floor_div")}(${a}, ${n})`;
    return x.op === "idiv" ? quotient : `${a} - ${n} * ${quotient}`;
  }

  /** The text that reads an element. Where a guard does not hold there is nothing at that place, and what is read instead is not used. */
  element(slot: number, storage: Storage, index: Index, guard: Ex | null): string {
    const read = fromBits[storage];
    if (read === undefined) return this.#refuse(storage);
    const whole = `u32(${this.index(index, slot)})`;
    const at = guard === null ? whole : `select(0u, ${whole}, ${this.use(guard)})`;
    const count = elementsOfWord(storage);
    if (count === 1) return read(this.#read(slot, `p${this.#pointer(slot)} + ${at}`));
    const { word, shift } = this.#place(slot, count, at);
    return read(`extractBits(${this.#read(slot, word)}, ${shift}, ${32 / count}u)`);
  }
  /** A word of the memory of a pointer, of kernels that share no words. */
  word(slot: number, offset: string): string {
    return `m${this.#binding(slot)}[p${this.#pointer(slot)} + ${offset}]`;
  }
  #pointer(slot: number): number {
    return this.#slots === null ? slot : this.#slots[slot];
  }
  #binding(slot: number): number {
    return this.#bindings[this.#pointer(slot)];
  }
  #read(slot: number, word: string): string {
    const binding = this.#binding(slot);
    return this.#atomic.has(binding) ? `atomicLoad(&m${binding}[${word}])` : `m${binding}[${word}]`;
  }
  #write(slot: number, word: string, value: string): void {
    const binding = this.#binding(slot);
    this.line(this.#atomic.has(binding) ? `atomicStore(&m${binding}[${word}], ${value});` : `m${binding}[${word}] = ${value};`);
  }
  /** Changes the bits of `mask` in a word, and no others, whoever else changes those. */
  #change(slot: number, word: string, mask: string, bits: string): void {
    const binding = this.#binding(slot);
    const whole = `m${binding}[${word}]`;
    if (!this.#atomic.has(binding)) return this.line(`${whole} = (${whole} & ~(${mask})) | (${bits});`);
    this.line(`atomicAnd(&${whole}, ~(${mask}));`);
    this.line(`atomicOr(&${whole}, ${bits});`);
  }
  /** Pointers of short elements are bytes. */
  #place(slot: number, count: number, at: string): Place {
    const [name, size] = [`e${this.#places++}`, Math.log2(count)];
    this.line(`let ${name} = (b${this.#pointer(slot)} >> ${2 - size}u) + ${at};`);
    return { word: `${name} >> ${size}u`, shift: `((${name} & ${count - 1}u) << ${5 - size}u)` };
  }

  store(s: StoreTarget): void {
    const write = toBits[s.storage];
    if (write === undefined) return this.#refuse(s.storage);
    const value = write(this.use(s.value));
    const at = `u32(${this.index(s.index, s.slot)})`;
    const put = (): void => {
      const count = elementsOfWord(s.storage);
      if (count === 1) this.#write(s.slot, `p${this.#pointer(s.slot)} + ${at}`, value);
      else this.#storeShort(s, count, this.#place(s.slot, count, at), value);
    };
    if (s.guard === null) return put();
    this.block(`if (${this.use(s.guard)}) `, put);
  }
  #storeShort(s: StoreTarget, count: number, { word, shift }: Place, value: string): void {
    const bits = 32 / count;
    const gathered = this.#gathered.get(s);
    if (gathered === undefined) return this.#change(s.slot, word, `${2 ** bits - 1}u << ${shift}`, `(${value}) << ${shift}`);
    this.line(`${gathered} |= (${value}) << ${shift};`);
    this.block(`if (${shift} == ${32 - bits}u) `, () => {
      this.#write(s.slot, word, gathered);
      this.line(`${gathered} = 0u;`);
    });
    const last = this.#last;
    if (last !== null)
      this.block(`else if (${last}) `, () => this.#change(s.slot, word, `(1u << (${shift} + ${bits}u)) - 1u`, gathered));
  }

  /**
   * Writes what goes through neighbouring elements one after the other, from the first of a word on: their stores are of whole words.
   * `last` says whether an element is the last one, where that may be within a word.
   */
  gather(stores: readonly StoreTarget[], last: string | null, body: () => void): void {
    const names = stores
      .filter((s) => s.guard === null && elementsOfWord(s.storage) > 1)
      .map((s) => [s, `w${this.#places++}`] as const);
    for (const [, name] of names) this.line(`var ${name} = 0u;`);
    const before = [this.#gathered, this.#last] as const;
    [this.#gathered, this.#last] = [new Map([...this.#gathered, ...names]), last];
    body();
    [this.#gathered, this.#last] = before;
  }

  #refuse(storage: Storage): never {
    throw new BackendError(this.#kernel, {
      message: `the kernel reads or writes elements stored as ${storage}, which the WebGPU backend does not have`,
      fix: "use dtypes of 32 bits or less, or run this part on the CPU backend",
    });
  }
}
