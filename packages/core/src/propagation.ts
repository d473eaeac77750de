import type { ConcreteArray } from "./concrete.ts";
import { spansMemories } from "./blocks.ts";
import type { Device } from "./device.ts";
import { BackendError } from "./errors.ts";
import { innerJaxprs } from "./innerjaxprs.ts";
import type { Jaxpr } from "./jaxpr.ts";
import { JaxprMemo } from "./jaxprmemo.ts";
import { Mesh } from "./mesh.ts";
import type { NDArray } from "./ndarray.ts";
import { type Compiled, laysOut, runCompiled } from "./programs.ts";
import { type Params, type Primitive, shardingRule } from "./primitive.ts";
import { ownDevice, processCount } from "./process.ts";
import { NamedSharding, type Sharding } from "./sharding.ts";

/**
 * How the results of a program are laid out when its operands are laid out as given. `null` stands for an array on one device.
 * @throws {RuleError} where no rule says how the result of an operation on a large array is laid out
 */
export type Propagation = (jaxpr: Jaxpr, operands: readonly (Sharding | null)[], name: string) => readonly (Sharding | null)[];

/**
 * Runs a program whose operands are held in blocks, or that lays something out over several memories (of other processes, or of several
 * GPUs), as programs of the blocks that are here; `null` for one that runs as it is.
 *
 * @throws {RuleError} where a large array would have to be copied to all memories unasked
 */
export type RunInBlocks = (
  compiled: Compiled,
  args: readonly NDArray[],
  device: Device,
  name: string,
  donated?: readonly boolean[],
) => NDArray[] | null;

interface Provided {
  readonly propagate: Propagation;
  readonly runInBlocks: RunInBlocks;
}
let provided: Provided | null = null;

/** Names what follows layouts through programs. Whoever makes a mesh with `@traceform/pmap` has named what that has for it. */
export function providePropagation(parts: Provided): void {
  provided = parts;
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

/** Whether some operation of a program lays something out over several memories. */
export function laysOutOverMemories(jaxpr: Jaxpr): boolean {
  if (!laysOut(jaxpr)) return false;
  return spanning.get(jaxpr, "", () =>
    jaxpr.eqns.some(({ params }) => {
      const meshes = Object.values(params).map((p) => (p instanceof NamedSharding ? p.mesh : p));
      return meshes.some((p) => p instanceof Mesh && spansMemories(p)) || innerJaxprs(params).some(laysOutOverMemories);
    }),
  );
}

/** Runs a program on concrete arguments: as it is, or in blocks where it has to. */
export function runProgram(
  compiled: Compiled,
  args: readonly NDArray[],
  device: Device,
  name: string,
  donated?: readonly boolean[],
): NDArray[] {
  const apart = processCount() > 1 || device.backend.fleet !== undefined;
  return (
    (apart ? inBlocks(compiled, args, device, name, donated) : null) ??
    runCompiled(compiled, args, device, donated, resultShardings(compiled, args, name))
  );
}

const inBlocks: RunInBlocks = (compiled, args, device, name, donated) => {
  if (provided !== null) return provided.runInBlocks(compiled, args, device, name, donated);
  if (args.every((x) => layoutOf(x) === null)) return null;
  throw new BackendError(name, {
    message: "nothing says how programs run on arrays that are laid out over several memories",
    fix: "make the mesh with makeMesh of @traceform/pmap",
  });
};

/** The layout of an array over several devices; `null` for one on a single device. */
export function layoutOf(x: NDArray): Sharding | null {
  const given = (x as ConcreteArray).givenSharding ?? null;
  return given !== null && given.devices.length > 1 ? given : null;
}
