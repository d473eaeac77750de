import { requestAdapter, wgpu } from "@traceform/backend-wgpu";
import { cpu } from "@traceform/backend-cpu";
import {
  type Backend,
  blockUntilReady,
  debugNans,
  type Device,
  devicePut,
  devices,
  fromTyped,
  makeArrayFromCallback,
  meshBlock,
  Mesh,
  NamedSharding,
  type NDArray,
  PartitionSpec as P,
  type ProcessExchange,
  provideProcess,
  setDefaultBackend,
  setDefaultDevice,
  ShapeDtypeStruct,
  type TypedArray,
  withShardingConstraint,
} from "@traceform/core";
import { grad, valueAndGrad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import { adam, applyUpdates } from "@traceform/optim";
import { makeMesh, pmap, shardMap } from "@traceform/pmap";
import * as random from "@traceform/random";
import { vmap } from "@traceform/vmap";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

// Devices of two adapters have memory of their own, as two GPUs have, even where one GPU stands behind both.
let backend: Backend;
let first: Device;
let second: Device;
beforeEach(async () => {
  backend = setDefaultBackend(await wgpu({ adapter: [await requestAdapter(), await requestAdapter()], schedule: "tiny" }));
  [first, second] = devices();
});
afterEach(() => backend[Symbol.dispose]());

const counted = (...shape: number[]): NDArray =>
  fromTyped(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i),
    shape,
    "float32",
  );
const bytes = (): number[] => devices().map((d) => d.memoryStats().bytesInUse);
const over = (spec: ReturnType<typeof P>): NamedSharding => new NamedSharding(makeMesh([2], ["data"]), spec);

describe("arrays", () => {
  test("one is on the GPU that it was put on; operations run there, and take what they need from elsewhere", async () => {
    const x = devicePut(np.array([1, 2, 3]), second);
    expect(x.sharding.devices).toEqual([second]);
    const y = np.add(x, 1);
    expect(y.sharding.devices).toEqual([second]);
    expect(bytes()[0]).toBe(0);
    const z = devicePut(y, first);
    expect(z.sharding.devices).toEqual([first]);
    expect(await np.add(z, x).js()).toEqual([3, 5, 7]);
    setDefaultDevice(second);
    expect(np.arange(3).sharding.devices).toEqual([second]);
  });

  test("each GPU holds its half of one that is laid out, and of what is computed of it", async () => {
    const x = makeArrayFromCallback([1024, 256], over(P("data")), () => new Float32Array(1 << 17));
    expect(bytes()).toEqual([1 << 19, 1 << 19]);
    const y = jit((a: NDArray) => np.add(a, 1))(x);
    await y.blockUntilReady();
    expect(bytes()).toEqual([1 << 20, 1 << 20]);
    expect(y.sharding.equals(x.sharding)).toBe(true);
    x.dispose();
    y.dispose();
    expect(bytes()).toEqual([0, 0]);
  });

  test("one that was laid out otherwise has nothing of what became of it", async () => {
    const parts = makeArrayFromCallback([1024], over(P("data")), () => new Float32Array(512));
    const x = devicePut(parts, first);
    const y = devicePut(x, second);
    await blockUntilReady([x, y]);
    expect(x.sharding.devices).toEqual([first]);
    expect(bytes()).toEqual([2048 + 4096, 2048 + 4096]);
    y.dispose();
    expect(bytes()).toEqual([2048 + 4096, 2048]);
    for (const a of [x, parts]) a.dispose();
    expect(bytes()).toEqual([0, 0]);
  });

  test("one gets from any layout to any other", async () => {
    const rows = new NamedSharding(makeMesh([2], ["data"]), P("data"));
    const places = [first, second, rows, over(P(null, "data")), over(P())];
    const wanted = await counted(4, 6).js();
    for (const from of places) {
      for (const to of places) expect(await devicePut(devicePut(counted(4, 6), from), to).js(), `${from} ${to}`).toEqual(wanted);
    }
    expect(await withShardingConstraint(devicePut(counted(4, 6), rows), over(P(null, "data"))).js()).toEqual(wanted);
  });

  test("the parts are where they belong, as arrays of their own", async () => {
    const x = devicePut(counted(4, 2), over(P("data")));
    const [a, b] = x.addressableShards.map((s) => s.data);
    expect([a.sharding.devices, b.sharding.devices]).toEqual([[first], [second]]);
    expect(await b.js()).toEqual([
      [4, 5],
      [6, 7],
    ]);
    expect(await np.sum(b).item()).toBe(22);
  });

  test("keys, whose elements have axes of their own, are cut like others", async () => {
    const keys = random.split(random.key(3), 4);
    const draw = vmap((key: NDArray) => random.uniform(key, [2]));
    const wanted = await draw(keys).js();
    const laid = devicePut(keys, over(P("data")));
    expect(await laid.addressableShards[1].data.blockUntilReady()).toMatchObject({ shape: [2] });
    expect(await jit(draw)(laid).js()).toEqual(wanted);
  });

  test("dtypes that are packed, and complex ones", async () => {
    for (const dtype of ["int8", "bool", "bfloat16", "complex64"] as const) {
      const x = np.array([1, 0, 1, 1, 0, 1], { dtype });
      const laid = devicePut(x, over(P("data")));
      expect(await jit((v: NDArray) => np.flip(v, 0))(laid).js(), dtype).toEqual(await np.flip(x, 0).js());
    }
  });
});

