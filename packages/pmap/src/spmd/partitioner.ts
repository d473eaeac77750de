import {
  type Atom,
  type Aval,
  bind,
  constvarsToInvars,
  type Eqn,
  evalJaxpr,
  type Jaxpr,
  Literal,
  literalValue,
  type Mesh,
  type NamedSharding,
  type NDArray,
  type Primitive,
  processIndex,
  RuleError,
  traceToJaxpr,
  updateAval,
  type Var,
  withSource,
} from "@traceform/core";
import {
  allGather,
  axisIndex,
  type CondParams,
  condP,
  debug,
  type DebugCallbackParams,
  debugCallbackP,
  dynamicSliceInDim,
  eq,
  full,
  fullLike,
  ioCallbackP,
  mul,
  pmax,
  pmin,
  psum,
  type ScanParams,
  scanP,
  select,
  type ShardMapParams,
  shardMapP,
  type WhileParams,
  whileP,
} from "@traceform/lax";
import { forgetVarying } from "../forget.ts";
import { cutOf, cutsOf } from "../propagate.ts";
import { calledJaxpr } from "./control.ts";
import { type Cut, type Owned, sameNames, uncut } from "./factors.ts";
import { type Step, stepOf } from "./steps.ts";

/** A part of an array, and which. */
interface Shard {
  readonly x: NDArray;
  readonly cut: Cut;
}

/** What calls out to JavaScript for its effects. */
const calls: ReadonlySet<Primitive<never>> = /* @__PURE__ */ new Set<Primitive<never>>([
  ioCallbackP,
  debugCallbackP,
  debug.debugPrintP,
] as never[]);

const join = { psum, pmax, pmin };

/** A value on the first device along some mesh axes, zeros on the others. */
const onFirst = (x: NDArray, names: readonly string[]): NDArray => select(eq(axisIndex(names), 0), x, fullLike(x, 0));

/** Runs programs of whole arrays on the shards that a position of a mesh has of them, with the collectives that they need. */
export class Partitioner {
  readonly mesh: Mesh;
  readonly name: string;
  constructor(mesh: Mesh, name: string) {
    this.mesh = mesh;
    this.name = name;
  }

