import type { Tile } from "@traceform/compiler";
import { Code } from "../wasm/code.ts";
import { type FunctionSlot, ModuleBuilder } from "../wasm/encoder.ts";

/** Parameters of `block`, all i32: see `emitBlock`. */
export const blockParameters = 11;

/**
 * The module with the inner loops of matrix products, compiled once and shared by all programs. It exports
 * `block(a, b, c, aStride, bStride, ldc, rows, columns, depth, first, scratch)`.
 */
export function emitGemmLibrary(
  tile: Tile,
  options: { readonly relaxed: boolean; readonly shared: boolean; readonly maximumPages: number; readonly unroll: number },
): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const block = module.declare(new Array<"i32">(blockParameters).fill("i32"), [], "block");
  emitBlock(block, tile, options.relaxed, options.unroll);
  return module.finish(options);
}

/** The locals that a tile works on. `a`, `b` and `depth` are used up. */
interface TileLocals {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  /** The step between rows of C, in bytes. */
  readonly ldc: number;
  readonly depth: number;
  readonly first: number;
}

/**
 * One tile: C[tile.m, tile.n] = (first ? 0 : C) + sum of `depth` outer products of a column of A's panel and a row of
 * B's. The tile stays in registers; each step loads a row of B and spreads the elements of A. Written in place: V8 may
 * not have call feedback for a module that it compiled without its baseline compiler.
 */
function emitTile(code: Code, { a, b, c, ldc, depth, first }: TileLocals, tile: Tile, relaxed: boolean, unroll: number): void {
  const vectors = tile.n / 4;
  const acc = Array.from({ length: tile.m * vectors }, () => code.local("v128"));
  const row = code.local("i32");
  const eachRow = (body: (i: number) => void): void => {
    code.get(c);
    code.set(row);
    for (let i = 0; i < tile.m; i++) {
      body(i);
      if (i === tile.m - 1) break;
      code.get(row);
      code.get(ldc);
      code.op("i32.add");
      code.set(row);
    }
  };
  code.get(first);
  code.op("i32.eqz");
  code.if(
    () =>
      eachRow((i) => {
        for (let j = 0; j < vectors; j++) {
          code.get(row);
          code.memory("v128.load", j * 16);
          code.set(acc[i * vectors + j]);
        }
      }),
    () => {
      for (const x of acc) {
        code.v128(new Uint8Array(16));
        code.set(x);
      }
    },
  );
  const bs = Array.from({ length: vectors }, () => code.local("v128"));
  const spread = code.local("v128");
  const step = (u: number): void => {
    for (let j = 0; j < vectors; j++) {
      code.get(b);
      code.memory("v128.load", (u * tile.n + j * 4) * 4);
      code.set(bs[j]);
    }
    for (let i = 0; i < tile.m; i++) {
      code.get(a);
      code.memory("v128.load32_splat", (u * tile.m + i) * 4);
      code.set(spread);
      for (let j = 0; j < vectors; j++) {
        const x = acc[i * vectors + j];
        if (relaxed) {
          code.get(spread);
          code.get(bs[j]);
          code.get(x);
          code.op("f32x4.relaxed_madd");
        } else {
          code.get(x);
          code.get(spread);
          code.get(bs[j]);
          code.op("f32x4.mul");
          code.op("f32x4.add");
        }
        code.set(x);
      }
    }
  };
  const advance = (n: number): void => {
    code.get(a);
    code.i32(n * tile.m * 4);
    code.op("i32.add");
    code.set(a);
    code.get(b);
    code.i32(n * tile.n * 4);
    code.op("i32.add");
    code.set(b);
    code.get(depth);
    code.i32(n);
    code.op("i32.sub");
    code.set(depth);
  };
  const loop = (n: number): void => {
    const more = (): void => {
      code.get(depth);
      code.i32(n);
      code.op("i32.ge_s");
    };
    more();
    code.if(() =>
      code.loop((again) => {
        for (let u = 0; u < n; u++) step(u);
        advance(n);
        more();
        again();
      }),
    );
  };
  if (unroll > 1) loop(unroll);
  loop(1);
  eachRow((i) => {
    for (let j = 0; j < vectors; j++) {
      code.get(row);
      code.get(acc[i * vectors + j]);
      code.memory("v128.store", j * 16);
    }
  });
}

