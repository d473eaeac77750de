import * as tf from "@tensorflow/tfjs";
import { type Tensor } from "../cases.ts";
import type { Library, Setup } from "../library.ts";

const put = ({ data, shape }: Tensor): tf.Tensor => tf.tensor(data, [...shape], "float32");

function op(f: (...xs: tf.Tensor[]) => tf.Tensor): Setup {
  return (inputs) => {
    const args = Object.values(inputs).map(put);
    const compute = (): tf.Tensor => tf.tidy(() => f(...args));
    let out = compute();
    return {
      run() {
        out.dispose();
        out = compute();
      },
      result: async () => (await out.data()) as Float32Array,
    };
  };
}

function layerNorm(x: tf.Tensor, g: tf.Tensor, b: tf.Tensor): tf.Tensor {
  const { mean, variance } = tf.moments(x, -1, true);
  return tf.add(tf.mul(tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 1e-5))), g), b);
}

function attention(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor {
  const n = q.shape[1]!;
  const mask = tf.mul(tf.sub(tf.linalg.bandPart(tf.ones([n, n]), -1, 0), 1), 1e9);
  const logits = tf.add(tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(q.shape[2]!)), mask);
  return tf.matMul(tf.softmax(logits), v);
}

const mlp: Setup = (inputs) => {
  const names = ["w0", "b0", "w1", "b1", "w2", "b2"];
  const vars = Object.fromEntries(names.map((k) => [k, tf.variable(put(inputs[k]), true, k)]));
  const [x, y] = [put(inputs["x"]) as tf.Tensor2D, put(inputs["y"])];
  const optimizer = tf.train.adam(1e-3, 0.9, 0.999, 1e-8);
  const loss = (): tf.Scalar => {
    const h1 = tf.relu(tf.add(tf.matMul(x, vars["w0"] as never), vars["b0"]));
    const h2 = tf.relu(tf.add(tf.matMul(h1 as tf.Tensor2D, vars["w1"] as never), vars["b1"]));
    const logits = tf.add(tf.matMul(h2 as tf.Tensor2D, vars["w2"] as never), vars["b2"]);
    return tf.neg(tf.mean(tf.sum(tf.mul(tf.logSoftmax(logits), y), -1))) as tf.Scalar;
  };
  const step = (): void => optimizer.minimize(loss, false, Object.values(vars) as tf.Variable[]) as unknown as void;
  step();
  const first = vars["w2"].clone();
  return { run: step, result: async () => (await first.data()) as Float32Array };
};

export async function tfjs(): Promise<Library> {
  const { setThreadsCount, setWasmPaths } = await import("@tensorflow/tfjs-backend-wasm");
  setWasmPaths(new URL("../node_modules/@tensorflow/tfjs-backend-wasm/dist/", import.meta.url).pathname);
  // The threaded build needs a browser's workers; in Node the package runs one thread.
  setThreadsCount(1);
  await tf.setBackend("wasm");
  await tf.ready();
  return { name: "tfjs-wasm", native: false, cases: tfjsCases() };
}

/** Its WebGPU backend. */
export async function tfjsGpu(): Promise<Library> {
  await import("@tensorflow/tfjs-backend-webgpu");
  // It would do what is small on the CPU.
  tf.env().set("WEBGPU_CPU_FORWARD", false);
  await tf.setBackend("webgpu");
  await tf.ready();
  // Reading sends what has been encoded, and comes after it in the GPU's queue.
  const settle = async (): Promise<void> => {
    const last = tf.add(tf.zeros([1]), 1);
    await last.data();
    last.dispose();
  };
  return { name: "tfjs-webgpu", native: false, cases: tfjsCases(), settle };
}

function tfjsCases(): Library["cases"] {
  const matmulCase = op((a, b) => tf.matMul(a as tf.Tensor2D, b as tf.Tensor2D));
  return {
    "matmul 512": matmulCase,
    "matmul 1024": matmulCase,
    "matmul 2048": matmulCase,
    "elementwise chain with tanh 4M": op((x) => tf.add(tf.mul(tf.tanh(tf.add(tf.mul(x, 0.5), 1)), x), tf.exp(tf.mul(x, -0.25)))),
    "softmax 1024x1024": op((x) => tf.softmax(x)),
    "layer norm 4096x1024": op(layerNorm),
    "attention causal 8x512x64": op(attention),
    "sum 1M": op((x) => tf.sum(x)),
    "conv 3x3 8x64x56x56": (inputs) => {
      // The library's own layouts, converted outside the clock: NHWC and HWIO.
      const x = tf.transpose(put(inputs["x"]), [0, 2, 3, 1]) as tf.Tensor4D;
      const w = tf.transpose(put(inputs["w"]), [2, 3, 1, 0]) as tf.Tensor4D;
      let out = tf.conv2d(x, w, 1, "same");
      return {
        run() {
          out.dispose();
          out = tf.conv2d(x, w, 1, "same");
        },
        result: async () => (await tf.transpose(out, [0, 3, 1, 2]).data()) as Float32Array,
      };
    },
    "sort 1M": op((x) => tf.reverse(tf.topk(x as tf.Tensor1D, x.size, true).values)),
    "cumsum 1M": op((x) => tf.cumsum(x)),
    "mlp adam step": mlp,
    "eager add of 3": op((a, b) => tf.add(a, b)),
  };
}
