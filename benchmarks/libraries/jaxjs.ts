import { defaultDevice, type DType, grad, init, jit, lax, nn, numpy as np, tree, valueAndGrad } from "@jax-js/jax";
import { hidden, lstmSteps, type Tensor } from "../cases.ts";
import type { Library, Setup } from "../library.ts";

type Arr = np.Array;

const put = ({ data, shape }: Tensor): Arr => np.array(data as Float32Array<ArrayBuffer>).reshape([...shape]);

function jitted(f: (...xs: Arr[]) => Arr, dtype: "float32" | "float16" = "float32"): Setup {
  return async (inputs) => {
    const args = Object.values(inputs).map((t) => put(t).astype(dtype as DType));
    for (const x of args) await x.ref.blockUntilReady();
    const compiled = jit(f as never) as unknown as (...xs: Arr[]) => Arr;
    let out = compiled(...args.map((x) => x.ref));
    await out.blockUntilReady();
    return {
      async run() {
        out.dispose();
        out = compiled(...args.map((x) => x.ref));
        await out.blockUntilReady();
      },
      result: async () => (await out.ref.data()) as Float32Array,
    };
  };
}

type Step<P> = (p: P, m: P, v: P, x: Arr, y: Arr) => [P, P, P, Arr];

/** Adam written out, as the library has no optimizer in the package; the whole step is jitted. */
function adam<P extends Record<string, Arr>>(loss: (p: P, x: Arr, y: Arr) => Arr): Step<P> {
  return (p, m, v, x, y) => {
    const [value, g] = valueAndGrad(loss)(tree.ref(p) as never, x, y) as unknown as [Arr, P];
    const m2 = tree.map((a: Arr, b: Arr) => a.mul(0.9).add(b.mul(0.1)), m, tree.ref(g)) as P;
    const v2 = tree.map((a: Arr, b: Arr) => a.mul(0.999).add(b.ref.mul(b).mul(0.001)), v, g) as P;
    // The bias corrections stay those of the first step: 1 - 0.9 and 1 - 0.999.
    const next = tree.map(
      (a: Arr, mu: Arr, nu: Arr) => a.sub(mu.mul(1e-3 / 0.1).div(np.sqrt(nu.mul(1 / 0.001)).add(1e-8))),
      p,
      tree.ref(m2),
      tree.ref(v2),
    ) as P;
    return [next, m2, v2, value];
  };
}

type Params = { w0: Arr; b0: Arr; w1: Arr; b1: Arr; w2: Arr; b2: Arr };

export function mlpStep(): Step<Params> {
  const loss = (p: Params, x: Arr, y: Arr): Arr => {
    const h1 = nn.relu(np.matmul(x, p.w0).add(p.b0));
    const h2 = nn.relu(np.matmul(h1, p.w1).add(p.b1));
    return nn.logSoftmax(np.matmul(h2, p.w2).add(p.b2)).mul(y).sum(-1).mean().mul(-1);
  };
  return adam(loss);
}

export function mlpState(inputs: Readonly<Record<string, Tensor>>): [Params, Params, Params] {
  const p = Object.fromEntries(["w0", "b0", "w1", "b1", "w2", "b2"].map((k) => [k, put(inputs[k])])) as unknown as Params;
  const zeros = (): Params => tree.map((a: Arr) => np.zeros(a.shape), p) as Params;
  return [p, zeros(), zeros()];
}

const mlp: Setup = async (inputs) => {
  const step = jit(mlpStep() as never) as unknown as Step<Params>;
  const [p, m, v] = mlpState(inputs);
  const [x, y] = [put(inputs["x"]), put(inputs["y"])];
  let out = step(tree.ref(p), tree.ref(m), tree.ref(v), x.ref, y.ref);
  return {
    async run() {
      tree.dispose(out);
      out = step(tree.ref(p), tree.ref(m), tree.ref(v), x.ref, y.ref);
      await out[0].w2.ref.blockUntilReady().then((a: Arr) => a.dispose());
    },
    result: async () => (await out[0].w2.ref.data()) as Float32Array,
  };
};

/** There is no scan: the loop is unrolled while tracing. */
const lstm: Setup = async (inputs) => {
  const loss = (w: Arr, b: Arr, xs: Arr): Arr => {
    let h = np.zeros([hidden]);
    let c = np.zeros([hidden]);
    let total: Arr | null = null;
    const [wx, wh] = np.split(w, 2, 0);
    for (let t = 0; t < lstmSteps; t++) {
      const x = xs.ref.slice(t);
      const gates = np.matmul(x, wx.ref).add(np.matmul(h, wh.ref)).add(b.ref);
      const [i, f, g, o] = np.split(gates, 4, 0);
      c = nn
        .sigmoid(f)
        .mul(c)
        .add(nn.sigmoid(i).mul(np.tanh(g)));
      h = nn.sigmoid(o).mul(np.tanh(c.ref));
      const term = h.ref.mul(h.ref).sum();
      total = total === null ? term : total.add(term);
    }
    return total!.mul(1 / (lstmSteps * hidden));
  };
  const step = jit(grad(loss as never) as never) as unknown as (w: Arr, b: Arr, x: Arr) => Arr;
  const [w, b, x] = [inputs["w"], inputs["b"], inputs["x"]].map(put);
  let out = step(w.ref, b.ref, x.ref);
  return {
    async run() {
      out.dispose();
      out = step(w.ref, b.ref, x.ref);
      await out.blockUntilReady();
    },
    result: async () => (await out.ref.data()) as Float32Array,
  };
};

