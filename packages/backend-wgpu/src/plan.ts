import type { BufferInfo, Program, Step, View } from "@traceform/compiler";
import {
  type BareDispatch,
  copyDispatch,
  type Dispatch,
  gateDispatch,
  launchDispatches,
  type Pointer,
  startOf,
  workgroupsOf,
} from "./dispatches.ts";
import type { Schedule } from "./emit/schedule.ts";
import { type Gate, Gates, gatesAround } from "./gates.ts";

/** What runs in order: dispatches, and between them what the host has to do or to look at. */
export type Plan = readonly PlanStep[];

export type PlanStep =
  | { readonly kind: "dispatches"; readonly list: readonly Dispatch[] }
  | { readonly kind: "host"; readonly step: number; readonly reads: readonly Pointer[]; readonly writes: readonly Pointer[] }
  | { readonly kind: "choice"; readonly index: Pointer; readonly branches: readonly Plan[] }
  /** A loop of a known length; carries that trade places make even and odd rounds. */
  | { readonly kind: "trips"; readonly loop: number; readonly trips: number; readonly rounds: readonly Plan[] }
  | {
      readonly kind: "loop";
      readonly predicate: Pointer;
      /** Even and odd rounds: carries have traded places. */
      readonly rounds: readonly { readonly condition: Plan; readonly body: Plan }[];
      /** After an odd number of rounds: puts the carries where they are after an even one. */
      readonly settle: Plan;
    }
  | {
      readonly kind: "speculation";
      readonly gate: Gate;
      readonly start: Plan;
      /** Even and odd rounds, with their predicate: rounds after the last one do nothing. */
      readonly rounds: readonly Plan[];
      readonly settle: Plan;
    }
  /** Loops of unknown length in loops or branches, which the device walks without the host: see `ahead.ts`. */
  | { readonly kind: "ahead"; readonly start: Plan; readonly body: Plan }
  | Within;

/** A loop of unknown length inside of what is encoded ahead. */
export interface Within {
  readonly kind: "within";
  readonly gate: Gate;
  readonly start: Plan;
  readonly rounds: readonly Plan[];
  /** After the last round that is encoded: if the loop goes on, nothing else does. */
  readonly stall: Plan;
  /** Opens everything again. */
  readonly resume: Plan;
  readonly settle: Plan;
}

export interface ProgramPlan {
  readonly steps: Plan;
  /** All dispatches, each once, however often it runs. */
  readonly dispatches: readonly Dispatch[];
  /** The words with which the memory of the gates begins. */
  readonly gates: Uint32Array<ArrayBuffer>;
}

/**
 * How a program runs. Branches, and loops that run while a predicate holds, are decided on the device (see `gates.ts`), unless there are calls out
 * to JavaScript in them: then the host looks at the predicate.
 *
 * `most` is how many workgroups a dispatch may have in one dimension.
 */
