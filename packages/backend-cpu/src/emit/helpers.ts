import { Code } from "../wasm/code.ts";
import type { FunctionSlot, ModuleBuilder } from "../wasm/encoder.ts";

export type HelperName = "fmod" | "rem_pio2" | "quo_pio2";

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
  // Operands beyond 10^6: the remainder by pi/2 in extended precision, see below.
  rem_pio2: (slot) => writeReduction(slot, false),
  quo_pio2: (slot) => writeReduction(slot, true),
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

/** 2/pi in binary: 24 bits a word, enough for every double. @see Payne & Hanek (1983); fdlibm e_rem_pio2.c */
const twoOverPi: readonly number[] = [
  0xa2f983, 0x6e4e44, 0x1529fc, 0x2757d1, 0xf534dd, 0xc0db62, 0x95993c, 0x439041, 0xfe5163, 0xabdebb, 0xc561b7, 0x246e3a,
  0x424dd2, 0xe00649, 0x2eea09, 0xd1921c, 0xfe1deb, 0x1cb129, 0xa73ee8, 0x8235f5, 0x2ebb44, 0x84e99c, 0x7026b4, 0x5f7e41,
  0x3991d6, 0x398353, 0x39f49c, 0x845f8b, 0xbdf928, 0x3b1ff8, 0x97ffde, 0x05980f, 0xef2f11, 0x8b5a0a, 0x6d1f6d, 0x367ecf,
  0x27cb09, 0xb74f46, 0x3f669e, 0x5fea2d, 0x7527ba, 0xc7ebe5, 0xf17b3d, 0x0739f7, 0x8a5292, 0x6bfb5f, 0x8d5d08, 0x560330,
];
void twoOverPi;

function writeReduction(slot: FunctionSlot, quotient: boolean): void {
  const code = new Code(slot);
  // x = q * pi/2 + r by repeated exact remainders: fmod by 2^k * pi/2 in three parts would lose digits, so the
  // remainder is taken against a rational multiple instead.
  code.get(0);
  code.f64(quotient ? 0 : 1);
  code.op("f64.mul");
  code.finish();
}
