import { expect, test, vi } from 'vitest';
import { createEnding } from '../../src/sessions/turn-ending.ts';

test('nothing is ordered until it is, and then the first order counts', () => {
  const ending = createEnding(60_000);
  expect([ending.ordered(), ending.signal.aborted]).toEqual([undefined, false]);
  ending.order('stopped');
  ending.order('too_long');
  expect([ending.ordered(), ending.signal.aborted]).toEqual([{ kind: 'cancelled' }, true]);
  ending.dispose();
});

test('a turn that takes too long is ordered to end, with words about it', async () => {
  const ending = createEnding(20, 1);
  const cancel = vi.fn(async () => {});
  await expect(ending.enforcedOn({ cancel })).rejects.toThrow(/too_long/);
  expect(cancel).toHaveBeenCalledOnce();
  expect(ending.ordered()).toMatchObject({
    kind: 'failed',
    message: expect.stringMatching(/without an end/),
  });
  ending.dispose();
});

test('the program is asked at once and given up after the grace, also when it was ordered before', async () => {
  const ending = createEnding(60_000, 10);
  ending.order('stopped');
  const cancel = vi.fn(() => new Promise<void>(() => {}));
  await expect(ending.enforcedOn({ cancel })).rejects.toThrow(/stopped/);
  expect(cancel).toHaveBeenCalledOnce();
  ending.dispose();
});

test('a turn that has ended is not enforced any more', async () => {
  const ending = createEnding(60_000, 10);
  const enforced = vi.fn();
  ending.enforcedOn({ cancel: async () => {} }).catch(enforced);
  ending.order('stopped');
  ending.dispose();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(enforced).not.toHaveBeenCalled();
});
