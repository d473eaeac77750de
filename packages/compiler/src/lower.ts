import { type ClosedJaxpr, isComplex, itemsize, physical } from "@traceform/core";
import { attend } from "./attention.ts";
import { bundleSteps } from "./bundle.ts";
import { chainSteps } from "./chain.ts";
import { countOperations } from "./cost.ts";
import { planDonations } from "./donate.ts";
import { kernelRules } from "./families.ts";
import type { Value } from "./graph.ts";
import { importJaxpr, partTypes } from "./import.ts";
import { planMemory } from "./plan.ts";
import type { ArraySpec, Program, ResultSource, Target, View } from "./program.ts";
import { Lowering, Scope, whole } from "./scope.ts";
import { postponeWaiting } from "./waiting.ts";

/** Workers that sort so many elements together have one at hand of a row that each of them computes. */
const elementsOfRow = 8;

/** An array as the device interface sees it. */
function arraySpec(aval: Parameters<typeof physical>[0]): ArraySpec {
  const { shape, dtype } = physical(aval);
  return { shape, dtype, bytes: shape.reduce((a, b) => a * b, 1) * itemsize(dtype) };
}

/**
 * Compiles a jaxpr down to kernels, loops and branches over planned memory.
 *
 * Arguments are the constvars, then the invars; `donate` are indices of invars whose memory results may take over.
 *
 * Equations that run on the host become calls out to JavaScript between the kernels, inside loops and branches too.
 *
 * @throws {BackendError} for primitives and effects without a rule
 */
export function lowerProgram(closed: ClosedJaxpr, name: string, target: Target, donate: readonly number[] = []): Program {
  const { jaxpr } = closed;
  const imported = importJaxpr(jaxpr, target.float64);
  const operations = countOperations(imported);
  const block = attend(imported, target);
  const lowering = new Lowering(target, kernelRules);
  const scope = new Scope(lowering);
  const inputs = [...jaxpr.constvars, ...jaxpr.invars];
  const argumentSpecs = inputs.map((v) => arraySpec(v.aval));
  const argumentOf = new Map<Value, number>();
  let next = 0;
  inputs.forEach((v, i) => {
    const buffer = lowering.buffer("argument", argumentSpecs[i].bytes, i);
    const parts = partTypes(v.aval, target.float64).length;
    for (let p = 0; p < parts; p++) {
      const value = block.params[next++];
      argumentOf.set(value, i);
      scope.place(value, whole(buffer, (p * argumentSpecs[i].bytes) / parts));
    }
  });
  const resultSpecs = jaxpr.outvars.map((v) => arraySpec(v.aval));
  const sources: ResultSource[] = [];
  const targets: (View | null)[] = [];
  const known = new Map<string, ResultSource>();
  let results = 0;
  next = 0;
  jaxpr.outvars.forEach((v, i) => {
    const parts = isComplex(v.aval.dtype) ? 2 : 1;
    const values = block.outs.slice(next, next + parts);
    next += parts;
    const key = values.map((x) => x.id).join(",");
    const argument = parts === 1 && values[0].node === null && values[0].literal === null ? argumentOf.get(values[0]) : undefined;
    // Complex results that are complex arguments are copied: rare, and not worth a rule.
    let source = known.get(key);
    if (source === undefined) {
      const passed = argument !== undefined && argumentSpecs[argument].bytes === resultSpecs[i].bytes;
      source = passed ? { kind: "argument", position: argument } : { kind: "buffer", position: results++ };
      known.set(key, source);
      if (source.kind === "buffer") {
        const buffer = lowering.buffer("result", resultSpecs[i].bytes, source.position);
        values.forEach((_, p) => targets.push(whole(buffer, (p * resultSpecs[i].bytes) / parts)));
      } else targets.push(null);
    } else values.forEach(() => targets.push(null));
    sources.push(source);
  });
  scope.run(block, targets);
  const bundled = bundleSteps(postponeWaiting(scope.steps));
  const steps = target.block > 0 ? chainSteps(bundled, Math.floor(target.block / elementsOfRow)) : bundled;
  const plan = planMemory(steps, target.threads);
  const passed = new Set(sources.flatMap((s) => (s.kind === "argument" ? [s.position] : [])));
  const donated = donate.map((i) => jaxpr.constvars.length + i);
  const donations = planDonations(steps, lowering.buffers, donated, passed);
  return {
    name,
    arguments: argumentSpecs,
    results: resultSpecs,
    sources,
    donations,
    buffers: lowering.buffers,
    constants: lowering.constants,
    steps,
    hosts: lowering.hosts,
    offsets: plan.offsets,
    arenaBytes: plan.bytes,
    threadBytes: plan.threadBytes,
    operations,
  };
}
