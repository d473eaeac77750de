import {
  type Atom,
  bind,
  bits,
  constvarsToInvars,
  type Eqn,
  type Jaxpr,
  JaxprMemo,
  Literal,
  literalValue,
  type NDArray,
  type Ownership,
  type Primitive,
  RuleError,
  traceToJaxpr,
  transposeRule,
  type Var,
  withoutSource,
  withSource,
} from "@traceform/core";
import { psum } from "@traceform/lax";
import { merge, pick } from "./internal/flags.ts";
import { addTangents, hasTangent, instantiate } from "./internal/zeros.ts";
import { context as jvpContext } from "./jvp.ts";
import { partialEvalJaxpr } from "./partialEval.ts";
import { isLinear, LinearOperand, type Tangent, type TransposeContext, type TransposedJaxpr, type TransposeRule } from "./rule.ts";
import { transposeRules, userRules } from "./rules/index.ts";

/**
 * The backward pass: from cotangents of the results of a linear jaxpr to cotangents of its linear operands
 * (`LinearOperand` among `args`), by transposing its equations in reverse. Equations that depend on no linear operand
 * are evaluated first.
 *
 * Cotangents that stay symbolically zero are `null`, and the equations that lead only to them cost nothing.
 */
export function backwardPass(
  jaxpr: Jaxpr,
  consts: readonly NDArray[],
  args: readonly (NDArray | LinearOperand)[],
  cotangents: readonly Tangent[],
  ownership: Ownership | null = null,
): Tangent[] {
  const values = new Map<Var, NDArray>();
  const linear = new Set<Var>();
  jaxpr.constvars.forEach((v, i) => values.set(v, consts[i]));
  jaxpr.invars.forEach((v, i) => {
    const x = args[i];
    if (isLinear(x)) linear.add(v);
    else values.set(v, x);
  });
  const read = (a: Atom): NDArray => (a instanceof Literal ? literalValue(a) : values.get(a)!);
  const isLinearAtom = (a: Atom): a is Var => !(a instanceof Literal) && linear.has(a);

  const pending: Eqn[] = [];
  for (const eqn of jaxpr.eqns) {
    if (eqn.invars.some(isLinearAtom)) {
      for (const v of eqn.outvars) linear.add(v);
      pending.push(eqn);
    } else {
      const outs = withSource(eqn.source, () => bind(eqn.primitive, eqn.invars.map(read), eqn.params as never));
      eqn.outvars.forEach((v, i) => values.set(v, outs[i]));
    }
  }

  const cts = new Cotangents();
  const accumulate = (a: Atom, ct: Tangent): void => {
    if (ct !== null && isLinearAtom(a)) cts.add(a, ct);
  };
  jaxpr.outvars.forEach((a, i) => accumulate(a, cotangents[i]));
  for (let i = pending.length - 1; i >= 0; i--) {
    const eqn = pending[i];
    let zero = true;
    const out = eqn.outvars.map((v) => {
      const ct = cts.take(v);
      if (ct !== null) zero = false;
      return ct;
    });
    if (zero) continue;
    const operands = eqn.invars.map((a) => (isLinearAtom(a) ? new LinearOperand(a.aval) : read(a)));
    const rule = findRule(eqn.primitive);
    const userCode = eqn.primitive.rules[transposeRule] !== undefined || userRules.has(eqn.primitive);
    const apply = (): readonly Tangent[] => rule(out, operands, eqn.params as never, context);
    const run = (): readonly Tangent[] => (userCode ? withoutSource(apply) : withSource(eqn.source, apply));
    if (userCode) ownership?.reveal([...out, ...operands]);
    const result = userCode && ownership !== null ? ownership.whileUserCode(run) : run();
    eqn.invars.forEach((a, k) => accumulate(a, result[k] ?? null));
  }
  return jaxpr.invars.map((v) => (linear.has(v) ? cts.take(v) : null));
}

