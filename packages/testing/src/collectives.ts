import {
  type Device,
  devicePut,
  fromTyped,
  type NDArray,
  NamedSharding,
  PartitionSpec,
  type StandardDType,
  isComplex,
} from "@traceform/core";
import { grad, jvp } from "@traceform/grad";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { makeMesh, shardMap } from "@traceform/pmap";
import { vmap } from "@traceform/vmap";
import { beforeAll, describe, expect, test } from "vitest";

// The conformance table of collectives: operation x dtype x layout of the axes x transformation. What a collective gives is
// computed here from its meaning, shard by shard on lists of numbers, so that nothing of the library is compared with itself.

/** Elements of a shard. */
const length = 4;
/** The part of every position, in the order of the positions along the axes; and what each has afterwards. */
type Exchange = (parts: readonly (readonly number[])[]) => readonly (readonly number[])[];

interface CollectiveCase {
  readonly run: (x: NDArray, axes: string | readonly string[], groups: Groups, size: number) => NDArray;
  readonly meaning: Exchange;
  /** Whether it is linear, so that its derivatives follow from its meaning. */
  readonly linear: boolean;
  /** Whether it takes `axisIndexGroups`. */
  readonly groups: boolean;
  /** Whether a bool operand gives something else than a bool. */
  readonly counts?: true;
  readonly only?: (dtype: StandardDType) => boolean;
}
type Groups = readonly (readonly number[])[] | null;

const zipped = (parts: readonly (readonly number[])[], f: (xs: number[]) => number): number[] =>
  parts[0].map((_, j) => f(parts.map((p) => p[j])));
const add = (xs: number[]): number => xs.reduce((a, b) => a + b, 0);
const all = <T>(parts: readonly unknown[], x: T): T[] => parts.map(() => x);
const block = (part: readonly number[], i: number, n: number): readonly number[] =>
  part.slice((i * part.length) / n, ((i + 1) * part.length) / n);
const isFloating = (dtype: StandardDType): boolean => /float|complex/.test(dtype);
/** The elements of an array behind its first axis, moved `by` places within the shard: so that positions do not hold the same. */
const cyclic = (n: number): (readonly [number, number])[] => Array.from({ length: n }, (_, i) => [i, (i + 1) % n] as const);

