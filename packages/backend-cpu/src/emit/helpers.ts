import { Code } from "../wasm/code.ts";
import type { FunctionSlot, ModuleBuilder } from "../wasm/encoder.ts";

export type HelperName = "fmod" | Reduction;
/** The parts of a reduction by pi/2: the remainder, what rounding it lost, and the quotient modulo 4. */
export type Reduction = "rem_pio2" | "tail_pio2" | "quo_pio2";

/** Functions that kernels call; each is written into the module when it is first needed. */
export class Helpers {
  readonly #module: ModuleBuilder;
  readonly #slots = new Map<HelperName, FunctionSlot>();
  /** Whether relaxed SIMD may be used. */
  readonly relaxed: boolean;

  constructor(module: ModuleBuilder, relaxed: boolean) {
    this.#module = module;
    this.relaxed = relaxed;
  }

  function(name: HelperName): FunctionSlot {
    let slot = this.#slots.get(name);
    if (slot === undefined) {
      const params = name === "fmod" ? (["f64", "f64"] as const) : (["f64"] as const);
      slot = this.#module.declare(params, ["f64"]);
      this.#slots.set(name, slot);
      writers[name](slot, (n) => this.function(n));
    }
    return slot;
  }
}

const writers: Readonly<Record<HelperName, (slot: FunctionSlot, other: (name: HelperName) => FunctionSlot) => void>> = {
  fmod: writeFmod,
  rem_pio2: (slot) => writeReduction(slot, "rem_pio2"),
  tail_pio2: (slot) => writeReduction(slot, "tail_pio2"),
  quo_pio2: (slot) => writeReduction(slot, "quo_pio2"),
};

/**
 * fmod(x, y): x is reduced by y times powers of two, largest first. Each subtraction is exact, because the operands are
 * within a factor of two of each other (Sterbenz). NaN for an infinite x or zero y.
 */
function writeFmod(slot: FunctionSlot): void {
  const code = new Code(slot);
  const [x, y] = [0, 1];
  const a = code.local("f64");
  const b = code.local("f64");
  const t = code.local("f64");
  code.get(x);
  code.op("f64.abs");
  code.set(a);
  code.get(y);
  code.op("f64.abs");
  code.set(b);
  // Not (a < inf and b > 0): NaN. An infinite b leaves x.
  code.get(a);
  code.f64(Infinity);
  code.op("f64.lt");
  code.get(b);
  code.f64(0);
  code.op("f64.gt");
  code.op("i32.and");
  code.op("i32.eqz");
  code.if(() => {
    code.f64(NaN);
    code.op("return");
  });
  code.get(b);
  code.f64(Infinity);
  code.op("f64.eq");
  code.if(() => {
    code.get(x);
    code.op("return");
  });
  code.block((exit) => {
    code.loop((again) => {
      code.get(a);
      code.get(b);
      code.op("f64.lt");
      code.if(() => exit());
      // t = b * 2^k, the largest such that t <= a: found from the exponents.
      code.get(a);
      code.op("i64.reinterpret_f64");
      code.i64(0x7ff0000000000000n);
      code.op("i64.and");
      code.get(b);
      code.op("i64.reinterpret_f64");
      code.i64(0x000fffffffffffffn);
      code.op("i64.and");
      code.op("i64.or");
      code.op("f64.reinterpret_i64");
      code.set(t);
      // Subnormal operands have no exponent to borrow: subtract b itself.
      code.get(b);
      code.f64(2 ** -1022);
      code.op("f64.lt");
      code.if(() => {
        // Doubling from b is slow but short: b is below 2^-1022 only for subnormals.
        code.get(b);
        code.set(t);
        code.loop((more) => {
          code.get(t);
          code.get(t);
          code.op("f64.add");
          code.get(a);
          code.op("f64.le");
          code.if(() => {
            code.get(t);
            code.get(t);
            code.op("f64.add");
            code.set(t);
          });
          code.get(t);
          code.get(t);
          code.op("f64.add");
          code.get(a);
          code.op("f64.le");
          more();
        });
      });
      code.get(t);
      code.get(a);
      code.op("f64.gt");
      code.if(() => {
        code.get(t);
        code.f64(0.5);
        code.op("f64.mul");
        code.set(t);
      });
      code.get(a);
      code.get(t);
      code.op("f64.sub");
      code.set(a);
      code.i32(1);
      again();
    });
  });
  code.get(a);
  code.get(x);
  code.op("f64.copysign");
  code.finish();
}

