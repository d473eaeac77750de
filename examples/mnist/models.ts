import type { NDArray } from "@traceform/core";
import { convGeneralDilated, max, reduceWindow } from "@traceform/lax";
import { initializers, relu } from "@traceform/nn";
import "@traceform/numpy/methods";
import { type Key, split } from "@traceform/random";

export interface Layer {
  readonly w: NDArray;
  readonly b: NDArray;
}
export type Params = readonly Layer[];

/** A network: initial parameters, and logits float32[n, 10] from images float32[n, 28, 28] in [0, 1]. */
export interface Model {
  readonly learningRate: number;
  readonly epochs: number;
  init(key: Key): Params;
  apply(params: Params, images: NDArray): NDArray;
}

const denseWeights = initializers.heNormal();
const convWeights = initializers.heNormal({ inAxis: [0, 1, 2], outAxis: 3 });

function dense(key: Key, inputs: number, outputs: number): Layer {
  return { w: denseWeights(key, [inputs, outputs]), b: initializers.zeros(key, [outputs]) };
}

const affine = (x: NDArray, { w, b }: Layer): NDArray => x.matmul(w).add(b);

/** A multilayer perceptron, 784-512-256-10. */
export const mlp: Model = {
  learningRate: 1e-3,
  epochs: 5,
  init(key) {
    const sizes = [784, 512, 256, 10];
    return [...split(key, sizes.length - 1)].map((k, i) => dense(k, sizes[i], sizes[i + 1]));
  },
  apply(params, images) {
    let x = images.reshape([images.shape[0], 784]);
    for (const layer of params.slice(0, -1)) x = relu(affine(x, layer));
    return affine(x, params[params.length - 1]);
  },
};

/** 3×3 convolution with bias and relu, then 2×2 maximum: float32[n, h, w, c] -> float32[n, h/2, w/2, d]. */
function block(x: NDArray, { w, b }: Layer): NDArray {
  const y = convGeneralDilated(x, w, [1, 1], "SAME", { dimensionNumbers: ["NHWC", "HWIO", "NHWC"] });
  return reduceWindow(relu(y.add(b)), -Infinity, max, [1, 2, 2, 1], [1, 2, 2, 1], "VALID");
}

function conv(key: Key, inputs: number, outputs: number): Layer {
  return { w: convWeights(key, [3, 3, inputs, outputs]), b: initializers.zeros(key, [outputs]) };
}

/** A small convolutional network: two blocks of 3×3 convolutions, then two dense layers. */
export const cnn: Model = {
  learningRate: 1.5e-3,
  epochs: 5,
  init(key) {
    const [k1, k2, k3, k4] = split(key, 4);
    return [conv(k1, 1, 16), conv(k2, 16, 32), dense(k3, 7 * 7 * 32, 128), dense(k4, 128, 10)];
  },
  apply([first, second, third, last], images) {
    const n = images.shape[0];
    const x = block(block(images.reshape([n, 28, 28, 1]), first), second);
    return affine(relu(affine(x.reshape([n, 7 * 7 * 32]), third)), last);
  },
};

export const models: Readonly<Record<string, Model>> = { mlp, cnn };
