import {
  type Aval,
  blockOf,
  constvarsToInvars,
  type Eqn,
  expandLowerRules,
  heldOf,
  heldShape,
  innerJaxprs,
  type Jaxpr,
  Mesh,
  NamedSharding,
  type NDArray,
  processExchange,
  RuleError,
  type Sharding,
  spansMemories,
  traceToJaxpr,
  updateAval,
  withMesh,
} from "@traceform/core";
import { shardAval, type ShardMapParams } from "@traceform/lax";
import { expandBlocks, lockstep } from "../lockstep.ts";
import { cutOf, ownLayouts, propagateShardings, shardingOf } from "../propagate.ts";
import { calledJaxpr } from "./control.ts";
import { type Cut, isCut, uncut } from "./factors.ts";
import { Partitioner } from "./partitioner.ts";
import { refine } from "./refine.ts";
import { saidBy, Wants } from "./wants.ts";

/** A program of the blocks that each of several processes holds, for a program of whole arrays. */
export interface BlockProgram {
  /** Takes the constants, and what this process holds of each operand; gives what it holds of each result. */
  readonly jaxpr: Jaxpr;
  readonly consts: readonly NDArray[];
  /** How the results are laid out; `null` for arrays on one device. */
  readonly shardings: readonly (Sharding | null)[];
}

/**
 * The program that a process runs for a program of whole arrays, some of which are laid out over processes: that of one shard, with
 * its collectives, on all the shards that this process has. What is whole in every process may enter too, the same in all of them.
 * A GPU among several (see `fleet`) is a process here.
 *
 * @throws {RuleError} where a large array would have to be copied to all processes, and for programs over several meshes
 * @throws {BackendError} in every process, when another is to run another program
 */
export function blockProgram(jaxpr: Jaxpr, operands: readonly (Sharding | null)[], name: string): BlockProgram {
  const expanded = expandLowerRules(jaxpr, ownLayouts);
  const mesh = meshOver(expanded, operands)!;
  // What is wrong with the mesh is so in every process, and found before any of them waits for the others.
  blockOf(mesh);
  agree(name, expanded, mesh);
  const given = expanded.invars.map((_, i): NamedSharding | null => {
    const s = operands[i];
    return spanningMesh(s) === null ? null : onMesh(name, s as NamedSharding, mesh, expanded.inAvals[i]);
  });
  const program = refine(
    expanded,
    given,
    expanded.outvars.map(() => null),
    mesh,
    name,
  );
  const wanted = entries(program, given, name);
  const layouts = given.map((s, i) => {
    const cut = s === null ? wanted[i] : null;
    return cut === null || !isCut(cut) ? s : shardingOf(mesh, cut);
  });
  const results = propagateShardings(program, layouts, name);
  const cuts = (shardings: readonly (Sharding | null)[], avals: readonly { readonly ndim: number }[]): Cut[] =>
    shardings.map((s, i) => cutOf(s, avals[i].ndim));
  const ins = cuts(layouts, program.inAvals);
  const outs = cuts(results, program.outAvals);
  const inSpecs = ins.map((cut) => shardingOf(mesh, cut).spec);
  const partitioner = new Partitioner(mesh, name);
  const shard = withMesh(mesh, false, () =>
    traceToJaxpr(
      (...shards) => partitioner.evaluate(program, shards, ins, outs),
      program.inAvals.map((aval, i) => shardAval(aval, mesh, inSpecs[i], false)),
      name,
    ),
  );
  const params: ShardMapParams = {
    name,
    jaxpr: constvarsToInvars(shard.jaxpr),
    mesh,
    inSpecs: [...shard.consts.map(() => shardingOf(mesh, []).spec), ...inSpecs],
    outSpecs: outs.map((cut) => shardingOf(mesh, cut).spec),
    checkVma: false,
    lockstep,
  };
  const inBlocks = [...shard.consts.map(() => false), ...operands.map((s) => heldOf(s) !== null)];
  const blocks = traceToJaxpr(
    (...xs) => expandBlocks([...shard.consts, ...xs], params, inBlocks),
    program.inAvals.map((aval, i) => updateAval(aval, { shape: heldShape(aval.shape, operands[i]) })),
    name,
  );
  return { jaxpr: constvarsToInvars(blocks.jaxpr), consts: blocks.consts, shardings: results };
}

