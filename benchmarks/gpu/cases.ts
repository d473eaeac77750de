/** What is measured on the GPU. Every library gets the same numbers. */
import { mlpInputs, tensor, type Tensor } from "../cases.ts";

export interface GpuCase {
  readonly name: string;
  /** The case of the CPU's benchmark that does the same, on arrays of other sizes. */
  readonly like: string;
  readonly inputs: () => Readonly<Record<string, Tensor>>;
  /** How far two results may differ, relative to the largest value. */
  readonly tolerance: number;
  /** What limits the case at best: arithmetic, or memory that has to be read and written once. */
  readonly work?: { readonly flops: number } | { readonly bytes: number };
  /** Whether a call is only what it costs to make it: then every call of a library counts that can be made before waiting. */
  readonly overhead?: boolean;
}

/** Sizes for a GPU, or so small that a CPU that pretends to be one is done in a moment. */
export function gpuCases(size: "full" | "tiny"): GpuCase[] {
  const full = size === "full";
  const matmul = (n: number, half: boolean): GpuCase => ({
    name: `matmul ${half ? "f16" : "f32"} ${n}`,
    like: half ? "matmul f16" : "matmul 512",
    inputs: () => ({ a: tensor([n, n]), b: tensor([n, n]) }),
    tolerance: half ? 1e-2 : 1e-4,
    work: { flops: 2 * n ** 3 },
  });
  const products = full ? [1024, 2048, 4096, 8192] : [64];
  const rows = full ? 4096 : 16;
  const [width, long] = full ? [4096, 1 << 24] : [64, 1 << 10];
  const [images, features, pixels] = full ? [32, 128, 56] : [1, 4, 8];
  const [heads, positions, dim] = full ? [32, 2048, 64] : [2, 32, 16];
  return [
    ...products.map((n) => matmul(n, false)),
    ...products.map((n) => matmul(n, true)),
    {
      name: `conv 3x3 ${images}x${features}x${pixels}x${pixels}`,
      like: "conv 3x3 8x64x56x56",
      inputs: () => ({ x: tensor([images, features, pixels, pixels]), w: tensor([features, features, 3, 3], 0.1) }),
      tolerance: 1e-4,
      work: { flops: 2 * images * pixels * pixels * features * features * 9 },
    },
    {
      name: `softmax ${rows}x${width}`,
      like: "softmax 1024x1024",
      inputs: () => ({ x: tensor([rows, width], 4) }),
      tolerance: 1e-5,
      work: { bytes: 8 * rows * width },
    },
    {
      name: `layer norm ${rows}x${width}`,
      like: "layer norm 4096x1024",
      inputs: () => ({ x: tensor([rows, width], 3), g: tensor([width]), b: tensor([width]) }),
      tolerance: 1e-4,
      work: { bytes: 8 * rows * width },
    },
    {
      name: `attention causal ${heads}x${positions}x${dim}`,
      like: "attention causal 8x512x64",
      inputs: () => ({
        q: tensor([heads, positions, dim]),
        k: tensor([heads, positions, dim]),
        v: tensor([heads, positions, dim]),
      }),
      tolerance: 1e-4,
      work: { flops: 2 * 2 * heads * positions * positions * dim },
    },
    {
      name: `elementwise chain ${long}`,
      like: "elementwise chain with tanh 4M",
      inputs: () => ({ x: tensor([long], 2) }),
      tolerance: 1e-5,
      work: { bytes: 8 * long },
    },
    { name: `sum ${long}`, like: "sum 1M", inputs: () => ({ x: tensor([long]) }), tolerance: 1e-3, work: { bytes: 4 * long } },
    {
      name: `cumsum ${long}`,
      like: "cumsum 1M",
      inputs: () => ({ x: tensor([long]) }),
      tolerance: 1e-3,
      work: { bytes: 8 * long },
    },
    { name: `sort ${long >> 2}`, like: "sort 1M", inputs: () => ({ x: tensor([long >> 2], 100) }), tolerance: 0 },
    ...(full ? [{ name: "mlp adam step", like: "mlp adam step", inputs: mlpInputs, tolerance: 1e-4 }] : []),
    {
      name: "transformer adam step",
      like: "transformer adam step",
      inputs: () =>
        transformerInputs(
          full ? { batch: 8, positions: 256, width: 512, layers: 4 } : { batch: 1, positions: 8, width: 32, layers: 1 },
        ),
      tolerance: 1e-3,
    },
    {
      name: "jitted call, tiny",
      like: "jitted call, tiny",
      inputs: () => ({ a: tensor([3]), b: tensor([3]) }),
      tolerance: 1e-6,
      overhead: true,
    },
    {
      name: "eager add of 3",
      like: "eager add of 3",
      inputs: () => ({ a: tensor([3]), b: tensor([3]) }),
      tolerance: 1e-6,
      overhead: true,
    },
  ];
}

/** A row of embeddings per position, and the weights of each layer: of the attention together, and of the two dense layers. */
function transformerInputs({
  batch,
  positions,
  width,
  layers,
}: Record<"batch" | "positions" | "width" | "layers", number>): Record<string, Tensor> {
  const inputs: Record<string, Tensor> = { x: tensor([batch, positions, width]), y: tensor([batch, positions, width]) };
  const scale = Math.sqrt(3 / width);
  for (let i = 0; i < layers; i++) {
    inputs[`qkv${i}`] = tensor([width, 3 * width], scale);
    inputs[`out${i}`] = tensor([width, width], scale);
    inputs[`up${i}`] = tensor([width, 4 * width], scale);
    inputs[`down${i}`] = tensor([4 * width, width], scale / 2);
  }
  return inputs;
}
