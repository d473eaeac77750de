// How much of JAX's public API exists here, and how much of that a test names.
//
//   npm run parity [-- --missing] [--tier 1] [--module jax.numpy]
import { existsSync, globSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { root } from "./process.ts";

interface Entry {
  readonly module: string;
  readonly name: string;
  readonly ts: string;
  readonly kind: string;
  readonly tier: number;
}

const { values: options } = parseArgs({
  options: {
    missing: { type: "boolean", default: false },
    tier: { type: "string" },
    module: { type: "string" },
    list: { type: "string" },
  },
});

const list = options.list ?? `${root}docs/jax-api.json`;
if (!existsSync(list)) throw new Error(`there is no API list at ${list}`);
const entries = (JSON.parse(readFileSync(list, "utf8")) as Entry[]).filter((e) => e.tier === 1 || e.tier === 2);

type Exports = Record<string, unknown>;
const load = async (name: string): Promise<Exports> => (await import(name)) as Exports;
const core = await load("../packages/core/dist/index.js");
const [lax, numpy, jit, grad, vmap, pmap, random, nn, optim, checkify, umbrella] = await Promise.all(
  ["lax", "numpy", "jit", "grad", "vmap", "pmap", "random", "nn", "optim", "checkify", "traceform"].map((p) =>
    load(`../packages/${p}/dist/index.js`),
  ),
);
const prototype = (core["NDArray"] as { prototype: object }).prototype;
const at: object = existsSync(`${root}packages/numpy/dist/methods.js`) ? await indexUpdateMethods() : {};

async function indexUpdateMethods(): Promise<object> {
  await load("../packages/numpy/dist/methods.js");
  const { setDefaultBackend, asArray } = core as {
    setDefaultBackend(b: unknown): void;
    asArray(x: unknown): { at?(i: number): object };
  };
  setDefaultBackend(((await load("../packages/backend-cpu/dist/index.js"))["cpu"] as () => unknown)());
  const updater = asArray([1]).at?.(0);
  return updater === undefined ? {} : updater;
}

/** Where the names of a JAX module live. Modules that are not here have nothing yet. */
const homes: Record<string, readonly object[]> = {
  jax: [jit, grad, vmap, pmap, core, umbrella],
  "jax.sharding": [pmap],
  ...shardings(),
  "jax.custom_jvp": [members("customJvp", grad)],
  "jax.custom_vjp": [members("customVjp", grad)],
  "jax.custom_derivatives": [grad],
  "jax.checkpoint_policies": [grad["checkpointPolicies"] as object],
  "jax.ad_checkpoint": [grad],
  "jax.experimental.jet": [await load("../packages/grad/dist/jet.js")],
  "jax.Array": [prototype],
  "jax.Array.at": [at],
  "jax.numpy": [numpy],
  "jax.numpy.fft": [numpy["fft"] as object],
  "jax.numpy.linalg": [numpy["linalg"] as object],
  "jax.lax.linalg": [lax["linalg"] as object],
  "jax.lax": [lax],
  "jax.random": [random],
  "jax.nn": [nn],
  "jax.nn.initializers": [nn["initializers"] as object],
  "jax.tree": [umbrella["tree"] as object],
  "jax.tree_util": [core],
  "jax.typing": [core],
  "jax.stages": [jit],
  ...stages(),
  "jax.core": [core],
  "jax.custom_batching": [vmap],
  "jax.custom_batching.custom_vmap": [members("customVmap", vmap)],
  "jax.errors": [core],
  "jax.dtypes": [numpy, core],
  "jax.flatten_util": [numpy],
  "jax.ops": [numpy],
  optax: [optim],
  "jax.profiler": [core["profiler"] as object],
  "jax.config": [core["config"] as object],
  "jax.debug": [lax["debug"] as object],
  "jax.experimental": [lax],
  "jax.experimental.checkify": [checkify],
  "jax.experimental.checkify.Error": [(checkify["Error"] as { prototype: object }).prototype],
};

/** A function on its way through `jit`: its members are those of JAX's stages. */
function stages(): Record<string, readonly object[]> {
  interface Lowered {
    compileSync(): object;
  }
  const wrapped = (jit["jit"] as (f: () => number) => { trace(): { lower(): Lowered } })(() => 0);
  const traced = wrapped.trace();
  const lowered = traced.lower();
  return {
    "jax.stages.Wrapped": [wrapped],
    "jax.stages.Traced": [traced],
    "jax.stages.Lowered": [lowered],
    "jax.stages.Compiled": [lowered.compileSync()],
  };
}

/** A mesh of one device, and its layouts. */
function shardings(): Record<string, readonly object[]> {
  const { devices } = (core["defaultBackend"] as () => { devices: readonly unknown[] })();
  const mesh = new (pmap["Mesh"] as new (d: readonly unknown[], names: readonly string[]) => object)(devices.slice(0, 1), ["i"]);
  const sharding = new (pmap["NamedSharding"] as new (m: object) => object)(mesh);
  return { "jax.sharding.Mesh": [mesh], "jax.sharding.NamedSharding": [sharding], "jax.sharding.Sharding": [sharding] };
}

/** The methods of a value that a decorator such as `customJvp` returns. */
function members(name: string, from: Exports): object {
  const make = from[name] as ((f: () => unknown) => object) | undefined;
  return make === undefined ? {} : make(() => null);
}

// Types exist in the declarations only.
const declared = new Map<string, string>();
function declares(pkg: string, name: string): boolean {
  if (!declared.has(pkg)) {
    declared.set(
      pkg,
      globSync(`packages/${pkg}/dist/*.d.ts`, { cwd: root })
        .map((p) => readFileSync(root + p, "utf8"))
        .join("\n"),
    );
  }
  return new RegExp(`export (?:declare )?(?:type|interface|abstract class|class) ${name}\\b`).test(declared.get(pkg)!);
}

const typePackages: Record<string, readonly string[]> = {
  jax: ["core", "jit"],
  "jax.typing": ["core", "numpy"],
  "jax.Array": ["core"],
  "jax.profiler": ["core"],
};

const tests = globSync(
  ["packages/*/src/**/*.test.ts", "packages/testing/src/**/*.ts", "packages/testing/goldens/*.json", "examples/*/*.test.ts"],
  { cwd: root },
)
  .map((p) => readFileSync(root + p, "utf8"))
  .join("\n");
const words = new Set(tests.match(/[A-Za-z_]\w*/g));

function exists({ module, ts }: Entry): boolean {
  const bare = ts.replace(/^__(\w+)__$/, "$1");
  if ((homes[module] ?? []).some((home) => ts in home || bare in home)) return true;
  return (typePackages[module] ?? []).some((pkg) => declares(pkg, ts));
}

interface Count {
  all: number;
  existing: number;
  tested: number;
}
const counts = new Map<string, Map<number, Count>>();
const missing: Entry[] = [];
for (const e of entries) {
  const byTier = counts.get(e.module) ?? new Map<number, Count>();
  counts.set(e.module, byTier);
  const count = byTier.get(e.tier) ?? { all: 0, existing: 0, tested: 0 };
  byTier.set(e.tier, count);
  count.all++;
  if (!exists(e)) {
    missing.push(e);
    continue;
  }
  count.existing++;
  if (words.has(e.ts)) count.tested++;
}

const cell = (c: Count | undefined): string => (c === undefined ? "" : `${c.existing}/${c.tested}/${c.all}`).padStart(14);
console.log(`${"exist/tested/all".padEnd(34)}${"tier 1".padStart(14)}${"tier 2".padStart(14)}`);
const total = new Map<number, Count>();
for (const [module, byTier] of counts) {
  for (const [tier, c] of byTier) {
    const t = total.get(tier) ?? { all: 0, existing: 0, tested: 0 };
    total.set(tier, { all: t.all + c.all, existing: t.existing + c.existing, tested: t.tested + c.tested });
  }
  console.log(`${module.padEnd(34)}${cell(byTier.get(1))}${cell(byTier.get(2))}`);
}
console.log(`${"all".padEnd(34)}${cell(total.get(1))}${cell(total.get(2))}`);
if (options.missing) {
  const shown = missing.filter(
    (e) =>
      (options.tier === undefined || e.tier === Number(options.tier)) &&
      (options.module === undefined || e.module === options.module),
  );
  console.log("\nmissing:");
  for (const e of shown) console.log(`  tier ${e.tier}  ${e.module}.${e.ts}`);
}
