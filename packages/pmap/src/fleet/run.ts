import {
  type Backend,
  type Buffer,
  compileProgram,
  type Compiled,
  concreteArg,
  ConcreteArray,
  type Device,
  type Executable,
  type Jaxpr,
  JaxprMemo,
  memoryBlocks,
  type NDArray,
  physical,
  type Place,
  type Sharding,
  type Slice,
  wholeSlices,
  withPlace,
} from "@traceform/core";
import { type BlockProgram, blockProgram, meshOver } from "../spmd/blocks.ts";
import { fleetExchange } from "./exchange.ts";
import { Meeting } from "./meeting.ts";

/** What one member of a fleet runs, and what it has of the operands and results. */
interface MemberProgram extends Pick<BlockProgram, "consts" | "shardings"> {
  readonly member: number;
  readonly executable: Executable;
  readonly operands: readonly Block[];
  readonly results: readonly Block[];
}
type Block = readonly Slice[];

const known = new JaxprMemo<readonly MemberProgram[]>();

/**
 * Runs a program of whole arrays on several GPUs: on each, the program of the blocks that it holds, as several processes would. All are
 * submitted, one after the other, before any of them has ended; what they exchange goes through the host.
 */
export function runOnFleet(
  { jaxpr, outAvals }: Compiled,
  layouts: readonly (Sharding | null)[],
  operands: readonly NDArray[],
  device: Device,
  name: string,
  donated?: readonly boolean[],
): NDArray[] {
  const { backend } = device;
  const fleet = backend.fleet!;
  const args = operands.map(concreteArg);
  const key = `${layouts.map((s) => s?.key ?? "").join(";")}|${donated?.join() ?? ""}`;
  const programs = known.get(jaxpr, key, () => memberPrograms(backend, jaxpr, layouts, name, donated ?? []));
  const { shardings } = programs[0];
  const buffers = args.map((x) => x.bufferOn(device));
  const parts: Buffer[][] = programs.map(() => []);
  try {
    programs.forEach(({ member, consts, operands: blocks }, p) => {
      for (const c of consts) parts[p].push(fleet.part((c as ConcreteArray).bufferOn(device), member, wholeSlices(c.shape)));
      buffers.forEach((b, i) => parts[p].push(fleet.part(b, member, blocks[i])));
    });
  } catch (error) {
    release(parts);
    throw error;
  }
  // A donated handle ends first: memory is used again only by who holds the last reference.
  args.forEach((x, i) => {
    if (donated?.[i]) x.end("was donated to a jitted function");
  });
  const made = runAll(name, programs, parts);
  return outAvals.map((aval, i) => {
    const { shape, dtype } = physical(aval);
    const own = programs.map(({ member, results }, p) => ({ member, block: results[i], buffer: made[p][i] }));
    return ConcreteArray.fromBuffer(fleet.join(shape, dtype, own), aval, shardings[i]);
  });
}

/** Runs the programs of all members on what each of them has, and releases that. One reference for each result. */
function runAll(name: string, programs: readonly MemberProgram[], parts: readonly (readonly Buffer[])[]): Buffer[][] {
  const { seats } = new Meeting(name, programs.length);
  const made: Buffer[][] = [];
  try {
    programs.forEach(({ executable }, p) => made.push(executable.run(parts[p], undefined, seats[p])));
  } catch (error) {
    // Those that have begun must not wait for the others.
    for (const seat of seats) seat.leave(error);
    release(made);
    throw error;
  } finally {
    release(parts);
  }
  return made;
}

function release(lists: readonly (readonly Buffer[])[]): void {
  for (const buffer of lists.flat()) buffer.release();
}

/** The programs of the members over whose memories a program is laid out, compiled for each of them. */
function memberPrograms(
  backend: Backend,
  jaxpr: Jaxpr,
  layouts: readonly (Sharding | null)[],
  name: string,
  donated: readonly boolean[],
): MemberProgram[] {
  return placesOf(backend, meshOver(jaxpr, layouts)!.devices).map(({ member, place }) =>
    withPlace(place, () => {
      const { jaxpr: own, consts, shardings } = blockProgram(jaxpr, layouts, name);
      const donate = donated.flatMap((d, i) => (d ? [consts.length + i] : []));
      return {
        member,
        consts,
        shardings,
        executable: compileProgram(backend.fleet!.members[member], own, { name, donate }),
        operands: jaxpr.inAvals.map(({ shape }, i) => blockOf(shape, layouts[i], member)),
        results: jaxpr.outAvals.map(({ shape }, i) => blockOf(shape, shardings[i], member)),
      };
    }),
  );
}

interface MemberPlace {
  readonly member: number;
  readonly place: Place;
}

const places = new WeakMap<Backend, Map<string, readonly MemberPlace[]>>();

/** The places of the members that some devices belong to, in their order: what is known at them is kept, so they are made once. */
function placesOf(backend: Backend, devices: readonly Device[]): readonly MemberPlace[] {
  const members = [...new Set(devices.map(({ memoryIndex = 0 }) => memoryIndex))].toSorted((a, b) => a - b);
  const byMembers = places.get(backend) ?? new Map<string, readonly MemberPlace[]>();
  places.set(backend, byMembers);
  const key = members.join();
  let found = byMembers.get(key);
  if (found === undefined) {
    const of = ({ memoryIndex = 0 }: Device): number => members.indexOf(memoryIndex);
    found = members.map((member, index) => ({ member, place: { index, count: members.length, exchange: fleetExchange, of } }));
    byMembers.set(key, found);
  }
  return found;
}

/** The block of an array that a member has: all of it where it is not cut. */
function blockOf(shape: readonly number[], sharding: Sharding | null, member: number): Block {
  return (sharding === null ? undefined : memoryBlocks(shape, sharding).get(member)) ?? wholeSlices(shape);
}