const cases: Record<string, CollectiveCase> = {
  psum: {
    run: (x, axes, axisIndexGroups) => lax.psum(x, axes, { axisIndexGroups }),
    meaning: (parts) => all(parts, zipped(parts, add)),
    linear: true,
    groups: true,
    counts: true,
  },
  pmean: {
    run: (x, axes, axisIndexGroups) => lax.pmean(x, axes, { axisIndexGroups }),
    meaning: (parts) =>
      all(
        parts,
        zipped(parts, (xs) => add(xs) / xs.length),
      ),
    linear: true,
    groups: true,
    only: isFloating,
  },
  pmax: {
    run: (x, axes, axisIndexGroups) => lax.pmax(x, axes, { axisIndexGroups }),
    meaning: (parts) =>
      all(
        parts,
        zipped(parts, (xs) => Math.max(...xs)),
      ),
    linear: false,
    groups: true,
    only: (dtype) => !isComplex(dtype),
  },
  pmin: {
    run: (x, axes, axisIndexGroups) => lax.pmin(x, axes, { axisIndexGroups }),
    meaning: (parts) =>
      all(
        parts,
        zipped(parts, (xs) => Math.min(...xs)),
      ),
    linear: false,
    groups: true,
    only: (dtype) => !isComplex(dtype),
  },
  allGather: {
    run: (x, axes, axisIndexGroups, size) => lax.reshape(lax.allGather(x, axes, { axisIndexGroups }), [size * length]),
    meaning: (parts) => all(parts, parts.flat()),
    linear: true,
    groups: true,
  },
  "allGather tiled": {
    run: (x, axes, axisIndexGroups) => lax.allGather(x, axes, { axisIndexGroups, tiled: true }),
    meaning: (parts) => all(parts, parts.flat()),
    linear: true,
    groups: true,
  },
  allGatherInvariant: {
    run: (x, axes) => lax.allGatherInvariant(x, axes, { tiled: true }),
    meaning: (parts) => all(parts, parts.flat()),
    linear: true,
    groups: false,
  },
  psumScatter: {
    run: (x, axes, axisIndexGroups, size) => lax.psumScatter(lax.reshape(x, [size, length / size]), axes, { axisIndexGroups }),
    meaning: (parts) => parts.map((_, i) => block(zipped(parts, add), i, parts.length)),
    linear: true,
    groups: true,
    only: (dtype) => dtype !== "bool",
  },
  "psumScatter tiled": {
    run: (x, axes, axisIndexGroups) => lax.psumScatter(x, axes, { axisIndexGroups, tiled: true }),
    meaning: (parts) => parts.map((_, i) => block(zipped(parts, add), i, parts.length)),
    linear: true,
    groups: true,
    only: (dtype) => dtype !== "bool",
  },
  "allToAll tiled": {
    run: (x, axes, axisIndexGroups) => lax.allToAll(x, axes, 0, 0, { axisIndexGroups, tiled: true }),
    meaning: (parts) => parts.map((_, i) => parts.flatMap((p) => block(p, i, parts.length))),
    linear: true,
    groups: true,
  },
  pswapaxes: {
    run: (x, axes, axisIndexGroups, size) =>
      lax.reshape(lax.pswapaxes(lax.reshape(x, [length / size, size]), axes, 1, { axisIndexGroups }), [length]),
    meaning: (parts) =>
      parts.map((p, i) => p.map((_, k) => parts[k % parts.length][Math.floor(k / parts.length) * parts.length + i])),
    linear: true,
    groups: true,
  },
  ppermute: {
    run: (x, axes, _groups, size) => lax.ppermute(x, axes, cyclic(size).slice(1)),
    meaning: (parts) =>
      parts.map((p, to) => (to === 1 % parts.length ? p.map(() => 0) : parts[(to + parts.length - 1) % parts.length])),
    linear: true,
    groups: false,
  },
  pshuffle: {
    run: (x, axes, _groups, size) =>
      lax.pshuffle(
        x,
        axes,
        cyclic(size).map(([i]) => size - 1 - i),
      ),
    meaning: (parts) => [...parts].reverse(),
    linear: true,
    groups: false,
  },
  pbroadcast: {
    run: (x, axes, _groups, size) => lax.pbroadcast(x, axes, size - 1),
    meaning: (parts) => all(parts, parts[parts.length - 1]),
    linear: true,
    groups: false,
  },
  axisIndex: {
    run: (x, axes) => lax.add(x, lax.convertElementType(lax.axisIndex(axes), x.dtype)),
    meaning: (parts) => parts.map((p, i) => p.map((v) => v + i)),
    linear: false,
    groups: false,
    only: (dtype) => dtype !== "bool",
  },
};

interface Layout {
  readonly sizes: readonly number[];
  readonly names: readonly string[];
  /** Along which axes the collective goes. */
  readonly axes: string | readonly string[];
  readonly groups: Groups;
}

/** The ways in which a collective can name its participants on `n` devices. */
function layouts(n: number): Record<string, Layout> {
  const half = n / 2;
  const ids = Array.from({ length: n }, (_, i) => i);
  return {
    "one axis": { sizes: [n], names: ["i"], axes: "i", groups: null },
    "the outer of two axes": { sizes: [2, half], names: ["a", "b"], axes: "a", groups: null },
    "the inner of two axes": { sizes: [half, 2], names: ["a", "b"], axes: "b", groups: null },
    "two axes": { sizes: [2, half], names: ["a", "b"], axes: ["a", "b"], groups: null },
    "two axes, reversed": { sizes: [2, half], names: ["a", "b"], axes: ["b", "a"], groups: null },
    groups: { sizes: [n], names: ["i"], axes: "i", groups: [ids.filter((i) => i % 2 === 0), ids.filter((i) => i % 2 === 1)] },
  };
}

/** The devices that take part together, each list in the order of their positions. */
function participants({ sizes, names, axes, groups }: Layout): number[][] {
  if (groups !== null) return groups.map((g) => [...g]);
  const along = [axes].flat();
  const n = sizes.reduce((a, b) => a * b, 1);
  const at = (k: number): Record<string, number> => {
    let rest = k;
    const out: Record<string, number> = {};
    for (let i = names.length - 1; i >= 0; i--) {
      out[names[i]] = rest % sizes[i];
      rest = Math.floor(rest / sizes[i]);
    }
    return out;
  };
  const place = (k: number): number => along.reduce((p, name) => p * sizes[names.indexOf(name)] + at(k)[name], 0);
  const others = names.filter((name) => !along.includes(name));
  const byOthers = Map.groupBy(
    Array.from({ length: n }, (_, k) => k),
    (k) => others.map((o) => at(k)[o]).join(),
  );
  return [...byOthers.values()].map((ks) => ks.toSorted((a, b) => place(a) - place(b)));
}

