import { BackendError, invariant } from "@traceform/core";
import type { Axis, Ex, Index, Storage } from "@traceform/compiler";
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

/** How the word of an element is read, and how it is written. Elements of all kinds take whole words. */
const fromWord: Readonly<Partial<Record<Storage, (word: string) => string>>> = {
  bool: (word) => `${word} != 0u`,
  // The numbers themselves, or the bits of short floats.
  i8: (word) => `bitcast<i32>(${word})`,
  u8: (word) => `bitcast<i32>(${word})`,
  i16: (word) => `bitcast<i32>(${word})`,
  u16: (word) => `bitcast<i32>(${word})`,
  i32: (word) => `bitcast<i32>(${word})`,
  f32: (word) => `bitcast<f32>(${word})`,
};
const toWord: Readonly<Partial<Record<Storage, (value: string) => string>>> = {
  bool: (value) => `select(0u, 1u, ${value})`,
  i8: (value) => `bitcast<u32>(extractBits(${value}, 0u, 8u))`,
  u8: (value) => `bitcast<u32>(${value}) & 0xffu`,
  i16: (value) => `bitcast<u32>(extractBits(${value}, 0u, 16u))`,
  u16: (value) => `bitcast<u32>(${value}) & 0xffffu`,
  i32: (value) => `bitcast<u32>(${value})`,
  f32: (value) => `bitcast<u32>(${value})`,
};

const sums: ReadonlySet<string> = new Set(["add", "sub", "fma"]);

/**
 * Writes expressions as WGSL statements. Every value that is computed gets a name, `v` and its number, in the innermost block
 * that is open; blocks see the names of those around them.
 */
export class Values {
  readonly helpers: Set<HelperName> = new Set();
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

  constructor(kernel: string, bindings: readonly number[]) {
    this.#kernel = kernel;
    this.#bindings = bindings;
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
    body();
    this.#slots = null;
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
    if (x.op === "const") return this.#typed(x, writeConstant(x));
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

  /** The index as the text of an i32. */
  index(index: Index): string {
    const terms = index.terms.map(({ atom, coef }) =>
      coef === 1 ? this.use(atom) : `${this.use(atom)} * ${coef < 0 ? `(${coef})` : coef}`,
    );
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
    const read = fromWord[storage];
    if (read === undefined) return this.#refuse(storage);
    const at = `u32(${this.index(index)})`;
    return read(this.word(slot, guard === null ? at : `select(0u, ${at}, ${this.use(guard)})`));
  }
  /** A word of the memory of a pointer. */
  word(slot: number, offset: string): string {
    const pointer = this.#slots === null ? slot : this.#slots[slot];
    return `m${this.#bindings[pointer]}[p${pointer} + ${offset}]`;
  }

  store(s: StoreTarget): void {
    const write = toWord[s.storage];
    if (write === undefined) return this.#refuse(s.storage);
    const value = write(this.use(s.value));
    const place = this.word(s.slot, `u32(${this.index(s.index)})`);
    if (s.guard === null) return this.line(`${place} = ${value};`);
    const guard = this.use(s.guard);
    this.block(`if (${guard}) `, () => this.line(`${place} = ${value};`));
  }

  #refuse(storage: Storage): never {
    throw new BackendError(this.#kernel, {
      message: `the kernel reads or writes elements stored as ${storage}, which the WebGPU backend does not have`,
      fix: "use dtypes of 32 bits or less, or run this part on the CPU backend",
    });
  }
}
