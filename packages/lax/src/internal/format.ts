import { isNDArray, type NDArray, ValueError } from "@traceform/core";

/**
 * Python's format strings, as far as they make sense for arrays: `{}`, `{0}`, `{name}`, `{x:.3f}`, `{x.shape}`, `{xs[0]}`, and
 * `{{` for a brace.
 *
 * @see https://docs.python.org/3/library/string.html#format-string-syntax
 */
export interface Format {
  readonly parts: readonly (string | Field)[];
  /** How many positional arguments it takes. */
  readonly positional: number;
  /** The names it takes. */
  readonly names: readonly string[];
}

interface Field {
  readonly argument: number | string;
  /** Properties and elements of the argument, from the outside in. */
  readonly path: readonly string[];
  readonly spec: Spec | null;
}

interface Spec {
  readonly fill: string;
  readonly align: "<" | ">" | "^" | "=" | null;
  readonly sign: "+" | "-" | " ";
  readonly alternate: boolean;
  readonly width: number;
  readonly grouping: "," | "_" | null;
  readonly precision: number | null;
  readonly type: string;
}

const token = /\{\{|\}\}|\{([^{}]*)\}|[{}]/g;
const fieldText = /^([^!:.[\]]*)((?:\.\w+|\[[^\]]+\])*)(?:![rsa])?(?::(.*))?$/s;
const specText = /^(?:(.)?([<>^=]))?([-+ ])?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([bcdeEfFgGnosxX%])?$/su;

/** @throws {ValueError} for text that is no format string */
export function parseFormat(fn: string, text: string): Format {
  const parts: (string | Field)[] = [];
  const names = new Set<string>();
  let automatic = 0;
  let positional = 0;
  let manual = false;
  let from = 0;
  for (const match of text.matchAll(token)) {
    parts.push(text.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[0] === "{{" || match[0] === "}}") {
      parts.push(match[0][0]);
      continue;
    }
    const field = fieldText.exec(match[1] ?? "\0:");
    if (match[1] === undefined || field === null) {
      throw new ValueError(fn, {
        message: `"${match[0]}" at position ${match.index} of the format string "${text}" is no field`,
        fix: "write {} or {name} for a value, and {{ or }} for a brace",
      });
    }
    const [, name, path, spec] = field;
    let argument: number | string = name;
    if (name === "") argument = automatic++;
    else if (/^\d+$/.test(name)) {
      argument = Number(name);
      manual = true;
    } else names.add(name);
    if (manual && automatic > 0) {
      throw new ValueError(fn, {
        message: `the format string "${text}" mixes {} with {0}`,
        fix: "number all positional fields, or none",
      });
    }
    if (typeof argument === "number") positional = Math.max(positional, argument + 1);
    parts.push({ argument, path: [...path.matchAll(/\.(\w+)|\[([^\]]+)\]/g)].map((m) => m[1] ?? m[2]), spec: parseSpec(fn, spec) });
  }
  parts.push(text.slice(from));
  return { parts: parts.filter((p) => p !== ""), positional, names: [...names] };
}

function parseSpec(fn: string, text: string | undefined): Spec | null {
  if (text === undefined || text === "") return null;
  const match = specText.exec(text);
  if (match === null) {
    throw new ValueError(fn, {
      message: `":${text}" is no format for a number`,
      fix: "write it as in Python: .3f for three decimals, 8d for a width of eight, .2e, %",
    });
  }
  const [, fill, align, sign, alternate, zero, width, grouping, precision, type] = match;
  return {
    fill: fill ?? (zero === undefined ? " " : "0"),
    align: (align ?? (zero === undefined ? null : "=")) as Spec["align"],
    sign: (sign ?? "-") as Spec["sign"],
    alternate: alternate !== undefined,
    width: width === undefined ? 0 : Number(width),
    grouping: (grouping ?? null) as Spec["grouping"],
    precision: precision === undefined ? null : Number(precision),
    type: type ?? "",
  };
}

/** Fills a format string in. Arrays are concrete. */
export function applyFormat(format: Format, args: readonly unknown[], named: Readonly<Record<string, unknown>>): string {
  return format.parts
    .map((part) => {
      if (typeof part === "string") return part;
      let value = typeof part.argument === "number" ? args[part.argument] : named[part.argument];
      for (const key of part.path)
        value = isNDArray(value) && /^-?\d+$/.test(key) ? element(value, Number(key)) : (value as never)?.[key];
      return formatValue(value, part.spec);
    })
    .join("");
}

function element(x: NDArray, i: number): unknown {
  return (x.jsSync() as readonly unknown[]).at(i);
}

/** A value as `{}` shows it; with a spec, each number in it as that says. */
function formatValue(value: unknown, spec: Spec | null): string {
  if (isNDArray(value)) {
    const shown = typeof value.dtype === "string" ? value.jsSync() : value.toString();
    return formatNested(
      shown,
      value.dtype === "complex64" || value.dtype === "complex128" ? value.ndim : -1,
      value.dtype === "float32",
      spec,
    );
  }
  if (Array.isArray(value)) return `[${value.map((v) => formatValue(v, spec)).join(", ")}]`;
  if (typeof value === "number" || typeof value === "bigint") return formatNumber(value, spec);
  if (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    return `{${Object.entries(value)
      .map(([k, v]) => `${k}: ${formatValue(v, spec)}`)
      .join(", ")}}`;
  }
  return pad(String(value), spec, "<");
}