/** What every device has after a collective. */
function after(meaning: Exchange, layout: Layout, parts: readonly (readonly number[])[]): number[][] {
  const out: number[][] = [];
  for (const members of participants(layout)) {
    meaning(members.map((k) => parts[k])).forEach((p, i) => (out[members[i]] = [...p]));
  }
  return out;
}

/** Small integers, which all dtypes hold exactly, and their sums. */
const values = (n: number, seed: number): number[] => Array.from({ length: n }, (_, i) => (i * 5 + seed * 3 + ((i * i) % 7)) % 8);
const chunks = (xs: readonly number[], n: number): number[][] =>
  Array.from({ length: n }, (_, k) => xs.slice((k * xs.length) / n, ((k + 1) * xs.length) / n));

function toArray(data: readonly number[], shape: readonly number[], dtype: StandardDType): NDArray {
  return lax.convertElementType(fromTyped(Float32Array.from(data), shape, "float32"), dtype);
}
async function read(x: NDArray): Promise<number[]> {
  const data = Array.from((await x.data()) as ArrayLike<number | bigint>, Number);
  return isComplex(x.dtype) ? data.filter((_, i) => i % 2 === 0) : data;
}

/** One way of applying a collective to whole arrays; gives what is to be compared. */
interface Way {
  readonly needs?: (c: CollectiveCase) => boolean;
  readonly dtypes: (dtype: StandardDType) => boolean;
  /** `apply` is the mapped function; `mean` what it means, for all devices. */
  check(
    make: (f: (x: NDArray) => NDArray) => (x: NDArray) => NDArray,
    f: (x: NDArray) => NDArray,
    mean: (xs: readonly number[]) => number[],
    put: (data: readonly number[], leading?: readonly number[]) => NDArray,
    n: number,
  ): Promise<readonly [got: number[], expected: number[]]>;
}

const total = (x: NDArray): NDArray =>
  lax.reduceSum(
    x,
    x.shape.map((_, i) => i),
  );
const everyDType = (): boolean => true;
const ways: Record<string, Way> = {
  plain: {
    dtypes: everyDType,
    check: async (make, f, mean, put, n) => [await read(make(f)(put(values(n, 0)))), mean(values(n, 0))],
  },
  jit: {
    dtypes: everyDType,
    check: async (make, f, mean, put, n) => [await read(jit(make(f))(put(values(n, 1)))), mean(values(n, 1))],
  },
  jvp: {
    needs: (c) => c.linear,
    dtypes: (d) => d === "float32",
    check: async (make, f, mean, put, n) => [
      await read(jvp(make(f), [put(values(n, 0))], [put(values(n, 2))])[1]),
      mean(values(n, 2)),
    ],
  },
  grad: {
    needs: (c) => c.linear,
    dtypes: (d) => d === "float32",
    check: async (make, f, mean, put, n) => {
      const units = Array.from({ length: n }, (_, i) => mean(Array.from({ length: n }, (_, j) => (i === j ? 1 : 0))));
      const weights = values(units[0].length, 3);
      const w = toArray(weights, [weights.length], "float32");
      const g = grad((x: NDArray) => total(lax.mul(lax.reshape(make(f)(x), [weights.length]), w)))(put(values(n, 0)));
      return [await read(g), units.map((row) => row.reduce((s, v, k) => s + v * weights[k], 0))];
    },
  },
  "vmap inside": {
    dtypes: (d) => d === "float32" || d === "int32",
    check: async (make, f, mean, put, n) => {
      // Two members, side by side in each shard.
      const data = [values(n, 0), values(n, 4)];
      const sides = make((x) => {
        const pair = lax.reshape(x, [2, length]);
        const y = vmap(f)(pair);
        return lax.reshape(y, [y.size]);
      });
      const devices = n / length;
      const joined = (xs: readonly (readonly number[])[]): number[] => {
        const [a, b] = xs.map((x) => chunks(x, devices));
        return a.flatMap((part, k) => [...part, ...b[k]]);
      };
      return [await read(sides(put(joined(data)))), joined(data.map(mean))];
    },
  },
  "vmap outside": {
    dtypes: (d) => d === "float32" || d === "int32",
    check: async (make, f, mean, put, n) => {
      const data = [values(n, 0), values(n, 4), values(n, 5)];
      return [await read(vmap(make(f))(put(data.flat(), [3]))), data.flatMap(mean)];
    },
  },
  scan: {
    dtypes: (d) => d === "float32" || d === "int32",
    check: async (make, f, mean, put, n) => {
      const data = [values(n, 0), values(n, 4)];
      const [, ys] = jit((xs: NDArray) => lax.scan((c: NDArray, x: NDArray) => [c, make(f)(x)] as const, 0, xs))(
        put(data.flat(), [2]),
      );
      return [await read(ys), data.flatMap(mean)];
    },
  },
  "scan inside": {
    dtypes: (d) => d === "float32",
    check: async (make, f, mean, put, n) => {
      const data = values(n, 0);
      const twice = make(
        (x) => lax.scan((c: NDArray, k: NDArray) => [c, f(lax.mul(x, k))] as const, 0, toArray([1, 2], [2], "float32"))[1],
      );
      const devices = n / length;
      const [once, again] = [mean(data), mean(data.map((v) => 2 * v))].map((x) => chunks(x, devices));
      const expected = once.flatMap((part, k) => [...part, ...again[k]]);
      return [await read(twice(put(data))), expected];
    },
  },
};

