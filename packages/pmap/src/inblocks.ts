import {
  BackendError,
  type Compiled,
  compileProgram,
  type Device,
  type Executable,
  heldOf,
  JaxprMemo,
  layoutOf,
  laysOutOverMemories,
  type NDArray,
  processCount,
  providePropagation,
  runCompiled,
  type RunInBlocks,
  type Sharding,
} from "@traceform/core";
import { runOnFleet } from "./fleet/run.ts";
import { propagateShardings } from "./propagate.ts";
import { type BlockProgram, blockProgram, spanningMesh } from "./spmd/blocks.ts";

/** Names to core what programs on several devices need. Making a mesh does so. */
export function provideParallel(): void {
  providePropagation({ propagate: propagateShardings, runInBlocks });
}

const runInBlocks: RunInBlocks = (compiled, args, device, name, donated) => {
  const layouts = args.map(layoutOf);
  const inside = laysOutOverMemories(compiled.jaxpr);
  if (processCount() === 1) {
    const spread = inside || layouts.some((s) => spanningMesh(s) !== null);
    return spread ? runOnFleet(compiled, layouts, args, device, name, donated) : null;
  }
  // What every process holds whole, each computes by itself.
  if (!inside && layouts.every((s) => heldOf(s) === null)) return null;
  if ((device.backend.fleet?.members.length ?? 1) > 1) {
    throw new BackendError(name, {
      message: "the program is laid out over processes, and this one has several GPUs",
      fix: "give each process one GPU: wgpu({ adapter }), and start as many processes as there are GPUs",
    });
  }
  return runOwnBlocks(compiled, layouts, args, device, name, donated);
};

const programs = new JaxprMemo<BlockProgram>();
const executables = new JaxprMemo<Executable>();

/** Runs the program of the blocks that this process holds, as all processes do. */
function runOwnBlocks(
  { jaxpr, outAvals }: Compiled,
  layouts: readonly (Sharding | null)[],
  args: readonly NDArray[],
  device: Device,
  name: string,
  donated?: readonly boolean[],
): NDArray[] {
  const key = layouts.map((s) => s?.key ?? "").join(";");
  const program = programs.get(jaxpr, key, () => blockProgram(jaxpr, layouts, name));
  const { consts } = program;
  const operands = consts.length === 0 ? args : [...consts, ...args];
  const ended = donated === undefined || consts.length === 0 ? donated : [...consts.map(() => false), ...donated];
  const donate = ended?.flatMap((d, i) => (d ? [i] : [])) ?? [];
  const executable = executables.get(program.jaxpr, `${key}|${donate.join()}`, () =>
    compileProgram(device.backend, program.jaxpr, { name, donate }),
  );
  return runCompiled({ executable, outAvals }, operands, device, ended, program.shardings);
}