/** `complexDepth`: how many levels there are above pairs of real and imaginary part; -1 for real numbers. */
function formatNested(x: unknown, complexDepth: number, single: boolean, spec: Spec | null): string {
  if (Array.isArray(x)) {
    if (complexDepth === 0) {
      const [re, im] = x as [number, number];
      return `${formatNumber(re, spec)}${im < 0 || Object.is(im, -0) ? "-" : "+"}${formatNumber(Math.abs(im), spec)}j`;
    }
    return `[${x.map((v) => formatNested(v, complexDepth - 1, single, spec)).join(", ")}]`;
  }
  if (typeof x === "number" && spec === null && single && Number.isFinite(x) && x !== 0) return String(shortest(x));
  return typeof x === "number" || typeof x === "bigint" ? formatNumber(x, spec) : pad(String(x), spec, "<");
}

/** The shortest decimal number that is the same float32. */
function shortest(x: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const y = Number(x.toPrecision(digits));
    if (Math.fround(y) === x) return y;
  }
  return Number(x.toPrecision(9));
}

function formatNumber(x: number | bigint, spec: Spec | null): string {
  if (spec === null) return Object.is(x, -0) ? "-0" : String(x);
  if (spec.type === "s") return pad(String(x), spec, ">");
  const negative = x < 0 || Object.is(x, -0);
  const magnitude = digitsOf(negative ? -x : x, spec);
  const sign = negative ? "-" : spec.sign === "-" ? "" : spec.sign;
  if (spec.align === "=") return sign + magnitude.padStart(spec.width - sign.length, spec.fill);
  return pad(sign + magnitude, spec, ">");
}

/** The digits of a number that is not negative. */
function digitsOf(x: number | bigint, spec: Spec): string {
  const { type, precision, alternate } = spec;
  const n = Number(x);
  const radix = { b: 2, o: 8, x: 16, X: 16 }[type];
  if (radix !== undefined) {
    const digits = (typeof x === "bigint" ? x : BigInt(Math.trunc(x))).toString(radix);
    return (alternate ? `0${type}` : "") + (type === "X" ? digits.toUpperCase() : digits);
  }
  if (!Number.isFinite(n)) {
    const text = `${Number.isNaN(n) ? "nan" : "inf"}${type === "%" ? "%" : ""}`;
    return /[EFG]/.test(type) ? text.toUpperCase() : text;
  }
  switch (type) {
    case "d":
      return group(typeof x === "bigint" ? String(x) : Math.trunc(n).toFixed(0), spec);
    case "f":
    case "F":
      return group(fixed(n, precision ?? 6), spec);
    case "%":
      return `${group(fixed(n * 100, precision ?? 6), spec)}%`;
    case "e":
    case "E":
      return exponential(n.toExponential(precision ?? 6), type);
    case "g":
    case "G":
    case "n":
      return general(n, precision ?? 6, type === "G" ? "E" : "e", alternate, spec);
    case "c":
      return String.fromCodePoint(n);
    default:
      return precision === null ? group(String(x), spec) : general(n, precision, "e", alternate, spec);
  }
}

/** `toFixed`, which gives up at 1e21. */
function fixed(n: number, digits: number): string {
  return n < 1e21 ? n.toFixed(digits) : `${BigInt(n)}${digits > 0 ? `.${"0".repeat(digits)}` : ""}`;
}

/** Python's `g`: so many significant digits, without trailing zeros, with an exponent only where the number is far from one. */
function general(n: number, precision: number, letter: "e" | "E", alternate: boolean, spec: Spec): string {
  const digits = Math.max(1, precision);
  const text = n.toExponential(digits - 1);
  const exponent = Number(text.slice(text.indexOf("e") + 1));
  const strip = (s: string): string => {
    if (alternate) return s.includes(".") ? s : `${s}.`;
    return s.includes(".") ? s.replace(/\.?0+$/, "") : s;
  };
  if (exponent >= -4 && exponent < digits) return group(strip(n.toFixed(Math.max(0, digits - 1 - exponent))), spec);
  const [mantissa, power] = text.split("e");
  return exponential(`${strip(mantissa)}e${power}`, letter);
}

/** At least two digits of exponent, as Python writes them. */
function exponential(text: string, letter: "e" | "E"): string {
  return text.replace(/e([+-])(\d+)$/, (_, sign: string, power: string) => `${letter}${sign}${power.padStart(2, "0")}`);
}

function group(text: string, { grouping }: Spec): string {
  if (grouping === null || text.includes("e")) return text;
  const [whole, fraction] = text.split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, grouping);
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

function pad(text: string, spec: Spec | null, usual: "<" | ">"): string {
  if (spec === null || text.length >= spec.width) return text;
  const room = spec.width - text.length;
  switch (spec.align ?? usual) {
    case "<":
      return text + spec.fill.repeat(room);
    case "^":
      return spec.fill.repeat(Math.floor(room / 2)) + text + spec.fill.repeat(Math.ceil(room / 2));
    default:
      return spec.fill.repeat(room) + text;
  }
}
