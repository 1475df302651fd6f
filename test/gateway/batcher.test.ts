import { setImmediate as tick } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Batcher, BatchTimeout } from '../../src/gateway/batcher.ts';

/** A `run` whose batches are finished by hand. */
function byHand() {
  const batches: {
    items: number[];
    signal: AbortSignal;
    done(): void;
    fail(error: Error): void;
  }[] = [];
  const run = (items: number[], signal: AbortSignal) =>
    new Promise<string[]>((resolve, reject) => {
      batches.push({
        items,
        signal,
        done: () => resolve(items.map((item) => `did ${item}`)),
        fail: reject,
      });
    });
  return { batches, run };
}

const options = {
  lanes: 1,
  slowAfterMs: 60_000,
  maxItems: 3,
  maxBytes: 100,
  timeoutMs: 60_000,
  sizeOf: (item: number) => item,
};

describe('Batcher', () => {
  it('lets what arrives together share the first batch, and what arrives meanwhile the next', async () => {
    const { batches, run } = byHand();
    const batcher = new Batcher(run, options);
    const first = [batcher.add(1), batcher.add(2)];
    await tick();
    const second = [batcher.add(3), batcher.add(4)];
    await tick();
    expect(batches.map(({ items }) => items)).toEqual([[1, 2]]);
    batches[0]?.done();
    expect(await Promise.all(first)).toEqual(['did 1', 'did 2']);
    await tick();
    batches[1]?.done();
    expect(await Promise.all(second)).toEqual(['did 3', 'did 4']);
  });

  it('bounds a batch by items and by bytes, but takes one that is too large alone', async () => {
    const { batches, run } = byHand();
    const batcher = new Batcher(run, options);
    const all = Promise.all([1, 2, 3, 60, 60, 500, 1].map((item) => batcher.add(item)));
    for (let count = 1; count <= 5; count++) {
      await expect.poll(() => batches.length).toBe(count);
      batches[count - 1]?.done();
    }
    await all;
    expect(batches.map(({ items }) => items)).toEqual([[1, 2, 3], [60], [60], [500], [1]]);
  });

  it('gives the error of a batch to those in it, and goes on with the next', async () => {
    const { batches, run } = byHand();
    const batcher = new Batcher(run, options);
    const failing = Promise.allSettled([batcher.add(1), batcher.add(2)]);
    await tick();
    const later = batcher.add(3);
    batches[0]?.fail(new Error('away'));
    expect((await failing).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await expect.poll(() => batches.length).toBe(2);
    batches[1]?.done();
    expect(await later).toBe('did 3');
  });

  it('refuses in time when a batch hangs, tells it, and frees the lane', async () => {
    const { batches, run } = byHand();
    const batcher = new Batcher(run, { ...options, timeoutMs: 1_000 });
    await expect(batcher.add(1)).rejects.toBeInstanceOf(BatchTimeout);
    expect(batches[0]?.signal.aborted).toBe(true);
    const next = batcher.add(2);
    await expect.poll(() => batches.length).toBe(2);
    batches[1]?.done();
    expect(await next).toBe('did 2');
  });

  it('starts the next batch beside a slow one, up to its lanes', async () => {
    const { batches, run } = byHand();
    const batcher = new Batcher(run, { ...options, lanes: 2, slowAfterMs: 1 });
    const all = Promise.all([1, 2, 3, 4, 5, 6, 7].map((item) => batcher.add(item)));
    await expect.poll(() => batches.length).toBe(2);
    expect(batches.map(({ items }) => items)).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    batches[1]?.done();
    await expect.poll(() => batches.length).toBe(3);
    batches[0]?.done();
    batches[2]?.done();
    expect(await all).toHaveLength(7);
  });
});