const fft: Setup = async (inputs) => {
  const [re, im] = [put(inputs["re"]), put(inputs["im"])];
  const f = jit(((a: Arr, b: Arr) => np.fft.fft({ real: a, imag: b })) as never) as unknown as (
    a: Arr,
    b: Arr,
  ) => { real: Arr; imag: Arr };
  let out = f(re.ref, im.ref);
  return {
    async run() {
      tree.dispose(out as never);
      out = f(re.ref, im.ref);
      await out.real.blockUntilReady();
    },
    result: async () => (await out.real.ref.data()) as Float32Array,
  };
};

/** The network and the step of `gpu/own.ts`. */
const transformer: Setup = (inputs) => {
  const heads = 8;
  const names = Object.keys(inputs).filter((k) => k !== "x" && k !== "y");
  type Weights = Record<string, Arr>;
  const norm = (x: Arr): Arr => nn.standardize(x, -1, { epsilon: 1e-5 });
  const block = (x: Arr, w: Weights, i: number): Arr => {
    const [n, positions, width] = x.shape;
    const split = np.split(np.matmul(norm(x.ref), w[`qkv${i}`]), 3, -1);
    const [q, k, v] = split.map((p) => p.reshape([n, positions, heads, width / heads]));
    const attended = nn.dotProductAttention(q, k, v, { isCausal: true }).reshape([n, positions, width]);
    const y = x.add(np.matmul(attended, w[`out${i}`]));
    return y.ref.add(np.matmul(nn.gelu(np.matmul(norm(y), w[`up${i}`])), w[`down${i}`]));
  };
  const loss = (w: Weights, x: Arr, y: Arr): Arr => {
    let out = x;
    for (let i = 0; i < names.length / 4; i++) out = block(out, w, i);
    const error = out.sub(y);
    return error.ref.mul(error).mean();
  };
  const step = jit(adam(loss) as never) as unknown as Step<Weights>;
  const of = (make: (name: string) => Arr): Weights => Object.fromEntries(names.map((k) => [k, make(k)]));
  let [w, m, v] = [of((k) => put(inputs[k])), of((k) => np.zeros([...inputs[k].shape])), of((k) => np.zeros([...inputs[k].shape]))];
  const [x, y] = [put(inputs["x"]), put(inputs["y"])];
  let value: Arr | null = null;
  const run = (): void => {
    value?.dispose();
    [w, m, v, value] = step(w, m, v, x.ref, y.ref);
  };
  run();
  return { run, result: async () => (await value!.ref.data()) as Float32Array };
};

function attention(q: Arr, k: Arr, v: Arr): Arr {
  const [a, b, c] = [q, k, v].map((x) => np.swapaxes(x, 0, 1) as Arr);
  return np.swapaxes(nn.dotProductAttention(a, b, c, { isCausal: true }), 0, 1);
}

function layerNorm(x: Arr, g: Arr, b: Arr): Arr {
  return nn.standardize(x, -1, { epsilon: 1e-5 }).mul(g).add(b);
}

export async function jaxjs(device: "wasm" | "webgpu" = "wasm"): Promise<Library> {
  await init(device);
  defaultDevice(device);
  const matmulCase = jitted((a, b) => np.matmul(a, b));
  return {
    name: "jax-js",
    native: false,
    // Reads come after everything else in the GPU's queue.
    ...(device === "webgpu" ? { settle: () => np.zeros([1]).add(1).data() } : {}),
    cases: {
      "matmul f16": jitted((a, b) => np.matmul(a, b), "float16"),
      "matmul 512": matmulCase,
      "matmul 1024": matmulCase,
      "matmul 2048": matmulCase,
      "elementwise chain with tanh 4M": jitted((x) =>
        np
          .tanh(x.ref.mul(0.5).add(1))
          .mul(x.ref)
          .add(np.exp(x.mul(-0.25))),
      ),
      "softmax 1024x1024": jitted((x) => nn.softmax(x)),
      "layer norm 4096x1024": jitted(layerNorm),
      "attention causal 8x512x64": jitted(attention),
      "sum 1M": jitted((x) => np.sum(x)),
      "conv 3x3 8x64x56x56": jitted((x, w) => lax.convGeneralDilated(x, w, [1, 1], "SAME")),
      "sort 1M": jitted((x) => np.sort(x)),
      "cumsum 1M": jitted((x) => np.cumsum(x)),
      "fft 65536 complex": fft,
      "mlp adam step": mlp,
      "transformer adam step": transformer,
      "lstm-64 256 steps value and grad": lstm,
      "eager add of 3": async (inputs) => {
        const [a, b] = [put(inputs["a"]), put(inputs["b"])];
        let out = a.ref.add(b.ref);
        return {
          async run() {
            out.dispose();
            out = a.ref.add(b.ref);
            await out.blockUntilReady();
          },
          result: async () => (await out.ref.data()) as Float32Array,
        };
      },
      "jitted call, tiny": jitted((a, b) => a.mul(2).add(b)),
    },
  };
}
