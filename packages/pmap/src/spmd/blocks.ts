import {
  type Aval,
  blockOf,
  type BlockProgram,
  constvarsToInvars,
  expandLowerRules,
  heldOf,
  heldShape,
  innerJaxprs,
  type Jaxpr,
  Mesh,
  NamedSharding,
  processExchange,
  RuleError,
  type Sharding,
  shardingConstraintP,
  type ShardingConstraintParams,
  spansProcesses,
  traceToJaxpr,
  updateAval,
  type Var,
  withMesh,
} from "@traceform/core";
import { shardAval, type ShardMapParams, shardMapP } from "@traceform/lax";
import { expandBlocks, lockstep } from "../lockstep.ts";
import { cutOf, ownLayouts, propagateShardings, shardingOf } from "../propagate.ts";
import { calledJaxpr } from "./control.ts";
import { type Cut, isCut, sameCut, uncut } from "./factors.ts";
import { Partitioner } from "./partitioner.ts";

/**
 * The program that a process runs for a program of whole arrays, some of which are laid out over processes: that of one shard, with
 * its collectives, on all the shards that this process has. What is whole in every process may enter too, the same in all of them.
 *
 * @throws {RuleError} where a large array would have to be copied to all processes, and for programs over several meshes
 * @throws {BackendError} in every process, when another is to run another program
 */
export function blockProgram(jaxpr: Jaxpr, operands: readonly (Sharding | null)[], name: string): BlockProgram {
  const program = expandLowerRules(jaxpr, ownLayouts);
  const mesh = meshInside(program) ?? operands.map(spanningMesh).find((m) => m !== null)!;
  // What is wrong with the mesh is so in every process, and found before any of them waits for the others.
  blockOf(mesh);
  agree(name, program, mesh);
  const wanted = entries(program);
  const layouts = program.invars.map((_, i): NamedSharding | null => {
    const given = operands[i];
    if (spanningMesh(given) !== null) return onMesh(name, given as NamedSharding, mesh, program.inAvals[i]);
    const cut = wanted[i];
    return cut === null || !isCut(cut) ? null : shardingOf(mesh, cut);
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

const spanningMesh = (s: Sharding | null): Mesh | null => (s instanceof NamedSharding && spansProcesses(s.mesh) ? s.mesh : null);

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

/** The mesh over processes that a program lays something out over. */
function meshInside(jaxpr: Jaxpr): Mesh | null {
  for (const { params } of jaxpr.eqns) {
    for (const p of Object.values(params)) {
      const mesh = p instanceof NamedSharding ? p.mesh : p;
      if (mesh instanceof Mesh && spansProcesses(mesh)) return mesh;
    }
    for (const inner of innerJaxprs(params)) {
      const mesh = meshInside(inner);
      if (mesh !== null) return mesh;
    }
  }
  return null;
}

/**
 * How operands that are whole in every process are cut when they enter: as `shardMap` or a constraint wants them, if all that read
 * them want the same, so that nobody has to cut them again; `null` for all others.
 */
function entries(jaxpr: Jaxpr): (Cut | null)[] {
  const wants = new Map<Var, Cut>(jaxpr.invars.map((v) => [v, uncut(v.aval.ndim)]));
  const seen = new Set<Var>();
  const want = (v: Var, cut: Cut | null): void => {
    const before = wants.get(v);
    if (before === undefined) return;
    if (cut === null || (seen.has(v) && !sameCut(cut, before))) wants.delete(v);
    else wants.set(v, cut);
    seen.add(v);
  };
  for (const eqn of jaxpr.eqns) {
    const primitive = eqn.primitive as unknown;
    const called = calledJaxpr(eqn);
    const cuts =
      called !== null
        ? entries(called)
        : eqn.invars.map((a, i): Cut | null => {
            if (primitive === shardMapP) {
              const { axes } = (eqn.params as unknown as ShardMapParams).inSpecs[i];
              return a.aval.shape.map((_, d) => axes[d] ?? []);
            }
            return primitive === shardingConstraintP
              ? cutOf((eqn.params as unknown as ShardingConstraintParams).sharding, a.aval.ndim)
              : null;
          });
    eqn.invars.forEach((a, i) => want(a as Var, cuts[i]));
  }
  for (const a of jaxpr.outvars) want(a as Var, null);
  return jaxpr.invars.map((v) => wants.get(v) ?? null);
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
