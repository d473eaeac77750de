import { type NDArray, scalar } from "@traceform/core";
import { valueAndGrad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import { dynamicSlice, pmean, slice } from "@traceform/lax";
import { logSoftmax, oneHot, softmax } from "@traceform/nn";
import { argmax, mean, sum, take } from "@traceform/numpy";
import { adam, applyUpdates, cosineDecaySchedule, type OptState } from "@traceform/optim";
import { makeMesh, PartitionSpec as P, shardMap } from "@traceform/pmap";
import { foldIn, key, permutation } from "@traceform/random";
import type { Dataset } from "./data.ts";
import type { Model, Params } from "./models.ts";

export interface TrainOptions {
  readonly epochs: number;
  readonly batch: number;
  readonly learningRate: number;
  readonly seed: number;
  /** Over how many devices each minibatch is spread; one unless given. */
  readonly devices?: number;
}

/** What happens while training, for whoever shows it. */
export interface Progress {
  onStep?(step: { epoch: number; step: number; steps: number; images: number; seconds: number; loss: number | null }): void;
  onEpoch?(epoch: { epoch: number; accuracy: number; loss: number; seconds: number }): void;
}

export interface Trained {
  readonly params: Params;
  /** Training loss, one entry every `lossEvery` steps. */
  readonly losses: readonly number[];
  /** Test accuracy after each epoch. */
  readonly accuracies: readonly number[];
  /** Predicted class of every test digit. */
  readonly predictions: Uint8Array;
  readonly accuracy: number;
}

/** How often the loss is read: reading it waits for the step, so it is not done at every one. */
export const lossEvery = 20;

const pixels = (images: NDArray): NDArray => images.astype("float32").mul(1 / 255);

/** Mean cross-entropy of a batch. */
function crossEntropy(logits: NDArray, labels: NDArray): NDArray {
  return mean(sum(logSoftmax(logits).mul(oneHot(labels, 10)), -1)).neg();
}

/** What training a model takes: an optimizer and jitted functions. */
export interface Trainer {
  /** The state of the optimizer before the first step. */
  init(params: Params): OptState;
  /** One step on the digits `order[start … start + batch]`, which it gathers itself. Takes over `params` and `state`. */
  step(
    params: Params,
    state: OptState,
    images: NDArray,
    labels: NDArray,
    order: NDArray,
    start: NDArray,
  ): [Params, OptState, NDArray];
  /** int32[n]: the classes of the images. */
  classify(params: Params, images: NDArray): NDArray;
  /** float32[n, 10]: how sure the network is of each class. */
  probabilities(params: Params, images: NDArray): NDArray;
}

type Loss = (params: Params, images: NDArray, labels: NDArray) => NDArray;

/**
 * The loss of a minibatch and its gradient, each device working on its part of the digits. The loss is the mean of those of the
 * devices; all of them use the same parameters, whose gradient is therefore the mean of theirs, without being asked for.
 */
function dataParallel(loss: Loss, devices: number): (params: Params, images: NDArray, labels: NDArray) => [NDArray, Params] {
  return shardMap(
    (params: Params, images: NDArray, labels: NDArray): [NDArray, Params] =>
      valueAndGrad((p: Params) => pmean(loss(p, images, labels), "data"))(params),
    { mesh: makeMesh([devices], ["data"]), inSpecs: [P(), P("data"), P("data")], outSpecs: P() },
  );
}

export interface TrainerOptions {
  readonly steps: number;
  readonly batch: number;
  readonly learningRate: number;
  /** On how many devices; on one, without a mesh, unless given. */
  readonly devices?: number;
}

/** Adam with a cosine schedule over `steps` steps; minibatches are gathered inside the jitted step. */
export function makeTrainer(model: Model, { steps, batch, learningRate, devices }: TrainerOptions): Trainer {
  const optimizer = adam(cosineDecaySchedule(learningRate, steps, 0.02));
  const loss = (params: Params, images: NDArray, labels: NDArray): NDArray =>
    crossEntropy(model.apply(params, pixels(images)), labels);
  const lossAndGradient = devices === undefined ? valueAndGrad(loss) : dataParallel(loss, devices);
  return {
    init: (params) => optimizer.init(params),
    step: jit(
      (
        params: Params,
        state: OptState,
        images: NDArray,
        labels: NDArray,
        order: NDArray,
        start: NDArray,
      ): [Params, OptState, NDArray] => {
        const rows = dynamicSlice(order, [start], [batch]);
        const [value, grads] = lossAndGradient(params, take(images, rows, 0), take(labels, rows, 0));
        const [updates, next] = optimizer.update(grads, state, params);
        return [applyUpdates(params, updates), next, value];
      },
      { donateArgnums: [0, 1] },
    ),
    classify: jit((params: Params, images: NDArray): NDArray => argmax(model.apply(params, pixels(images)), -1)),
    probabilities: jit((params: Params, images: NDArray): NDArray => softmax(model.apply(params, pixels(images)), -1)),
  };
}

/** Trains a model from scratch, and classifies the test digits after every epoch. */
export async function train(
  model: Model,
  data: Dataset,
  test: Dataset,
  options: TrainOptions,
  progress: Progress = {},
): Promise<Trained> {
  const { epochs, batch, learningRate, seed } = options;
  const steps = Math.floor(data.size / batch);
  const { init, step, classify } = makeTrainer(model, { steps: steps * epochs, batch, learningRate, devices: options.devices });
  const shuffle = jit((k: NDArray): NDArray => permutation(k, data.size));

  const root = key(seed);
  let params = model.init(foldIn(root, 0));
  let state = init(params);
  const losses: number[] = [];
  const accuracies: number[] = [];
  let predictions: Uint8Array = new Uint8Array(test.size);

  for (let epoch = 1; epoch <= epochs; epoch++) {
    const begun = performance.now();
    const order = shuffle(foldIn(root, epoch));
    let last = NaN;
    for (let i = 0; i < steps; i++) {
      const [nextParams, nextState, value] = step(params, state, data.images, data.labels, order, scalar(i * batch, "int32"));
      params = nextParams;
      state = nextState;
      const read = i % lossEvery === 0 || i === steps - 1;
      if (read) losses.push((last = Number(await value.item())));
      const seconds = (performance.now() - begun) / 1000;
      progress.onStep?.({ epoch, step: i + 1, steps, images: (i + 1) * batch, seconds, loss: read ? last : null });
    }
    predictions = await predict(classify, params, test);
    const accuracy = share(predictions, test.hostLabels);
    accuracies.push(accuracy);
    progress.onEpoch?.({ epoch, accuracy, loss: last, seconds: (performance.now() - begun) / 1000 });
  }
  return { params, losses, accuracies, predictions, accuracy: accuracies[accuracies.length - 1] };
}

/** Classes of all test digits, in pieces whose activations stay small. */
export async function predict(
  classify: Trainer["classify"],
  params: Params,
  test: Pick<Dataset, "images" | "size">,
): Promise<Uint8Array> {
  const out = new Uint8Array(test.size);
  const piece = Math.min(1000, test.size);
  for (let start = 0; start < test.size; start += piece) {
    const end = Math.min(start + piece, test.size);
    out.set((await classify(params, slice(test.images, [start, 0, 0], [end, 28, 28])).data()) as Int32Array, start);
  }
  return out;
}

/** Which part of the predictions is right. */
export function share(predictions: Uint8Array, labels: Uint8Array): number {
  let right = 0;
  for (let i = 0; i < predictions.length; i++) if (predictions[i] === labels[i]) right++;
  return right / predictions.length;
}
