import { wgpu } from "@traceform/backend-wgpu";
import { type NDArray, setDefaultBackend } from "@traceform/core";
import { valueAndGrad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import { convertElementType } from "@traceform/lax";
import { dotProductAttention, gelu, standardize } from "@traceform/nn";
import * as np from "@traceform/numpy";
import { adam, applyUpdates } from "@traceform/optim";
import type { Library, Setup } from "../library.ts";
import { put, traceformCases } from "../libraries/traceform.ts";

interface Block {
  readonly qkv: NDArray;
  readonly out: NDArray;
  readonly up: NDArray;
  readonly down: NDArray;
}
const heads = 8;

function block(x: NDArray, { qkv, out, up, down }: Block): NDArray {
  const [n, positions, width] = x.shape;
  const parts = np.split(np.matmul(standardize(x, -1), qkv), 3, -1);
  const [q, k, v] = parts.map((p) => np.reshape(p, [n, positions, heads, width / heads]));
  const attended = np.reshape(dotProductAttention(q, k, v, { isCausal: true }), [n, positions, width]);
  const y = np.add(x, np.matmul(attended, out));
  return np.add(y, np.matmul(gelu(np.matmul(standardize(y, -1), up)), down));
}

/** A step of Adam on the squared error of a transformer; its parameters and their moments are donated. */
const transformer: Setup = (inputs) => {
  const layers = Object.keys(inputs).filter((k) => k.startsWith("qkv")).length;
  const optimizer = adam(1e-3);
  const loss = (blocks: readonly Block[], x: NDArray, y: NDArray): NDArray =>
    np.mean(np.square(np.subtract(blocks.reduce(block, x), y)));
  const step = jit(
    (blocks: readonly Block[], state: ReturnType<typeof optimizer.init>, x: NDArray, y: NDArray) => {
      const [value, grads] = valueAndGrad(loss)(blocks, x, y);
      const [updates, next] = optimizer.update(grads, state, blocks);
      return [applyUpdates(blocks, updates), next, value] as const;
    },
    { donateArgnums: [0, 1] },
  );
  const parameter = (name: string, i: number): NDArray => put(inputs[`${name}${i}`]);
  let blocks: readonly Block[] = Array.from({ length: layers }, (_, i) => ({
    qkv: parameter("qkv", i),
    out: parameter("out", i),
    up: parameter("up", i),
    down: parameter("down", i),
  }));
  let state = optimizer.init(blocks);
  const [x, y] = [put(inputs["x"]), put(inputs["y"])];
  let value: NDArray | null = null;
  const run = (): void => {
    value?.dispose();
    [blocks, state, value] = step(blocks, state, x, y);
  };
  run();
  return { run, result: async () => (await value!.data()) as Float32Array };
};

/** Products of halves, with sums in single precision. */
const matmulHalf: Setup = (inputs) => {
  const [a, b] = [inputs["a"], inputs["b"]].map((t) => convertElementType(put(t), "float16"));
  const multiply = jit((x: NDArray, y: NDArray) => np.matmul(x, y));
  let out = multiply(a, b);
  return {
    run() {
      out.dispose();
      out = multiply(a, b);
    },
    result: async () => Float32Array.from((await out.data()) as ArrayLike<number>),
  };
};

/** Traceform on WebGPU. */
export async function ours(): Promise<Library> {
  const backend = setDefaultBackend(await wgpu());
  const [{ gpu }] = backend.devices as unknown as readonly { readonly gpu: GPUDevice }[];
  const half: Library["cases"] = backend.capabilities.dtypes.includes("float16") ? { "matmul f16": matmulHalf } : {};
  return {
    name: "traceform",
    native: false,
    cases: { ...traceformCases(), ...half, "transformer adam step": transformer },
    settle: () => gpu.queue.onSubmittedWorkDone(),
  };
}
