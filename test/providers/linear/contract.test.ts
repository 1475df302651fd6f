import { LinearWebhookClient } from '@linear/sdk/webhooks';
import { afterAll, beforeAll, vi } from 'vitest';
import { hopsInId } from '../../../src/providers/linear/hops-id.ts';
import { createLinearAdapter } from '../../../src/providers/linear/index.ts';
import { providerContract } from '../contract.ts';
import { now, signedLinear } from '../support/sign.ts';
import { events, identity, issueId, prompted, sessionId } from './payloads.ts';

// The official verifier reads the clock by itself.
beforeAll(() => {
  vi.useFakeTimers({ now, toFake: ['Date'] });
});
afterAll(() => {
  vi.useRealTimers();
});

const error = (type: string, message: string, code: string) => ({
  errors: [{ message, extensions: { type, code, userPresentableMessage: message } }],
});

const person = (flags: Record<string, unknown>) => ({
  json: {
    data: {
      user: {
        id: 'user-1',
        name: 'Maya',
        displayName: 'maya',
        active: true,
        guest: false,
        app: false,
        ...flags,
      },
    },
  },
});

providerContract({
  adapter: createLinearAdapter(),
  identity,
  payloads: events.map((body) => ({ sign: (changed) => signedLinearAny(changed), body })),
  signedHeaders: ['linear-signature'],
  target: {
    place: { agent_session_id: sessionId, issue_id: issueId, identifier: 'ENG-1' },
    message: { agent_session_id: sessionId, agent_activity_id: '33333333-3333-4333-8333-333333333333' },
  },
  failures: {
    rate_limited: {
      status: 400,
      headers: {
        'x-ratelimit-requests-remaining': '0',
        'x-ratelimit-requests-reset': String(now.getTime() + 9_000),
      },
      json: error('ratelimited', 'Rate limit exceeded', 'RATELIMITED'),
    },
    unavailable: { status: 500, json: error('internal error', 'Internal', 'INTERNAL_SERVER_ERROR') },
    unauthorized: {
      status: 401,
      json: error('authentication error', 'Not authenticated', 'AUTHENTICATION_ERROR'),
    },
    refused: {
      status: 200,
      json: { data: null, ...error('invalid input', 'Argument Validation Error', 'INPUT_ERROR') },
    },
  },
  success: () => ({
    json: { data: { agentActivityCreate: { success: true, lastSyncId: 1, agentActivity: { id: 'x' } } } },
  }),
  decision: (decision, id) =>
    signedLinear(prompted({ content: { type: 'prompt', body: `${decision} ${id}` } })),
  hopsIn: ({ variables }) => hopsInId((variables as { input: { id: string } }).input.id),
  heard({ variables }) {
    const { input } = variables as { input: { id: string } };
    return signedLinear(
      prompted({ id: input.id, userId: 'app-user-2', user: { id: 'app-user-2', name: 'Grace' } }),
    );
  },
  asked: { author: { id: 'user-1', kind: 'person' }, anchor: { key: 'k', place: {} } },
  standings: {
    member: () => person({}),
    guest: () => person({ guest: true }),
    bot: () => person({ app: true }),
    unknown: () => person({ active: false }),
  },
  placeNames: ['ENG'],
  credentials: {
    valid: { signing_secret: 'lin_wh_0123456789', access_token: 'lin_oauth_0123456789' },
    secretFields: ['signing_secret', 'access_token'],
  },
  official: (request, key) =>
    new LinearWebhookClient(key).verify(request.body, request.headers['linear-signature'] ?? ''),
});

function signedLinearAny(body: unknown) {
  return Buffer.isBuffer(body) ? signedBytes(body) : signedLinear(body as Record<string, unknown>);
}

function signedBytes(body: Buffer) {
  return signedLinear({}, { raw: body });
}