export function planProgram(program: Program, schedule: Schedule, most: number): ProgramPlan {
  const gates = new Gates();
  const dispatches: Dispatch[] = [];
  /** Where the buffers are that have traded places. */
  const places = new Map<BufferInfo, BufferInfo>();
  const placeOf = (buffer: BufferInfo): BufferInfo => places.get(buffer) ?? buffer;
  const pointer = ({ buffer, offset, steps }: View): Pointer => ({ buffer: placeOf(buffer), offset, steps });
  const swap = (pairs: readonly (readonly [BufferInfo, BufferInfo])[]): void => {
    for (const [a, b] of pairs) {
      const [x, y] = [placeOf(a), placeOf(b)];
      places.set(a, y).set(b, x);
    }
  };

  /** What rounds are when buffers trade places at the end of each. */
  const evenAndOdd = <T>(pairs: readonly (readonly [BufferInfo, BufferInfo])[], round: () => T): readonly T[] =>
    [0, 1].map(() => {
      const made = round();
      swap(pairs);
      return made;
    });

  const underGate = ({ groups, parts = [], ...rest }: BareDispatch, gate: Gate | null): Dispatch => {
    const workgroups = workgroupsOf(groups, most);
    return {
      ...rest,
      workgroups,
      parts: parts.map((p) => underGate(p, gate)),
      gate: gate === null ? null : { gate, record: gates.record(gate, workgroups) },
    };
  };
  const add = (steps: PlanStep[], bare: BareDispatch, gate: Gate | null): void => {
    if (bare.groups === 0) return;
    const dispatch = underGate(bare, gate);
    dispatches.push(dispatch);
    const last = steps.at(-1);
    if (last?.kind === "dispatches") (last.list as Dispatch[]).push(dispatch);
    else steps.push({ kind: "dispatches", list: [dispatch] });
  };

  const plan = (steps: readonly Step[], gate: Gate | null, out: PlanStep[] = []): PlanStep[] => {
    for (const s of steps) {
      if (gate === null && holdsUnknown(s) && runsAlone([s])) {
        out.push(ahead(s));
        continue;
      }
      switch (s.kind) {
        case "launch":
          for (const d of launchDispatches(s.kernel, s.args.map(pointer), s.origins, schedule)) add(out, d, gate);
          break;
        case "copy":
          add(out, copyDispatch(pointer(s.from), pointer(s.to), s.bytes), gate);
          break;
        case "host":
          out.push({ kind: "host", step: s.step, reads: s.reads.map(pointer), writes: s.writes.map(pointer) });
          break;
        case "branch": {
          const index = pointer(s.index);
          if (s.branches.every(runsAlone)) {
            const own = s.branches.map(() => gates.open(gate));
            const last = own.length - 1;
            // All are set before any branch runs: the index may be in memory that they use.
            own.forEach((g, branch) => add(out, gateDispatch(g, index, { kind: "chosen", branch, last }), null));
            s.branches.forEach((b, i) => plan(b, own[i], out));
          } else out.push({ kind: "choice", index, branches: s.branches.map((b) => plan(b, gate)) });
          break;
        }
        case "loop":
          if (s.trips === null && gate !== null) out.push(within(s, gate));
          else if (s.trips === null) unknownLoop(s, out);
          else if (s.trips > 0) {
            const rounds = s.swaps.length === 0 ? [plan(s.body, gate)] : evenAndOdd(s.swaps, () => plan(s.body, gate));
            if (s.trips % 2 === 1) swap(s.swaps);
            out.push({ kind: "trips", loop: s.loop, trips: s.trips, rounds });
          }
          break;
      }
    }
    return out;
  };

  const unknownLoop = ({ condition, predicate, body, swaps }: Extract<Step, { kind: "loop" }>, out: PlanStep[]): void => {
    const settle: PlanStep[] = [];
    for (const [present, next] of swaps)
      add(settle, copyDispatch(startOf(placeOf(next)), startOf(placeOf(present)), present.bytes), null);
    const tested = pointer(predicate!);
    if (!runsAlone(condition) || !runsAlone(body)) {
      const rounds = evenAndOdd(swaps, () => ({ condition: plan(condition, null), body: plan(body, null) }));
      out.push({ kind: "loop", predicate: tested, rounds, settle });
      return;
    }
    const gate = gates.open(null);
    const start: PlanStep[] = [];
    add(start, gateDispatch(gate, null, { kind: "start" }), null);
    const rounds = evenAndOdd(swaps, () => {
      const round = plan(condition, gate);
      add(round, gateDispatch(gate, tested, { kind: "holds" }), null);
      return plan(body, gate, round);
    });
    out.push({ kind: "speculation", gate, start, rounds, settle });
  };

  /** What contains loops of unknown length: all of it has gates, which close when one of the loops takes longer than was thought. */
  const ahead = (step: Step): PlanStep => {
    const gate = gates.open(null);
    const start: PlanStep[] = [];
    add(start, gateDispatch(gate, null, { kind: "start" }), null);
    return { kind: "ahead", start, body: plan([step], gate) };
  };
  const within = ({ condition, predicate, body, swaps }: Extract<Step, { kind: "loop" }>, around: Gate): Within => {
    const gate = gates.open(around);
    const odd = gates.open(around);
    const tested = pointer(predicate!);
    const parts = { start: [], stall: [], resume: [], settle: [] } as Record<"start" | "stall" | "resume" | "settle", PlanStep[]>;
    add(parts.start, gateDispatch(gate, null, { kind: "start" }), null);
    for (const g of gatesAround(gate)) {
      add(parts.stall, gateDispatch(g, null, { kind: "stalled", watched: gate }), null);
      add(parts.resume, gateDispatch(g, null, { kind: "resumed" }), null);
    }
    add(parts.settle, gateDispatch(odd, null, { kind: "odd", watched: gate }), null);
    for (const [present, next] of swaps)
      add(parts.settle, copyDispatch(startOf(placeOf(next)), startOf(placeOf(present)), present.bytes), odd);
    const rounds = evenAndOdd(swaps, () => {
      const round = plan(condition, gate);
      add(round, gateDispatch(gate, tested, { kind: "holds" }), null);
      return plan(body, gate, round);
    });
    return { kind: "within", gate, rounds, ...parts };
  };

  return { steps: plan(program.steps, null), dispatches, gates: gates.layOut() };
}

/** Whether the host has nothing to look at while a plan runs. */
export function needsNoHost(plan: Plan): boolean {
  return plan.every((s) => s.kind === "dispatches" || (s.kind === "trips" && s.rounds.every(needsNoHost)));
}
/** The dispatches of a plan that needs no host. */
export function countOf(plan: Plan): number {
  return plan.reduce((sum, s) => {
    if (s.kind === "dispatches") return sum + s.list.length;
    if (s.kind !== "trips") return sum;
    const each = s.rounds.reduce((n, r) => n + countOf(r), 0) / s.rounds.length;
    return sum + Math.ceil(s.trips * each);
  }, 0);
}

/** Whether the device needs nobody to run the steps. */
function runsAlone(steps: readonly Step[]): boolean {
  return steps.every((s) => {
    switch (s.kind) {
      case "host":
        return false;
      case "branch":
        return s.branches.every(runsAlone);
      case "loop":
        return runsAlone(s.condition) && runsAlone(s.body);
      default:
        return true;
    }
  });
}

/** Whether a loop of unknown length is inside of a loop or a branch. */
function holdsUnknown(step: Step): boolean {
  const unknown = (s: Step): boolean => (s.kind === "loop" && s.trips === null) || holdsUnknown(s);
  switch (step.kind) {
    case "branch":
      return step.branches.flat().some(unknown);
    case "loop":
      return [...step.condition, ...step.body].some(unknown);
    default:
      return false;
  }
}
