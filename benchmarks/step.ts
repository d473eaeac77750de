import { cpu } from "../packages/backend-cpu/dist/index.js";
import { devicePut, fromTyped, NamedSharding, type NDArray, setDefaultBackend } from "../packages/core/dist/index.js";
import { valueAndGrad } from "../packages/grad/dist/index.js";
import { jit } from "../packages/jit/dist/index.js";
import * as lax from "../packages/lax/dist/index.js";
import { makeMesh, P, shardMap } from "../packages/pmap/dist/index.js";

export function random(seed: number, ...shape: number[]): NDArray {
  let s = seed;
  const size = shape.reduce((a, b) => a * b, 1);
  const data = Float32Array.from({ length: size }, () => ((s = (s * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff - 0.5) / 8);
  return fromTyped(data, shape, "float32");
}

const dot = (x: NDArray, y: NDArray): NDArray =>
  lax.dotGeneral(x, y, [
    [[1], [0]],
    [[], []],
  ]);

interface Layers {
  readonly up: NDArray;
  readonly down: NDArray;
}
const loss = ({ up, down }: Layers, x: NDArray): NDArray => {
  const y = dot(lax.tanh(dot(x, up)), down);
  return lax.reduceSum(lax.mul(y, y), [0, 1]);
};

interface Step extends Disposable {
  run(): unknown;
}

/** Waits for a step and lets go of what it made, as a loop that trains does: what is kept until it is collected is always new memory. */
function finish([value, gradients]: readonly [NDArray, Layers]): void {
  value.itemSync();
  for (const x of [value, gradients.up, gradients.down]) x.dispose();
}

/** A training step of 1,024 examples on some devices, each with a thread and a part of the examples. */
export function trainingStep(devices: number): Step {
  const backend = cpu({ devices, threads: devices });
  setDefaultBackend(backend);
  const layers = { up: random(1, 512, 1024), down: random(2, 1024, 256) };
  const examples = random(3, 1024, 512);
  const end = (): void => backend[Symbol.dispose]();
  if (devices === 1) {
    const step = jit(valueAndGrad(loss));
    return { run: () => finish(step(layers, examples)), [Symbol.dispose]: end };
  }
  const mesh = makeMesh([devices], ["data"]);
  const step = jit(
    shardMap(
      valueAndGrad((p: Layers, part: NDArray) => lax.psum(loss(p, part), "data")),
      { mesh, inSpecs: [P(), P("data")], outSpecs: P() },
    ),
  );
  const parts = devicePut(examples, new NamedSharding(mesh, P("data")));
  return { run: () => finish(step(layers, parts)), [Symbol.dispose]: end };
}

/** Milliseconds of one call, over so many milliseconds. */
export function sample(run: () => unknown, milliseconds: number): number {
  const begun = performance.now();
  let calls = 0;
  while (performance.now() - begun < milliseconds) {
    run();
    calls++;
  }
  return (performance.now() - begun) / calls;
}
