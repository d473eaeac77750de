import {
  type Atom,
  type Eqn,
  expandLowerRules,
  type Jaxpr,
  Literal,
  Mesh,
  NamedSharding,
  PartitionSpec,
  RuleError,
  type Sharding,
  shardingConstraintP,
  shardingRule,
  type ShardingRule,
} from "@traceform/core";
import { shardMapP } from "@traceform/lax";
import { type Cut, isCut, uncut } from "./spmd/factors.ts";
import { unexpanded } from "./spmd/rules.ts";
import { stepOf } from "./spmd/steps.ts";

/** The primitives that say themselves how their results are laid out, and those that rules know better than what they are made of. */
export const ownLayouts: ReadonlySet<string> = new Set([shardMapP.name, shardingConstraintP.name, ...unexpanded]);

/** How an array is cut by a sharding. */
export function cutOf(sharding: Sharding | null, ndim: number): Cut {
  if (!(sharding instanceof NamedSharding)) return uncut(ndim);
  return uncut(ndim).map((_, d) => (sharding.spec.axes[d] ?? []).filter((n) => sharding.mesh.shape[n] > 1));
}
export const shardingOf = (mesh: Mesh, cut: Cut): NamedSharding =>
  new NamedSharding(
    mesh,
    PartitionSpec(...cut.map((names) => (names.length === 0 ? null : names.length === 1 ? names[0] : names))),
  );

/** Told, for each equation that runs on shards, how it wants its operands to be cut, and how they are. */
export type Seen = (eqn: Eqn, operands: readonly Cut[], given: readonly Cut[]) => void;

/**
 * How the results of a program are laid out over devices when its operands are laid out as given: equation by equation, through
 * elementwise operations, products, reductions, reshapes, transpositions, broadcasts, indexing, loops, branches and calls.
 *
 * @throws {RuleError} where a large array would have to be copied to all devices, because there is no rule or because operands are
 *   cut in ways that do not fit together; and for operands over different meshes
 */
export function propagateShardings(
  jaxpr: Jaxpr,
  operands: readonly (Sharding | null)[],
  name = "propagateShardings",
  seen?: Seen,
): (Sharding | null)[] {
  const program = expandLowerRules(jaxpr, ownLayouts);
  const env = new Map<Atom, Sharding | null>(program.invars.map((v, i) => [v, operands[i]]));
  const read = (a: Atom): Sharding | null => (a instanceof Literal ? null : (env.get(a) ?? null));
  for (const eqn of program.eqns) {
    const own = eqn.primitive.rules[shardingRule] as ShardingRule | undefined;
    const given = eqn.invars.map(read);
    const avals = eqn.invars.map((a) => a.aval);
    if (own !== undefined) {
      const outs = own(given, eqn.params, avals);
      eqn.outvars.forEach((v, i) => env.set(v, outs[i]));
      continue;
    }
    const mesh =
      meshOf(
        name,
        given,
        avals.map((a) => a.ndim),
      ) ?? meshInside(eqn.params);
    if (mesh === null) {
      const whole = avals.map((a) => uncut(a.ndim));
      seen?.(eqn, whole, whole);
      continue;
    }
    const cuts = given.map((s, i) => cutOf(onMesh(s, mesh, avals[i].ndim, given), avals[i].ndim));
    const { operands: wanted, results } = stepOf(eqn, cuts, mesh, (inner, innerCuts) => cutsOf(inner, innerCuts, mesh, name));
    seen?.(eqn, wanted, cuts);
    eqn.outvars.forEach((v, i) => env.set(v, shardingOf(mesh, results[i])));
  }
  return program.outvars.map(read);
}

/**
 * `propagateShardings` for a jaxpr whose operands are over one mesh. What a program over another mesh inside of it lays out counts
 * as whole.
 */
export function cutsOf(jaxpr: Jaxpr, cuts: readonly Cut[], mesh: Mesh, name: string): Cut[] {
  const shardings = cuts.map((c) => (isCut(c) ? shardingOf(mesh, c) : null));
  return propagateShardings(jaxpr, shardings, name).map((s, i) => {
    const ndim = jaxpr.outvars[i].aval.ndim;
    return cutOf(onMesh(s, mesh, ndim, shardings), ndim);
  });
}

/** The mesh over which operands are laid out; `null` when none is. */
function meshOf(name: string, shardings: readonly (Sharding | null)[], ndims: readonly number[]): Mesh | null {
  let mesh: Mesh | null = null;
  shardings.forEach((s, i) => {
    if (!(s instanceof NamedSharding)) return;
    mesh ??= s.mesh;
    if (s.mesh.equals(mesh) || onMesh(s, mesh, ndims[i], shardings) !== null || s.isFullyReplicated) return;
    throw new RuleError(name, {
      message: `operands are laid out over different meshes: ${mesh} and ${s.mesh}`,
      operands: { "one operand": s },
      fix: "lay them out over one mesh with devicePut(x, new NamedSharding(mesh, spec))",
    });
  });
  return mesh;
}

/** A sharding in the words of another mesh: that of an operand there which gives every device the same part. */
function onMesh(s: Sharding | null, mesh: Mesh, ndim: number, others: readonly (Sharding | null)[]): Sharding | null {
  if (!(s instanceof NamedSharding) || s.mesh.equals(mesh)) return s;
  const same = (o: Sharding | null): boolean =>
    o instanceof NamedSharding && o.mesh.equals(mesh) && o.spec.axes.length <= ndim && o.isEquivalentTo(s, ndim);
  return others.find(same) ?? null;
}

/** A mesh that a program inside mentions, for loops and calls whose operands are on one device. */
function meshInside(params: object): Mesh | null {
  for (const value of Object.values(params)) {
    for (const x of [value].flat()) {
      const mesh = x instanceof Mesh ? x : x instanceof NamedSharding ? x.mesh : isJaxpr(x) ? meshIn(x) : null;
      if (mesh !== null) return mesh;
    }
  }
  return null;
}
const isJaxpr = (x: unknown): x is Jaxpr => typeof x === "object" && x !== null && "eqns" in x;
function meshIn(jaxpr: Jaxpr): Mesh | null {
  for (const { params } of jaxpr.eqns) {
    const mesh = meshInside(params);
    if (mesh !== null) return mesh;
  }
  return null;
}
