import { encodeModel, type Model, type Node } from "../onnx.ts";
import type { Tensor } from "../cases.ts";
import type { Library, Setup } from "../library.ts";

/** The part of onnxruntime's interface that both of its packages share. */
interface Runtime {
  InferenceSession: {
    create(model: Uint8Array, options: object): Promise<{ run(feeds: object): Promise<Record<string, { data: unknown }>> }>;
  };
  Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => object;
}

type Build = (inputs: Readonly<Record<string, Tensor>>) => Model;

const node = (op: string, inputs: readonly string[], output: string, attributes?: Node["attributes"]): Node => ({
  op,
  inputs,
  outputs: [output],
  attributes,
});
const scalar = (x: number): { shape: []; data: Float32Array } => ({ shape: [], data: Float32Array.of(x) });
const ints = (...xs: number[]): { shape: [number]; data: BigInt64Array } => ({
  shape: [xs.length],
  data: BigInt64Array.from(xs, BigInt),
});
const shapes = (inputs: Readonly<Record<string, Tensor>>): Record<string, readonly number[]> =>
  Object.fromEntries(Object.entries(inputs).map(([k, t]) => [k, t.shape]));

const simple =
  (...nodes: Node[]): Build =>
  (inputs) => ({ inputs: shapes(inputs), outputs: ["out"], nodes });

const withConstants =
  (constants: Model["constants"], ...nodes: Node[]): Build =>
  (inputs) => ({ inputs: shapes(inputs), outputs: ["out"], nodes, constants });

function causalMask(n: number): { shape: number[]; data: Float32Array } {
  const data = new Float32Array(n * n);
  for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) data[i * n + j] = -1e9;
  return { shape: [n, n], data };
}

const matmul = simple(node("MatMul", ["a", "b"], "out"));

const builds: Record<string, Build> = {
  "matmul 512": matmul,
  "matmul 1024": matmul,
  "matmul 2048": matmul,
  "elementwise chain with tanh 4M": withConstants(
    { half: scalar(0.5), one: scalar(1), quarter: scalar(-0.25) },
    node("Mul", ["x", "half"], "a"),
    node("Add", ["a", "one"], "b"),
    node("Tanh", ["b"], "c"),
    node("Mul", ["c", "x"], "d"),
    node("Mul", ["x", "quarter"], "e"),
    node("Exp", ["e"], "f"),
    node("Add", ["d", "f"], "out"),
  ),
  "softmax 1024x1024": simple(node("Softmax", ["x"], "out", { axis: -1 })),
  "layer norm 4096x1024": simple(node("LayerNormalization", ["x", "g", "b"], "out", { axis: -1, epsilon: 1e-5 })),
  "attention causal 8x512x64": (inputs) =>
    withConstants(
      { scale: scalar(1 / Math.sqrt(inputs["q"].shape[2])), mask: causalMask(inputs["q"].shape[1]) },
      node("Transpose", ["k"], "kt", { perm: [0, 2, 1] }),
      node("MatMul", ["q", "kt"], "logits"),
      node("Mul", ["logits", "scale"], "scaled"),
      node("Add", ["scaled", "mask"], "masked"),
      node("Softmax", ["masked"], "weights", { axis: -1 }),
      node("MatMul", ["weights", "v"], "out"),
    )(inputs),
  "sum 1M": simple(node("ReduceSum", ["x"], "out", { keepdims: 0 })),
  "conv 3x3 8x64x56x56": simple(node("Conv", ["x", "w"], "out", { pads: [1, 1, 1, 1], kernel_shape: [3, 3] })),
  "sort 1M": (inputs) =>
    withConstants(
      { k: ints(inputs["x"].data.length) },
      { op: "TopK", inputs: ["x", "k"], outputs: ["out", "indices"], attributes: { largest: 0, sorted: 1 } },
    )(inputs),
  "cumsum 1M": withConstants({ axis: { shape: [], data: BigInt64Array.of(0n) } }, node("CumSum", ["x", "axis"], "out")),
  "fft 65536 complex": (inputs) => ({
    inputs: shapes(inputs),
    outputs: ["out"],
    constants: { parts: ints(1, 65536, 1), last: ints(2), zero: ints(0), one: ints(1), flat: ints(-1) },
    nodes: [
      node("Reshape", ["re", "parts"], "r"),
      node("Reshape", ["im", "parts"], "i"),
      node("Concat", ["r", "i"], "z", { axis: 2 }),
      node("DFT", ["z"], "spectrum"),
      node("Slice", ["spectrum", "zero", "one", "last"], "real"),
      node("Reshape", ["real", "flat"], "out"),
    ],
  }),
};

