import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { BodyBudget, Pieces, readWhole } from '../../src/vault/egress/bodies.ts';

test('a share of what may be held is bounded by itself and by the whole', () => {
  const whole = new BodyBudget(10);
  const one = new BodyBudget(6, whole);
  const other = new BodyBudget(6, whole);
  expect(one.take(7)).toBe(false);
  expect(one.take(6)).toBe(true);
  expect(other.take(5)).toBe(false);
  expect(other.take(4)).toBe(true);
  one.release(6);
  expect(other.take(2)).toBe(true);
  expect(whole.take(4)).toBe(true);
  expect(whole.take(1)).toBe(false);
});

test('what is held is counted until it is let go, once', () => {
  const budget = new BodyBudget(10);
  const letGo = budget.hold(6);
  expect(() => budget.hold(5)).toThrow('Too many large requests at once');
  letGo();
  letGo();
  expect(budget.take(10)).toBe(true);
  expect(budget.take(1)).toBe(false);
});

test('many small pieces are the same as one', async () => {
  const pieces = new Pieces();
  const text = Array.from({ length: 1_000 }, (_, i) => String(i % 10)).join('');
  for (const character of text) pieces.add(Buffer.from(character));
  expect(pieces.take().toString()).toBe(text);
  expect(pieces.take().byteLength).toBe(0);
  const body = Readable.from([...text].map((character) => Buffer.from(character)));
  const budget = new BodyBudget(1_000);
  expect((await readWhole(body, 1_000, budget)).toString()).toBe(text);
  expect(budget.take(1_000)).toBe(true);
});
