// What the types of every transformation promise, for the kinds of functions that people write. Compiled, never run.
import type { Inputs } from "@traceform/core";
import {
  checkpoint,
  customJvp,
  customVjp,
  customVmap,
  evalShape,
  grad,
  hessian,
  jacfwd,
  jacrev,
  jit,
  jvp,
  lax,
  linearize,
  makeJaxpr,
  numpy,
  type NDArray,
  pytreeNode,
  sequentialVmap,
  ShapeDtypeStruct,
  valueAndGrad,
  vjp,
  vmap,
} from "./index.ts";

/** Holds when `T` and `U` are the same type, not only assignable to each other. */
type Same<T, U> = (<X>() => X extends T ? 1 : 2) extends <X>() => X extends U ? 1 : 2 ? true : false;
declare function same<T, U>(value: T, proof: Same<T, U>): U;

declare const x: NDArray;
declare const n: number;

// Nested pytrees: interfaces in interfaces, tuples, arrays, optional and null fields.
interface Dense {
  readonly w: NDArray;
  readonly b?: NDArray;
}
interface Params {
  readonly layers: readonly Dense[];
  readonly norm: { readonly scale: NDArray; readonly shift: NDArray | null };
  readonly pair: readonly [mean: NDArray, deviation: NDArray];
}
declare const params: Params;
declare function loss(params: Params, batch: { image: NDArray; label: NDArray }, rate?: NDArray): NDArray;
const batch = { image: x, label: x };

same<Params, Params>(grad(loss)(params, batch), true);
same<{ image: NDArray; label: NDArray }, { image: NDArray; label: NDArray }>(grad(loss, { argnums: 1 })(params, batch), true);
same<[Params, { image: NDArray; label: NDArray }], [Params, { image: NDArray; label: NDArray }]>(
  grad(loss, { argnums: [0, 1] })(params, batch, x),
  true,
);
same<[NDArray, Params], [NDArray, Params]>(valueAndGrad(loss)(params, batch), true);
same<NDArray, NDArray>(jit(loss)(params, batch), true);
same<NDArray, NDArray>(jit(loss)(params, batch, 0.1), true);
same<NDArray, NDArray>(vmap(loss, { inAxes: [null, { image: 0, label: -1 }, null] })(params, batch, 2), true);
same<NDArray, NDArray>(checkpoint(loss)(params, batch), true);
same<[NDArray, Params], [NDArray, Params]>(jit(valueAndGrad(loss))(params, batch), true);
same<Params, Params>(vmap(grad(loss), { inAxes: [null, 0] })(params, batch), true);
same<Params, Params>(grad(jit(loss))(params, batch), true);
same<Params, Params>(grad(vmap(loss))(params, batch), true);
const [out, pull] = vjp(loss, params, batch);
const [dParams, dBatch]: [Params, { image: NDArray; label: NDArray }, ...unknown[]] = pull(out) as never;
void [dParams, dBatch];

// Negative positions count from the end.
declare function triple(a: Dense, b: NDArray, c: Params): NDArray;
same<Params, Params>(grad(triple, { argnums: -1 })({ w: x }, x, params), true);
same<[NDArray, Params], [NDArray, Params]>(grad(triple, { argnums: [-2, 2] })({ w: x }, x, params), true);
same<NDArray, NDArray>(jacrev(triple, { argnums: 1 })({ w: x }, x, params), true);

// Tuples in and out keep their length and their labels.
declare function swap(pair: [a: NDArray, b: Dense]): [b: Dense, a: NDArray];
same<[b: Dense, a: NDArray], [b: Dense, a: NDArray]>(jit(swap)([x, { w: x }]), true);
same<[b: Dense, a: NDArray], [b: Dense, a: NDArray]>(
  vmap(swap, { inAxes: [[0, { w: 1 }]], outAxes: [{ w: 0 }, -1] })([x, { w: x }]),
  true,
);
const [, dot]: [[b: Dense, a: NDArray], [b: Dense, a: NDArray]] = jvp(swap, [[x, { w: x }]], [[x, { w: x }]]);
void dot;

