import type { Socket } from 'node:net';
import type { Duplex, Transform } from 'node:stream';
import type { Lane } from './fair-queue.ts';
import { Pace } from './pace.ts';
import { passedBy } from './young-garbage.ts';

const lingerMs = 2_000;
/** A connection on which nothing comes for this long is ended; clients and servers ping well within it. */
const silenceTimeoutMs = 15 * 60_000;
/** No connection that nobody reads stays open for longer than this. */
const maxLifeMs = 24 * 3_600_000;

export interface RelayFilters {
  /** Reads and changes what the client sends. An error of either ends both sides. */
  up?: Transform | undefined;
  /** The same of what the upstream sends. */
  down?: Transform | undefined;
}

/**
 * Passes bytes both ways, as fast as the other side takes them, until one side ends or breaks, and counts into
 * `bytes` what came. Resolves when both are closed, with the error of the filter that ended it, if one did.
 */
export async function relay(
  client: Socket,
  upstream: Duplex,
  bytes: { up: number; down: number },
  { up, down, lane }: RelayFilters & { lane?: Lane | undefined } = {},
): Promise<Error | undefined> {
  let failure: Error | undefined;
  for (const filter of [up, down]) {
    filter?.once('error', (error) => {
      failure ??= error;
    });
  }
  watch(client, up ?? upstream, lane, (count) => {
    bytes.up += count;
  });
  watch(upstream, down ?? client, lane, (count) => {
    bytes.down += count;
  });
  // What has gone meanwhile says so no more.
  if (client.destroyed) upstream.destroy();
  if (upstream.destroyed) client.destroy();
  join(client, upstream, up);
  join(upstream, client, down);
  client.setTimeout(silenceTimeoutMs, () => client.destroy());
  const life = setTimeout(() => client.destroy(), maxLifeMs);
  life.unref();
  await Promise.all([closed(client), closed(upstream)]);
  clearTimeout(life);
  return failure;
}

/** Counts what comes, and lets it wait its turn; while its reader is slower than that, it waits for its reader. */
function watch(from: Duplex, to: Duplex, lane: Lane | undefined, add: (bytes: number) => void): void {
  const pace = new Pace(lane);
  from.on('data', (chunk: Buffer) => {
    add(chunk.byteLength);
    passedBy(chunk.byteLength);
    const turn = pace.passed(chunk.byteLength);
    if (!turn) return;
    from.pause();
    void turn.then(() => {
      if (!to.writableNeedDrain) from.resume();
    });
  });
}

/** When one breaks, the other is broken too. */
function join(from: Duplex, to: Duplex, filter: Transform | undefined): void {
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
    setTimeout(both, lingerMs).unref();
  });
  if (!filter) return void from.pipe(to);
  filter.once('error', both);
  from.pipe(filter).pipe(to);
}

/** Resolves when a stream is closed. */
export function closed(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    if (stream.closed) resolve();
    else stream.once('close', resolve);
  });
}
