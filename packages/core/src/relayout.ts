import type { NDArray } from "./ndarray.ts";
import { definePrimitive, lowerRule, type Primitive, shardingRule, type ShardingRule } from "./primitive.ts";
import type { NamedSharding } from "./sharding.ts";

export interface ShardingConstraintParams {
  readonly sharding: NamedSharding;
}

/** The operand, laid out as the parameter says. */
export const shardingConstraintP: Primitive<ShardingConstraintParams> = /* @__PURE__ */ definePrimitive<ShardingConstraintParams>(
  "sharding_constraint",
  {
    abstractEval: (avals, { sharding }) => {
      for (const x of avals) sharding.shardShape(x.shape);
      return avals;
    },
    rules: {
      [lowerRule]: (args: readonly NDArray[]) => args,
      [shardingRule]: ((_operands, { sharding }) => [sharding]) satisfies ShardingRule<ShardingConstraintParams>,
    },
  },
);
