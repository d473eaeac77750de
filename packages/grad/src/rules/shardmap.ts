import {
  type Atom,
  bind,
  bind1,
  constvarsToInvars,
  evalJaxpr,
  isInexact,
  Jaxpr,
  JaxprMemo,
  type NDArray,
  PartitionSpec,
  shardingConstraintP,
  traceToJaxpr,
  updateAval,
  type Var,
  withMesh,
} from "@traceform/core";
import { div, psum, reshape, type ShardMapParams, shardMapP, varyTo } from "@traceform/lax";
import { drop, merge, pick, place } from "../internal/flags.ts";
import {
  isLinear,
  type JvpEntry,
  jvpEntry,
  type PartialEvalEntry,
  partialEvalEntry,
  type PartialEvalJaxpr,
  type Tangent,
  type TransposedJaxpr,
  type TransposeEntry,
  transposeEntry,
} from "../rule.ts";

const within = <T>({ mesh, checkVma }: ShardMapParams, fn: () => T): T => withMesh(mesh, checkVma, fn);
const everywhere = (xs: readonly unknown[]): PartitionSpec[] => xs.map(() => PartitionSpec());

export const shardMapJvps = (): JvpEntry[] => [
  // Tangents, and cotangents, are laid out like their values.
  jvpEntry(shardingConstraintP, ([x], [t], params) => [
    bind(shardingConstraintP, [x], params),
    [t === null ? null : bind1(shardingConstraintP, [t], params)],
  ]),
  jvpEntry(shardMapP, (primals, tangents, p, { jvpJaxpr }) => {
    const nonzero = tangents.map((t) => t !== null);
    const { jaxpr, consts, nonzeroOut } = within(p, () => jvpJaxpr(p.jaxpr, nonzero, false));
    const outs = bind(shardMapP, [...consts, ...primals, ...(pick(tangents, nonzero) as NDArray[])], {
      ...p,
      jaxpr,
      inSpecs: [...everywhere(consts), ...p.inSpecs, ...pick(p.inSpecs, nonzero)],
      outSpecs: [...p.outSpecs, ...pick(p.outSpecs, nonzeroOut)],
    });
    const n = p.jaxpr.outvars.length;
    return [outs.slice(0, n), place(nonzeroOut, outs.slice(n))];
  }),
];

/** Where a residual is among the arrays that the known part takes and gives, and how it is laid out. */
interface ShardResidual {
  readonly from: "operand" | "result";
  readonly index: number;
  readonly spec: PartitionSpec;
  /** Whether it has a leading axis along which the shards' values are stacked. */
  readonly stacked: boolean;
}

/** A split of the program of one shard, with residuals that shards can return and take. */
interface SplitShards {
  /** known operands -> (known results, new residuals). */
  readonly known: Jaxpr;
  readonly knownOutSpecs: readonly PartitionSpec[];
  /** (residuals, unknown operands) -> unknown results. */
  readonly unknown: Jaxpr;
  readonly residuals: readonly ShardResidual[];
}

const splits = new JaxprMemo<SplitShards>();

/**
 * A residual that differs between shards leaves them stacked, along a leading axis that is laid out over all axes along which it
 * varies. One that is the same for all leaves as it is; a known operand or result does not leave again.
 */
function splitShards(
  p: ShardMapParams,
  split: PartialEvalJaxpr,
  inSpecs: readonly PartitionSpec[],
  outSpecs: readonly PartitionSpec[],
): SplitShards {
  const { mesh, checkVma } = p;
  const key = `${mesh.key}|${checkVma}|${[...inSpecs, ...outSpecs].map((s) => s.key).join("|")}`;
  return splits.get(split.known, key, () => {
    const { known, unknown } = split;
    const outvars: Atom[] = known.outvars.slice(0, outSpecs.length);
    const specs = [...outSpecs];
    const varying = checkVma ? known.outAvals.map((a) => a.varying) : p.lockstep.varying(known, mesh, inSpecs);
    const residuals = known.outvars.slice(outSpecs.length).map((v, i): ShardResidual => {
      const operand = known.invars.indexOf(v as Var);
      if (operand >= 0) return { from: "operand", index: operand, spec: inSpecs[operand], stacked: false };
      const axes = mesh.axisNames.filter((a) => varying[outSpecs.length + i].includes(a));
      const found = outvars.findIndex(
        (y, k) => y === v && (k >= outSpecs.length || axes.every((a) => specs[k].axes.flat().includes(a))),
      );
      if (found >= 0)
        return { from: "result", index: found, spec: specs[found], stacked: found >= outSpecs.length && axes.length > 0 };
      const spec = axes.length > 0 ? PartitionSpec(axes) : PartitionSpec();
      specs.push(spec);
      return { from: "result", index: outvars.push(v) - 1, spec, stacked: axes.length > 0 };
    });
    const leaves = new Set(residuals.filter((r) => r.stacked).map((r) => r.index));
    const all = new Jaxpr([], known.invars, known.eqns, outvars, known.effects);
    const stack = traceToJaxpr(
      (...xs) => evalJaxpr(all, [], xs).map((y, i) => (leaves.has(i) ? reshape(y, [1, ...y.shape]) : y)),
      all.inAvals,
      "known part of shardMap",
    );
    const unstack = traceToJaxpr(
      (...xs) => {
        const own = xs.map((x, i) => (residuals[i]?.stacked ? reshape(x, x.shape.slice(1)) : x));
        return evalJaxpr(unknown, [], own);
      },
      unknown.inAvals.map((aval, i) => (residuals[i]?.stacked ? updateAval(aval, { shape: [1, ...aval.shape] }) : aval)),
      "unknown part of shardMap",
    );
    return {
      known: constvarsToInvars(stack.jaxpr),
      knownOutSpecs: specs,
      unknown: constvarsToInvars(unstack.jaxpr),
      residuals,
    };
  });
}

