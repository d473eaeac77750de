import { add, debug } from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { expect, test } from "vitest";
import {
  asArray,
  BackendError,
  ConcreteArray,
  type Device,
  deviceCount,
  devicePut,
  devices,
  fromTyped,
  localDevices,
  makeMesh,
  Mesh,
  type NDArray,
  NamedSharding,
  PartitionSpec as P,
  processCount,
  processIndex,
  setDefaultBackend,
  ShapeError,
  SingleDeviceSharding,
  TransformError,
  traceToJaxpr,
  TracerError,
} from "./index.ts";

setDefaultBackend(referenceBackend({ devices: 4 }));
const grid = makeMesh([2, 2], ["a", "b"]);
const counted = (...shape: number[]): NDArray => {
  const size = shape.reduce((a, b) => a * b, 1);
  return fromTyped(
    Float32Array.from({ length: size }, (_, i) => i),
    shape,
    "float32",
  );
};
const parts = (x: NDArray): unknown[] => x.addressableShards.map((s) => s.data.jsSync());

test("a backend with several devices has one process with all of them", () => {
  expect([deviceCount(), devices().length, localDevices().length, processIndex(), processCount()]).toEqual([4, 4, 4, 0, 1]);
});

test("a mesh names the axes of a grid of devices", () => {
  expect(grid.shape).toEqual({ a: 2, b: 2 });
  expect(grid.devices.map((d) => d.id)).toEqual([0, 1, 2, 3]);
  expect(grid.coordinates(2)).toEqual({ a: 1, b: 0 });
  expect(String(grid)).toBe("Mesh('a': 2, 'b': 2)");
  const [d0, d1, d2, d3] = devices();
  expect(
    grid.equals(
      new Mesh(
        [
          [d0, d1],
          [d2, d3],
        ],
        ["a", "b"],
      ),
    ),
  ).toBe(true);
  expect(
    grid.equals(
      new Mesh(
        [
          [d1, d0],
          [d2, d3],
        ],
        ["a", "b"],
      ),
    ),
  ).toBe(false);
});

test("a sharding says which part of an array each device holds", () => {
  const shapes = [
    [P("a", "b"), [2, 3]],
    [P("a"), [2, 6]],
    [P(null, ["a", "b"]), [4, 1.5]],
    [P(), [4, 6]],
  ] as const;
  expect(new NamedSharding(grid, P("a", "b")).shardShape([4, 6])).toEqual(shapes[0][1]);
  expect(new NamedSharding(grid, P("a")).shardShape([4, 6])).toEqual(shapes[1][1]);
  expect(() => new NamedSharding(grid, P(null, ["a", "b"])).shardShape([4, 6])).toThrow(
    /axis 1 of the array, of size 6, cannot be cut into 4 equal shards along "a" and "b"[\s\S]*pad the axis to 8/,
  );
  const both = new NamedSharding(grid, P(["b", "a"]));
  expect(both.indices([4]).map(([s]) => s.start)).toEqual([0, 2, 1, 3]);
  expect(new NamedSharding(grid, P()).isFullyReplicated).toBe(true);
  expect(both.isFullyReplicated).toBe(false);
  expect(both.isFullyAddressable).toBe(true);
});

test("equivalent shardings give the same parts to the same devices", () => {
  const flat = new Mesh(devices(), ["i"]);
  const rows = new NamedSharding(grid, P(["a", "b"]));
  expect(rows.isEquivalentTo(new NamedSharding(flat, P("i")), 2)).toBe(true);
  expect(rows.isEquivalentTo(new NamedSharding(flat, P(null, "i")), 2)).toBe(false);
  expect(rows.isEquivalentTo(new NamedSharding(grid, P(["a", "b"], null)), 2)).toBe(true);
});

test("an array laid out over devices is the same array, and knows its shards", () => {
  const x = counted(4, 2);
  const y = devicePut(x, new NamedSharding(grid, P("a", "b")));
  expect(y.jsSync()).toEqual(x.jsSync());
  expect(String(y.sharding)).toBe("NamedSharding(Mesh('a': 2, 'b': 2), P('a', 'b'))");
  expect(parts(y)).toEqual([
    [[0], [2]],
    [[1], [3]],
    [[4], [6]],
    [[5], [7]],
  ]);
  expect(y.addressableShards.map((s) => [s.device.id, s.replicaId])).toEqual([
    [0, 0],
    [1, 0],
    [2, 0],
    [3, 0],
  ]);
  expect(x.sharding).toBeInstanceOf(SingleDeviceSharding);
  expect(y.isFullyReplicated).toBe(false);
});

test("parts that several devices hold are copies, counted", () => {
  const y = devicePut(counted(4), new NamedSharding(grid, P("b")));
  expect(parts(y)).toEqual([
    [0, 1],
    [2, 3],
    [0, 1],
    [2, 3],
  ]);
  expect(y.addressableShards.map((s) => s.replicaId)).toEqual([0, 0, 1, 1]);
  const everywhere = devicePut(asArray(7), new NamedSharding(grid));
  expect(parts(everywhere)).toEqual([7, 7, 7, 7]);
});

