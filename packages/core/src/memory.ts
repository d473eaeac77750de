import type { Device } from "./device.ts";

/**
 * Garbage collection as the safety net for device memory.
 *
 * A finalizer holds the device and the buffer's *id*, never the buffer: a spilled buffer owns its bytes, and a
 * registry that held it would keep them alive until a task runs, which a synchronous loop never allows.
 */
interface Ticket {
  readonly device: Device;
  readonly id: number;
}

const collected = new FinalizationRegistry<Ticket>(({ device, id }) => device.releaseById(id));

export function watch(handle: object, device: Device, bufferId: number): void {
  collected.register(handle, { device, id: bufferId }, handle);
}

export function unwatch(handle: object): void {
  collected.unregister(handle);
}

const mebibyte = 1 << 20;

/** An empty resizable buffer counts its maximum towards the collector's pressure without resident memory. */
type Resizable = new (length: number, options: { maxByteLength: number }) => ArrayBuffer;

let shared: ArrayBuffer | null = null;
let sharedLeft = 0;

/**
 * Tokens of handles whose life was ended, for the next handles of their size. A loop that disposes of what it made would otherwise
 * make the collector run, on other threads too, though there is nothing to collect.
 */
const free = new Map<number, ArrayBuffer[]>();
let freeBytes = 0;
const mostFreeBytes = 256 * mebibyte;

/**
 * A token that lets the collector feel `bytes` of device memory: the handle keeps it, and its size drives
 * collection although the handle itself is tiny. Small handles share one token per MiB.
 */
export function pressureToken(bytes: number): ArrayBuffer {
  if (bytes >= mebibyte) {
    const found = free.get(bytes)?.pop();
    if (found === undefined) return token(bytes);
    freeBytes -= bytes;
    return found;
  }
  if (shared === null || sharedLeft < bytes) {
    shared = token(mebibyte);
    sharedLeft = mebibyte;
  }
  sharedLeft -= bytes;
  return shared;
}

/** Takes back the token of a handle of `bytes` that will not be used again. */
export function returnToken(used: ArrayBuffer, bytes: number): void {
  if (used === shared) sharedLeft += bytes;
  if (bytes < mebibyte || bytes > mostFreeBytes) return;
  // Sizes that are not asked for any more make room.
  for (const [size, list] of free) {
    if (freeBytes + bytes <= mostFreeBytes) break;
    freeBytes -= size * list.length;
    free.delete(size);
  }
  const list = free.get(bytes);
  if (list === undefined) free.set(bytes, [used]);
  else list.push(used);
  freeBytes += bytes;
}

function token(bytes: number): ArrayBuffer {
  try {
    return new (ArrayBuffer as unknown as Resizable)(bytes, { maxByteLength: bytes });
  } catch {
    // Address space for the token is short; the account is a hint, so do without.
    return new ArrayBuffer(0);
  }
}
