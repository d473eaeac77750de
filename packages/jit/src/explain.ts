import { type Aval, captureSource, config, type DTypePromotion, type Treedef, valueKey } from "@traceform/core";
import type { StaticArgument } from "./arguments.ts";
import { leafPlaces, parameterNames } from "./places.ts";

/** Why `jit` traced, for people: see `explainCacheMisses`. */
export type ExplanationLog = (explanation: string) => void;

/** What the tracing cache compares, in a form that can be put into words. */
export interface Signature {
  readonly treedef: Treedef;
  readonly avals: readonly Aval[];
  readonly statics: readonly StaticArgument[];
  readonly positions: readonly number[];
  readonly axes: string;
  readonly promotion: DTypePromotion;
}

const warn: ExplanationLog = (text) => console.warn(text);
/** What the innermost `explainCacheMisses` asked for; `null` outside of all. */
let asked: ExplanationLog | false | null = null;

/**
 * Runs `fn` and says, on every miss of the tracing cache meanwhile, why `jit` traced: which argument had another shape,
 * dtype, weak type, structure or static value than in the call most like it, or that the function is a new one, and from
 * which line it was called. `value` is `true` for `console.warn`, or a function that gets each explanation. For good, on the
 * console: `config.update("explainCacheMisses", true)`.
 */
export function explainCacheMisses<T>(value: boolean | ExplanationLog, fn: () => T): T {
  const outer = asked;
  asked = value === true ? warn : value;
  try {
    return fn();
  } finally {
    asked = outer;
  }
}

/** How often functions of the same source were traced for the first time while misses were explained. */
const sources = new Map<string, number>();
const sourcesLimit = 1024;

/** Explains a miss to whoever asked for it. `earlier` are the signatures that the function was traced for. */
export function explainMiss(
  name: string,
  f: (...args: never[]) => unknown,
  options: unknown,
  signature: Signature,
  earlier: Iterable<Signature>,
): void {
  const log = asked ?? (config.explainCacheMisses ? warn : false);
  if (log === false) return;
  const place = captureSource().frame;
  const names = parameterNames(f);
  let best: string[] | null = null;
  let least = Infinity;
  for (const other of earlier) {
    const found = differences(signature, other, names);
    // A call with another number of arguments is further away than one with other arguments.
    const missing = Math.abs(other.positions.length - signature.positions.length);
    const distance = found.length + missing * signature.avals.length;
    // Of those that are as near, the latest.
    if (distance <= least) [best, least] = [found, distance];
  }
  const reasons = best ?? [firstTime(name, f, options)];
  const head = `jit(${name}) traces${place === null ? "" : ` at ${place}`}, because`;
  log(`${head}\n${reasons.map((r) => `    ${r}`).join("\n")}`);
}

function firstTime(name: string, f: (...args: never[]) => unknown, options: unknown): string {
  const key = `${String(f)}|${valueKey(options)}`;
  const before = sources.get(key) ?? 0;
  if (sources.size >= sourcesLimit) sources.clear();
  sources.set(key, before + 1);
  if (before === 0) return "it was not called before";
  return (
    `it is a new function: ${before === 1 ? "another one" : `${before} others`} with the same source ${before === 1 ? "was" : "were"} traced before; ` +
    `define ${name === "<anonymous>" ? "it" : name} once, outside of the loop or the function that makes it, or keep what jit returned`
  );
}

function differences(now: Signature, before: Signature, names: readonly (string | null)[]): string[] {
  const found: string[] = [];
  const label = (i: number): string => names[i] ?? `argument ${i}`;
  const readable = (text: string): string => text.replace(/^argument (\d+)$/, (_, i: string) => label(Number(i)));
  now.statics.forEach((s, i) => {
    const other = before.statics.at(i);
    if (other === undefined || other.label !== s.label) found.push(`the static ${readable(s.label)} was not static`);
    else if (valueKey(other.value) !== valueKey(s.value)) {
      found.push(
        `the static ${readable(s.label)} is ${describe(s.value)}, was ${describe(other.value)}${identityNote(s.value, other.value)}`,
      );
    }
  });
  if (now.promotion !== before.promotion) found.push(`dtypes meet by ${now.promotion} promotion, did so by ${before.promotion}`);
  if (now.axes !== before.axes) found.push(`the named axes in scope are [${now.axes}], were [${before.axes}]`);
  if (now.treedef.children.length !== before.treedef.children.length) {
    found.push(
      `${count(now.treedef.children.length)}, there ${before.treedef.children.length === 1 ? "was" : "were"} ${before.treedef.children.length}`,
    );
    return found;
  }
  let a = 0;
  let b = 0;
  now.treedef.children.forEach((child, k) => {
    const other = before.treedef.children[k];
    const at = label(now.positions[k]);
    if (child !== other) found.push(`${at} is ${child}, was ${other}: another structure`);
    else {
      leafPlaces(child, at).forEach((path, leaf) => {
        const what = avalDifference(now.avals[a + leaf], before.avals[b + leaf]);
        if (what !== null) found.push(`${path} ${what}`);
      });
    }
    a += child.numLeaves;
    b += other.numLeaves;
  });
  return found;
}

const count = (n: number): string => `there ${n === 1 ? "is 1 argument" : `are ${n} arguments`}`;

function avalDifference(now: Aval, before: Aval): string | null {
  if (now === before) return null;
  const kinds: string[] = [];
  if (now.shape.join() !== before.shape.join()) kinds.push("shape");
  if (now.dtype !== before.dtype) kinds.push("dtype");
  if (now.weakType !== before.weakType) kinds.push("weak type");
  const show = (x: Aval): string => `${x.weakType ? "a weak " : ""}${x}`;
  const hint = now.weakType === before.weakType ? "" : " (JavaScript numbers are weak)";
  return `is ${show(now)}, was ${show(before)}: another ${kinds.length === 0 ? "placement" : kinds.join(", ")}${hint}`;
}

function describe(value: unknown): string {
  if (typeof value === "function") return `the function ${value.name === "" ? "<anonymous>" : value.name}`;
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value !== "object" || value === null) return typeof value === "string" ? JSON.stringify(value) : String(value);
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

function identityNote(now: unknown, before: unknown): string {
  if (describe(now) !== describe(before)) return "";
  return "; it is compared by identity: keep one, or give its class equals and hash";
}
