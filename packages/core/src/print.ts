import type { ClosedJaxpr } from "./closed.ts";
import { type DType, dtypeName } from "./dtypes.ts";
import { type Atom, type Eqn, Jaxpr, Literal, Var } from "./jaxpr.ts";

/** The letters of the n-th variable: a, …, z, ba, bb, … as JAX counts. */
function letters(n: number): string {
  let text = "";
  do {
    text = String.fromCharCode(97 + (n % 26)) + text;
    n = Math.floor(n / 26);
  } while (n > 0);
  return text;
}

/** What `printJaxpr` shows beside the equations. */
export interface PrintOptions {
  /** The user's line behind each equation. */
  readonly sourceInfo?: boolean;
  /** The `namedScope`s in which each equation was staged. */
  readonly nameStack?: boolean;
}

class Namer {
  readonly #names = new Map<Var, string>();
  name(v: Var): string {
    let name = this.#names.get(v);
    if (name === undefined) this.#names.set(v, (name = letters(this.#names.size)));
    return name;
  }
  binder(v: Var): string {
    return `${this.name(v)}:${v.aval}`;
  }
  atom(a: Atom): string {
    return a instanceof Literal ? `${formatLiteral(a)}:${a.aval}` : this.name(a);
  }
}

function formatLiteral({ value, aval }: Literal): string {
  if (typeof value !== "number") return String(value);
  const isFloat = !/int|bool/.test(dtypeName(aval.dtype));
  if (!isFloat) return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e16) return `${Object.is(value, -0) ? "-0" : value}.0`;
  return String(aval.dtype === "float32" ? Number(value.toPrecision(9)) : value);
}

/** Parameters in JAX's spelling: `new_dtype`, not `newDtype`. */
function snake(name: string): string {
  return name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
}

const width = 96;

function formatParam(value: unknown, indent: string, options: PrintOptions): string {
  if (value instanceof Jaxpr) return formatJaxpr(value, indent, options);
  if (Array.isArray(value)) {
    if (value.some((v) => v instanceof Jaxpr)) {
      return `(\n${value.map((v) => `${indent}  ${formatParam(v, `${indent}  `, options)}`).join("\n")}\n${indent})`;
    }
    return value.length === 1
      ? `(${formatParam(value[0], indent, options)},)`
      : `(${value.map((v) => formatParam(v, indent, options)).join(", ")})`;
  }
  if (typeof value === "function") return value.name === "" ? "<function>" : value.name;
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "object" && "physicalDtype" in value) return dtypeName(value as DType);
  if (typeof value === "object") {
    const proto = Object.getPrototypeOf(value);
    if (proto !== Object.prototype && proto !== null) return String(value);
    return `{${Object.entries(value)
      .map(([k, v]) => `${snake(k)}=${formatParam(v, indent, options)}`)
      .join(", ")}}`;
  }
  return String(value);
}

function formatEqn(eqn: Eqn, namer: Namer, indent: string, options: PrintOptions): string {
  const operands = eqn.invars.map((a) => namer.atom(a));
  const results = eqn.outvars.map((v) => namer.binder(v)).join(" ");
  const shown = Object.entries(eqn.params)
    .filter(([name, value]) => value !== undefined && !eqn.primitive.hiddenParams.includes(name))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => [snake(name), value] as const);
  const head = `${results}${results === "" ? "" : " "}= ${eqn.primitive.name}`;
  const flat = shown.map(([name, value]) => `${name}=${formatParam(value, `${indent}    `, options)}`);
  const tail = operands.map((o) => ` ${o}`).join("");
  const scope = options.nameStack === true ? (eqn.source?.scope ?? "") : "";
  if (scope !== "") flat.unshift(`name=${scope}`);
  const comment = sourceComment(eqn, options);
  const oneLine = `${head}${flat.length > 0 ? `[${flat.join(" ")}]` : ""}${tail}`;
  if (!oneLine.includes("\n") && indent.length + oneLine.length <= width) return indent + oneLine + comment;
  return `${indent}${head}[\n${flat.map((f) => `${indent}  ${f}`).join("\n")}\n${indent}]${tail}${comment}`;
}

function sourceComment({ source }: Eqn, { sourceInfo }: PrintOptions): string {
  const frame = sourceInfo === true ? (source?.frame ?? null) : null;
  return frame === null ? "" : ` # ${frame}`;
}

function formatJaxpr(jaxpr: Jaxpr, indent: string, options: PrintOptions): string {
  const namer = new Namer();
  const binders = (vars: readonly Var[]): string => vars.map((v) => namer.binder(v)).join(" ");
  const constvars = binders(jaxpr.constvars);
  const invars = binders(jaxpr.invars);
  const head = `{ lambda ${constvars}${constvars === "" ? "" : " "};${invars === "" ? "" : " "}${invars}. let`;
  const eqns = jaxpr.eqns.map((e) => formatEqn(e, namer, `${indent}    `, options));
  const outs = jaxpr.outvars.map((a) => namer.atom(a));
  const result = outs.length === 1 ? `(${outs[0]},)` : `(${outs.join(", ")})`;
  const oneLine = `${head} ${eqns.map((e) => e.trim()).join("; ")}${eqns.length > 0 ? " " : ""}in ${result} }`;
  if (eqns.length <= 1 && options.sourceInfo !== true && !oneLine.includes("\n") && indent.length + oneLine.length <= width)
    return oneLine;
  return `${head}\n${eqns.join("\n")}\n${indent}  in ${result} }`;
}

/**
 * A jaxpr as JAX prints it, with dtypes in full: `{ lambda ; a:float32[3]. let b:float32[3] = sin a in (b,) }`. With
 * `sourceInfo` the user's line follows each equation, `# model.ts:12:5`, and with `nameStack` its `namedScope`s are among the
 * parameters.
 */
export function printJaxpr(jaxpr: Jaxpr | ClosedJaxpr, options: PrintOptions = {}): string {
  return formatJaxpr(jaxpr instanceof Jaxpr ? jaxpr : jaxpr.jaxpr, "", options);
}