/** The mesh of a layout, where it has several memories. */
export const spanningMesh = (s: Sharding | null): Mesh | null =>
  s instanceof NamedSharding && spansMemories(s.mesh) ? s.mesh : null;

/** The mesh over several memories that a program lays something out over, or else that of its operands; `null` when there is none. */
export function meshOver(jaxpr: Jaxpr, operands: readonly (Sharding | null)[]): Mesh | null {
  return meshInside(jaxpr) ?? operands.map(spanningMesh).find((m) => m !== null) ?? null;
}

/** A layout in the words of another mesh of the same devices. @throws {RuleError} when it has none for it */
function onMesh(name: string, given: NamedSharding, mesh: Mesh, aval: Aval): NamedSharding {
  if (given.mesh.equals(mesh)) return given;
  const search = (cut: Cut, left: readonly string[]): NamedSharding | null => {
    const found = shardingOf(mesh, cut);
    if (found.isEquivalentTo(given, aval.ndim)) return found;
    for (const axis of left) {
      const others = left.filter((a) => a !== axis);
      for (let d = 0; d < aval.ndim; d++) {
        const more = search(
          cut.map((names, k) => (k === d ? [...names, axis] : names)),
          others,
        );
        if (more !== null) return more;
      }
    }
    return null;
  };
  const found = search(uncut(aval.ndim), mesh.axisNames);
  if (found !== null) return found;
  throw new RuleError(name, {
    message: `the program is laid out over ${mesh}, and an operand, ${aval}, over ${given.mesh}, as ${mesh} cannot cut it`,
    operands: { operand: given },
    fix: `lay it out over ${mesh} before, with devicePut(x, new NamedSharding(mesh, spec))`,
  });
}

function meshInside(jaxpr: Jaxpr): Mesh | null {
  for (const { params } of jaxpr.eqns) {
    for (const p of Object.values(params)) {
      const mesh = p instanceof NamedSharding ? p.mesh : p;
      if (mesh instanceof Mesh && spansMemories(mesh)) return mesh;
    }
    for (const inner of innerJaxprs(params)) {
      const mesh = meshInside(inner);
      if (mesh !== null) return mesh;
    }
  }
  return null;
}

/**
 * How operands that are whole in every process are cut when they enter: as the operations want them, if all that read them want the
 * same, so that nobody has to cut them again; `null` for all others.
 */
function entries(program: Jaxpr, layouts: readonly (Sharding | null)[], name: string): (Cut | null)[] {
  const wants = new Wants();
  const see = (eqn: Eqn, operands: readonly Cut[]): void => {
    const called = calledJaxpr(eqn);
    const cuts =
      called === null
        ? operands
        : entries(
            called,
            operands.map(() => null),
            name,
          );
    eqn.invars.forEach((a, i) => wants.add(a, cuts[i]));
  };
  for (const eqn of program.eqns) {
    const said = saidBy(eqn);
    if (said !== null) see(eqn, said);
  }
  propagateShardings(program, layouts, name, see);
  for (const a of program.outvars) wants.add(a, null);
  return program.invars.map((v) => wants.get(v));
}

/** All processes are to run this program now: the same operations on the same shapes, whatever their parameters are called. */
function agree(name: string, jaxpr: Jaxpr, mesh: Mesh): void {
  const lines: string[] = [];
  const describe = ({ eqns, inAvals, outAvals }: Jaxpr): void => {
    const types = (avals: readonly { readonly shape: readonly number[]; readonly dtype: unknown }[]): string =>
      avals.map(({ shape, dtype }) => `${String(dtype)}[${shape.join(",")}]`).join(" ");
    for (const { primitive, outvars, params } of eqns) {
      lines.push(`${primitive.name} ${types(outvars.map((v) => v.aval))}`);
      innerJaxprs(params).forEach(describe);
    }
    lines.push(`${types(inAvals)} -> ${types(outAvals)}`);
  };
  describe(jaxpr);
  const text = `${name} over ${mesh}: ${lines.at(-1)}`;
  const what = text.length > 400 ? `${text.slice(0, 400)}…` : text;
  const own = `${what} (${lines.length} lines, ${hash(lines.join("\n"))})`;
  processExchange(name).agree(name, "the program that they run", own, "run the same program on the same shapes in every process");
}

/** @see Fowler, Noll & Vo's FNV-1a, on 32 bits */
function hash(text: string): string {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return (h >>> 0).toString(16);
}
