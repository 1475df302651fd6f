import { verifySlackRequest } from '@slack/bolt';
import { createSlackAdapter } from '../../../src/providers/slack/index.ts';
import { providerContract } from '../contract.ts';
import { now, signedSlack } from '../support/sign.ts';
import { envelope, events, identity } from './payloads.ts';

providerContract({
  adapter: createSlackAdapter(),
  identity,
  payloads: events.map((event) => ({ sign: (body) => signedSlack(body), body: envelope(event) })),
  signedHeaders: ['x-slack-signature', 'x-slack-request-timestamp'],
  target: {
    place: { team: 'T1', channel: 'C1', thread_ts: '1763640000.000100' },
    message: { channel: 'C1', ts: '1763640000.000100' },
  },
  failures: {
    rate_limited: { status: 429, headers: { 'retry-after': '7' } },
    unavailable: { json: { ok: false, error: 'internal_error' } },
    unauthorized: { json: { ok: false, error: 'token_revoked' } },
    refused: { json: { ok: false, error: 'channel_not_found' } },
  },
  success: () => ({ json: { ok: true, ts: '1.2' } }),
  credentials: {
    valid: { signing_secret: '8f742231b10e8888abcd99edabcd85a5', bot_token: 'xoxb-1-2-abcdef' },
    secretFields: ['signing_secret', 'bot_token'],
  },
  official(request, key) {
    verifySlackRequest({
      signingSecret: key,
      body: request.body.toString(),
      headers: {
        'x-slack-signature': request.headers['x-slack-signature'] ?? '',
        'x-slack-request-timestamp': Number(request.headers['x-slack-request-timestamp']),
      },
      nowMilliseconds: now.getTime(),
    });
    return true;
  },
});