describe("programs", () => {
  const step = (reduce: (g: NDArray) => NDArray) => (w: NDArray, x: NDArray, y: NDArray) => {
    const [loss, g] = valueAndGrad((v: NDArray) => np.mean(np.square(np.subtract(np.matmul(np.tanh(x), v), y))))(w);
    return [np.subtract(w, np.multiply(reduce(g), 0.1)), reduce(loss)] as const;
  };
  const data = (): readonly [NDArray, NDArray, NDArray] => {
    const [a, b, c] = [0, 1, 2].map((seed) => random.key(seed));
    return [random.normal(a, [8, 4]), random.normal(b, [16, 8]), random.normal(c, [16, 4])];
  };

  test("training on halves of the batch gives the parameters of one GPU, and donates what it replaces", async () => {
    const mesh = makeMesh([2], ["data"]);
    const parallel = jit(
      shardMap(
        step((g) => lax.pmean(g, "data")),
        { mesh, inSpecs: [P(), P("data"), P("data")], outSpecs: [P(), P()], checkVma: false },
      ),
      { donateArgnums: [0] },
    );
    const single = jit(step((g) => g));
    const [start, x, y] = data();
    let [w, ours] = [start, devicePut(np.add(start, 0), over(P()))];
    const [xs, ys] = devicePut([x, y], over(P("data")));
    let used: number[] = [];
    for (let i = 0; i < 4; i++) {
      const [next, loss] = single(w, x, y);
      w = next;
      const before = ours;
      const [mine, myLoss] = parallel(ours, xs, ys);
      ours = mine;
      expect(() => np.add(before, 1)).toThrow(/donated/);
      expect(await myLoss.item()).toBeCloseTo((await loss.item()) as number, 5);
      myLoss.dispose();
      if (i === 1) used = bytes();
    }
    expect(bytes()[1]).toBe(used[1]);
    const [a, b] = await Promise.all([ours.data(), w.data()]);
    a.forEach((v, i) => expect(v).toBeCloseTo(b[i] as number, 5));
  });

  test("jit with laid out operands computes where they are: an optimizer's state stays cut", async () => {
    const rows = over(P("data"));
    const [w, x, y] = data();
    const optimizer = adam(0.1);
    const update = jit((v: NDArray, state: ReturnType<typeof optimizer.init>, a: NDArray, b: NDArray) => {
      const g = grad((u: NDArray) => np.mean(np.square(np.subtract(np.matmul(a, u), b))))(v);
      const [updates, next] = optimizer.update(g, state, v);
      return [applyUpdates(v, updates), next] as const;
    });
    const [plain] = update(w, optimizer.init(w), x, y);
    const laid = devicePut(w, rows);
    const [ours] = update(laid, optimizer.init(laid), devicePut(x, over(P(null, "data"))), y);
    expect(ours.sharding.equals(rows)).toBe(true);
    const [a, b] = await Promise.all([ours.data(), plain.data()]);
    a.forEach((v, i) => expect(v).toBeCloseTo(b[i] as number, 5));
  });

  test("collectives in loops and under predicates that all agree on", async () => {
    const mesh = makeMesh([2], ["i"]);
    const f = shardMap(
      (x: NDArray) => {
        const [carry] = lax.scan((c: NDArray, _: null) => [np.add(c, lax.psum(x, "i")), null], x, null, { length: 3 });
        return lax.whileLoop(
          (c: NDArray) => lax.lt(lax.psum(np.sum(c), "i"), 100),
          (c: NDArray) => np.multiply(c, 2),
          carry,
        );
      },
      { mesh, inSpecs: P("i"), outSpecs: P("i") },
    );
    const [carry] = [[1, 2, 3, 4].map((v, i) => v + 3 * [4, 6][i % 2])];
    let wanted = carry;
    while (wanted.reduce((a, b) => a + b) < 100) wanted = wanted.map((v) => 2 * v);
    expect(await f(np.array([1, 2, 3, 4])).js()).toEqual(wanted);
    expect(await jit(f)(np.array([1, 2, 3, 4])).js()).toEqual(wanted);
  });

  test("large sums, which each GPU computes a part of, are the same bits everywhere", async () => {
    const mesh = makeMesh([2], ["i"]);
    const x = random.normal(random.key(1), [2, 33333]);
    const sums = shardMap((v: NDArray) => lax.psum(v, "i"), { mesh, inSpecs: P("i"), outSpecs: P("i"), checkVma: false })(x);
    const [a, b] = await Promise.all(sums.addressableShards.map((s) => s.data.data()));
    expect([...a]).toEqual([...b]);
    expect([...a]).toEqual([...(await np.sum(x, 0).data())]);
  });

  test.each(["bfloat16", "int8", "bool", "complex64"] as const)("large arrays of %s, whose parts are padded", async (dtype) => {
    const x = np.astype(np.mod(np.reshape(np.arange(2 * 70_001), [2, 70_001]), 3), dtype);
    const [collective, whole] = dtype === "bool" ? [lax.pmax, np.max] : [lax.psum, np.sum];
    const y = pmap((v: NDArray) => collective(v, "i"), { axisName: "i" })(x);
    const [a, b] = await Promise.all([y.data(), np.astype(whole(x, 0), dtype).data()]);
    expect(a.length).toBe(2 * b.length);
    expect(a.slice(0, b.length)).toEqual(b);
    expect(a.slice(b.length)).toEqual(b);
  });

  test("arrays of several megabytes are exchanged in pieces, and are the same", async () => {
    const n = (3 << 20) + 5;
    const x = np.reshape(np.astype(np.mod(np.arange(2 * n), 251), "int32"), [2, n]);
    const each = (f: (v: NDArray) => NDArray): NDArray => pmap(f, { axisName: "i" })(x);
    // As bytes: comparing so many numbers takes longer than the exchange.
    const bytesOf = (values: TypedArray): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    const whole = (await x.data()) as Int32Array;
    const [first, second] = [whole.subarray(0, n), whole.subarray(n)];
    const sum = first.map((v, i) => v + second[i]);
    const swapped: [number, number][] = [
      [0, 1],
      [1, 0],
    ];
    const made = [
      each((v) => lax.psum(v, "i")),
      each((v) => lax.ppermute(v, "i", swapped)),
      each((v) => np.take(lax.allGather(v, "i"), 1, 0)),
    ];
    const wanted = [
      [sum, sum],
      [second, first],
      [second, second],
    ];
    for (const [k, pair] of wanted.entries()) {
      expect(bytesOf(await made[k].data()).equals(Buffer.concat(pair.map(bytesOf)))).toBe(true);
    }
  });

  test("logical devices of one GPU have parts, too", async () => {
    using two = setDefaultBackend(await wgpu({ devices: 2, schedule: "tiny" }));
    const x = devicePut(counted(4), new NamedSharding(makeMesh([2], ["data"]), P("data")));
    const y = np.multiply(x, 2);
    const shards = y.addressableShards.map((s) => s.data);
    expect(shards.map((s) => s.sharding.devices)).toEqual(two.devices.map((d) => [d]));
    expect(await Promise.all(shards.map((s) => s.js()))).toEqual([
      [0, 2],
      [4, 6],
    ]);
  });

  test("two logical devices on each of two GPUs are four", async () => {
    const adapter = [await requestAdapter(), await requestAdapter()];
    using four = setDefaultBackend(await wgpu({ adapter, devices: 2, schedule: "tiny" }));
    expect(four.devices.map((d) => d.memoryIndex)).toEqual([0, 0, 1, 1]);
    expect(await pmap((x: NDArray) => lax.psum(x, "i"), { axisName: "i" })(counted(4)).js()).toEqual([6, 6, 6, 6]);
    const mesh = makeMesh([2, 2], ["a", "b"]);
    const inside = shardMap((x: NDArray) => np.add(lax.psum(x, "b"), lax.axisIndex("a")), {
      mesh,
      inSpecs: P("a", "b"),
      outSpecs: P("a", "b"),
    });
    expect(await inside(counted(2, 2)).js()).toEqual([
      [1, 1],
      [6, 6],
    ]);
    const halves = new Mesh(four.devices.slice(2), ["i"]);
    const alone = shardMap((x: NDArray) => lax.psum(x, "i"), { mesh: halves, inSpecs: P("i"), outSpecs: P() });
    expect(await alone(counted(2)).js()).toEqual([1]);
    const crossed = new Mesh([four.devices[0], four.devices[2], four.devices[1], four.devices[3]], ["i"]);
    expect(() => shardMap((x: NDArray) => lax.psum(x, "i"), { mesh: crossed, inSpecs: P("i"), outSpecs: P() })(counted(4))).toThrow(
      /must be a block of/,
    );
  });

  test("NaN is found where it is, in arrays that no GPU could have whole unasked, and in shardMap", async () => {
    const rows = over(P("data"));
    const x = makeArrayFromCallback([2, 1 << 18], rows, ([{ start }]) => new Float32Array(1 << 18).fill(1 - 2 * start));
    const f = jit((v: NDArray) => np.add(np.log(v), 1));
    const mapped = shardMap((v: NDArray) => np.add(np.log(v), 1), { mesh: rows.mesh, inSpecs: P("data"), outSpecs: P("data") });
    const [bad, alsoBad, good] = debugNans(true, () => [f(x), mapped(x), f(np.abs(x))]);
    await expect(bad.data()).rejects.toThrow(/a NaN among the values/);
    await expect(alsoBad.data()).rejects.toThrow(/a NaN among the values/);
    expect((await good.data())[0]).toBe(1);
  });

  test("what calls out to JavaScript does so once, for the whole array, and in shardMap once for each shard", async () => {
    const said: unknown[] = [];
    const before = lax.debug.setPrintSink((text) => void said.push(text));
    try {
      const x = devicePut(counted(4), over(P("data")));
      const scalar = new ShapeDtypeStruct([], "float32");
      const f = jit((v: NDArray) => {
        lax.debug.print("{}", v);
        const y = lax.ioCallback((u: NDArray) => said.push(u.jsSync()) + u.size, scalar, np.multiply(v, 2));
        return np.add(v, y);
      });
      const y = f(x);
      expect(await y.js()).toEqual([6, 7, 8, 9]);
      expect(y.addressableShards.length).toBe(2);
      expect(said).toEqual(["[0, 1, 2, 3]", [0, 2, 4, 6]]);
      said.length = 0;
      const each = (v: NDArray): NDArray => {
        lax.debug.print("{}", v);
        return v;
      };
      await shardMap(each, { mesh: makeMesh([2], ["data"]), inSpecs: P("data"), outSpecs: P("data") })(x).js();
      expect(said.toSorted()).toEqual(["[0, 1]", "[2, 3]"]);
    } finally {
      lax.debug.setPrintSink(before);
    }
  });
});

