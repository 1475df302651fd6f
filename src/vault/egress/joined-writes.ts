import type { Writable } from 'node:stream';

export type Sink = Pick<Writable, 'write' | 'cork' | 'uncork'>;

/** Half of what one TLS record holds: a stream in a hurry comes in such pieces, and more of it is on its way. */
const largeBytes = 8 * 1024;
const corked = new WeakSet<Sink>();

/**
 * Writes a piece of a stream. Large pieces that came in one go leave in one go: each write of its own costs a call into
 * TLS and one into the kernel. What is small, and all before it, leaves at once. False when the sink is to be waited for.
 */
export function writeJoined(sink: Sink, piece: Buffer): boolean {
  if (piece.byteLength >= largeBytes) {
    if (!corked.has(sink)) {
      corked.add(sink);
      sink.cork();
      setImmediate(() => release(sink));
    }
    return sink.write(piece);
  }
  const isFree = sink.write(piece);
  release(sink);
  return isFree;
}

/** Sends what is still held back: before a sink is broken, say. */
export function release(sink: Sink): void {
  if (corked.delete(sink)) sink.uncork();
}
