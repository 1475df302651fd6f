import { randomBytes } from 'node:crypto';
import { Duplex, Readable, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { FairQueue, type Lane } from '../../src/vault/egress/fair-queue.ts';
import { pour } from '../../src/vault/egress/relay.ts';

const all = randomBytes(3 * 1024 * 1024);

/** Its pieces, as a connection gives them. */
function pieces(): Readable {
  const size = 50_000;
  return Readable.from(
    Array.from({ length: Math.ceil(all.length / size) }, (_, i) => all.subarray(i * size, (i + 1) * size)),
  );
}

/** Takes what is written later, as TLS does, and sometimes much later. */
function reader(delayMs: number): { stream: Writable; got: () => Buffer } {
  const got: Buffer[] = [];
  const stream = new Writable({
    highWaterMark: 16 * 1024,
    write(chunk: Buffer, _encoding, done) {
      got.push(chunk);
      if (delayMs === 0) setImmediate(done);
      else setTimeout(done, delayMs);
    },
  });
  return { stream, got: () => Buffer.concat(got) };
}

const ended = (stream: Writable) => new Promise<void>((resolve) => stream.once('finish', resolve));

describe('what is passed on piece by piece', () => {
  it.each([0, 3])(
    'has one turn at a time and arrives whole, at a reader that takes %i ms',
    async (delayMs) => {
      const lane = new FairQueue().lane();
      let waiting = 0;
      let most = 0;
      let turns = 0;
      const takeBody = lane.takeBody.bind(lane);
      // Always after a while, whatever there is of its turn.
      lane.takeBody = async (bytes) => {
        turns += 1;
        waiting += 1;
        most = Math.max(most, waiting);
        await takeBody(bytes);
        await new Promise((resolve) => setTimeout(resolve, 2));
        waiting -= 1;
      };
      const { stream, got } = reader(delayMs);
      let bytes = 0;
      pour(pieces(), stream, lane, (count) => {
        bytes += count;
      });
      await ended(stream);
      expect(got().equals(all)).toBe(true);
      expect(bytes).toBe(all.length);
      expect(turns).toBeGreaterThan(20);
      expect(most).toBe(1);
    },
  );

  it('many at once leave nothing that waits behind them when they are broken', async () => {
    const queue = new FairQueue();
    const lane: Lane = queue.lane();
    while (!lane.take(1));
    const others = setInterval(() => void queue.lane().take(1), 1);
    const endless = () =>
      new Readable({
        read() {
          setImmediate(() => this.push(Buffer.alloc(64 * 1024)));
        },
      });
    const streams = Array.from({ length: 16 }, () => ({ from: endless(), to: reader(0).stream }));
    for (const { from, to } of streams) pour(from, to, lane, () => {});
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(lane.isWaiting).toBe(true);
    expect(lane.isCrowded).toBe(false);
    for (const { from, to } of streams) {
      from.destroy();
      to.destroy();
    }
    await expect.poll(() => lane.isWaiting, { timeout: 20_000 }).toBe(false);
    clearInterval(others);
  });
});

it('a reader that is gone is not written to', async () => {
  const from = pieces();
  const to = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  to.destroy();
  pour(from, to, undefined, () => {});
  await new Promise((resolve) => from.once('end', resolve));
  expect(to.errored).toBeNull();
});