test("shards of three axes are cut along any of them", () => {
  const y = devicePut(counted(2, 4, 3), new NamedSharding(grid, P("b", "a")));
  expect(parts(y)[2]).toEqual([
    [
      [6, 7, 8],
      [9, 10, 11],
    ],
  ]);
});

test("an array put on another logical device is there, and operations follow it", () => {
  const [, second] = devices();
  const x = devicePut(counted(3), second);
  expect((x as ConcreteArray).device).toBe(second);
  const y = add(x, 1);
  expect((y as ConcreteArray).device).toBe(second);
  expect(y.jsSync()).toEqual([1, 2, 3]);
});

test("an array laid out over devices that is put on one of them is there only, and stays as it is when no place is named", () => {
  const x = devicePut(counted(4, 2), new NamedSharding(grid, P("a", "b")));
  for (const device of devices()) {
    const y = devicePut(x, device);
    expect(y.sharding).toEqual(new SingleDeviceSharding(device));
    expect(y.addressableShards.map((s) => s.device)).toEqual([device]);
    expect(y.jsSync()).toEqual(x.jsSync());
    expect(devicePut(y, device)).toBe(y);
  }
  expect(devicePut(x)).toBe(x);
  expect((devicePut(counted(2)) as ConcreteArray).device).toBe(devices()[0]);
});

test("an array that is laid out and disposed of leaves nothing on the devices", () => {
  const [device] = devices();
  const before = device.memoryStats();
  const x = devicePut(counted(64), new NamedSharding(grid, P("a")));
  expect(device.memoryStats()).not.toEqual(before);
  x.dispose();
  expect(device.memoryStats()).toEqual(before);
});

test("a tree of placements goes with the first levels of the tree of arrays", () => {
  const rows = new NamedSharding(grid, P("a"));
  const [, , , last] = devices();
  const out = devicePut({ w: counted(4), b: [counted(2), counted(2)] }, { w: rows, b: last });
  expect(out.w.sharding.key).toBe(rows.key);
  expect(out.b.map((x) => (x as ConcreteArray).device)).toEqual([last, last]);
});

test("the layout of an array is drawn as text and as an image", () => {
  const y = devicePut(counted(4, 2), new NamedSharding(grid, P("a", "b")));
  const picture = debug.visualizeArraySharding(y);
  expect(picture.text).toBe(
    [
      "┌───────────────┬───────────────┐",
      "│  reference 0  │  reference 1  │",
      "├───────────────┼───────────────┤",
      "│  reference 2  │  reference 3  │",
      "└───────────────┴───────────────┘",
    ].join("\n"),
  );
  expect(picture.svg.match(/<rect /g)).toHaveLength(4);
  expect(debug.visualizeArraySharding(devicePut(counted(4), new NamedSharding(grid, P("a")))).text).toContain("reference 0,1");
  expect(() => debug.visualizeArraySharding(counted(2, 2, 2))).toThrow(ShapeError);
});

test("a sharding lists its devices, and the part of each", () => {
  const s = new NamedSharding(grid, P("a"));
  expect([s.deviceSet.size, s.numDevices, s.addressableDevices.length]).toEqual([4, 4, 4]);
  expect(s.devicesIndicesMap([4]).get(devices()[3])).toEqual([{ start: 2, stop: 4 }]);
});

test("wrong meshes and specs are refused, with the repair", () => {
  expect(() => makeMesh([8], ["i"])).toThrow(BackendError);
  expect(() => makeMesh([8], ["i"])).toThrow(/needs 8 devices, but there are 4[\s\S]*cpu\(\{ devices: 8 \}\)/);
  const stranger = referenceBackend().devices[0];
  expect(() => new Mesh([devices()[0], stranger], ["i"])).toThrow(/one backend/);
  expect(() => new Mesh([devices()[0], devices()[0]], ["i"])).toThrow(/occurs twice/);
  expect(() => new Mesh([devices().slice(0, 2), devices().slice(2, 3)] as Device[][], ["a", "b"])).toThrow(/equal lengths/);
  expect(() => new Mesh(devices(), ["a", "b"])).toThrow(TransformError);
  expect(() => new NamedSharding(grid, P("c"))).toThrow(/names the axis "c"[\s\S]*a, b/);
  expect(() => new NamedSharding(grid, P("a", "a"))).toThrow(/twice/);
  expect(() => devicePut(counted(3), new NamedSharding(grid, P("a")))).toThrow(ShapeError);
  expect(() => devicePut(counted(4), new NamedSharding(grid, P(null, "a")))).toThrow(/has 2 entries/);
  expect(() => devicePut(counted(4), 3 as never)).toThrow(/neither a device nor a sharding/);
});

test("where a traced array will be is not known", () => {
  expect(() => traceToJaxpr((x) => (void x.sharding, [x]), [counted(2).aval], "f")).toThrow(TracerError);
});