export const shardMapPartialEvals = (): PartialEvalEntry[] => [
  partialEvalEntry(shardMapP, (args, unknowns, p, { partialEvalJaxpr, known, stage }) => {
    const split = within(p, () => partialEvalJaxpr(p.jaxpr, unknowns));
    const inSpecs = drop(p.inSpecs, unknowns);
    const parts = within(p, () => splitShards(p, split, inSpecs, drop(p.outSpecs, split.unknownOut)));
    const knownArgs = drop(args, unknowns);
    const knownParams = { ...p, jaxpr: parts.known, inSpecs, outSpecs: parts.knownOutSpecs };
    const results = known(shardMapP as never, knownArgs, knownParams as never);
    const residuals = parts.residuals.map(({ from, index }) => (from === "operand" ? knownArgs : results)[index]);
    const laterParams = {
      ...p,
      jaxpr: parts.unknown,
      inSpecs: [...parts.residuals.map((r) => r.spec), ...pick(p.inSpecs, unknowns)],
      outSpecs: pick(p.outSpecs, split.unknownOut),
    };
    const outs = stage(shardMapP as never, [...residuals, ...pick(args, unknowns)], laterParams as never);
    return merge(split.unknownOut, outs, results.slice(0, split.unknownOut.length - outs.length));
  }),
];

const transposed = new JaxprMemo<{ readonly jaxpr: Jaxpr }>();

/**
 * Where shards do not know what varies, each of them gets its share of the cotangent of a result that all of them return, and the
 * cotangents of an operand that all of them get are summed.
 */
function unchecked(
  p: ShardMapParams,
  t: TransposedJaxpr,
  ctSpecs: readonly PartitionSpec[],
  outSpecs: readonly PartitionSpec[],
): Jaxpr {
  const unnamed = (spec: PartitionSpec): string[] => p.mesh.axisNames.filter((a) => !spec.axes.flat().includes(a));
  const key = `${p.mesh.key}|${[...ctSpecs, ...outSpecs].map((s) => s.key).join("|")}|${ctSpecs.length}`;
  return transposed.get(t.jaxpr, key, () => {
    const first = t.jaxpr.invars.length - ctSpecs.length;
    const traced = traceToJaxpr(
      (...xs) => {
        const shares = xs.map((x, i) => {
          const n = i < first || !isInexact(x.dtype) ? 1 : p.mesh.axisSize(unnamed(ctSpecs[i - first]));
          return n === 1 ? x : div(x, n);
        });
        return evalJaxpr(t.jaxpr, [], shares).map((ct, i) => {
          const axes = unnamed(outSpecs[i]);
          return axes.length === 0 ? ct : psum(ct, axes);
        });
      },
      t.jaxpr.inAvals,
      "transpose of shardMap",
    );
    return { jaxpr: constvarsToInvars(traced.jaxpr) };
  }).jaxpr;
}

const varied = new JaxprMemo<{ readonly jaxpr: Jaxpr }>();

/**
 * The program of one shard whose results vary along all axes that they are laid out over: a value that all shards share may be
 * returned once for each of them, and then has a cotangent from each.
 */
function varyingResults({ jaxpr, outSpecs, checkVma }: ShardMapParams): Jaxpr {
  if (!checkVma) return jaxpr;
  return varied.get(jaxpr, outSpecs.map((s) => s.key).join("|"), () => {
    const traced = traceToJaxpr(
      (...xs) => evalJaxpr(jaxpr, [], xs).map((y, i) => varyTo(y, outSpecs[i].axes.flat())),
      jaxpr.inAvals,
      "shardMap",
    );
    return { jaxpr: constvarsToInvars(traced.jaxpr) };
  }).jaxpr;
}

export const shardMapTransposes = (): TransposeEntry[] => [
  transposeEntry(shardingConstraintP, ([ct], _operands, params) => [bind1(shardingConstraintP, [ct!], params)]),
  transposeEntry(shardMapP, (cts, operands, p, { transposeJaxpr }) => {
    const linear = operands.map(isLinear);
    const nonzero = cts.map((ct) => ct !== null);
    const t = within(p, () => transposeJaxpr(varyingResults(p), linear, nonzero));
    const ctSpecs = pick(p.outSpecs, nonzero);
    const outSpecs = pick(pick(p.inSpecs, linear), t.nonzeroOut);
    const jaxpr = p.checkVma ? t.jaxpr : within(p, () => unchecked(p, t, ctSpecs, outSpecs));
    const args = [...t.consts, ...(drop(operands, linear) as NDArray[]), ...(pick(cts, nonzero) as NDArray[])];
    const outs = bind(shardMapP, args, {
      ...p,
      jaxpr,
      inSpecs: [...everywhere(t.consts), ...drop(p.inSpecs, linear), ...ctSpecs],
      outSpecs,
    });
    return merge(
      linear,
      place(t.nonzeroOut, outs),
      operands.map(() => null),
    ) as Tangent[];
  }),
];
