import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createSpares } from '../../src/vault/spares.ts';

/** Numbers as they are made; `made` resolves when so many are. */
function numbers(changes: { fails?: (number: number) => boolean; bad?: Set<number> } = {}) {
  const failures: unknown[] = [];
  const discarded: number[] = [];
  let count = 0;
  const spares = createSpares<number>({
    count: 2,
    restMs: 1,
    async make() {
      count += 1;
      const number = count;
      await sleep(1);
      if (changes.fails?.(number)) throw new Error(`number ${number}`);
      return number;
    },
    isGood: (number) => !changes.bad?.has(number),
    async discard(number) {
      discarded.push(number);
    },
    onFailure: (error) => failures.push(error),
  });
  const made = async (wanted: number) => {
    while (count < wanted) await sleep(1);
    await sleep(5);
  };
  return { spares, failures, discarded, made, count: () => count };
}

/** Takes as soon as there is one. */
async function takeOne(spares: { take(): number | undefined }): Promise<number> {
  for (;;) {
    const taken = spares.take();
    if (taken !== undefined) return taken;
    await sleep(1);
  }
}

test('each is given once, and others are made in their place, no more than so many', async () => {
  const { spares, made, count } = numbers();
  expect(spares.take()).toBeUndefined();
  await made(2);
  expect(count()).toBe(2);
  const taken = [await takeOne(spares), await takeOne(spares), await takeOne(spares), await takeOne(spares)];
  expect(taken).toEqual([1, 2, 3, 4]);
  await spares.close();
});

test('one that came to harm is discarded, and the next is given', async () => {
  const bad = new Set([1]);
  const { spares, made, discarded } = numbers({ bad });
  await made(2);
  expect(await takeOne(spares)).toBe(2);
  expect(discarded).toEqual([1]);
  await spares.close();
});

test('a failure is told once, and tried again when one is wanted', async () => {
  const { spares, failures, count } = numbers({ fails: (number) => number === 1 });
  while (failures.length === 0) await sleep(1);
  await sleep(20);
  expect(count()).toBe(1);
  expect(await takeOne(spares)).toBe(2);
  expect(failures).toHaveLength(1);
  await spares.close();
});

test('closing discards what is left, also what is just being made, and makes no more', async () => {
  const { spares, made, discarded, count } = numbers();
  await made(1);
  await Promise.all([spares.close(), spares.close()]);
  const atEnd = count();
  expect(discarded).toHaveLength(atEnd);
  expect(spares.take()).toBeUndefined();
  await sleep(20);
  expect(count()).toBe(atEnd);
});