/**
 * The cotangents of variables, as they come together. A value that is the same along an axis of a mesh may be used together with
 * others that vary along it: then its cotangents vary too, and its own is their sum over the axis. That sum is taken once, when
 * all of them are there, and not for each use.
 */
class Cotangents {
  readonly #own = new Map<Var, NDArray>();
  /** Sums of cotangents that vary along more axes than their variable, by these axes. */
  readonly #wider = new Map<Var, Map<string, NDArray>>();

  add(v: Var, ct: NDArray): void {
    const more = ct.aval.varying.length === 0 ? [] : ct.aval.varying.filter((a) => !v.aval.varying.includes(a));
    if (more.length === 0) {
      this.#own.set(v, addTangents(this.#own.get(v) ?? null, ct)!);
      return;
    }
    const key = JSON.stringify(more);
    let wider = this.#wider.get(v);
    if (wider === undefined) this.#wider.set(v, (wider = new Map()));
    wider.set(key, addTangents(wider.get(key) ?? null, ct)!);
  }
  /** The cotangent of a variable; it is forgotten. */
  take(v: Var): Tangent {
    let ct: Tangent = this.#own.get(v) ?? null;
    this.#own.delete(v);
    for (const [key, wide] of this.#wider.get(v) ?? []) {
      ct = addTangents(ct, psum(wide, JSON.parse(key) as string[]));
    }
    this.#wider.delete(v);
    return ct;
  }
}

function findRule(primitive: Primitive<never>): TransposeRule<never> {
  const rule = (primitive.rules[transposeRule] as TransposeRule<never> | undefined) ?? transposeRules.get(primitive);
  if (rule !== undefined) return rule;
  throw new RuleError("transpose", {
    message: `the primitive "${primitive.name}" is not linear, or has no transpose rule, so reverse-mode differentiation cannot pass it`,
    fix: "give it one in definePrimitive: rules: { [transposeRule]: ([ct], operands) => [...] }, or define the derivative with customVjp",
  });
}

const memo = new JaxprMemo<TransposedJaxpr>();

/**
 * The transpose of a jaxpr that is linear in the operands `linear` marks:
 * (other operands, cotangents of the results that `nonzero` marks) -> cotangents of the linear operands.
 *
 * With `instantiateOut` every linear operand gets a cotangent, zero or not.
 */
export function transposeJaxpr(
  jaxpr: Jaxpr,
  linear: readonly boolean[],
  nonzero: readonly boolean[],
  instantiateOut = false,
): TransposedJaxpr {
  return memo.get(jaxpr, `${bits(linear)}:${bits(nonzero)}:${instantiateOut}`, () => {
    let nonzeroOut: boolean[] = [];
    const linearAvals = pick(jaxpr.inAvals, linear);
    const others = jaxpr.inAvals.filter((_, i) => !linear[i]);
    const traced = traceToJaxpr(
      (...args) => {
        const operands = merge(
          linear,
          linearAvals.map((aval) => new LinearOperand(aval)),
          args.slice(0, others.length),
        );
        let k = others.length;
        const cts = backwardPass(
          jaxpr,
          [],
          operands,
          nonzero.map((nz) => (nz ? args[k++] : null)),
        );
        const wanted = pick(cts, linear);
        nonzeroOut = wanted.map((ct, i) => ct !== null || (instantiateOut && hasTangent(linearAvals[i])));
        return pick(
          wanted.map((ct, i) => (nonzeroOut[i] ? instantiate(ct, linearAvals[i]) : null)),
          nonzeroOut,
        ) as NDArray[];
      },
      [...others, ...pick(jaxpr.outAvals, nonzero)],
      "transpose",
    );
    return { jaxpr: constvarsToInvars(traced.jaxpr), consts: traced.consts, nonzeroOut };
  });
}

const context: TransposeContext = { ...jvpContext, transposeJaxpr, partialEvalJaxpr };
