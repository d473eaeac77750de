import {
  bind,
  definePrimitive,
  type HostRule,
  hostRule,
  isNDArray,
  type Primitive,
  treeUnflatten,
  ValueError,
} from "@traceform/core";
import { type CallbackParams, debugEffect, orderedDebugEffect } from "./callback.ts";
import { flattenCallbackArguments, rebuildLeaves } from "./internal/callbackarguments.ts";
import { applyFormat, type Format, parseFormat } from "./internal/format.ts";

export { debugCallback as callback } from "./callback.ts";
export { visualizeArraySharding, visualizeSharding } from "./visualize.ts";

/** Where `print` writes: one text a call. */
export type PrintSink = (text: string) => void;

const toConsole: PrintSink = (text) => console.log(text);
let sink: PrintSink = toConsole;

/** Makes `print` write somewhere else; `null` is `console.log`. Returns where it wrote before. */
export function setPrintSink(next: PrintSink | null): PrintSink {
  const before = sink;
  sink = next ?? toConsole;
  return before;
}

export interface DebugPrintParams extends Omit<CallbackParams, "callback"> {
  /** The format string. Positional arguments come first in the tree, then an object of named ones. */
  readonly fmt: string;
  readonly ordered: boolean;
}

const printOnHost: HostRule<DebugPrintParams> = (args, { fmt, inTree, statics }) => {
  const [positional, named] = treeUnflatten(inTree, rebuildLeaves(args, statics)) as [unknown[], Record<string, unknown>];
  sink(formatText(fmt, positional, named));
  return [];
};

/** Writes a text with values in it. Operands: the arrays among the leaves of the arguments. */
export const debugPrintP: Primitive<DebugPrintParams> = /* @__PURE__ */ definePrimitive<DebugPrintParams>("debug_print", {
  abstractEval: (_avals, { ordered }) => ({ avals: [], effects: [ordered ? orderedDebugEffect : debugEffect] }),
  rules: { [hostRule]: printOnHost },
  hiddenParams: ["inTree", "statics"],
});

/**
 * Prints values, also inside `jit`, `vmap`, `grad` and loops, when the program comes by: in `vmap` once for each member, under
 * differentiation the primal values.
 *
 * The format string is Python's: `{}` and `{0}` take positional arguments, `{name}` those of an object that comes last, and
 * `{x:.3f}` formats the numbers of an array. `ordered: true` in that object keeps prints in order. Arguments are pytrees; strings
 * are printed as they are. Arrays print as JavaScript prints lists, `[1, 2.5]`.
 *
 * @throws {ValueError} at once for arguments that are missing, or that the format string does not use
 * @example
 * ```ts
 * debug.print("loss {} after {step} steps", loss, { step, ordered: true });
 * ```
 */
export function print(format: string, ...args: readonly unknown[]): void {
  const fn = "debug.print";
  const [positional, { ordered = false, ...named }] = formatArguments(fn, format, args, ["ordered"]);
  const { flat, params } = flattenCallbackArguments(fn, [positional, named], true);
  bind(debugPrintP, flat, { fmt: format, ...params, ordered: ordered === true });
}

/**
 * The arguments of a format string: positional ones, and the named ones of an object at the end, among which `options` need not
 * be used.
 *
 * @throws {ValueError} for arguments that are missing or not used
 */
export function formatArguments(
  fn: string,
  format: string,
  args: readonly unknown[],
  options: readonly string[] = [],
): [positional: unknown[], named: Record<string, unknown>] {
  const parsed = parseFormat(fn, format);
  const split = splitNamed(parsed, args);
  checkUse(fn, format, parsed, split[0], split[1], options);
  return split;
}

/** A format string with concrete values filled in. */
export function formatText(format: string, positional: readonly unknown[], named: Readonly<Record<string, unknown>>): string {
  return applyFormat(parseFormat("format", format), positional, named);
}

/** A plain object at the end that no positional field takes holds the named arguments. */
function splitNamed({ positional }: Format, args: readonly unknown[]): [unknown[], Record<string, unknown>] {
  const last = args.at(-1);
  const isObject =
    typeof last === "object" && last !== null && !isNDArray(last) && Object.getPrototypeOf(last) === Object.prototype;
  if (!isObject || args.length <= positional) return [[...args], {}];
  return [args.slice(0, -1), last as Record<string, unknown>];
}

function checkUse(
  fn: string,
  text: string,
  format: Format,
  positional: readonly unknown[],
  named: Readonly<Record<string, unknown>>,
  options: readonly string[],
): void {
  const missing = format.names.find((name) => !Object.hasOwn(named, name));
  if (missing !== undefined || positional.length < format.positional) {
    throw new ValueError(fn, {
      message: `the format string "${text}" needs ${missing === undefined ? `${format.positional} positional arguments, got ${positional.length}` : `an argument named ${missing}`}`,
      fix: "pass positional arguments after the format string, and named ones in an object at the end: { x }",
    });
  }
  const used = new Set(format.parts.flatMap((p) => (typeof p === "string" ? [] : [p.argument])));
  const unused = [...positional.keys(), ...Object.keys(named)].find((key) => !used.has(key) && !options.includes(key as string));
  if (unused !== undefined) {
    throw new ValueError(fn, {
      message: `the format string "${text}" does not use the argument ${typeof unused === "number" ? `at position ${unused}` : unused}`,
      fix: "add a field for it, {} or {name}, or leave it out",
    });
  }
}