  /** Runs a jaxpr of whole arrays on shards; results are cut as `outs` say. */
  evaluate(jaxpr: Jaxpr, shards: readonly NDArray[], ins: readonly Cut[], outs: readonly Cut[]): NDArray[] {
    const env = new Map<Var, Shard>(jaxpr.invars.map((v, i) => [v, { x: shards[i], cut: ins[i] }]));
    const read = (a: Atom): Shard => (a instanceof Literal ? { x: literalValue(a), cut: a.aval.shape.map(() => []) } : env.get(a)!);
    for (const eqn of jaxpr.eqns) {
      const results = withSource(eqn.source, () => this.#apply(eqn, eqn.invars.map(read)));
      eqn.outvars.forEach((v, i) => env.set(v, results[i]));
    }
    return jaxpr.outvars.map((a, i) => this.#recut(read(a), outs[i]));
  }

  #apply(eqn: Eqn, operands: readonly Shard[]): Shard[] {
    const { mesh } = this;
    const primitive = eqn.primitive as unknown;
    if (primitive === shardMapP) return this.#shardMap(eqn.params as unknown as ShardMapParams, operands);
    if (eqn.primitive.name === "sharding_constraint") {
      const cut = cutOf((eqn.params as { sharding: NamedSharding }).sharding, operands[0].cut.length);
      return [{ x: this.#recut(operands[0], cut), cut }];
    }
    const step = stepOf(
      eqn,
      operands.map((o) => o.cut),
      mesh,
      (inner, cuts) => cutsOf(inner, cuts, mesh, this.name),
    );
    const args = operands.map((o, i) => this.#recut(o, step.operands[i]));
    if (calls.has(eqn.primitive)) return this.#callOnce(eqn, args);
    const outs = this.#run(eqn, args, step.operands, step.results);
    if (outs !== null) return outs.map((x, i) => ({ x, cut: step.results[i] }));
    const shapes = eqn.outvars.map((v, i) => this.#local(v.aval, step.results[i]).shape);
    const params =
      step.factors?.localize?.(
        args.map((x) => x.shape),
        shapes,
      ) ?? eqn.params;
    const owned = this.#owned(step, eqn.invars[0]?.aval);
    if (step.reduced.length > 0) for (const i of step.factors?.once ?? []) args[i] = onFirst(args[i], step.reduced);
    const partial = owned.size > 0 ? [step.factors!.addressed!.run(args, owned)] : bind(eqn.primitive, args, params as never);
    // Of truth values with a false for what a device does not have, the sum is the maximum.
    const how = owned.size > 0 && partial[0].dtype === "bool" ? "pmax" : step.factors?.reduce;
    const joined = step.reduced.length === 0 || partial.length === 0 ? partial : join[how!](partial, step.reduced);
    return joined.map((x, i) => ({ x, cut: step.results[i] }));
  }

  /** A call that happens once for the whole array: the first process, or GPU, makes it and gives the others the results. */
  #callOnce({ primitive, params, outvars }: Eqn, args: readonly NDArray[]): Shard[] {
    const makesCall = processIndex() === 0;
    // The others do nothing instead, but with the operands, which all give each other.
    if (!makesCall) bind(debugCallbackP, args, { ...(params as unknown as DebugCallbackParams), callback: () => null });
    const results = makesCall ? bind(primitive, args, params as never) : outvars.map(({ aval }) => full(aval.shape, 0, aval.dtype));
    const { axisNames } = this.mesh;
    return results.map((x) => {
      const own = onFirst(x, axisNames);
      return { x: x.dtype === "bool" ? pmax(own, axisNames) : psum(own, axisNames), cut: uncut(x.ndim) };
    });
  }

  /** The axes that stay cut while elements are addressed along them, and what this device has of each. */
  #owned({ factors, operands }: Step, aval: Aval | undefined): ReadonlyMap<number, Owned> {
    const owned = new Map<number, Owned>();
    for (const d of factors?.addressed?.axes ?? []) {
      const names = operands[0][d];
      if (names.length === 0) continue;
      const size = aval!.shape[d];
      owned.set(d, { first: mul(axisIndex(names), size / this.mesh.axisSize(names)), size });
    }
    return owned;
  }

  /** Loops, branches and calls, whose jaxprs become programs of shards too; `null` for everything else. */
  #run(eqn: Eqn, args: readonly NDArray[], ins: readonly Cut[], outs: readonly Cut[]): NDArray[] | null {
    const called = calledJaxpr(eqn);
    if (called !== null) return this.evaluate(called, args, ins, outs);
    const primitive = eqn.primitive as unknown;
    if (primitive === scanP) {
      const p = eqn.params as unknown as ScanParams;
      const first = p.numConsts + p.numCarry;
      const inside = [...ins.slice(0, first), ...ins.slice(first).map((c) => c.slice(1))];
      const after = [...outs.slice(0, p.numCarry), ...outs.slice(p.numCarry).map((c) => c.slice(1))];
      return bind(scanP, args, { ...p, jaxpr: this.#inner(p.jaxpr, inside, after) });
    }
    if (primitive === whileP) {
      const p = eqn.params as unknown as WhileParams;
      const first = p.condNconsts + p.bodyNconsts;
      const carry = ins.slice(first);
      return bind(whileP, args, {
        ...p,
        condJaxpr: this.#inner(p.condJaxpr, [...ins.slice(0, p.condNconsts), ...carry], [[]]),
        bodyJaxpr: this.#inner(p.bodyJaxpr, [...ins.slice(p.condNconsts, first), ...carry], carry),
      });
    }
    if (primitive === condP) {
      const { branches } = eqn.params as unknown as CondParams;
      return bind(condP, args, { branches: branches.map((b) => this.#inner(b, ins.slice(1), outs)) });
    }
    return null;
  }

  #inner(jaxpr: Jaxpr, ins: readonly Cut[], outs: readonly Cut[]): Jaxpr {
    const avals = jaxpr.inAvals.map((a, i) => this.#local(a, ins[i]));
    const traced = traceToJaxpr((...xs) => this.evaluate(jaxpr, xs, ins, outs), avals, this.name);
    return constvarsToInvars(traced.jaxpr);
  }

  /** A program of shards inside one: its collectives are over the same mesh. */
  #shardMap({ jaxpr, mesh, inSpecs, outSpecs }: ShardMapParams, operands: readonly Shard[]): Shard[] {
    if (!mesh.equals(this.mesh)) {
      throw new RuleError(this.name, {
        message: `a shardMap over ${mesh} stands inside of a program that is laid out over ${this.mesh}`,
        fix: "use one mesh for the program",
      });
    }
    const cut = (spec: ShardMapParams["inSpecs"][number], ndim: number): Cut =>
      Array.from({ length: ndim }, (_, d) => spec.axes[d] ?? []);
    const args = operands.map((o, i) => this.#recut(o, cut(inSpecs[i], o.cut.length)));
    const outs = evalJaxpr(forgetVarying(jaxpr, mesh.axisNames), [], args);
    return outs.map((x, i) => ({ x, cut: cut(outSpecs[i], x.ndim) }));
  }

  #local(aval: Aval, cut: Cut): Aval {
    return updateAval(aval, { shape: aval.shape.map((n, d) => n / this.mesh.axisSize(cut[d])) });
  }

  /** The part of an array that another layout gives a device: gathered along the axes that go, cut along those that come. */
  #recut({ x, cut }: Shard, to: Cut): NDArray {
    let y = x;
    const kept = cut.map((names, d) => {
      let k = 0;
      while (k < names.length && names[k] === to[d][k]) k++;
      return k;
    });
    cut.forEach((names, d) => {
      if (names.length > kept[d]) y = allGather(y, names.slice(kept[d]), { axis: d, tiled: true });
    });
    to.forEach((names, d) => {
      if (sameNames(names, cut[d])) return;
      const more = names.slice(kept[d]);
      if (more.length === 0) return;
      const size = y.shape[d] / this.mesh.axisSize(more);
      y = dynamicSliceInDim(y, mul(axisIndex(more), size), size, d);
    });
    return y;
  }
}
