import { type Aval, type HostArray, invariant, isComplex, physical, type Seat } from "@traceform/core";
import type { Program } from "@traceform/compiler";
import { encodeAhead, firstRounds, mostAhead } from "./ahead.ts";
import { bytesOf } from "./buffer.ts";
import type { WgpuDevice } from "./device.ts";
import { type Dispatch, type Pointer, startOf } from "./dispatches.ts";
import { specials } from "./emit/words.ts";
import { gates, recordOffset } from "./gates.ts";
import { fromDevice, inWords, toDevice } from "./host.ts";
import type { Piece, Slab } from "./memory.ts";
import { joinOutcomes, type Outcome } from "./outcome.ts";
import { beginPasses } from "./passes.ts";
import { type Pipelines, wordBytes } from "./pipelines.ts";
import { countOf, needsNoHost, type Plan, type PlanStep } from "./plan.ts";

/** So many wait at the most before they are submitted: the device begins meanwhile. */
const mostWaiting = 1 << 13;

/** What a run has of the device. */
export interface RunContext {
  readonly program: Program;
  readonly device: WgpuDevice;
  readonly pipelines: Pipelines;
  /** Where the buffers of the program are, and its gates. */
  readonly pieceOf: (buffer: Pointer["buffer"]) => Piece;
  /** Its place among the GPUs that run the program; null unless there are several. */
  readonly seat: Seat | null;
}

/** One run of a program. Dispatches are collected, and submitted when somebody has to look at what they make. */
export class Run {
  readonly #context: RunContext;
  #waiting: Waiting[] = [];
  /** Which trip each loop is at. */
  readonly #trips = new Map<number, number>();
  /** Of the pipelines so far. */
  outcome: Outcome | null = null;
  /** Meetings with other members whose results have not come. */
  #awaited: Awaited[] = [];
  /** Resolves when this member has come to the last of its meetings, with all before it: members count them. */
  #come: Promise<unknown> = Promise.resolve();
  #failed = false;

  constructor(context: RunContext) {
    this.#context = context;
  }

