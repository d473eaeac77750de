import { addIndex, flattenIndex, scaleIndex } from "./affine.ts";
import type { Axis, Ex, Index } from "./expr.ts";
import type { Value } from "./graph.ts";
import type { GroupDraft } from "./group.ts";
import { folding, type KernelBuilder, storing } from "./kernels.ts";
import { depthParts, sumOfParts } from "./product.ts";
import type { Reduction } from "./program.ts";
import { foldMonoid, monoids } from "./reduce.ts";
import { roundToDType, scalarInfo } from "./scalars.ts";
import type { Scope } from "./scope.ts";

/** What is summed for an element of the result, at a depth. */
export type Summand = (k: KernelBuilder, position: readonly Index[], depth: readonly Index[]) => Ex;

/**
 * A product that is a sum over a depth for each element of the result, in one nest. Where nests are the kernels for products of all sizes,
 * as on a GPU, what reads the elements joins, and few elements over a long depth are sums over parts of it.
 */
export function emitFolded(scope: Scope, name: string, out: Value, depthShape: readonly number[], summand: Summand): void {
  const sum = (
    k: KernelBuilder,
    position: readonly Index[],
    shape: readonly number[],
    from: Index | null,
  ): { axes: Axis[]; fold: Reduction } => {
    const { axes, position: depth } = k.axes(shape);
    const at = from === null ? depth : [addIndex(from, depth[0]), ...depth.slice(1)];
    return { axes, fold: foldMonoid(k, monoids["sum"], out.dtype, summand(k, position, at), 1).fold };
  };
  if (scope.lowering.target.tile !== null) {
    const k = scope.builder();
    const { axes: outer, position } = k.axes(out.shape);
    const { axes, fold } = sum(k, position, depthShape, null);
    const store = k.store(out, scope.target(out), position, roundToDType(k.e, out.dtype, fold.results[0]));
    scope.launch(k.nest(name, outer, [folding(axes, [fold]), storing([], [store])]), k.slots);
    return;
  }
  const k = depthShape.reduce((a, b) => a * b, 1);
  const parts = scalarInfo(out.dtype).type === "f32" ? depthParts({ batch: 1, m: out.size, n: 1, k, depthShape }) : 1;
  if (parts > 1) {
    const [first, ...rest] = depthShape;
    const partial = { shape: [parts, ...out.shape], dtype: "float32" } as const;
    const view = scope.lowering.temporary(parts * out.size * 4);
    const b = scope.builder();
    const { axes: outer, position } = b.axes(partial.shape);
    const { axes, fold } = sum(b, position.slice(1), [first / parts, ...rest], scaleIndex(position[0], first / parts));
    const store = b.store(partial, view, position, fold.results[0]);
    scope.launch(b.nest(name, outer, [folding(axes, [fold]), storing([], [store])]), b.slots);
    const element = (r: KernelBuilder, at: readonly Index[]): Ex =>
      roundToDType(r.e, out.dtype, sumOfParts(r, view, flattenIndex(at, out.shape), parts, out.size));
    scope.begin(out, scope.target(out), element, true, (draft) => scope.launchDraft(draft));
    return;
  }
  let folded: ReturnType<typeof sum> | null = null;
  const element = (b: KernelBuilder, position: readonly Index[]): Ex => {
    folded = sum(b, position, depthShape, null);
    return roundToDType(b.e, out.dtype, folded.fold.results[0]);
  };
  const launch = (draft: GroupDraft): void => {
    const { axes, fold } = folded!;
    const joined = draft.name.split(".").filter((part) => part !== "store");
    scope.launchDraft({ ...draft, name: [name, ...joined].join("."), stages: [folding(axes, [fold]), ...draft.stages] });
  };
  scope.begin(out, scope.target(out), element, true, launch, { rows: false });
}
