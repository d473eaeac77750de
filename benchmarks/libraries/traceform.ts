import { cpu } from "@traceform/backend-cpu";
import { fromTyped, type NDArray, setDefaultBackend, treeLeaves } from "@traceform/core";
import { grad, valueAndGrad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import { complex, convGeneralDilated, scan } from "@traceform/lax";
import { dotProductAttention, logSoftmax, relu, sigmoid, softmax, standardize } from "@traceform/nn";
import { add, cumsum, exp, matmul, mean, multiply, sort, split, square, sum, swapaxes, tanh, zeros } from "@traceform/numpy";
import { fft } from "@traceform/numpy/fft";
import { adam, applyUpdates } from "@traceform/optim";
import { hidden, type Tensor } from "../cases.ts";
import type { Library, Setup } from "../library.ts";

export const put = ({ data, shape }: Tensor): NDArray => fromTyped(data, shape, "float32");

/** A jitted function of all inputs, in order. */
function jitted(f: (...xs: NDArray[]) => NDArray): Setup {
  return (inputs) => {
    const args = Object.values(inputs).map(put);
    const compiled = jit(f);
    let out = compiled(...args);
    return {
      run() {
        out.dispose();
        out = compiled(...args);
      },
      result: async () => (await out.data()) as Float32Array,
    };
  };
}

interface Layer {
  w: NDArray;
  b: NDArray;
}

export function mlpStep(): (params: Layer[], state: object, x: NDArray, y: NDArray) => [Layer[], object, NDArray] {
  const optimizer = adam(1e-3);
  const loss = (params: Layer[], x: NDArray, y: NDArray): NDArray => {
    const [first, second, last] = params;
    const h1 = relu(add(matmul(x, first.w), first.b));
    const h2 = relu(add(matmul(h1, second.w), second.b));
    return multiply(mean(sum(multiply(logSoftmax(add(matmul(h2, last.w), last.b)), y), -1)), -1);
  };
  return (params, state, x, y) => {
    const [value, grads] = valueAndGrad(loss)(params, x, y);
    const [updates, next] = optimizer.update(grads, state, params);
    return [applyUpdates(params, updates), next, value];
  };
}

export function mlpState(inputs: Readonly<Record<string, Tensor>>): [Layer[], object] {
  const params = [0, 1, 2].map((i) => ({ w: put(inputs[`w${i}`]), b: put(inputs[`b${i}`]) }));
  return [params, adam(1e-3).init(params)];
}

const mlp: Setup = (inputs) => {
  const step = jit(mlpStep());
  const [params, state] = mlpState(inputs);
  const [x, y] = [put(inputs["x"]), put(inputs["y"])];
  // The same step from the same state each time: training on would change the numbers from sample to sample.
  let out = step(params, state, x, y);
  return {
    run() {
      for (const leaf of treeLeaves(out)) (leaf as NDArray).dispose();
      out = step(params, state, x, y);
    },
    result: async () => (await out[0][2].w.data()) as Float32Array,
  };
};

const lstm: Setup = (inputs) => {
  const loss = (w: NDArray, b: NDArray, xs: NDArray): NDArray => {
    const zero = zeros([hidden]);
    const [, hs] = scan(
      ([h, c]: readonly [NDArray, NDArray], x: NDArray): [[NDArray, NDArray], NDArray] => {
        const gates = add(add(matmul(x, rows(w, 0)), matmul(h, rows(w, 1))), b);
        const [i, f, g, o] = split(gates, 4);
        const next = add(multiply(sigmoid(f), c), multiply(sigmoid(i), tanh(g)));
        const out = multiply(sigmoid(o), tanh(next));
        return [[out, next], out];
      },
      [zero, zero],
      xs,
    );
    return mean(square(hs));
  };
  const rows = (w: NDArray, half: number): NDArray => split(w, [hidden], 0)[half];
  const step = jit(valueAndGrad(loss, { argnums: [0, 1] }));
  const [w, b, x] = [inputs["w"], inputs["b"], inputs["x"]].map(put);
  let out = step(w, b, x);
  return {
    run() {
      for (const leaf of treeLeaves(out)) (leaf as NDArray).dispose();
      out = step(w, b, x);
    },
    result: async () => (await out[1][0].data()) as Float32Array,
  };
};

const fourier: Setup = (inputs) => {
  const parts = Object.values(inputs).map(put);
  const transform = jit((re: NDArray, im: NDArray) => fft(complex(re, im)));
  let out = transform(parts[0], parts[1]);
  return {
    run() {
      out.dispose();
      out = transform(parts[0], parts[1]);
    },
    // The real parts, as the other libraries give them.
    result: async () => ((await out.data()) as Float32Array).filter((_x, i) => i % 2 === 0),
  };
};

const layerNorm = jitted((x, g, b) => add(multiply(standardize(x, -1, { epsilon: 1e-5 }), g), b));

const conv = (x: NDArray, w: NDArray): NDArray => convGeneralDilated(x, w, [1, 1], "SAME");

export function traceform(options: Parameters<typeof cpu>[0] = {}): Library {
  setDefaultBackend(cpu(options));
  return { name: "traceform", native: false, cases: traceformCases() };
}

/** The cases on the default backend. */
export function traceformCases(): Library["cases"] {
  const matmulCase = jitted((a, b) => matmul(a, b));
  return {
    "matmul 512": matmulCase,
    "matmul 1024": matmulCase,
    "matmul 2048": matmulCase,
    "elementwise chain with tanh 4M": jitted((x) => add(multiply(tanh(add(multiply(x, 0.5), 1)), x), exp(multiply(x, -0.25)))),
    "softmax 1024x1024": jitted((x) => softmax(x)),
    "layer norm 4096x1024": layerNorm,
    "attention causal 8x512x64": jitted((q, k, v) => attention(q, k, v)),
    "sum 1M": jitted((x) => sum(x)),
    "conv 3x3 8x64x56x56": jitted(conv),
    "conv 3x3 8x64x56x56, gradient of the image": jitted((x, w, r) => grad((y: NDArray) => sum(multiply(conv(y, w), r)))(x)),
    "conv 3x3 8x64x56x56, gradient of the filter": jitted((x, w, r) => grad((v: NDArray) => sum(multiply(conv(x, v), r)))(w)),
    "sort 1M": jitted((x) => sort(x)),
    "cumsum 1M": jitted((x) => cumsum(x)),
    "fft 65536 complex": fourier,
    "mlp adam step": mlp,
    "lstm-64 256 steps value and grad": lstm,
    "eager add of 3": (inputs) => {
      const [a, b] = [put(inputs["a"]), put(inputs["b"])];
      let out = add(a, b);
      return {
        run() {
          out.dispose();
          out = add(a, b);
        },
        result: async () => (await out.data()) as Float32Array,
      };
    },
    "jitted call, tiny": jitted((a, b) => add(multiply(a, 2), b)),
  };
}

/** [heads, positions, dim] to and from the [positions, heads, dim] that the attention takes. */
function attention(q: NDArray, k: NDArray, v: NDArray): NDArray {
  const [a, b, c] = [q, k, v].map((x) => swapaxes(x, 0, 1));
  return swapaxes(dotProductAttention(a, b, c, { isCausal: true }), 0, 1);
}
