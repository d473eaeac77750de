/** Workgroups of a dispatch in two dimensions. */
export type Workgroups = readonly [number, number];

/** Stands for the memory of the gates among the buffers of a program. */
export const gates: unique symbol = Symbol("gates");

/**
 * Words before the gates: the number, and one more, of the loop that stalled: it was not at its end when its rounds were (see `ahead.ts`). Else 0.
 */
const stallWords = 1;
/** Words of a gate before its records: whether it is open, and how many rounds of its loop have begun. */
const headWords = 2;
/** Words of a record: what WebGPU takes for the workgroups of a dispatch, and what they are while the gate is open. */
const recordWords = 5;

/**
 * What lets the device decide which dispatches run: they are indirect, and a kernel that looks at a predicate writes how many
 * workgroups they have, or none. A gate is closed while the one around it is.
 */
export interface Gate {
  readonly parent: Gate | null;
  /** In words. */
  position: number;
  /** The workgroups that its dispatches have while it is open. */
  readonly records: Workgroups[];
}

/** The gates of a program. */
export class Gates {
  readonly #all: Gate[] = [];

  open(parent: Gate | null): Gate {
    const gate: Gate = { parent, position: 0, records: [] };
    this.#all.push(gate);
    return gate;
  }
  /** The record of a gate for dispatches of so many workgroups. */
  record(gate: Gate, workgroups: Workgroups): number {
    const found = gate.records.findIndex(([x, y]) => x === workgroups[0] && y === workgroups[1]);
    return found >= 0 ? found : gate.records.push(workgroups) - 1;
  }

  /** Places all gates; the words with which their memory begins. */
  layOut(): Uint32Array<ArrayBuffer> {
    let words = this.#all.length === 0 ? 0 : stallWords;
    for (const gate of this.#all) {
      gate.position = words;
      words += headWords + recordWords * gate.records.length;
    }
    const memory = new Uint32Array(words);
    for (const { position, records } of this.#all)
      records.forEach(([x, y], i) => memory.set([0, y, 1, x, y], position + headWords + recordWords * i));
    return memory;
  }
}

/** A gate and those around it, the outermost one first. */
export function gatesAround(gate: Gate): readonly Gate[] {
  return gate.parent === null ? [gate] : [...gatesAround(gate.parent), gate];
}

/** Where WebGPU finds the workgroups of a dispatch, in bytes. */
export function recordOffset({ gate, record }: { readonly gate: Gate; readonly record: number }): number {
  return 4 * (gate.position + headWords + recordWords * record);
}
