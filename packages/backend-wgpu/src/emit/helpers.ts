export type HelperName = "is_nan" | "maximum" | "minimum" | "copy_sign" | "to_i32" | "to_u32" | "floor_div";

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
