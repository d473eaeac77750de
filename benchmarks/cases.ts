/** What is measured: names and inputs. Every library gets the same numbers. */

export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface Case {
  readonly name: string;
  readonly inputs: Readonly<Record<string, Tensor>>;
  /** How far two results may differ, relative to the largest value. */
  readonly tolerance: number;
  /** Calls in one sample, for what takes microseconds. */
  readonly repeat?: number;
  /** What limits the case at best: arithmetic, or memory that has to be read and written once. */
  readonly work?: { readonly flops: number } | { readonly bytes: number };
}

/** xorshift, so that the inputs are the same in every run. */
function generator(seed: number): () => number {
  let s = seed | 0 || 1;
  return () => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return (s >>> 0) / 2 ** 32;
  };
}

let seed = 1;
/** Numbers in (-scale, scale), the same ones in every run. */
export function tensor(shape: readonly number[], scale = 1): Tensor {
  const next = generator(seed++ * 7919);
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => Math.fround((next() * 2 - 1) * scale));
  return { shape, data };
}

/** Layer sizes of the perceptron of the training case. */
export const layers = [784, 512, 512, 10] as const;
export const batch = 128;

export function mlpInputs(): Record<string, Tensor> {
  const inputs: Record<string, Tensor> = { x: tensor([batch, layers[0]]) };
  const labels = new Float32Array(batch * 10);
  for (let i = 0; i < batch; i++) labels[i * 10 + ((i * 7) % 10)] = 1;
  inputs["y"] = { shape: [batch, 10], data: labels };
  for (let i = 0; i < 3; i++) {
    inputs[`w${i}`] = tensor([layers[i], layers[i + 1]], Math.sqrt(3 / layers[i]));
    inputs[`b${i}`] = tensor([layers[i + 1]], 0.01);
  }
  return inputs;
}

export const hidden = 64;
export const lstmSteps = 256;

const convolution = { flops: 2 * 8 * 56 * 56 * 64 * 64 * 9 };

export const cases: readonly Case[] = [
  ...[512, 1024, 2048].map((n) => ({
    name: `matmul ${n}`,
    inputs: { a: tensor([n, n]), b: tensor([n, n]) },
    tolerance: 1e-4,
    work: { flops: 2 * n ** 3 },
  })),
  { name: "elementwise chain with tanh 4M", inputs: { x: tensor([4 << 20], 2) }, tolerance: 1e-5, work: { bytes: 32 << 20 } },
  { name: "softmax 1024x1024", inputs: { x: tensor([1024, 1024], 4) }, tolerance: 1e-5, work: { bytes: 8 << 20 } },
  {
    name: "layer norm 4096x1024",
    inputs: { x: tensor([4096, 1024], 3), g: tensor([1024]), b: tensor([1024]) },
    tolerance: 1e-4,
    work: { bytes: 32 << 20 },
  },
  {
    name: "attention causal 8x512x64",
    inputs: { q: tensor([8, 512, 64]), k: tensor([8, 512, 64]), v: tensor([8, 512, 64]) },
    tolerance: 1e-4,
    work: { flops: 2 * 2 * 8 * 512 * 512 * 64 },
  },
  { name: "sum 1M", inputs: { x: tensor([1 << 20]) }, tolerance: 1e-3, work: { bytes: 4 << 20 } },
  {
    name: "conv 3x3 8x64x56x56",
    inputs: { x: tensor([8, 64, 56, 56]), w: tensor([64, 64, 3, 3], 0.1) },
    tolerance: 1e-4,
    work: convolution,
  },
  ...["image", "filter"].map((of) => ({
    name: `conv 3x3 8x64x56x56, gradient of the ${of}`,
    inputs: { x: tensor([8, 64, 56, 56]), w: tensor([64, 64, 3, 3], 0.1), r: tensor([8, 64, 56, 56]) },
    tolerance: 1e-4,
    work: convolution,
  })),
  { name: "sort 1M", inputs: { x: tensor([1 << 20], 100) }, tolerance: 0 },
  { name: "cumsum 1M", inputs: { x: tensor([1 << 20]) }, tolerance: 1e-3, work: { bytes: 8 << 20 } },
  { name: "fft 65536 complex", inputs: { re: tensor([65536]), im: tensor([65536]) }, tolerance: 1e-4 },
  { name: "mlp adam step", inputs: mlpInputs(), tolerance: 1e-4 },
  {
    name: "lstm-64 256 steps value and grad",
    inputs: { x: tensor([lstmSteps, hidden]), w: tensor([2 * hidden, 4 * hidden], 0.1), b: tensor([4 * hidden], 0.1) },
    tolerance: 1e-3,
  },
  { name: "eager add of 3", inputs: { a: tensor([3]), b: tensor([3]) }, tolerance: 1e-6, repeat: 2000 },
  { name: "jitted call, tiny", inputs: { a: tensor([3]), b: tensor([3]) }, tolerance: 1e-6, repeat: 2000 },
];