/** 2/pi in binary, 64 bits a word: more than the largest double needs. */
const twoOverPi: readonly bigint[] = [
  0xa2f9836e4e441529n,
  0xfc2757d1f534ddc0n,
  0xdb6295993c439041n,
  0xfe5163abdebbc561n,
  0xb7246e3a424dd2e0n,
  0x06492eea09d1921cn,
  0xfe1deb1cb129a73en,
  0xe88235f52ebb4484n,
  0xe99c7026b45f7e41n,
  0x3991d639835339f4n,
  0x9c845f8bbdf9283bn,
  0x1ff897ffde05980fn,
  0xef2f118b5a0a6d1fn,
  0x6d367ecf27cb09b7n,
  0x4f463f669e5fea2dn,
  0x7527bac7ebe5f17bn,
  0x3d0739f78a5292ean,
  0x6bfb5fb11f8d5d08n,
  0x56033046fc7b6babn,
  0xf0cfbc209af4361dn,
];

/**
 * x = q * pi/2 + r with |r| <= pi/4, for large finite x: returns r, r's tail, or q modulo 4.
 *
 * x is m * 2^e with an integer m; bits of 2/pi whose product with it is a multiple of 4 do not matter, so the 192 bits
 * from there on, times m, give q and r to full precision. @see Payne & Hanek (1983), "Radian reduction for
 * trigonometric functions"
 */
function writeReduction(slot: FunctionSlot, part: Reduction): void {
  const code = new Code(slot);
  const bits = code.local("i64");
  const m = code.local("i64");
  const e = code.local("i32");
  code.get(0);
  code.op("i64.reinterpret_f64");
  code.set(bits);
  code.get(bits);
  code.i64(0x000fffffffffffffn);
  code.op("i64.and");
  code.i64(0x0010000000000000n);
  code.op("i64.or");
  code.set(m);
  // The first bit that matters has weight 2^-(e - 1), so it is number e - 2 when counted from zero.
  code.get(bits);
  code.i64(52n);
  code.op("i64.shr_u");
  code.op("i32.wrap_i64");
  code.i32(0x7ff);
  code.op("i32.and");
  code.i32(1075 + 2);
  code.op("i32.sub");
  code.set(e);

  const index = code.local("i32");
  const shift = code.local("i64");
  code.get(e);
  code.i32(6);
  code.op("i32.shr_s");
  code.set(index);
  code.get(e);
  code.i32(63);
  code.op("i32.and");
  code.op("i64.extend_i32_u");
  code.set(shift);
  const word = (k: number): number => {
    const w = code.local("i64");
    code.i64(0n);
    code.set(w);
    twoOverPi.forEach((value, i) => {
      code.i64(value);
      code.get(w);
      code.get(index);
      code.i32(i - k);
      code.op("i32.eq");
      code.op("select");
      code.set(w);
    });
    return w;
  };
  const words = [word(0), word(1), word(2), word(3)];
  // Three words from the shifted position. A shift by 64 - 0 must give zero: two steps.
  const f = [0, 1, 2].map((k) => {
    const w = code.local("i64");
    code.get(words[k]);
    code.get(shift);
    code.op("i64.shl");
    code.get(words[k + 1]);
    code.i64(1n);
    code.op("i64.shr_u");
    code.i64(63n);
    code.get(shift);
    code.op("i64.sub");
    code.op("i64.shr_u");
    code.op("i64.or");
    code.set(w);
    return w;
  });
  // The product modulo 2^192, the high word first.
  const low = product(code, m, f[2]);
  const middle = product(code, m, f[1]);
  const r1 = code.local("i64");
  code.get(low.high);
  code.get(middle.low);
  code.op("i64.add");
  code.set(r1);
  const r0 = code.local("i64");
  code.get(m);
  code.get(f[0]);
  code.op("i64.mul");
  code.get(middle.high);
  code.op("i64.add");
  code.get(r1);
  code.get(low.high);
  code.op("i64.lt_u");
  code.op("i64.extend_i32_u");
  code.op("i64.add");
  code.set(r0);
  if (part === "quo_pio2") {
    // The top two bits, rounded by the third.
    code.get(r0);
    code.i64(62n);
    code.op("i64.shr_u");
    code.get(r0);
    code.i64(61n);
    code.op("i64.shr_u");
    code.i64(1n);
    code.op("i64.and");
    code.op("i64.add");
    code.op("f64.convert_i64_s");
  } else {
    const join = (a: number, b: number): void => {
      code.get(a);
      code.i64(2n);
      code.op("i64.shl");
      code.get(b);
      code.i64(62n);
      code.op("i64.shr_u");
      code.op("i64.or");
    };
    // The fraction as a signed number is its distance from the nearest integer; its 128 bits become h + l.
    const top = code.local("i64");
    join(r0, r1);
    code.set(top);
    const h = code.local("f64");
    code.get(top);
    code.op("f64.convert_i64_s");
    code.set(h);
    const l = code.local("f64");
    code.get(top);
    code.get(h);
    code.op("i64.trunc_sat_f64_s");
    code.op("i64.sub");
    code.op("f64.convert_i64_s");
    join(r1, low.low);
    code.op("f64.convert_i64_u");
    code.f64(2 ** -64);
    code.op("f64.mul");
    code.op("f64.add");
    code.set(l);
    timesHalfPi(code, h, l, part === "tail_pio2");
  }
  const y = code.local("f64");
  code.set(y);
  code.get(y);
  code.op("f64.neg");
  code.get(y);
  code.get(bits);
  code.i64(0n);
  code.op("i64.lt_s");
  code.op("select");
  code.finish();
}

