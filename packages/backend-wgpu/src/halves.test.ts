import { type Backend, makeAval, type NDArray, setDefaultBackend, traceToJaxpr } from "@traceform/core";
import { cpu } from "@traceform/backend-cpu";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import { create } from "webgpu";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { checkCase, compileCase, families, inputsOf } from "../../testing/src/conformance/check.ts";
import { referenceBackend } from "../../testing/src/reference/backend.ts";
import { WebGpuBackend } from "./backend.ts";
import type { Dialect } from "./emit/dialects.ts";
import type { Units } from "./emit/schedule.ts";
import { wgpu } from "./index.ts";

// The GPU of the tests has neither numbers of half precision nor units that multiply matrices. Dawn's null backend has both: it takes
// kernels as a GPU would, and runs nothing. What they compute is seen where both are played by single precision.

type Fn = (...xs: NDArray[]) => NDArray;

const product: Fn = (x, y) => np.matmul(x, y);
const layer: Fn = (x, y) =>
  lax.max(lax.dot(lax.add(x, x), lax.transpose(y, [1, 0])), lax.fullLike(lax.dot(x, lax.transpose(y, [1, 0])), 2));
const shapes: Readonly<Record<string, readonly [Fn, ...(readonly number[])[]]>> = {
  "whole tiles": [product, [32, 32], [32, 32]],
  "edges on all sides": [product, [21, 19], [19, 23]],
  "a batch": [product, [3, 16, 17], [3, 17, 18]],
  "producers, a transposed operand and an epilogue": [layer, [17, 20], [19, 20]],
};

describe("where there are numbers of half precision and units", () => {
  const dawn = create(["backend=null", "enable-dawn-features=allow_unsafe_apis,expose_wgsl_experimental_features"]);
  const feature = (name: string): GPUFeatureName => name as GPUFeatureName;
  const requiredFeatures = ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"].map(feature);
  /** Configurations as adapters state them. */
  const stated = [
    { componentType: "f16", resultComponentType: "f16", M: 16, N: 16, K: 16 },
    { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 },
    { componentType: "f32", resultComponentType: "f32", M: 8, N: 8, K: 8 },
    { componentType: "i8", resultComponentType: "i32", M: 16, N: 16, K: 32 },
  ];

  async function nullDevice(configs: typeof stated): Promise<GPUDevice> {
    const device = await (await dawn.requestAdapter())!.requestDevice({ requiredFeatures });
    Object.defineProperty(device, "adapterInfo", { value: { subgroupMaxSize: 128, subgroupMatrixConfigs: configs } });
    return device;
  }
  /** The kernels of a program, which are taken. */
  async function kernels(device: GPUDevice, f: Fn, dtype: "float16" | "float32", operands: readonly (readonly number[])[]) {
    const backend = await wgpu({ device });
    const written = vi.spyOn(device, "createShaderModule");
    written.mockClear();
    const { jaxpr } = traceToJaxpr(
      (...xs: NDArray[]) => [f(...xs)],
      operands.map((s) => makeAval(s, dtype)),
      "f",
    );
    using program = backend.compile({ jaxpr, consts: [] }, {});
    await program.prepare!();
    return written.mock.calls.map(([{ code }]) => code);
  }

  test.each(Object.entries(families))("all programs in float16 are taken: %s", async (_, cases) => {
    const backend = await wgpu({ device: await nullDevice(stated) });
    for (const c of cases()) {
      // Conversions to 64 bits are refused whatever they come from.
      if (!c.dtypes.includes("float16") || / to \w+64$/.test(c.name)) continue;
      using program = compileCase(backend, c, inputsOf(c, "float16"));
      await program.prepare!();
    }
  });

  test("operands of half precision stay so in the memory of workgroups, with f32 sums", async () => {
    const [code] = await kernels(await nullDevice([]), product, "float16", [
      [64, 64],
      [64, 64],
    ]);
    expect(code).toContain("enable f16;");
    expect(code).toContain("tile_a_vec4f16: array<vec4<f16>");
    expect(code).toContain("var c0_0 = vec4<f32>();");
    const [single] = await kernels(await nullDevice([]), product, "float32", [
      [64, 64],
      [64, 64],
    ]);
    expect(single).not.toContain("f16");
  });

  test.each(["float16", "float32"] as const)("units multiply %s, with f32 sums", async (dtype) => {
    const [, f16, f32] = stated;
    for (const [f, ...operands] of Object.values(shapes)) {
      const large = operands.map((s) => s.map((n, i) => (i < s.length - 2 ? n : 8 * n)));
      const [code] = await kernels(await nullDevice(stated), f, dtype, large);
      const size = dtype === "float16" ? f16.M : f32.M;
      expect(code).toContain(`Left = subgroup_matrix_left<${dtype === "float16" ? "f16" : "f32"}, ${size}, ${size}>;`);
      expect(code).toContain(`Sum = subgroup_matrix_result<f32, ${size}, ${size}>;`);
      expect(code).toContain("row_major>");
    }
  });

  test("what is beside each other in a dispatch fits into the memory of a workgroup, halves and others", async () => {
    const device = await nullDevice([]);
    const backend = await wgpu({ device });
    const written = vi.spyOn(device, "createShaderModule");
    written.mockClear();
    const matrices = (["float16", "float32"] as const).flatMap((dtype) => [0, 1].map(() => makeAval([64, 64], dtype)));
    const { jaxpr } = traceToJaxpr(
      (a: NDArray, b: NDArray, x: NDArray, y: NDArray) => [lax.dot(a, b), lax.dot(x, y), np.sum(x, 1), np.std(y, 0)],
      matrices,
      "f",
    );
    using program = backend.compile({ jaxpr, consts: [] }, {});
    await program.prepare!();
    const codes = written.mock.calls.map(([{ code }]) => code);
    expect(codes.some((c) => c.includes("tile_a_vec4f16") && c.includes("tile_a_vec4f32"))).toBe(true);
  });

  test("units with sums of half precision, or of other numbers, are left alone", async () => {
    const configs = stated.filter((c) => c.resultComponentType !== "f32");
    const [code] = await kernels(await nullDevice(configs), product, "float16", [
      [256, 256],
      [256, 256],
    ]);
    expect(code).toContain("tile_a");
  });

  test("the other dialect is found where the platform does not take the first one", async () => {
    const device = await nullDevice(stated);
    const make = device.createShaderModule.bind(device);
    vi.spyOn(device, "createShaderModule").mockImplementation((d) =>
      make({ ...d, code: d.code.replaceAll(", row_major>", ", column>") }),
    );
    const [code] = await kernels(device, product, "float16", [
      [256, 256],
      [256, 256],
    ]);
    expect(code).toContain("false, ");
    expect(code).not.toContain("row_major");
  });
});