  /** `number` is what gates are given beside their words. */
  add(list: readonly Dispatch[], number = 0): void {
    for (const dispatch of list) {
      const steps = dispatch.pointers.some((p) => p.steps.length > 0);
      this.#waiting.push({ dispatch, shifts: steps ? dispatch.pointers.map((p) => this.#shift(p)) : null, number });
    }
    if (this.#waiting.length >= mostWaiting) this.submit();
  }
  /** Adds all of a plan that needs no host. */
  addPlan(plan: Plan): void {
    for (const step of plan) {
      if (step.kind === "dispatches") this.add(step.list);
      else if (step.kind === "trips") {
        for (let i = 0; i < step.trips; i++) {
          this.#trips.set(step.loop, i);
          this.addPlan(step.rounds[i % step.rounds.length]);
        }
      }
    }
  }
  /** How far a pointer has come by the trips of its loops. */
  #shift({ steps }: Pointer): number {
    return steps.reduce((sum, s) => sum + this.#trips.get(s.loop)! * s.bytes, 0);
  }

  /** Submits what waits, as one encoder and one pass. Errors are those of its pipelines. */
  submit(): void {
    const { pipelines, device, program, pieceOf } = this.#context;
    const { gpu } = device;
    const bindings = gpu.limits.maxStorageBuffersPerShaderStage;
    const waiting = this.#waiting.flatMap((w) => partsThatFit(w, pieceOf, bindings));
    this.#waiting = [];
    if (waiting.length === 0) return;
    const list = waiting.map((w) => w.dispatch);
    const places = waiting.map((w) => placesOf(w, pieceOf));
    const ready = list.map((d, i) => pipelines.pipeline(d, places[i].bindings));
    const slabs = places.flatMap((p) => p.slabs);
    const outcome = (this.outcome = joinOutcomes([
      this.outcome,
      ...[...ready.map((r) => r.compiled), ...slabs].map((c) => c.outcome),
    ]));
    if (outcome !== null && outcome.failure !== null) return;
    const sources = ready.map((r) => r.source);
    const words = list.map((d, i) => {
      const all = [...specials, ...places[i].offsets, ...d.words()];
      if (d.kernel.kind === "gate") all.push(waiting[i].number);
      all.push(...ready[i].sizes);
      return all;
    });
    const bytes = words.reduce((sum, w, i) => sum + (sources[i] === "uniform" ? wordBytes(w.length) : 0), 0);
    const uniforms = new Uint32Array(bytes / 4);
    const buffer = bytes > 0 ? pipelines.words(bytes) : null;
    // A pipeline that turns out to be none makes the commands invalid too; what it says itself is what counts.
    if (outcome !== null) gpu.pushErrorScope("validation");
    const encoder = gpu.createCommandEncoder({ label: program.name });
    const passes = beginPasses(gpu, encoder, program.name, list.length);
    let at = 0;
    /** What the pass has: setting it again takes time. */
    let set: { readonly pass: GPUComputePassEncoder; readonly group: GPUBindGroup } | null = null;
    list.forEach((d, i) => {
      const pass = passes.of(d.name);
      pass.setPipeline(ready[i].compiled.pipeline);
      if (sources[i] === "uniform") {
        uniforms.set(words[i], at / 4);
        pass.setBindGroup(0, pipelines.group(places[i].slabs, words[i].length), [at]);
        at += wordBytes(words[i].length);
        set = null;
      } else {
        const group = pipelines.group(places[i].slabs, 0);
        if (set?.pass !== pass || set.group !== group) pass.setBindGroup(0, group);
        set = { pass, group };
        // From one buffer: taking a view apart takes longer than all else here (m).
        immediates.set(words[i]);
        (pass as GPUComputePassEncoder & ImmediateEncoder).setImmediates(0, immediates.buffer, 0, vectorBytes(words[i].length));
      }
      if (d.gate === null) pass.dispatchWorkgroups(...d.workgroups);
      else pass.dispatchWorkgroupsIndirect(pieceOf(gates).slab.gpu, recordOffset(d.gate));
    });
    passes.end();
    if (buffer !== null) gpu.queue.writeBuffer(buffer, 0, uniforms);
    gpu.queue.submit([encoder.finish()]);
    passes.submitted();
    if (outcome !== null) void gpu.popErrorScope();
  }

  /** Runs a plan; what it has encoded last may still wait. */
  async perform(plan: Plan): Promise<void> {
    try {
      await this.#steps(plan);
      await this.#arrived();
    } catch (error) {
      // Whatever comes yet may not be written: the memory is that of others then.
      this.#failed = true;
      throw error;
    }
  }

  async #steps(plan: Plan): Promise<void> {
    for (const step of plan) {
      switch (step.kind) {
        case "dispatches":
          if (this.#awaited.length === 0) this.add(step.list);
          else {
            for (const dispatch of step.list) {
              await this.#arrived(dispatch.pointers);
              this.add([dispatch]);
            }
          }
          break;
        case "trips":
          if (needsNoHost(step.rounds.flat())) {
            await this.#arrived();
            this.addPlan([step]);
          } else {
            for (let i = 0; i < step.trips; i++) {
              this.#trips.set(step.loop, i);
              await this.#steps(step.rounds[i % step.rounds.length]);
            }
          }
          break;
        case "host":
          await this.#callHost(step);
          break;
        case "choice": {
          const [index] = new Int32Array((await this.#look(step.index, 1)).buffer);
          await this.#steps(step.branches[Math.max(0, Math.min(index, step.branches.length - 1))]);
          break;
        }
        case "loop":
          await this.#loop(step);
          break;
        case "speculation":
          await this.#arrived();
          await this.#speculate(step);
          break;
        case "ahead":
          await this.#arrived();
          await encodeAhead(step.start, step.body, {
            add: (list, number) => this.add(list, number),
            trip: (loop, trip) => void this.#trips.set(loop, trip),
            look: async () => (await this.#look(startOf(gates), 1))[0],
          });
          break;
        case "within":
          invariant(false, "a loop that is encoded ahead stands alone");
      }
    }
  }

  async #loop({ rounds, predicate, settle }: Extract<PlanStep, { kind: "loop" }>): Promise<void> {
    for (let i = 0; ; i++) {
      const { condition, body } = rounds[i & 1];
      await this.#steps(condition);
      const [holds] = await this.#look(predicate, 1);
      if ((holds & 0xff) === 0) {
        if (i & 1) await this.#steps(settle);
        return;
      }
      await this.#steps(body);
    }
  }

  async #speculate({ gate, start, rounds, settle }: Extract<PlanStep, { kind: "speculation" }>): Promise<void> {
    await this.#steps(start);
    const most = Math.max(2, 2 * Math.floor(mostAhead / rounds.reduce((n, r) => n + countOf(r), 0)));
    for (let ahead = Math.min(firstRounds, most); ; ahead = Math.min(2 * ahead, most)) {
      for (let i = 0; i < ahead; i++) await this.#steps(rounds[i & 1]);
      const [open, begun] = await this.#look({ ...startOf(gates), offset: 4 * gate.position }, 2);
      if (open !== 0) continue;
      if (begun & 1) await this.#steps(settle);
      return;
    }
  }

  /** Waits for so many words. */
  async #look(at: Pointer, count: number): Promise<Uint32Array<ArrayBuffer>> {
    await this.#arrived();
    await this.#submitted();
    const place = this.#place(at, 4 * count);
    const [words] = await this.#context.device.reads.words([place]);
    return new Uint32Array(words.buffer.slice(place.before, place.before + 4 * count));
  }
  /** Submits what waits. Of commands that were not valid nothing can be read, and loops would not end. */
  async #submitted(): Promise<void> {
    this.submit();
    await this.outcome?.check();
  }
  /** The words in which so many bytes are, and how many bytes of the first one come before them. */
  #place(at: Pointer, bytes: number): Place {
    const piece = this.#context.pieceOf(at.buffer);
    const offset = piece.offset + at.offset + this.#shift(at);
    const before = offset % 4;
    return { piece: { ...piece, offset: offset - before }, bytes: inWords(before + bytes), before };
  }

  /**
   * Calls out to JavaScript: operands are read before the step runs, and whatever it does. A meeting with other members goes on beside what follows: its operands
   * are copied now, and who needs its results waits for them.
   */
  async #callHost({ step, reads, writes }: Extract<PlanStep, { kind: "host" }>): Promise<void> {
    const { device, program, seat } = this.#context;
    const host = program.hosts[step];
    const operands = host.inAvals.map(hostType);
    const sizes = host.outAvals.map(hostType).flatMap(planesOf);
    await this.#arrived([...reads, ...writes]);
    await this.#submitted();
    const sources = operands.flatMap(planesOf).map((bytes, i) => this.#place(reads[i], bytes));
    const targets = sizes.map((bytes, i) => this.#place(writes[i], bytes));
    // Of words that are written in part the rest is what it was.
    const partial = targets.map((p, i) => (p.bytes > sizes[i] ? p : { ...p, bytes: 0 }));
    const read = Promise.all([device.reads.words(sources), device.reads.words(partial)]);
    const given = (words: readonly Uint32Array<ArrayBuffer>[]): HostArray[] => {
      let next = 0;
      return operands.map(({ shape, dtype, planes: n, bytes }) => {
        const all = new Uint8Array(bytes);
        for (let i = 0; i < n; i++, next++)
          all.set(new Uint8Array(words[next].buffer, sources[next].before, bytes / n), (i * bytes) / n);
        return { shape, dtype, bytes: fromDevice(dtype, all) };
      });
    };
    const write = (results: readonly HostArray[], around: readonly Uint32Array<ArrayBuffer>[]): void => {
      if (this.#failed) return;
      const written = results.flatMap(({ dtype, bytes }, i) => {
        const all = toDevice(dtype, bytes).subarray(0, bytes.length);
        return planesOf(hostType(host.outAvals[i])).map((size, k) => all.subarray(k * size, (k + 1) * size));
      });
      targets.forEach(({ piece: { slab, offset }, bytes, before }, i) => {
        const words = new Uint8Array(bytes);
        words.set(new Uint8Array(around[i].buffer));
        words.set(written[i], before);
        if (bytes > 0) device.gpu.queue.writeBuffer(slab.gpu, offset, words);
      });
    };
    const { meet } = host;
    if (seat === null || meet === undefined) {
      const [words, around] = await read;
      write(host.run(given(words)), around);
      return;
    }
    const come = Promise.all([read, this.#come]).then(([[words, around]]) => ({ results: meet(given(words), seat), around }));
    this.#come = come;
    const done = come.then(async ({ results, around }) => write(await results, around));
    // Who waits for it hears of a failure, and the end of the program does.
    done.catch(() => null);
    this.#awaited.push({ targets, done });
  }

  /** Waits for the meetings that write to the buffers of some pointers; for all of them where none are named. */
  async #arrived(pointers?: readonly Pointer[]): Promise<void> {
    const needed = this.#awaited.filter(({ targets }) => pointers?.some((p) => targets.some((t) => this.#touches(p, t))) ?? true);
    if (needed.length === 0) return;
    // The device goes on with what it has.
    this.submit();
    await Promise.all(needed.map((a) => a.done));
    this.#awaited = this.#awaited.filter((a) => !needed.includes(a));
  }
  #touches({ buffer }: Pointer, { piece, bytes }: Place): boolean {
    if (buffer === gates) return false;
    const { slab, offset } = this.#context.pieceOf(buffer);
    return slab === piece.slab && offset < piece.offset + bytes && piece.offset < offset + inWords(buffer.bytes);
  }
}

/** Words of the device, and how many bytes of the first one come before those that are meant. */
interface Place {
  readonly piece: Piece;
  readonly bytes: number;
  readonly before: number;
}

/** A meeting that has not ended, and where its results go. */
interface Awaited {
  readonly targets: readonly Place[];
  readonly done: Promise<void>;
}

/** Immediates on their way into the commands, which copy them. */
const immediates = new Uint32Array(64);
/** Bytes of words as `declareWords` declares them. */
const vectorBytes = (words: number): number => 16 * Math.ceil(words / 4);

/** See `ImmediateLimits`. */
interface ImmediateEncoder {
  setImmediates(offset: number, data: ArrayBuffer, dataOffset: number, dataBytes: number): void;
}

/** What an array is on the device: a complex one is two planes. */
function hostType(aval: Aval): Pick<HostArray, "shape" | "dtype"> & { readonly planes: number; readonly bytes: number } {
  const { shape, dtype } = physical(aval);
  return { shape, dtype, planes: isComplex(dtype) ? 2 : 1, bytes: bytesOf(shape, dtype) };
}
/** The bytes of each plane. */
function planesOf({ planes, bytes }: { readonly planes: number; readonly bytes: number }): readonly number[] {
  return new Array<number>(planes).fill(bytes / planes);
}

/** A dispatch that waits, and how far its pointers have come in their loops; null where they have none. */
interface Waiting {
  readonly dispatch: Dispatch;
  readonly shifts: readonly number[] | null;
  /** See `Run.add`. */
  readonly number: number;
}

interface Places {
  readonly slabs: readonly Slab[];
  readonly bindings: readonly number[];
  readonly offsets: readonly number[];
}

/** The slabs that a dispatch uses, and for each pointer which of them it is in and at which byte. */
function placesOf({ dispatch: { pointers }, shifts }: Waiting, pieceOf: RunContext["pieceOf"]): Places {
  const slabs: Slab[] = [];
  const offsets: number[] = [];
  const bindings = pointers.map((p, i) => {
    const { slab, offset } = pieceOf(p.buffer);
    offsets.push(offset + p.offset + (shifts === null ? 0 : shifts[i]));
    const known = slabs.indexOf(slab);
    return known < 0 ? slabs.push(slab) - 1 : known;
  });
  return { slabs, bindings, offsets };
}

/** The dispatch, or those of its parts where its memory is in more buffers than the device binds. */
function partsThatFit(waiting: Waiting, pieceOf: RunContext["pieceOf"], bindings: number): readonly Waiting[] {
  const { parts, pointers } = waiting.dispatch;
  if (parts.length === 0 || placesOf(waiting, pieceOf).slabs.length <= bindings) return [waiting];
  const shiftOf = new Map(pointers.map((p, i) => [p, waiting.shifts === null ? 0 : waiting.shifts[i]]));
  return parts.map((dispatch) => ({ dispatch, shifts: dispatch.pointers.map((p) => shiftOf.get(p)!), number: waiting.number }));
}
