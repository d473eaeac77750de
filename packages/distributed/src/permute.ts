import type { HostArray, Permutation } from "@traceform/core";
import type { Transport } from "./transport.ts";

/**
 * Moves members of a batch that is spread over the processes of a group, in the order of `group`: only what changes its process is
 * sent, in one message for each pair of processes. Members of the result that nothing moves to are zeros.
 *
 * The rounds are the same in every process, also in those that have nothing to send or to receive in one, so that calls can be counted.
 */
export function permuteMembers(
  transport: Transport,
  x: HostArray,
  result: HostArray,
  perm: Permutation,
  group: readonly number[],
): void {
  const members = x.shape[0];
  const row = x.bytes.length / members;
  const count = group.length;
  const own = group.indexOf(transport.processIndex);
  const home = (member: number): number => Math.floor(member / members);
  const rowOf = ({ bytes }: HostArray, member: number): Uint8Array =>
    bytes.subarray((member % members) * row, ((member % members) + 1) * row);
  const filled = new Set(perm.map(([, to]) => to));
  for (let m = own * members; m < (own + 1) * members; m++) if (!filled.has(m)) rowOf(result, m).fill(0);
  for (const [from, to] of perm) if (home(from) === own && home(to) === own) rowOf(result, to).set(rowOf(x, from));
  for (let shift = 1; shift < count; shift++) {
    const moves = perm.filter(([from, to]) => (home(from) + shift) % count === home(to));
    if (moves.length === 0) continue;
    const leaving = moves.flatMap(([from]) => (home(from) === own ? [rowOf(x, from)] : []));
    const coming = moves.flatMap(([, to]) => (home(to) === own ? [rowOf(result, to)] : []));
    // One row is sent from where it is, and received where it belongs.
    const send = leaving.length === 1 ? leaving[0] : joined(leaving, row);
    const receive = coming.length === 1 ? coming[0] : new Uint8Array(coming.length * row);
    transport.exchange(
      send,
      leaving.length === 0 ? null : group[(own + shift) % count],
      receive,
      coming.length === 0 ? null : group[(own + count - shift) % count],
    );
    if (coming.length > 1) coming.forEach((target, i) => target.set(receive.subarray(i * row, (i + 1) * row)));
  }
}

function joined(rows: readonly Uint8Array[], row: number): Uint8Array {
  const all = new Uint8Array(rows.length * row);
  rows.forEach((r, i) => all.set(r, i * row));
  return all;
}