/** Units in plain WGSL: each invocation has all of a matrix. */
const plain: Dialect = {
  enables: [],
  declare: ({ component, M, N, K }, { left, right, result }, prefix) => [
    `struct ${prefix}Left { v: array<${component}, ${M * K}> }`,
    `struct ${prefix}Right { v: array<${component}, ${K * N}> }`,
    `struct ${prefix}Sum { v: array<f32, ${M * N}> }`,
    ...(
      [
        ["left", left, M, K],
        ["right", right, K, N],
      ] as const
    ).map(([name, { name: array, pitch }, rows, columns]) => {
      const type = `${prefix}${name === "left" ? "Left" : "Right"}`;
      return `fn ${prefix}load_${name}(at: u32) -> ${type} {
        var x: ${type};
        for (var i = 0u; i < ${rows * columns}u; i++) { x.v[i] = ${array}[at + i / ${columns}u * ${pitch}u + i % ${columns}u]; }
        return x;
      }`;
    }),
    `fn ${prefix}multiply(left: ${prefix}Left, right: ${prefix}Right, sum: ${prefix}Sum) -> ${prefix}Sum {
      var x = sum;
      var l = left;
      var r = right;
      for (var i = 0u; i < ${M * N}u; i++) {
        for (var k = 0u; k < ${K}u; k++) { x.v[i] += f32(l.v[i / ${N}u * ${K}u + k]) * f32(r.v[k * ${N}u + i % ${N}u]); }
      }
      return x;
    }`,
    `fn ${prefix}store_result(at: u32, sum: ${prefix}Sum) {
      var x = sum;
      for (var i = 0u; i < ${M * N}u; i++) { ${result.name}[at + i / ${N}u * ${result.pitch}u + i % ${N}u] = x.v[i]; }
    }`,
  ],
};

describe("played by single precision", () => {
  const dawn = create([]);
  const devices: GPUDevice[] = [];
  /** A backend whose kernels take f32 for f16: the values are the same, since all that is kept has been rounded before. */
  async function playing(units: Units | null): Promise<Backend> {
    const adapter = (await dawn.requestAdapter())!;
    const gpu = await adapter.requestDevice({ requiredFeatures: ["subgroups"] as unknown as GPUFeatureName[] });
    devices.push(gpu);
    const make = gpu.createShaderModule.bind(gpu);
    vi.spyOn(gpu, "createShaderModule").mockImplementation((d) => {
      const text = d.code.replace("bitcast<vec2<f16>>(bitcast<u32>(bits))", "unpack2x16float(bitcast<u32>(bits))");
      return make({ ...d, code: text.includes("enable f16;") ? `${text.replace("enable f16;", "")}\nalias f16 = f32;\n` : text });
    });
    const schedule = { size: "tiny", subgroups: 4, memory: 1 << 14, halves: true, units } as const;
    return new WebGpuBackend(gpu, { owned: true, maxMemoryBytes: 2 ** 30, schedule, immediates: false });
  }
  const units = (component: "f16" | "f32"): Units => {
    const configs = [{ component, M: 4, N: 8, K: 4 }];
    return { dialect: plain, configs, subgroup: 4, invocations: 64 };
  };
  const reference = referenceBackend();
  beforeAll(() => void setDefaultBackend(cpu()));
  afterAll(() => {
    setDefaultBackend(null);
    devices.forEach((d) => d.destroy());
  });

  test.each(["f16", "f32", null] as const)("products are what they are, by units of %s", async (component) => {
    const backend = await playing(component === null ? null : units(component));
    const written = vi.spyOn((backend.devices[0] as unknown as { gpu: GPUDevice }).gpu, "createShaderModule");
    for (const [name, [run, ...operands]] of Object.entries(shapes)) {
      const dtype = component === "f32" ? "float32" : "float16";
      const c = { name, dtypes: [dtype], operands: operands.map((shape) => ({ shape })), run, relative: 1e-3 } as const;
      written.mockClear();
      expect([name, await checkCase(backend, reference, c, dtype, true)]).toEqual([name, null]);
      const [[{ code }]] = written.mock.calls;
      expect(code).toContain(component === null ? "tile_a" : "unit_a");
      expect(code.includes("f16")).toBe(component !== "f32");
    }
  });

  test("contractions of the conformance suite", async () => {
    for (const own of [null, units("f16")]) {
      const backend = await playing(own);
      for (const c of families["contractions"]()) {
        if (!c.dtypes.includes("float16")) continue;
        expect([c.name, await checkCase(backend, reference, c, "float16", true)]).toEqual([c.name, null]);
      }
    }
  });
});
