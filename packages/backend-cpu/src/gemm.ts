import type { Tile } from "@traceform/compiler";
import { blockParameters, emitGemmLibrary } from "./emit/gemm-library.ts";

/** The compiled inner loops of matrix products, and the tile for which operands are packed. */
export interface GemmLibrary {
  readonly tile: Tile;
  readonly module: WebAssembly.Module;
  /** Whether V8 widened the loops to 256 bits. */
  readonly revectorized: boolean;
  /** The library's function on a memory. */
  block(memory: WebAssembly.Memory): WebAssembly.ExportValue;
}

interface V8Flags {
  setFlagsFromString(flags: string): void;
}

/** Whether `compileWide` can do anything here. */
export function canCompileWide(): boolean {
  return v8Flags() !== null;
}

/** V8's run-time flags, in Node. */
function v8Flags(): V8Flags | null {
  const host = globalThis as { process?: { versions?: { v8?: string }; getBuiltinModule?: (name: string) => unknown } };
  if (host.process?.versions?.v8 === undefined) return null;
  return (host.process.getBuiltinModule?.("node:v8") as V8Flags | undefined) ?? null;
}

/** Compiles with the optimising compiler at once, and with 256-bit vectors. Other modules are not touched. */
export function compileWide(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module | null {
  const flags = v8Flags();
  if (flags === null) return null;
  // Inlining asks for counts of calls that only the baseline compiler's code would have collected.
  const on = ["--experimental-wasm-revectorize", "--no-liftoff", "--no-wasm-lazy-compilation", "--no-wasm-inlining"];
  const off = ["--no-experimental-wasm-revectorize", "--liftoff", "--wasm-lazy-compilation", "--wasm-inlining"];
  try {
    on.forEach((f) => flags.setFlagsFromString(f));
    return new WebAssembly.Module(marked(bytes));
  } catch {
    return null;
  } finally {
    off.forEach((f) => flags.setFlagsFromString(f));
  }
}

/** The module with an empty section of its own name: for bytes that it has seen, the engine would return the code that it has. */
function marked(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const name = [...new TextEncoder().encode("wide")];
  const section = [0, name.length + 1, name.length, ...name];
  const out = new Uint8Array(bytes.length + section.length);
  out.set(bytes);
  out.set(section, bytes.length);
  return out;
}

interface Options {
  readonly relaxed: boolean;
  readonly revectorize: boolean;
  readonly maximumPages: number;
  readonly shared: boolean;
}

const cache = new Map<string, GemmLibrary>();

/**
 * The library that is fastest here: a 6x16 tile where the engine packs pairs of vectors into 256-bit ones, otherwise
 * 6x8, which fits the registers of 128 bits. Which it is shows in the time of one small product.
 */
export function gemmLibrary(options: Options): GemmLibrary {
  const key = `${options.relaxed}${options.revectorize}${options.shared}${options.maximumPages}`;
  let library = cache.get(key);
  if (library === undefined) {
    const build = (tile: Tile, unroll: number): Uint8Array<ArrayBuffer> => emitGemmLibrary(tile, { ...options, unroll });
    const narrow: Tile = { m: 6, n: 8 };
    const bytes = build(narrow, 1);
    const optimised = options.revectorize ? compileWide(bytes) : null;
    library = makeLibrary(narrow, optimised ?? new WebAssembly.Module(bytes), false);
    const wide: Tile = { m: 6, n: 16 };
    const module = optimised === null ? null : compileWide(build(wide, 2));
    if (module !== null) {
      // The flag is experimental: code that computes something else is not used, however fast.
      const [fast, safe] = [rate(module, wide, options), rate(library.module, narrow, options)];
      if (fast.result === safe.result && fast.rate > safe.rate) library = makeLibrary(wide, module, true);
    }
    cache.set(key, library);
  }
  return library;
}

function makeLibrary(tile: Tile, module: WebAssembly.Module, revectorized: boolean): GemmLibrary {
  const blocks = new WeakMap<WebAssembly.Memory, WebAssembly.ExportValue>();
  const block = (memory: WebAssembly.Memory): WebAssembly.ExportValue => {
    let known = blocks.get(memory);
    if (known === undefined) blocks.set(memory, (known = new WebAssembly.Instance(module, { e: { m: memory } }).exports["block"]));
    return known;
  };
  return { tile, module, revectorized, block };
}

/** Multiplications a millisecond on a small product, the best of many runs, and what it gives. */
function rate(module: WebAssembly.Module, tile: Tile, options: Options): { readonly rate: number; readonly result: string } {
  const memory = new WebAssembly.Memory({ initial: 8, maximum: options.maximumPages, shared: options.shared });
  const instance = new WebAssembly.Instance(module, { e: { m: memory } });
  const block = instance.exports["block"] as (...args: number[]) => void;
  const depth = 256;
  const [rows, columns] = [tile.m * 4, 32];
  const [a, b, c] = [1024, 65536, 262144];
  const args = [a, b, c, depth * tile.m * 4, depth * tile.n * 4, columns * 4, rows, columns, depth, 1, 512];
  if (args.length !== blockParameters) throw new Error("arguments of block");
  const numbers = new Float32Array(memory.buffer);
  // A[row, k] and B[k, column], by panels.
  const fill = (at: number, width: number, extent: number, value: (i: number, k: number) => number): void => {
    for (let i = 0; i < extent; i++)
      for (let k = 0; k < depth; k++)
        numbers[at / 4 + Math.floor(i / width) * depth * width + k * width + (i % width)] = value(i, k);
  };
  fill(a, tile.m, rows, (i, k) => Math.fround(1 / (1 + i + k)));
  fill(b, tile.n, columns, (j, k) => Math.fround(((j * 7 + k * 3) % 11) - 5.3));
  let best = 0;
  // Other work on the machine only ever makes a run slower.
  for (let trial = 0; trial < 40; trial++) {
    const start = performance.now();
    for (let i = 0; i < 4; i++) block(...args);
    best = Math.max(best, (4 * rows * columns * depth) / (performance.now() - start));
  }
  return { rate: best, result: numbers.slice(c / 4, c / 4 + rows * columns).join() };
}
