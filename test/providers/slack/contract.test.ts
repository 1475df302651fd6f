import { verifySlackRequest } from '@slack/bolt';
import { createSlackAdapter } from '../../../src/providers/slack/index.ts';
import { providerContract } from '../contract.ts';
import { now, signedSlack } from '../support/sign.ts';
import { envelope, events, identity, mention } from './payloads.ts';

const person = (flags: Record<string, unknown>) => ({
  json: { ok: true, user: { id: 'U1', name: 'maya', team_id: 'T1', ...flags } },
});

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
  decision(decision, id) {
    const payload = JSON.stringify({
      type: 'block_actions',
      team: { id: 'T1' },
      api_app_id: 'A1',
      user: { id: 'U2', username: 'maya', name: 'maya', team_id: 'T1' },
      container: { type: 'message', message_ts: '2.2', channel_id: 'C1', thread_ts: '1.1' },
      channel: { id: 'C1', name: 'general' },
      actions: [{ type: 'button', action_id: `tagalong_${decision}`, value: `${decision} ${id}` }],
    });
    const { headers, body } = signedSlack(Buffer.from(new URLSearchParams({ payload }).toString()));
    return { headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' }, body };
  },
  hopsIn: (request) => JSON.parse(String(request.metadata)).event_payload.hops,
  heard: ({ metadata, text }) =>
    signedSlack(
      envelope(
        mention({ bot_id: 'B2', text: `<@UBOT> ${text}`, metadata: JSON.parse(String(metadata ?? 'null')) }),
      ),
    ),
  asked: { author: { id: 'U1', kind: 'person' }, anchor: { key: 'k', place: { channel: 'C1' } } },
  standings: {
    member: () => person({}),
    guest: () => person({ is_ultra_restricted: true }),
    external: () => person({ is_stranger: true }),
    bot: () => person({ is_bot: true }),
    unknown: () => ({ json: { ok: false, error: 'user_not_found' } }),
  },
  placeNames: ['C1'],
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
