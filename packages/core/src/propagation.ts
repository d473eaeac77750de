import type { ConcreteArray } from "./concrete.ts";
import { heldOf, spansProcesses } from "./blocks.ts";
import type { Device, Executable } from "./device.ts";
import { BackendError } from "./errors.ts";
import { innerJaxprs } from "./innerjaxprs.ts";
import type { Jaxpr } from "./jaxpr.ts";
import { JaxprMemo } from "./jaxprmemo.ts";
import { Mesh } from "./mesh.ts";
import type { NDArray } from "./ndarray.ts";
import { type Compiled, compileProgram, laysOut, runCompiled } from "./programs.ts";
import { type Params, type Primitive, shardingRule } from "./primitive.ts";
import { ownDevice, processCount } from "./process.ts";
import { NamedSharding, type Sharding } from "./sharding.ts";

/**
 * How the results of a program are laid out when its operands are laid out as given. `null` stands for an array on one device.
 * @throws {RuleError} where no rule says how the result of an operation on a large array is laid out
 */
export type Propagation = (jaxpr: Jaxpr, operands: readonly (Sharding | null)[], name: string) => readonly (Sharding | null)[];

/** A program of the blocks that each of several processes holds, for a program of whole arrays. */
export interface BlockProgram {
  /** Takes the constants, and what this process holds of each operand; gives what it holds of each result. */
  readonly jaxpr: Jaxpr;
  readonly consts: readonly NDArray[];
  /** How the results are laid out; `null` for arrays on one device. */
  readonly shardings: readonly (Sharding | null)[];
}

/**
 * Makes the program of the blocks of this process, where operands are held in blocks or the program lays something out over processes.
 * @throws {RuleError} where a large array would have to be copied to all processes unasked
 */
export type BlockPrograms = (jaxpr: Jaxpr, operands: readonly (Sharding | null)[], name: string) => BlockProgram;

let provided: { readonly propagate: Propagation; readonly blockProgram: BlockPrograms } | null = null;

/** Names what follows layouts through programs. Whoever makes a mesh with `@traceform/pmap` has named what that has for it. */
export function providePropagation(propagate: Propagation, blockProgram: BlockPrograms): void {
  provided = { propagate, blockProgram };
}

const homes = new JaxprMemo<{ readonly device: Device | null }>();

/** The first device of the mesh over which a program lays something out, which decides where it runs; `null` when there is none. */
export function homeDevice(jaxpr: Jaxpr): Device | null {
  if (!laysOut(jaxpr)) return null;
  return homes.get(jaxpr, "", () => {
    for (const { primitive, params } of jaxpr.eqns) {
      const device =
        homeOf(primitive, params) ?? innerJaxprs(params).reduce<Device | null>((d, inner) => d ?? homeDevice(inner), null);
      if (device !== null) return { device };
    }
    return { device: null };
  }).device;
}

/** The same of one operation. */
export function homeOf(primitive: Primitive<never>, params: Params): Device | null {
  if (primitive.rules[shardingRule] === undefined) return null;
  const mesh = Object.values(params).find((p) => p instanceof Mesh || p instanceof NamedSharding) as
    | Mesh
    | NamedSharding
    | undefined;
  return mesh === undefined ? null : ownDevice(mesh.devices);
}

const memo = new JaxprMemo<readonly (Sharding | null)[]>();

/** The layouts of a program's results on these arguments; `null` when all of them are on one device. */
export function resultShardings(
  { jaxpr, laysOut: has }: Pick<Compiled, "jaxpr" | "laysOut">,
  args: readonly NDArray[],
  name: string,
): readonly (Sharding | null)[] | null {
  let spread = has;
  for (let i = 0; i < args.length && !spread; i++) spread = layoutOf(args[i]) !== null;
  if (!spread || provided === null) return null;
  const { propagate } = provided;
  const layouts = args.map(layoutOf);
  return memo.get(jaxpr, layouts.map((s) => s?.key ?? "").join(";"), () => propagate(jaxpr, layouts, name));
}

const spanning = new JaxprMemo<boolean>();

/** Whether some operation of a program lays something out over a mesh that spans processes. */
export function laysOutOverProcesses(jaxpr: Jaxpr): boolean {
  if (processCount() === 1 || !laysOut(jaxpr)) return false;
  return spanning.get(jaxpr, "", () =>
    jaxpr.eqns.some(({ params }) => {
      const meshes = Object.values(params).map((p) => (p instanceof NamedSharding ? p.mesh : p));
      return meshes.some((p) => p instanceof Mesh && spansProcesses(p)) || innerJaxprs(params).some(laysOutOverProcesses);
    }),
  );
}

const blocks = new JaxprMemo<BlockProgram>();

/** The program of the blocks of this process, where one is needed: see `BlockPrograms`. */
function blockProgramOf(jaxpr: Jaxpr, args: readonly NDArray[], name: string): { program: BlockProgram; key: string } | null {
  if (processCount() === 1) return null;
  const layouts = args.map(layoutOf);
  if (!layouts.some((s) => heldOf(s) !== null) && !laysOutOverProcesses(jaxpr)) return null;
  if (provided === null) {
    throw new BackendError(name, {
      message: "nothing says how programs run on arrays that are laid out over processes",
      fix: "make the mesh with makeMesh of @traceform/pmap",
    });
  }
  const { blockProgram } = provided;
  const key = layouts.map((s) => s?.key ?? "").join(";");
  return { program: blocks.get(jaxpr, key, () => blockProgram(jaxpr, layouts, name)), key };
}

/**
 * Runs a program on concrete arguments: as it is, or, where these are held in blocks or it lays something out over processes, as the
 * program of the blocks of this one.
 */
export function runProgram(
  compiled: Compiled,
  args: readonly NDArray[],
  device: Device,
  name: string,
  donated?: readonly boolean[],
): NDArray[] {
  const found = blockProgramOf(compiled.jaxpr, args, name);
  if (found === null) return runCompiled(compiled, args, device, donated, resultShardings(compiled, args, name));
  const { program, key } = found;
  const { backend } = device;
  const { consts } = program;
  const operands = consts.length === 0 ? args : [...consts, ...args];
  const ended = donated === undefined || consts.length === 0 ? donated : [...consts.map(() => false), ...donated];
  const donate = ended?.flatMap((d, i) => (d ? [i] : [])) ?? [];
  const executable = executables.get(program.jaxpr, `${key}|${donate.join()}`, () =>
    compileProgram(backend, program.jaxpr, { name, donate }),
  );
  return runCompiled({ executable, outAvals: compiled.outAvals }, operands, device, ended, program.shardings);
}
const executables = new JaxprMemo<Executable>();

/** The layout of an array over several devices; `null` for one on a single device. */
function layoutOf(x: NDArray): Sharding | null {
  const given = (x as ConcreteArray).givenSharding ?? null;
  return given !== null && given.devices.length > 1 ? given : null;
}