describe("what goes wrong", () => {
  test("a GPU that is lost is an error of all that wait for it, not a wait", async () => {
    const adapter = [await requestAdapter(), await requestAdapter()];
    const gpus = await Promise.all(adapter.map((a) => a.requestDevice()));
    using two = setDefaultBackend(await wgpu({ device: gpus, schedule: "tiny" }));
    const f = jit(pmap((x: NDArray) => lax.psum(x, "i"), { axisName: "i" }));
    const x = devicePut(counted(2, 3), new NamedSharding(makeMesh([2], ["i"]), P("i")));
    await blockUntilReady(f(x));
    const lost = f(x);
    gpus[1].destroy();
    await expect(lost.js()).rejects.toThrow(/lost/);
    await gpus[1].lost;
    expect(() => f(x)).toThrow(/lost/);
    // The other one goes on.
    expect(await np.add(devicePut(np.array([1]), two.devices[0]), 1).js()).toEqual([2]);
    for (const gpu of gpus) gpu.destroy();
  });

  test("a mesh of GPUs and CPU devices is refused, as is an empty list", async () => {
    using other = cpu({ devices: 1 });
    expect(() => new Mesh([first, other.devices[0]], ["i"])).toThrow(/belong to wgpu and cpu/);
    await expect(wgpu({ adapter: [] })).rejects.toThrow(/list of GPUs is empty/);
    await expect(requestAdapter({ name: "no such GPU" })).rejects.toThrow(/no adapter "no such GPU"[^]*Available adapters/);
  });

  test("processes with several GPUs each are refused", () => {
    provideProcess(0, 2, { agree: () => {}, blockOf: meshBlock } as Partial<ProcessExchange> as ProcessExchange);
    try {
      const x = devicePut(counted(4), new NamedSharding(makeMesh([4], ["data"]), P("data")));
      expect(() => np.add(x, 1)).toThrow(/laid out over processes, and this one has several GPUs[^]*give each process one GPU/);
    } finally {
      provideProcess(0, 1);
    }
  });

  test("a dtype that GPUs do not have is refused before anything is sent", () => {
    const x = np.array([1, 2], { dtype: "float64" });
    expect(() => devicePut(x, over(P("data")))).toThrow(/no float64/);
    expect(bytes()).toEqual([0, 0]);
  });
});