// Classes that are pytrees keep their methods.
class Linear {
  static readonly [pytreeNode] = {
    flatten: (l: Linear): readonly [readonly unknown[], null] => [[l.w], null],
    unflatten: (_: null, [w]: readonly unknown[]): Linear => new Linear(w as NDArray),
  };
  readonly w: NDArray;
  constructor(w: NDArray) {
    this.w = w;
  }
  apply(y: NDArray): NDArray {
    return lax.dot(this.w, y);
  }
}
declare function modelLoss(model: Linear, y: NDArray): NDArray;
grad(modelLoss)(new Linear(x), x).apply(x);
jit((m: Linear) => m)(new Linear(x)).apply(x);
vmap((m: Linear, y: NDArray): [Linear, NDArray] => [m, m.apply(y)], { inAxes: [null, 0] })(new Linear(x), x)[0].apply(x);

// Generic functions, and generic code around transformations.
function identity<T>(tree: T): T {
  return jit((t: T) => t)(tree as Inputs<[T]>[0]);
}
same<Params, Params>(identity(params), true);
interface Model<P> {
  init(): P;
  loss(params: P, y: NDArray): NDArray;
}
function train<P>(model: Model<P>): (params: P, y: NDArray) => [NDArray, P] {
  const step = (p: P, y: NDArray): [NDArray, P] => {
    const [value, pullback] = vjp((q: P) => model.loss(q, y), ...([p] as Inputs<[P]>));
    return [value, (pullback(value) as unknown as [P])[0]];
  };
  return step;
}
declare const model: Model<{ readonly theta: NDArray }>;
same<[NDArray, { readonly theta: NDArray }], [NDArray, { readonly theta: NDArray }]>(train(model)({ theta: x }, x), true);

// Methods of objects, and functions with rest parameters.
const object = { scale: x, apply: (y: NDArray): NDArray => y };
same<NDArray, NDArray>(vmap(object.apply)(x), true);
declare function total(...xs: NDArray[]): NDArray;
same<NDArray, NDArray>(jit(total)(x, 2, x), true);
same<NDArray, NDArray>(grad(total, { argnums: 3 })(x, x, x, x), true);

// Where an array goes, a number goes; plain options stay what they are.
declare function scaled(y: NDArray, options: { axis: number; name: "a" | "b" }): NDArray;
jit(scaled, { staticArgnums: 1 })(1, { axis: 0, name: "a" });
const somewhere: number = n;
jit(scaled, { staticArgnums: somewhere });
grad(scaled, { argnums: somewhere });

// Functions of the library take whatever becomes an array.
same<NDArray, NDArray>(vmap(numpy.add, { inAxes: [0, null] })(x, 1), true);
same<NDArray, NDArray>(jit(vmap(numpy.matmul))(x, x), true);
same<NDArray, NDArray>(grad(numpy.dot, { argnums: 1 })(x, x), true);
void [makeJaxpr(numpy.add)(x, 2).jaxpr, evalShape(numpy.multiply, x, x).dtype, jit(numpy.add).lower(x, x)];

// Custom rules.
const f = customJvp((y: NDArray, p: Dense) => lax.add(y, p.w));
f.defjvp(([y, p], [dy, dp]) => [lax.add(y, p.w), lax.add(dy, dp.w)]);
const g = customVjp((y: NDArray, p: Dense) => ({ out: p.w, y }));
g.defvjp(
  (y, p) => [g(y, p), { kept: y }],
  ({ kept }, ct) => [lax.mul(kept, ct.out), null],
);
const h = customVmap((y: NDArray, p: Dense): { out: NDArray; rest: [NDArray] } => ({ out: p.w, rest: [y] }));
h.defVmap((size, [yBatched, pBatched], y, p) => {
  const flags: [number, boolean, boolean] = [size, yBatched, pBatched.w];
  void flags;
  return [
    { out: p.w, rest: [y] },
    { out: pBatched.w, rest: [yBatched] },
  ];
});
same<{ out: NDArray; rest: [NDArray] }, { out: NDArray; rest: [NDArray] }>(vmap(h)(x, { w: x }), true);
same<NDArray, NDArray>(vmap(sequentialVmap((y: NDArray) => y))(x), true);