export interface CollectiveOptions {
  /** The dtypes that the devices have. */
  readonly dtypes: readonly StandardDType[];
}

/**
 * Declares the conformance tests of collectives on devices, of which there must be two or four: every operation, over one axis,
 * several, and groups, for every dtype, plain and under the transformations, inside `shardMap` that checks what varies and that
 * does not.
 */
export function collectiveConformance(
  factory: () => readonly Device[] | Promise<readonly Device[]>,
  options: CollectiveOptions,
): void {
  let devices: readonly Device[] = [];
  beforeAll(async () => {
    devices = await factory();
  });
  for (const [name, c] of Object.entries(cases)) {
    describe(name, () => {
      for (const [layoutName] of Object.entries(layouts(4))) {
        if (layoutName === "groups" && !c.groups) continue;
        for (const [wayName, way] of Object.entries(ways)) {
          if (way.needs?.(c) === false) continue;
          test(`${layoutName}, ${wayName}`, async () => {
            const layout = layouts(devices.length)[layoutName];
            const mesh = makeMesh(layout.sizes, layout.names, { devices });
            const spec = PartitionSpec(layout.names);
            const size = participants(layout)[0].length;
            const n = length * devices.length;
            for (const dtype of options.dtypes) {
              if (!way.dtypes(dtype) || c.only?.(dtype) === false) continue;
              // Truth values are zero or one; what is counted gives numbers.
              const asBool = (xs: readonly number[]): number[] => xs.map((x) => (dtype === "bool" ? x % 2 : x));
              const mean = (xs: readonly number[]): number[] => after(c.meaning, layout, chunks(asBool(xs), devices.length)).flat();
              const put = (data: readonly number[], leading: readonly number[] = []): NDArray => {
                const shape = [...leading, data.length / leading.reduce((a, b) => a * b, 1)];
                return devicePut(
                  toArray(asBool(data), shape, dtype),
                  new NamedSharding(mesh, PartitionSpec(...leading.map(() => null), layout.names)),
                );
              };
              for (const checkVma of [true, false]) {
                const make = (g: (x: NDArray) => NDArray) => shardMap(flat(g), { mesh, inSpecs: spec, outSpecs: spec, checkVma });
                const [got, expected] = await way.check(make, (x) => c.run(x, layout.axes, layout.groups, size), mean, put, n);
                expect(got, `${dtype}, checkVma ${checkVma}`).toEqual(expected);
              }
            }
          });
        }
      }
    });
  }
}

/** A result of a shard as a list, so that those of all devices make one. */
const flat =
  (g: (x: NDArray) => NDArray) =>
  (x: NDArray): NDArray => {
    const y = g(x);
    return lax.reshape(y, [y.size]);
  };
