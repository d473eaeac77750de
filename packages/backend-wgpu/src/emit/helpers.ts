export type HelperName =
  | "is_nan"
  | "maximum"
  | "minimum"
  | "copy_sign"
  | "to_i32"
  | "to_u32"
  | "floor_div"
  | "remainder"
  | "wide_product"
  | "large_angle"
  | "half";

/**
 * What WGSL leaves loose, as functions over bits. Compilers may assume that there is neither NaN nor infinity, so comparisons
 * that decide about them are of integers, and the values themselves come in as data (`specials` of the kernel).
 */
const helpers: Readonly<Record<HelperName, { readonly uses: readonly HelperName[]; readonly text: string }>> = {
  is_nan: {
    uses: [],
    text: `fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}`,
  },
  // NaN wins, and of zeros the positive one is the larger.
  maximum: {
    uses: ["is_nan"],
    text: `fn maximum(a: f32, b: f32) -> f32 {
  let equal = bitcast<f32>(bitcast<u32>(a) & bitcast<u32>(b));
  let number = select(select(b, a, a > b), equal, a == b);
  return select(select(number, b, is_nan(b)), a, is_nan(a));
}`,
  },
  minimum: {
    uses: ["is_nan"],
    text: `fn minimum(a: f32, b: f32) -> f32 {
  let equal = bitcast<f32>(bitcast<u32>(a) | bitcast<u32>(b));
  let number = select(select(b, a, a < b), equal, a == b);
  return select(select(number, b, is_nan(b)), a, is_nan(a));
}`,
  },
  copy_sign: {
    uses: [],
    text: `fn copy_sign(x: f32, s: f32) -> f32 {
  return bitcast<f32>((bitcast<u32>(x) & 0x7fffffffu) | (bitcast<u32>(s) & 0x80000000u));
}`,
  },
  // Conversions saturate, and NaN becomes 0.
  to_i32: {
    uses: ["is_nan"],
    text: `fn to_i32(x: f32) -> i32 {
  let inside = i32(clamp(x, -2147483648.0, 2147483520.0));
  return select(select(inside, 0x7fffffff, x >= 2147483648.0), 0, is_nan(x));
}`,
  },
  to_u32: {
    uses: ["is_nan"],
    text: `fn to_u32(x: f32) -> i32 {
  let inside = u32(clamp(x, 0.0, 4294967040.0));
  return bitcast<i32>(select(select(inside, 0xffffffffu, x >= 4294967296.0), 0u, is_nan(x)));
}`,
  },
  // x less a multiple of y, with the sign of x, exactly: long division of the mantissas, eight bits at a time.
  remainder: {
    uses: [],
    text: `fn remainder(x: f32, y: f32) -> f32 {
  let a = bitcast<u32>(x) & 0x7fffffffu;
  let b = bitcast<u32>(y) & 0x7fffffffu;
  if (a >= 0x7f800000u || b > 0x7f800000u || b == 0u) { return bitcast<f32>(0x7fc00000u | b); }
  if (a < b) { return x; }
  var exponent = max(a >> 23u, 1u);
  let least = max(b >> 23u, 1u);
  let divisor = select(b & 0x7fffffu, (b & 0x7fffffu) | 0x800000u, b >= 0x800000u);
  var rest = select(a & 0x7fffffu, (a & 0x7fffffu) | 0x800000u, a >= 0x800000u) % divisor;
  while (exponent > least && rest != 0u) {
    let step = min(exponent - least, 8u);
    rest = (rest << step) % divisor;
    exponent -= step;
  }
  let sign = bitcast<u32>(x) & 0x80000000u;
  if (rest == 0u) { return bitcast<f32>(sign); }
  let shift = min(countLeadingZeros(rest) - 8u, least - 1u);
  return bitcast<f32>(sign | (((least - shift - 1u) << 23u) + (rest << shift)));
}`,
  },
  wide_product: {
    uses: [],
    text: `fn wide_product(a: u32, b: u32) -> vec2<u32> {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let other = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
  return vec2<u32>((other << 16u) | (low & 0xffffu), (a >> 16u) * (b >> 16u) + (middle >> 16u) + (other >> 16u));
}`,
  },
  // x = n pi/2 + hi + lo for |x| > 128 (0 below), by those 96 bits of 2/pi that decide: all in integers.
  // See Payne & Hanek (1983), "Radian reduction for trigonometric functions".
  large_angle: {
    uses: ["wide_product"],
    text: `const TWO_OVER_PI = array<u32, 8>(
  0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu);
fn large_angle(x: f32) -> vec3<f32> {
  let bits = bitcast<u32>(x) & 0x7fffffffu;
  if (bits < 0x43000000u || bits >= 0x7f800000u) { return vec3<f32>(); }
  let mantissa = (bits & 0x7fffffu) | 0x800000u;
  // x = mantissa 2^(exponent - 150): bits of 2/pi whose products are multiples of 4 do not matter.
  let first = (bits >> 23u) - 120u;
  let word = first >> 5u;
  let shift = first & 31u;
  var table = TWO_OVER_PI;
  var w = array<u32, 3>();
  for (var i = 0u; i < 3u; i++) {
    w[i] = select((table[word + i] << shift) | (table[word + i + 1u] >> (32u - shift)), table[word + i], shift == 0u);
  }
  let low = wide_product(mantissa, w[2]);
  let middle = wide_product(mantissa, w[1]);
  let second = low.y + middle.x;
  let top = middle.y + mantissa * w[0] + select(0u, 1u, second < middle.x);
  // A quarter turn is 2^94: the nearest number of them, and what is left, which may be negative.
  var quarters = f32(((top >> 30u) + ((top >> 29u) & 1u)) & 3u);
  var high = (top << 2u) | (second >> 30u);
  var rest = (second << 2u) | (low.x >> 30u);
  var negative = bitcast<u32>(x) & 0x80000000u;
  if (negative != 0u) { quarters = -quarters; }
  if (high >= 0x80000000u) {
    negative ^= 0x80000000u;
    rest = ~rest + 1u;
    high = ~high + select(0u, 1u, rest == 0u);
  }
  let zeros = min(countLeadingZeros(high), 31u);
  let scaled = select((high << zeros) | (rest >> (32u - zeros)), high, zeros == 0u);
  // Times pi/2, as 2^31 pi/2.
  let angle = wide_product(scaled, 0xc90fdaa2u);
  let hi = f32(angle.y & 0xffffff00u) * bitcast<f32>((96u - zeros) << 23u);
  let lo = f32(((angle.y & 0xffu) << 24u) | (angle.x >> 8u)) * bitcast<f32>((72u - zeros) << 23u);
  return vec3<f32>(quarters, bitcast<f32>(bitcast<u32>(hi) | negative), bitcast<f32>(bitcast<u32>(lo) | negative));
}`,
  },
  half: {
    uses: [],
    text: `fn half(bits: i32) -> f16 {
  return bitcast<vec2<f16>>(bitcast<u32>(bits)).x;
}`,
  },
  // Rounds towards minus infinity, for a positive divisor.
  floor_div: {
    uses: [],
    text: `fn floor_div(a: i32, n: i32) -> i32 {
  return select(a - (n - 1), a, a >= 0) / n;
}`,
  },
};

/** The text of helpers and of what they use. */
export function helperText(names: ReadonlySet<HelperName>): string {
  const all = new Set<HelperName>();
  const add = (name: HelperName): void => {
    helpers[name].uses.forEach(add);
    all.add(name);
  };
  names.forEach(add);
  return [...all].map((name) => helpers[name].text).join("\n");
}
