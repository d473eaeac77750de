import type { Dispatch } from "./dispatches.ts";
import type { Plan, PlanStep, Within } from "./plan.ts";

/** Rounds of a loop that are encoded before anybody looks whether it goes on: first so many, then twice as many as before. */
export const firstRounds = 8;
/** Loops that have needed more rounds are not expected to do so again: empty rounds cost more than a look. */
const mostExpected = 64;
/** But not more dispatches than this at a time, if more than two rounds. */
export const mostAhead: number = 1 << 11;

/** Where in a plan somebody is. Places are kept, so that one can go back: they do not change. */
interface Place {
  /** Where to go on after the end of the plan; null at the end of all. */
  readonly after: Place | null;
  readonly plan: Plan;
  readonly next: number;
  /** The loop of which the plan is a round. */
  readonly loop: Round | null;
}
type Round =
  | { readonly step: Extract<PlanStep, { kind: "trips" }>; readonly trip: number }
  | { readonly step: Within; readonly round: number; readonly most: number };

/** What encodes the dispatches, and looks at what they have made of the gates. */
export interface Encoder {
  /** `number` is for the gates. */
  add(list: readonly Dispatch[], number: number): void;
  /** Says which trip a loop is at. */
  trip(loop: number, trip: number): void;
  /** The number of the dispatch that found its loop stalled, or 0. */
  look(): Promise<number>;
}

/**
 * Encodes loops of unknown length that are in loops, or branches, without looking at each. Of every loop so many rounds are encoded, and
 * those after its last one do nothing. Where the rounds end before the loop does, it stalls: a kernel closes all gates, so that nothing that was
 * encoded after it runs, and notes which one it was. When the host looks, it goes back to that loop, opens the gates and gives it twice as many
 * rounds. So what has run is always a beginning of what is encoded, and where carries have traded places is known.
 */
export async function encodeAhead(start: Plan, body: Plan, encoder: Encoder): Promise<void> {
  /** Where loops may have stalled, by their numbers, and how many dispatches were encoded until there. */
  let places: { readonly place: Place; readonly encoded: number }[] = [];
  /** How many rounds loops have needed. */
  const rounds = new Map<Within, number>();
  let encoded = 0;
  let batch = firstBatch;
  const encode = (plan: Plan, number = 0): void => {
    for (const step of plan) {
      if (step.kind !== "dispatches") continue;
      encoder.add(step.list, number);
      encoded += step.list.length;
    }
  };
  const enter = (place: Place): Place => {
    if (place.loop?.step.kind === "trips") encoder.trip(place.loop.step.loop, (place.loop as { trip: number }).trip);
    return place;
  };
  /** The place after a step, whose dispatches are encoded. */
  const walk = (place: Place): Place | null => {
    const { plan, next, loop, after } = place;
    if (next < plan.length) {
      const step = plan[next];
      const beyond = { ...place, next: next + 1 };
      switch (step.kind) {
        case "trips":
          return enter({ after: beyond, plan: step.rounds[0], next: 0, loop: { step, trip: 0 } });
        case "within": {
          encode(step.start);
          const most = rounds.get(step) ?? firstRounds;
          return { after: beyond, plan: step.rounds[0], next: 0, loop: { step, round: 0, most } };
        }
        default:
          encode([step]);
          return beyond;
      }
    }
    if (loop === null) return null;
    if (loop.step.kind === "trips") {
      const { step, trip } = loop as Extract<Round, { trip: number }>;
      const again = trip + 1;
      if (again === step.trips) return after;
      return enter({ after, plan: step.rounds[again % step.rounds.length], next: 0, loop: { step, trip: again } });
    }
    const { step, round, most } = loop as Extract<Round, { round: number }>;
    if (round + 1 < most) return { after, plan: step.rounds[(round + 1) & 1], next: 0, loop: { step, round: round + 1, most } };
    encode(step.stall, places.push({ place, encoded }));
    encode(step.settle);
    return after;
  };

  encode(start);
  let place: Place | null = { after: null, plan: body, next: 0, loop: null };
  for (;;) {
    while (place !== null && encoded < batch) place = walk(place);
    const stalled = await encoder.look();
    if (stalled === 0 && place === null) return;
    if (stalled > 0) {
      const { place: back, encoded: before }: (typeof places)[number] = places[stalled - 1];
      const { step, round, most } = back.loop as Extract<Round, { round: number }>;
      rounds.set(step, Math.max(rounds.get(step) ?? 0, Math.min(2 * most, mostExpected)));
      encode(step.resume);
      for (let outer: Place | null = back; outer !== null; outer = outer.after) enter(outer);
      place = { ...back, loop: { step, round, most: 2 * most } };
      // It may stall again, and then what comes after it is encoded for nothing.
      batch = before + 2 * firstBatch;
    } else batch *= 2;
    places = [];
    encoded = 0;
    batch = Math.min(batch, mostAhead);
  }
}

/** So many dispatches before the first look. */
const firstBatch = 1 << 8;
