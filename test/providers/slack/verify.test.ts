import { expect, test } from 'vitest';
import { webhook } from '../../../src/providers/slack/verify.ts';
import { bytes, hmac, now, secret, signedSlack } from '../support/sign.ts';
import { envelope, mention } from './payloads.ts';

test("Slack's own documented vector is accepted at its time", () => {
  const timestamp = '1531420618';
  const request = {
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      'x-slack-request-timestamp': timestamp,
      'x-slack-signature': 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
    },
    body: bytes(
      'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c',
    ),
  };
  const at = new Date(Number(timestamp) * 1000);
  expect(webhook.verify(request, ['8f742231b10e8888abcd99yyyzzz85a5'], at)).toEqual({ ok: true });
  expect(webhook.deliveryId(request)).toBeUndefined();
});

test('a request is stale 301 s before and after our clock, and not at 300 s', () => {
  const at = (seconds: number) =>
    signedSlack(envelope(mention()), { at: new Date(now.getTime() + seconds * 1000) });
  for (const seconds of [-300, 0, 300])
    expect(webhook.verify(at(seconds), [secret], now)).toEqual({ ok: true });
  for (const seconds of [-301, 301, 3_600, -86_400]) {
    expect(webhook.verify(at(seconds), [secret], now)).toEqual({ ok: false, reason: 'stale' });
  }
});

test('a timestamp that is signed but no number is malformed', () => {
  const body = bytes(envelope(mention()));
  for (const timestamp of ['soon', '1e9', '-1', '1763640000.5', '9'.repeat(30)]) {
    const request = {
      headers: {
        'x-slack-request-timestamp': timestamp,
        'x-slack-signature': `v0=${hmac(secret, `v0:${timestamp}:`, body)}`,
      },
      body,
    };
    expect(webhook.verify(request, [secret], now)).toEqual({ ok: false, reason: 'malformed' });
  }
});

test('an interactive form is accepted and has no delivery id of its own', () => {
  const body = `payload=${encodeURIComponent(JSON.stringify({ type: 'block_actions', user: { id: 'U1' } }))}`;
  const json = signedSlack(body);
  const request = {
    ...json,
    headers: { ...json.headers, 'content-type': 'application/x-www-form-urlencoded' },
  };
  expect(webhook.verify(request, [secret], now)).toEqual({ ok: true });
  expect(webhook.deliveryId(request)).toBeUndefined();
  expect(webhook.immediateAnswer?.(request)).toBeUndefined();
});

test('a retry has the delivery id of the first', () => {
  const first = signedSlack(envelope(mention()));
  const retry = signedSlack(envelope(mention()), { at: new Date(now.getTime() + 60_000) });
  expect(webhook.deliveryId(first)).toBe('Ev0001');
  expect(webhook.deliveryId(retry)).toBe('Ev0001');
});

test('url_verification is answered with the challenge as plain text', () => {
  const request = signedSlack({
    type: 'url_verification',
    token: 't',
    challenge: '3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P',
  });
  expect(webhook.immediateAnswer?.(request)).toEqual({
    contentType: 'text/plain',
    body: '3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P',
  });
});

test('a challenge that is no token is not sent back', () => {
  for (const challenge of ['<script>', 'a b', '', 'x'.repeat(201), 7, null, 'a\r\nb', 'é']) {
    expect(webhook.immediateAnswer?.(signedSlack({ type: 'url_verification', challenge }))).toBeUndefined();
  }
  expect(webhook.immediateAnswer?.(signedSlack(envelope(mention())))).toBeUndefined();
});