function setup(runtime: Runtime, build: Build): Setup {
  return async (inputs) => {
    const session = await runtime.InferenceSession.create(encodeModel(build(inputs)), {
      intraOpNumThreads: 2,
      logSeverityLevel: 3,
    });
    const feeds = Object.fromEntries(Object.entries(inputs).map(([k, t]) => [k, new runtime.Tensor("float32", t.data, t.shape)]));
    let out = await session.run(feeds);
    return {
      async run() {
        out = await session.run(feeds);
      },
      result: async () => out["out"].data as Float32Array,
    };
  };
}

function library(name: string, native: boolean, runtime: Runtime): Library {
  return { name, native, cases: Object.fromEntries(Object.entries(builds).map(([k, b]) => [k, setup(runtime, b)])) };
}

export async function onnxWeb(): Promise<Library> {
  const ort = await import("onnxruntime-web");
  ort.env.wasm.numThreads = 2;
  // Its threads start with the first session. They leave a global Worker behind, which Node does not have and from which
  // jax-js would conclude that it runs in a browser.
  await ort.InferenceSession.create(
    encodeModel(matmul({ a: { shape: [2, 2], data: new Float32Array(4) }, b: { shape: [2, 2], data: new Float32Array(4) } })),
  );
  delete (globalThis as { Worker?: unknown }).Worker;
  return library("onnxruntime-web", false, ort as unknown as Runtime);
}

export async function onnxNode(): Promise<Library> {
  const { default: ort } = await import("onnxruntime-node");
  return library("onnxruntime-node", true, ort as unknown as Runtime);
}

/** The parts of the WebGPU build that only it has. */
interface GpuRuntime {
  readonly env: { readonly webgpu: { readonly device: Promise<GPUDevice> | GPUDevice } };
  readonly InferenceSession: {
    create(model: Uint8Array, options: object): Promise<{ run(feeds: object): Promise<Record<string, GpuTensor>> }>;
  };
  readonly Tensor: { fromGpuBuffer(buffer: GPUBuffer, options: { dataType: "float32"; dims: readonly number[] }): GpuTensor };
}
interface GpuTensor {
  getData(): Promise<unknown>;
  dispose(): void;
}

/** Its WebGPU provider. Operands and results stay on the GPU. */
export async function onnxGpu(): Promise<Library> {
  const ort = (await import("onnxruntime-web/webgpu")) as unknown as GpuRuntime;
  const options = { executionProviders: ["webgpu"], preferredOutputLocation: "gpu-buffer", logSeverityLevel: 3 };
  const [a, b] = [0, 1].map(() => ({ shape: [2, 2], data: new Float32Array(4) }));
  // The device is there when the first session is.
  await ort.InferenceSession.create(encodeModel(matmul({ a, b })), options);
  const device = await ort.env.webgpu.device;
  const put = ({ shape, data }: Tensor): GpuTensor => {
    const size = Math.max(16, data.byteLength);
    const buffer = device.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC });
    device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
    return ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims: shape });
  };
  const gpuSetup =
    (build: Build): Setup =>
    async (inputs) => {
      const session = await ort.InferenceSession.create(encodeModel(build(inputs)), options);
      const feeds = Object.fromEntries(Object.entries(inputs).map(([k, t]) => [k, put(t)]));
      let out = await session.run(feeds);
      return {
        async run() {
          for (const t of Object.values(out)) t.dispose();
          out = await session.run(feeds);
        },
        result: async () => (await out["out"].getData()) as Float32Array,
      };
    };
  return {
    name: "onnxruntime-web",
    native: false,
    cases: Object.fromEntries(Object.entries(builds).map(([k, build]) => [k, gpuSetup(build)])),
    settle: () => device.queue.onSubmittedWorkDone(),
  };
}
