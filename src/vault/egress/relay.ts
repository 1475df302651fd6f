import type { Socket } from 'node:net';
import type { Duplex, Readable, Transform, Writable } from 'node:stream';
import type { Lane } from './fair-queue.ts';
import { passedBy } from './garbage.ts';
import { PacedStream } from './pace.ts';

const lingerMs = 2_000;
/** A connection on which nothing comes for this long is ended; clients and servers ping well within it. */
const silenceTimeoutMs = 15 * 60_000;
/** No connection that nobody reads stays open for longer than this. */
const maxLifeMs = 24 * 3_600_000;

export interface RelayOptions {
  /** In which both ways wait. */
  lane?: Lane | undefined;
  /** Reads and changes what the client sends. An error of either ends both sides. */
  up?: Transform | undefined;
  /** The same of what the upstream sends. */
  down?: Transform | undefined;
}

/**
 * Passes bytes both ways, in the session's turns and as fast as the other side takes them, until one side ends or breaks,
 * and counts into `bytes` what came. Resolves when both are closed, with the error of the filter that ended it, if one did.
 */
export async function relay(
  client: Socket,
  upstream: Duplex,
  bytes: { up: number; down: number },
  { up, down, lane }: RelayOptions = {},
): Promise<Error | undefined> {
  let failure: Error | undefined;
  for (const filter of [up, down]) {
    filter?.once('error', (error) => {
      failure ??= error;
    });
  }
  // What has gone meanwhile says so no more.
  if (client.destroyed) upstream.destroy();
  if (upstream.destroyed) client.destroy();
  const upwards = pour(client, filtered(client, up, upstream), lane, (count) => {
    bytes.up += count;
  });
  const downwards = pour(upstream, filtered(upstream, down, client), lane, (count) => {
    bytes.down += count;
  });
  join(client, upstream, downwards);
  join(upstream, client, upwards);
  client.setTimeout(silenceTimeoutMs, () => client.destroy());
  const life = setTimeout(() => client.destroy(), maxLifeMs);
  life.unref();
  await Promise.all([closed(client), closed(upstream)]);
  clearTimeout(life);
  return failure;
}

/** Passes what comes on, in its turns and as fast as it is taken, to its end. */
export function pour(
  from: Readable,
  to: Writable,
  lane: Lane | undefined,
  count: (bytes: number) => void,
): PacedStream {
  const paced = new PacedStream(from, lane);
  from.on('data', (chunk: Buffer) => {
    count(chunk.byteLength);
    passedBy(chunk.byteLength);
    paced.passed(chunk.byteLength);
    if (!to.destroyed && !to.write(chunk)) paced.full();
  });
  from.once('end', () => to.end());
  to.on('drain', () => paced.drained());
  from.resume();
  return paced;
}

/** When one breaks, the other is broken too. */
function join(from: Duplex, to: Duplex, back: PacedStream): void {
  const both = () => {
    from.destroy();
    to.destroy();
  };
  from.on('error', () => to.destroy());
  from.once('close', () => {
    if (!from.readableEnded) to.destroy();
  });
  // There is no half of such a connection: after one side has ended, the other has a moment for what is on its way.
  from.once('end', () => {
    const timer = setTimeout(() => {
      if (back.isWaiting) timer.refresh();
      else both();
    }, lingerMs).unref();
  });
}

/** What is to be written to, so that it comes to its reader through the filter. */
function filtered(from: Duplex, filter: Transform | undefined, to: Duplex): Writable {
  if (!filter) return to;
  filter.once('error', () => {
    from.destroy();
    to.destroy();
  });
  filter.pipe(to);
  return filter;
}

/** Resolves when a stream is closed. */
export function closed(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    if (stream.closed) resolve();
    else stream.once('close', resolve);
  });
}
