import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { root } from "./process.ts";
import { packageSources } from "./sources.ts";

/** The text from `at`, behind an opening parenthesis, to the one that closes it. Brackets in strings do not count. */
function argumentsAt(source: string, at: number): string {
  let depth = 1;
  let quote = "";
  let i = at;
  for (; depth > 0 && i < source.length; i++) {
    const c = source[i];
    if (quote !== "") {
      if (c === "\\") i++;
      else if (c === quote) quote = "";
    } else if (`"'\``.includes(c)) quote = c;
    else if (c === "(") depth++;
    else if (c === ")") depth--;
  }
  return source.slice(at, i - 1);
}

const classes = [...readFileSync(`${root}packages/core/src/errors.ts`, "utf8").matchAll(/^export class (\w+) extends/gm)].map(
  (m) => m[1],
);

/** `path:line` of every error that says what happened and not what to do about it. */
function withoutFix(path: string, source: string): string[] {
  const made = new RegExp(`new (?:${classes.join("|")})\\(`, "g");
  return [...source.matchAll(made)].flatMap((m) => {
    if (/\bfix\b/.test(argumentsAt(source, m.index + m[0].length))) return [];
    return [`${path}:${source.slice(0, m.index).split("\n").length}`];
  });
}

test("an error without its repair is found", () => {
  expect(classes).toContain("ShapeError");
  const source = `if (a) throw new ShapeError(f, { message: "a ) and \\" a (" });\nthrow new AxisError(f, { message: g(")"), fix: "x" });`;
  expect(withoutFix("a.ts", source)).toEqual(["a.ts:1"]);
});

test("every error says how to repair the call", () => {
  const shipped = packageSources().filter(({ pkg }) => pkg !== "testing");
  expect(shipped.flatMap(({ path }) => withoutFix(path, readFileSync(root + path, "utf8")))).toEqual([]);
});
