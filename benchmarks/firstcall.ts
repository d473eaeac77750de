// Times the first call of the jitted MLP step in this fresh process, for the library named on the command line.
import { cases } from "./cases.ts";

const { inputs } = cases.find((c) => c.name === "mlp adam step")!;
const library = process.argv[2];

async function traceform(): Promise<() => Promise<unknown>> {
  const { traceform: start, mlpState, mlpStep } = await import("./libraries/traceform.ts");
  const { fromTyped } = await import("@traceform/core");
  const { jit } = await import("@traceform/jit");
  start();
  const [params, state] = mlpState(inputs);
  const [x, y] = [inputs["x"], inputs["y"]].map((t) => fromTyped(t.data, t.shape, "float32"));
  return async () => (await jit(mlpStep())(params, state, x, y)[2].data())[0];
}

async function jaxjs(): Promise<() => Promise<unknown>> {
  const { jaxjs: start, mlpState, mlpStep } = await import("./libraries/jaxjs.ts");
  const { jit, numpy: np } = await import("@jax-js/jax");
  await start();
  const [p, m, v] = mlpState(inputs);
  const [x, y] = [inputs["x"], inputs["y"]].map((t) => np.array(t.data as Float32Array<ArrayBuffer>).reshape([...t.shape]));
  return async () => (jit(mlpStep() as never) as never as ReturnType<typeof mlpStep>)(p, m, v, x, y)[3].data();
}

const call = await (library === "traceform" ? traceform() : jaxjs());
const begun = performance.now();
await call();
console.log(JSON.stringify({ ms: performance.now() - begun }));
process.exit(0);
