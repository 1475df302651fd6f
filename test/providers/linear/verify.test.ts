import { expect, test } from 'vitest';
import { webhook } from '../../../src/providers/linear/verify.ts';
import { now, secret, signedLinear } from '../support/sign.ts';
import { created } from './payloads.ts';

test('a body is stale 60 s before and after our clock, by the time that is signed in it', () => {
  const at = (ms: number) =>
    webhook.verify(signedLinear(created(), { at: new Date(now.getTime() + ms) }), [secret], now);
  for (const ms of [-60_000, 0, 60_000]) expect(at(ms)).toEqual({ ok: true });
  for (const ms of [-60_001, 60_001, -86_400_000]) expect(at(ms)).toEqual({ ok: false, reason: 'stale' });
});

test('the timestamp in the header, which nobody signed, changes nothing', () => {
  const old = signedLinear(created(), { at: new Date(now.getTime() - 120_000) });
  const headers = { ...old.headers, 'linear-timestamp': String(now.getTime()) };
  expect(webhook.verify({ ...old, headers }, [secret], now)).toEqual({ ok: false, reason: 'stale' });
});

test('a body without a time, or with a time that is no number, is malformed', () => {
  for (const webhookTimestamp of [undefined, null, String(now.getTime()), Number.NaN, {}]) {
    const request = signedLinear({ ...created(), webhookTimestamp });
    expect(webhook.verify(request, [secret], now)).toEqual({ ok: false, reason: 'malformed' });
  }
});

test('a retry has a fresh time and the delivery id of the first', () => {
  const first = signedLinear(created());
  const retry = signedLinear(created(), { at: new Date(now.getTime() + 30_000) });
  expect(retry.body.equals(first.body)).toBe(false);
  expect(webhook.deliveryId(retry)).toBe(webhook.deliveryId(first));
  expect(webhook.deliveryId({ headers: {}, body: first.body })).toBeUndefined();
});