/**
 * A block of C: all pairs of `rows / tile.m` panels of A and `columns / tile.n` panels of B. Panels of B stay in the
 * first cache while those of A pass by. Tiles over the edge go through the scratch tile.
 */
function emitBlock(slot: FunctionSlot, tile: Tile, relaxed: boolean, unroll: number): void {
  const code = new Code(slot);
  const [a, b, c, aStride, bStride, ldc, rows, columns, depth, first, scratch] = Array.from(
    { length: blockParameters },
    (_, i) => i,
  );
  const [i, j, ap, cp, i2, j2, from, to, whole] = Array.from({ length: 9 }, () => code.local("i32"));
  const t: TileLocals = {
    a: code.local("i32"),
    b: code.local("i32"),
    c: code.local("i32"),
    ldc: code.local("i32"),
    depth: code.local("i32"),
    first: code.local("i32"),
  };
  const increase = (local: number, by: () => void): void => {
    code.get(local);
    by();
    code.op("i32.add");
    code.set(local);
  };
  const until = (counter: number, limit: () => void, stepBy: number, body: () => void): void => {
    code.i32(0);
    code.set(counter);
    code.loop((again) => {
      body();
      increase(counter, () => code.i32(stepBy));
      code.get(counter);
      limit();
      code.op("i32.lt_s");
      again();
    });
  };
  const smaller = (total: number, counter: number, most: number): void => {
    // min(total - counter, most)
    code.get(total);
    code.get(counter);
    code.op("i32.sub");
    code.i32(most);
    code.get(total);
    code.get(counter);
    code.op("i32.sub");
    code.i32(most);
    code.op("i32.lt_s");
    code.op("select");
  };
  until(
    j,
    () => code.get(columns),
    tile.n,
    () => {
      code.get(a);
      code.set(ap);
      code.get(c);
      code.set(cp);
      until(
        i,
        () => code.get(rows),
        tile.m,
        () => {
          // Whole tiles: i + tile.m <= rows and j + tile.n <= columns.
          code.get(i);
          code.i32(tile.m);
          code.op("i32.add");
          code.get(rows);
          code.op("i32.le_s");
          code.get(j);
          code.i32(tile.n);
          code.op("i32.add");
          code.get(columns);
          code.op("i32.le_s");
          code.op("i32.and");
          code.set(whole);
          for (const [target, source] of [
            [t.a, ap],
            [t.b, b],
            [t.depth, depth],
          ]) {
            code.get(source);
            code.set(target);
          }
          // A tile over the edge goes to the scratch tile.
          const choose = (target: number, inside: () => void, edge: () => void): void => {
            inside();
            edge();
            code.get(whole);
            code.op("select");
            code.set(target);
          };
          choose(
            t.c,
            () => code.get(cp),
            () => code.get(scratch),
          );
          choose(
            t.ldc,
            () => code.get(ldc),
            () => code.i32(tile.n * 4),
          );
          choose(
            t.first,
            () => code.get(first),
            () => code.i32(1),
          );
          emitTile(code, t, tile, relaxed, unroll);
          code.get(whole);
          code.op("i32.eqz");
          code.if(() => {
            code.get(scratch);
            code.set(from);
            code.get(cp);
            code.set(to);
            until(
              i2,
              () => smaller(rows, i, tile.m),
              1,
              () => {
                until(
                  j2,
                  () => smaller(columns, j, tile.n),
                  1,
                  () => {
                    const at = (base: number): void => {
                      code.get(base);
                      code.get(j2);
                      code.i32(2);
                      code.op("i32.shl");
                      code.op("i32.add");
                    };
                    at(to);
                    at(from);
                    code.memory("f32.load");
                    at(to);
                    code.memory("f32.load");
                    code.f32(0);
                    code.get(first);
                    code.op("i32.eqz");
                    code.op("select");
                    code.op("f32.add");
                    code.memory("f32.store");
                  },
                );
                increase(from, () => code.i32(tile.n * 4));
                increase(to, () => code.get(ldc));
              },
            );
          });
          increase(ap, () => code.get(aStride));
          increase(cp, () => {
            code.get(ldc);
            code.i32(tile.m);
            code.op("i32.mul");
          });
        },
      );
      increase(b, () => code.get(bStride));
      increase(c, () => code.i32(tile.n * 4));
    },
  );
  code.finish();
}
