import { expect, test } from 'vitest';
import { webhook } from '../../../src/providers/github/verify.ts';
import { bytes, now, secret, signedGithub } from '../support/sign.ts';
import { deliveries } from './payloads.ts';

test("GitHub's own documented vector carries the right signature, though its body is no delivery", () => {
  const request = {
    headers: {
      'x-github-event': 'push',
      'x-hub-signature-256': 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17',
    },
    body: bytes('Hello, World!'),
  };
  expect(webhook.verify(request, ["It's a Secret to Everybody"], now)).toEqual({
    ok: false,
    reason: 'malformed',
  });
  expect(webhook.verify(request, ["It's a secret to everybody"], now)).toEqual({
    ok: false,
    reason: 'wrong_signature',
  });
});

test('there is no clock: an old body is judged by its signature', () => {
  const [event, body] = deliveries[0] ?? ['', {}];
  expect(webhook.verify(signedGithub(event, body), [secret], new Date(0))).toEqual({ ok: true });
});

test('the old SHA-1 header alone is no signature', () => {
  const { body } = signedGithub('ping', {});
  const headers = { 'x-github-event': 'ping', 'x-hub-signature': 'sha1=00' };
  expect(webhook.verify({ headers, body }, [secret], now)).toEqual({ ok: false, reason: 'unsigned' });
});

test('a delivery is known by its GUID, when it has one', () => {
  const request = signedGithub('ping', {});
  expect(webhook.deliveryId(request)).toBe('72d3162e-cc78-11e3-81ab-4c9367dc0958');
  expect(webhook.deliveryId({ headers: {}, body: request.body })).toBeUndefined();
});

test('a hook that sends forms is read too', () => {
  const body = `payload=${encodeURIComponent(JSON.stringify({ action: 'opened' }))}`;
  const json = signedGithub('issues', body);
  const request = {
    ...json,
    headers: { ...json.headers, 'content-type': 'application/x-www-form-urlencoded' },
  };
  expect(webhook.verify(request, [secret], now)).toEqual({ ok: true });
});
