import { dceJaxpr, type DceRule, type Eqn, type Jaxpr } from "@traceform/core";
import type { CondParams } from "../cond.ts";
import type { ScanParams, WhileParams } from "../loops.ts";
import type { CheckpointParams } from "../remat.ts";
import type { ShardMapParams } from "../shardmap.ts";

type Flags = readonly boolean[];

function pick<T>(xs: readonly T[], flags: Flags): T[] {
  return xs.filter((_, i) => flags[i]);
}

function smaller(eqn: Eqn, usedInputs: Flags, usedOutputs: Flags, params: object): ReturnType<DceRule> {
  return {
    usedInputs,
    eqn: {
      ...eqn,
      invars: pick(eqn.invars, usedInputs),
      outvars: pick(eqn.outvars, usedOutputs),
      params: { ...eqn.params, ...params },
    },
  };
}

/** A carry is needed when its last value is, or when another needed result of the body reads it. */
export const dceScan: DceRule = (usedOutputs, eqn) => {
  const { jaxpr, numConsts, numCarry } = eqn.params as unknown as ScanParams;
  let used = usedOutputs;
  for (;;) {
    const body = dceJaxpr(jaxpr, used);
    const carry = body.usedInputs.slice(numConsts, numConsts + numCarry).map((u, i) => u || used[i]);
    if (carry.every((u, i) => u === used[i])) {
      // A carry that only passes through is used without being read.
      const keep = [...new Array<boolean>(numConsts).fill(false), ...carry];
      const { jaxpr: kept, usedInputs } = dceJaxpr(jaxpr, used, keep);
      const params: Partial<ScanParams> = {
        jaxpr: kept,
        numConsts: usedInputs.slice(0, numConsts).filter(Boolean).length,
        numCarry: carry.filter(Boolean).length,
      };
      return smaller(eqn, usedInputs, used, params);
    }
    used = [...carry, ...used.slice(numCarry)];
  }
};

export const dceWhile: DceRule = (usedOutputs, eqn) => {
  const { condJaxpr, condNconsts, bodyJaxpr, bodyNconsts } = eqn.params as unknown as WhileParams;
  const cond = dceJaxpr(condJaxpr, [true]);
  let used: Flags = usedOutputs.map((u, i) => u || cond.usedInputs[condNconsts + i]);
  for (;;) {
    const body = dceJaxpr(bodyJaxpr, used);
    const next = used.map((u, i) => u || body.usedInputs[bodyNconsts + i]);
    if (next.every((u, i) => u === used[i])) break;
    used = next;
  }
  const keptCond = dceJaxpr(condJaxpr, [true], [...new Array<boolean>(condNconsts).fill(false), ...used]);
  const keptBody = dceJaxpr(bodyJaxpr, used, [...new Array<boolean>(bodyNconsts).fill(false), ...used]);
  const condConsts = keptCond.usedInputs.slice(0, condNconsts);
  const bodyConsts = keptBody.usedInputs.slice(0, bodyNconsts);
  const params: WhileParams = {
    condJaxpr: keptCond.jaxpr,
    condNconsts: condConsts.filter(Boolean).length,
    bodyJaxpr: keptBody.jaxpr,
    bodyNconsts: bodyConsts.filter(Boolean).length,
  };
  return smaller(eqn, [...condConsts, ...bodyConsts, ...used], used, params);
};

export const dceCond: DceRule = (usedOutputs, eqn) => {
  const { branches } = eqn.params as unknown as CondParams;
  const alone = branches.map((b) => dceJaxpr(b, usedOutputs).usedInputs);
  const keep = branches[0].invars.map((_, i) => alone.some((used) => used[i]));
  const kept: Jaxpr[] = branches.map((b) => dceJaxpr(b, usedOutputs, keep).jaxpr);
  return smaller(eqn, [true, ...keep], usedOutputs, { branches: kept });
};

export const dceCheckpoint: DceRule = (usedOutputs, eqn) => {
  const { jaxpr, usedInputs } = dceJaxpr((eqn.params as unknown as CheckpointParams).jaxpr, usedOutputs);
  return smaller(eqn, usedInputs, usedOutputs, { jaxpr });
};

export const dceShardMap: DceRule = (usedOutputs, eqn) => {
  const { jaxpr: whole, inSpecs, outSpecs } = eqn.params as unknown as ShardMapParams;
  const { jaxpr, usedInputs } = dceJaxpr(whole, usedOutputs);
  const params: Partial<ShardMapParams> = {
    jaxpr,
    inSpecs: pick(inSpecs, usedInputs),
    outSpecs: pick(outSpecs, usedOutputs),
  };
  return smaller(eqn, usedInputs, usedOutputs, params);
};
