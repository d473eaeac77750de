import type { Mesh, NDArray } from "@traceform/core";
import { jit } from "@traceform/jit";
import { PartitionSpec as P, pmap, shardMap } from "./index.ts";

interface Params {
  readonly w: NDArray;
  readonly b: NDArray;
}
interface Out {
  readonly y: NDArray;
  readonly n: NDArray;
}
declare const mesh: Mesh;
declare const params: Params;
declare const x: NDArray;
const apply = (p: Params, a: NDArray): Out => ({ y: p.w, n: a });

// Types go in and come out unchanged.
const sharded = shardMap(apply, { mesh, inSpecs: [{ w: P("i"), b: null }, P("i")], outSpecs: { y: P("i"), n: P() } });
export const out: Out = sharded(params, x);
shardMap(apply, { mesh, inSpecs: P("i"), outSpecs: P() });
// @ts-expect-error: the arguments are those of the function
sharded(x, x);
// @ts-expect-error: no argument has this key
shardMap(apply, { mesh, inSpecs: [{ w: P("i"), c: null }, P("i")], outSpecs: P() });
// @ts-expect-error: axes are named by specs
shardMap(apply, { mesh, inSpecs: ["i", P("i")], outSpecs: P() });
// The mesh that setMesh set.
shardMap(apply, { inSpecs: P("i"), outSpecs: P() });
// @ts-expect-error: specs of the results are needed
shardMap(apply, { mesh, inSpecs: P("i") });

// Shardings are trees for the arguments.
jit(apply, { inShardings: [{ w: P("i"), b: null }, null], outShardings: { y: P("i"), n: null } });
// @ts-expect-error: no layout
jit(apply, { inShardings: "i" });

const mapped = pmap(apply, { axisName: "i", inAxes: [{ w: 0, b: null }, 0], outAxes: { y: 0, n: null } });
export const parts: Out = mapped(params, x);
export const ahead: Promise<unknown> = mapped.lower(params, x).compile();
// @ts-expect-error: a mistyped key
pmap(apply, { inAxes: [{ w: 0, bias: null }, 0] });
// @ts-expect-error: axes are numbers
pmap(apply, { inAxes: "i" });
