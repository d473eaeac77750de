import type { Tile } from "@traceform/compiler";
import { blockParameters, emitGemmLibrary } from "./emit/gemm-library.ts";
import { awaitQuietWorkers } from "./threads/pool.ts";

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

interface Host {
  readonly arch?: string;
  readonly versions?: { readonly v8?: string };
  readonly getBuiltinModule?: (name: string) => unknown;
}

/** The first V8 with the pass, which only x64 has. A flag that V8 does not know is no error, but V8 complains on the terminal. */
const firstRevectorizing = [12, 9] as const;

/** V8's run-time flags, in Node; null where there are none or the pass is not known. */
export function v8Flags(host: Host | undefined = (globalThis as { process?: Host }).process): V8Flags | null {
  const [major, minor] = (host?.versions?.v8 ?? "0.0").split(".").map(Number);
  const known = major > firstRevectorizing[0] || (major === firstRevectorizing[0] && minor >= firstRevectorizing[1]);
  if (!known || host?.arch !== "x64") return null;
  return (host.getBuiltinModule?.("node:v8") as V8Flags | undefined) ?? null;
}

/** Compiles with the optimising compiler at once, and with 256-bit vectors. Other modules are not touched. */
export function compileWide(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module | null {
  const flags = v8Flags();
  if (flags === null) return null;
  // Inlining asks for counts of calls, which only the baseline compiler's code collects, into memory that instances have if the
  // flag is set when they are made; V8 checks neither. So the flag must not stay off: code of this process that counted before would
  // crash in an instance made after. Nor may another thread make an instance meanwhile: callers see to it that the
  // workers are quiet.
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
/** How long the first product waits for workers, in milliseconds. */
const patience = 200;

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
    // The flags are the whole process's: see `compileWide`. Workers that have something to do have done it in a moment.
    const optimised = options.revectorize && awaitQuietWorkers(patience) ? compileWide(bytes) : null;
    library = makeLibrary(narrow, optimised ?? new WebAssembly.Module(bytes), false);
    const wide: Tile = { m: 6, n: 16 };
    const module = optimised === null ? null : compileWide(build(wide, 2));
    if (module !== null) {
      // The flag is experimental: code that computes something else is not used, however fast.
      const same = sample(module, wide, options) === sample(library.module, narrow, options);
      if (same && isFaster([module, wide], [library.module, narrow], options)) library = makeLibrary(wide, module, true);
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

/** Where a small product lies in a memory of its own: panels of A and of B, C, and the tile over the edge. */
const small = { a: 1024, b: 65536, c: 262144, scratch: 512, columns: 32 } as const;

/** Runs `block` on four panels of A. */
function smallProduct(
  module: WebAssembly.Module,
  tile: Tile,
  options: Options,
): { numbers: Float32Array; run: (depth: number) => void } {
  const memory = new WebAssembly.Memory({ initial: 8, maximum: options.maximumPages, shared: options.shared });
  const block = new WebAssembly.Instance(module, { e: { m: memory } }).exports["block"] as (...args: number[]) => void;
  const { a, b, c, scratch, columns } = small;
  const run = (depth: number): void => {
    const args = [a, b, c, depth * tile.m * 4, depth * tile.n * 4, columns * 4, 4 * tile.m, columns, depth, 1, scratch];
    if (args.length !== blockParameters) throw new Error("arguments of block");
    block(...args);
  };
  return { numbers: new Float32Array(memory.buffer), run };
}

/** A small product, as text. */
function sample(module: WebAssembly.Module, tile: Tile, options: Options): string {
  const { numbers, run } = smallProduct(module, tile, options);
  const depth = 9;
  const rows = 4 * tile.m;
  const fill = (at: number, width: number, extent: number, value: (i: number, k: number) => number): void => {
    for (let i = 0; i < extent; i++)
      for (let k = 0; k < depth; k++) numbers[at / 4 + (Math.floor(i / width) * depth + k) * width + (i % width)] = value(i, k);
  };
  fill(small.a, tile.m, rows, (i, k) => 1 / (1 + i + k));
  fill(small.b, tile.n, small.columns, (j, k) => ((j * 7 + k * 3) % 11) - 5.3);
  run(depth);
  return numbers.slice(small.c / 4, small.c / 4 + rows * small.columns).join();
}

type Candidate = readonly [module: WebAssembly.Module, tile: Tile];

/**
 * Whether the first computes small products faster. Other work on the machine only ever makes a run slower, so the best of many counts; and
 * the two take turns, for that work comes and goes.
 */
function isFaster(first: Candidate, second: Candidate, options: Options): boolean {
  const depth = 256;
  const sides = [first, second].map(([module, tile]) => ({
    run: smallProduct(module, tile, options).run,
    rows: 4 * tile.m,
    best: 0,
  }));
  for (let trial = 0; trial < 24; trial++) {
    for (const side of sides) {
      const start = performance.now();
      for (let i = 0; i < 4; i++) side.run(depth);
      side.best = Math.max(side.best, side.rows / (performance.now() - start));
    }
  }
  return sides[0].best > sides[1].best;
}
