import type { Bundle, Nest, Part, RoutineKernel } from "@traceform/compiler";
import { Code } from "../wasm/code.ts";
import type { FunctionSlot } from "../wasm/encoder.ts";

/** The number of independent tasks of a kernel, and how many one call takes. */
export function chunking(kernel: Nest | RoutineKernel): readonly [number, number] {
  if (kernel.kind === "routine") return [kernel.routine.tasks, kernel.routine.chunk];
  const [axis] = kernel.ranges;
  return axis < 0 ? [1, 1] : [kernel.outer[axis].extent, kernel.chunk];
}

/** The number of tasks of a bundle: the chunks of its parts, one part after the other. */
export function bundleTasks(bundle: Bundle): number {
  return bundle.parts.reduce((sum, p) => sum + chunksOf(p), 0);
}

function chunksOf(part: Part): number {
  const [tasks, chunk] = chunking(part.nest);
  return Math.ceil(tasks / chunk);
}

/** A function `(begin, end, ...pointers)` over the tasks of a bundle. */
export function emitBundle(bundle: Bundle, slot: FunctionSlot, functionOf: (part: Part) => FunctionSlot): void {
  const code = new Code(slot);
  const [begin, end, pointers] = [0, 1, 2];
  const [from, to] = [code.local("i32"), code.local("i32")];
  let first = 0;
  for (const part of bundle.parts) {
    const [tasks, chunk] = chunking(part.nest);
    const last = first + Math.ceil(tasks / chunk);
    const clamped = (bounds: readonly (readonly [number, "i32.gt_s" | "i32.lt_s"])[], into: number): void => {
      for (const [bound, keep] of bounds) {
        code.get(into);
        code.i32(bound);
        code.get(into);
        code.i32(bound);
        code.op(keep);
        code.op("select");
        code.set(into);
      }
    };
    /** `into` = where a limit of the bundle's range lies among the tasks of the part. */
    const clamp = (limit: number, into: number): void => {
      code.get(limit);
      code.i32(first);
      code.op("i32.sub");
      code.set(into);
      // Before it is scaled: other parts may have many more chunks.
      clamped(
        [
          [0, "i32.gt_s"],
          [last - first, "i32.lt_s"],
        ],
        into,
      );
      code.get(into);
      code.i32(chunk);
      code.op("i32.mul");
      code.set(into);
      clamped([[tasks, "i32.lt_s"]], into);
    };
    clamp(begin, from);
    clamp(end, to);
    code.get(from);
    code.get(to);
    code.op("i32.lt_s");
    code.if(() => {
      code.get(from);
      code.get(to);
      for (const i of part.args) code.get(pointers + i);
      code.call(functionOf(part));
    });
    first = last;
  }
  code.finish();
}
