/** Value types of WebAssembly, as their byte codes. */
export const valueTypes = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b } as const;
export type ValueType = keyof typeof valueTypes;

/** A growing list of bytes with WebAssembly's number formats. */
export class Bytes {
  #data: Uint8Array<ArrayBuffer> = new Uint8Array(256);
  #length = 0;
  readonly #scratch = new DataView(new ArrayBuffer(8));

  get length(): number {
    return this.#length;
  }
  #reserve(n: number): void {
    if (this.#length + n <= this.#data.length) return;
    const next = new Uint8Array(Math.max(this.#data.length * 2, this.#length + n));
    next.set(this.#data.subarray(0, this.#length));
    this.#data = next;
  }
  byte(b: number): void {
    this.#reserve(1);
    this.#data[this.#length++] = b;
  }
  bytes(list: ArrayLike<number>): void {
    this.#reserve(list.length);
    this.#data.set(list, this.#length);
    this.#length += list.length;
  }
  /** Unsigned LEB128. */
  u32(value: number): void {
    this.#reserve(5);
    let v = value >>> 0;
    while (v >= 0x80) {
      this.#data[this.#length++] = (v & 0x7f) | 0x80;
      v >>>= 7;
    }
    this.#data[this.#length++] = v;
  }
  /** Signed LEB128 of 32 bits. */
  i32(value: number): void {
    this.#reserve(5);
    let v = value | 0;
    for (;;) {
      const b = v & 0x7f;
      v >>= 7;
      if ((v === 0 && (b & 0x40) === 0) || (v === -1 && (b & 0x40) !== 0)) {
        this.#data[this.#length++] = b;
        return;
      }
      this.#data[this.#length++] = b | 0x80;
    }
  }
  /** Signed LEB128 of 64 bits. */
  i64(value: bigint): void {
    this.#reserve(10);
    let v = BigInt.asIntN(64, value);
    for (;;) {
      const b = Number(v & 0x7fn);
      v >>= 7n;
      if ((v === 0n && (b & 0x40) === 0) || (v === -1n && (b & 0x40) !== 0)) {
        this.#data[this.#length++] = b;
        return;
      }
      this.#data[this.#length++] = b | 0x80;
    }
  }
  f32(value: number): void {
    this.#scratch.setFloat32(0, value, true);
    for (let i = 0; i < 4; i++) this.byte(this.#scratch.getUint8(i));
  }
  f64(value: number): void {
    this.#scratch.setFloat64(0, value, true);
    for (let i = 0; i < 8; i++) this.byte(this.#scratch.getUint8(i));
  }
  name(text: string): void {
    const encoded = new TextEncoder().encode(text);
    this.u32(encoded.length);
    this.bytes(encoded);
  }
  take(): Uint8Array<ArrayBuffer> {
    return this.#data.slice(0, this.#length);
  }
}

interface Signature {
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** A function under construction. */
export interface FunctionSlot {
  readonly index: number;
  readonly signature: Signature;
  body: Uint8Array | null;
  readonly exportName: string | null;
}

/** Writes a module: it imports one memory and defines functions, of which some are exported. */
export class ModuleBuilder {
  readonly #signatures: Signature[] = [];
  readonly #functions: FunctionSlot[] = [];
  readonly #imports: FunctionSlot[] = [];

  /** Imports the function `e.name`. All imports come before the first declaration. */
  import(name: string, params: readonly ValueType[], results: readonly ValueType[]): FunctionSlot {
    if (this.#functions.length > 0) throw new Error("imports come first");
    const signature = this.#signatures[this.#signature(params, results)];
    const slot: FunctionSlot = { index: this.#imports.length, signature, body: null, exportName: name };
    this.#imports.push(slot);
    return slot;
  }

  #signature(params: readonly ValueType[], results: readonly ValueType[]): number {
    const same = (a: readonly string[], b: readonly string[]): boolean => a.length === b.length && a.every((x, i) => x === b[i]);
    const found = this.#signatures.findIndex((s) => same(s.params, params) && same(s.results, results));
    return found >= 0 ? found : this.#signatures.push({ params, results }) - 1;
  }

  /** Declares a function; its body may come later, so functions can call each other. */
  declare(params: readonly ValueType[], results: readonly ValueType[], exportName: string | null = null): FunctionSlot {
    const signature = this.#signatures[this.#signature(params, results)];
    const slot: FunctionSlot = { index: this.#imports.length + this.#functions.length, signature, body: null, exportName };
    this.#functions.push(slot);
    return slot;
  }

  finish(options: { readonly shared: boolean; readonly maximumPages: number }): Uint8Array<ArrayBuffer> {
    const out = new Bytes();
    out.bytes([0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    const section = (id: number, write: (b: Bytes) => void): void => {
      const body = new Bytes();
      write(body);
      out.byte(id);
      out.u32(body.length);
      out.bytes(body.take());
    };
    section(1, (b) => {
      b.u32(this.#signatures.length);
      for (const s of this.#signatures) {
        b.byte(0x60);
        b.u32(s.params.length);
        for (const t of s.params) b.byte(valueTypes[t]);
        b.u32(s.results.length);
        for (const t of s.results) b.byte(valueTypes[t]);
      }
    });
    section(2, (b) => {
      b.u32(1 + this.#imports.length);
      for (const f of this.#imports) {
        b.name("e");
        b.name(f.exportName!);
        b.byte(0);
        b.u32(this.#signatures.indexOf(f.signature));
      }
      b.name("e");
      b.name("m");
      b.byte(2);
      b.byte(options.shared ? 3 : 1);
      b.u32(1);
      b.u32(options.maximumPages);
    });
    section(3, (b) => {
      b.u32(this.#functions.length);
      for (const f of this.#functions) b.u32(this.#signatures.indexOf(f.signature));
    });
    section(7, (b) => {
      const exported = this.#functions.filter((f) => f.exportName !== null);
      b.u32(exported.length);
      for (const f of exported) {
        b.name(f.exportName!);
        b.byte(0);
        b.u32(f.index);
      }
    });
    section(10, (b) => {
      b.u32(this.#functions.length);
      for (const f of this.#functions) {
        b.u32(f.body!.length);
        b.bytes(f.body!);
      }
    });
    return out.take();
  }
}