// Inspection and compilation.
const struct = new ShapeDtypeStruct([2], "float32");
const shapes = evalShape((p: Dense, y: NDArray) => ({ w: p.w, pair: [y, y] as [NDArray, NDArray] }), { w: struct }, struct);
same<
  { w: ShapeDtypeStruct; pair: [ShapeDtypeStruct, ShapeDtypeStruct] },
  { w: ShapeDtypeStruct; pair: [ShapeDtypeStruct, ShapeDtypeStruct] }
>(shapes, true);
const [closed, described] = makeJaxpr((y: NDArray) => [y], { returnShape: true })(struct);
void [closed.jaxpr.eqns, described[0].dtype];
async function ahead(): Promise<NDArray> {
  const compiled = await jit(loss).lower(params, { image: struct, label: struct }).compile();
  return compiled(params, batch);
}
void ahead;

// Control flow.
same<[{ c: NDArray; k: NDArray }, NDArray], [{ c: NDArray; k: NDArray }, NDArray]>(
  lax.scan((c: { c: NDArray; k: NDArray }, y: NDArray) => [c, y], { c: x, k: x }, x),
  true,
);
void [hessian((y: NDArray) => y)(x), jacfwd((p: Dense) => p.w)({ w: x }).w, linearize(loss, params, batch)[1]];

// Arities.
// @ts-expect-error an argument is missing
jit(loss)(params);
// @ts-expect-error an argument too many
jit(loss)(params, batch, x, x);
// @ts-expect-error an argument is missing
vmap(triple)({ w: x }, x);
// @ts-expect-error an argument is missing
jvp(triple, [{ w: x }, x], [{ w: x }, x]);
// @ts-expect-error a wrong argument
linearize(loss, x, batch);
// @ts-expect-error a compiled function has the arity of the original
jit(loss).lower(params, batch).compileSync()(params);

// Positions of arguments.
// @ts-expect-error there is no argument 3
grad(triple, { argnums: 3 });
// @ts-expect-error there is no argument -4
grad(triple, { argnums: -4 });
// @ts-expect-error there is no argument 5
valueAndGrad(triple, { argnums: [0, 5] });
// @ts-expect-error a position is an integer
jacfwd(triple, { argnums: 0.5 });
// @ts-expect-error there is no argument 2
jacrev((y: NDArray) => y, { argnums: 2 });
// @ts-expect-error there is no argument 1
hessian((y: NDArray) => y, { argnums: 1 });
// @ts-expect-error there is no argument 4
jit(triple, { staticArgnums: 4 });
// @ts-expect-error there is no argument 7
jit(triple, { donateArgnums: [0, 7] });
// @ts-expect-error a position is a number
jit(triple, { staticArgnums: "0" });

// Prefixes of trees.
// @ts-expect-error a mistyped key
vmap(loss, { inAxes: [null, { image: 0, labels: 0 }] });
// @ts-expect-error a key too few
vmap(loss, { inAxes: [null, { image: 0 }, null] });
// @ts-expect-error one entry for each argument
vmap(triple, { inAxes: [0, 0] });
// @ts-expect-error an array has one axis, not a tree
vmap(triple, { inAxes: [0, { y: 0 }, 0] });
// @ts-expect-error a tuple of another length
vmap(swap, { outAxes: [0] });
// @ts-expect-error an axis is a number
vmap(triple, { outAxes: "0" });
// @ts-expect-error a name is a string
vmap(triple, { axisName: 3 });

// Rules.
// @ts-expect-error a batching rule says which results are batched
h.defVmap((_size, _batched, y, p) => ({ out: p.w, rest: [y] }));
// @ts-expect-error in the structure of the result
h.defVmap((_size, _batched, y, p) => [{ out: p.w, rest: [y] }, true]);