/** Pushes (h + l) 2^-64 pi/2, or what rounding that to a double loses. */
function timesHalfPi(code: Code, h: number, l: number, tail: boolean): void {
  const compute = (push: () => void): number => {
    const x = code.local("f64");
    push();
    code.set(x);
    return x;
  };
  const binary = (op: "f64.add" | "f64.sub" | "f64.mul", a: number, b: number): number =>
    compute(() => {
      code.get(a);
      code.get(b);
      code.op(op);
    });
  const constant = (v: number): number => compute(() => code.f64(v));
  /** The upper 26 bits. @see Dekker (1971) */
  const upper = (x: number): number =>
    compute(() => {
      code.get(x);
      code.op("i64.reinterpret_f64");
      code.i64(-0x8000000n);
      code.op("i64.and");
      code.op("f64.reinterpret_i64");
    });
  const [p, pLow] = [constant((Math.PI / 2) * 2 ** -64), constant(6.123233995736766e-17 * 2 ** -64)];
  const hi = binary("f64.mul", h, p);
  const [hh, ph] = [upper(h), upper(p)];
  const [hl, pl] = [binary("f64.sub", h, hh), binary("f64.sub", p, ph)];
  const cross = binary("f64.add", binary("f64.mul", hh, pl), binary("f64.mul", hl, ph));
  const lost = binary("f64.add", binary("f64.sub", binary("f64.mul", hh, ph), hi), cross);
  const exact = binary("f64.add", lost, binary("f64.mul", hl, pl));
  const rest = binary("f64.add", binary("f64.mul", h, pLow), binary("f64.mul", l, p));
  const low = binary("f64.add", exact, rest);
  const sum = binary("f64.add", hi, low);
  code.get(tail ? binary("f64.sub", low, binary("f64.sub", sum, hi)) : sum);
}

/** The full product of two unsigned words, by halves. */
function product(code: Code, a: number, b: number): { readonly high: number; readonly low: number } {
  const half = (x: number, upper: boolean): number => {
    const h = code.local("i64");
    code.get(x);
    code.i64(upper ? 32n : 0xffffffffn);
    code.op(upper ? "i64.shr_u" : "i64.and");
    code.set(h);
    return h;
  };
  const [al, ah, bl, bh] = [half(a, false), half(a, true), half(b, false), half(b, true)];
  const times = (x: number, y: number): void => {
    code.get(x);
    code.get(y);
    code.op("i64.mul");
  };
  const low = code.local("i64");
  times(a, b);
  code.set(low);
  // cross = ah * bl + (al * bl >> 32); its low half meets al * bh.
  const cross = code.local("i64");
  times(ah, bl);
  times(al, bl);
  code.i64(32n);
  code.op("i64.shr_u");
  code.op("i64.add");
  code.set(cross);
  const high = code.local("i64");
  times(ah, bh);
  code.get(cross);
  code.i64(32n);
  code.op("i64.shr_u");
  code.op("i64.add");
  times(al, bh);
  code.get(cross);
  code.i64(0xffffffffn);
  code.op("i64.and");
  code.op("i64.add");
  code.i64(32n);
  code.op("i64.shr_u");
  code.op("i64.add");
  code.set(high);
  return { high, low };
}
