import { LinearClient } from '@linear/sdk';
import { LinearWebhookClient } from '@linear/sdk/webhooks';
import { describe, expect, it } from 'vitest';
import { settled } from './support/manual-clock.ts';
import { openWorkplace, webhookUrls } from './support/open-workplace.ts';

const delegated = {
  personId: 'maya',
  title: 'Broken <b>',
  description: 'It breaks.',
  delegate: true,
} as const;

describe('the agent session events that the stand-in for Linear sends', () => {
  it('tells of a delegation in a way that the SDK holds genuine', async () => {
    const { workplace, receiver } = await openWorkplace();
    const { id, sessionId } = workplace.persons.createLinearIssue(delegated);
    await settled();
    expect(receiver.received).toHaveLength(1);
    const [one] = receiver.received;
    expect(one?.url).toBe(webhookUrls.linear);
    expect(one?.headers).toMatchObject({
      'linear-event': 'AgentSessionEvent',
      'linear-delivery': expect.any(String),
    });
    const verifier = new LinearWebhookClient(workplace.credentials.linear.signing_secret);
    const payload = verifier.parseData(Buffer.from(one?.body ?? ''), one?.headers['linear-signature'] ?? '');
    expect(payload).toMatchObject({
      type: 'AgentSessionEvent',
      action: 'created',
      organizationId: workplace.linear.records.organization.id,
      appUserId: workplace.linear.records.users.find(({ app }) => app)?.id,
      agentSession: {
        id: sessionId,
        status: 'pending',
        issueId: id,
        issue: { identifier: 'ENG-1', title: 'Broken <b>', description: 'It breaks.', team: { key: 'ENG' } },
        creator: { name: 'Maya Lindqvist' },
        comment: { body: expect.stringContaining('agent session') },
      },
      promptContext: expect.stringContaining('Broken &lt;b&gt;'),
    });
  });

  it('tells of a prompt, and of a stop', async () => {
    const { workplace, receiver } = await openWorkplace();
    const { sessionId = '' } = workplace.persons.createLinearIssue(delegated);
    workplace.persons.promptLinearSession({ personId: 'guest', sessionId, body: 'And this?' });
    workplace.persons.promptLinearSession({ personId: 'maya', sessionId, body: 'Stop.', stop: true });
    await settled();
    expect(receiver.received.slice(1).map(({ json }) => [json.action, json.agentActivity])).toMatchObject([
      [
        'prompted',
        {
          agentSessionId: sessionId,
          content: { type: 'prompt', body: 'And this?' },
          signal: null,
          user: { name: 'Gia Rossi' },
        },
      ],
      ['prompted', { content: { body: 'Stop.' }, signal: 'stop' }],
    ]);
  });

  it('retries after 1 min, 1 h and 6 h unless the answer is exactly 200 within 5 s, each time freshly signed', async () => {
    const { workplace, clock, receiver } = await openWorkplace();
    receiver.answerWith(202, 'silent', 'refused', 500);
    workplace.persons.createLinearIssue(delegated);
    await settled();
    await clock.advance(60_000);
    expect(receiver.received).toHaveLength(2);
    await clock.advance(5_000 + 3_600_000);
    expect(receiver.received).toHaveLength(3);
    await clock.advance(6 * 3_600_000 - 1);
    expect(receiver.received).toHaveLength(3);
    await clock.advance(1);
    expect(receiver.received).toHaveLength(4);
    await clock.advance(48 * 3_600_000);
    expect(receiver.received).toHaveLength(4);
    expect(new Set(receiver.received.map(({ headers }) => headers['linear-delivery'])).size).toBe(1);
    expect(new Set(receiver.received.map(({ json }) => json.webhookTimestamp)).size).toBe(4);
    expect(new Set(receiver.received.map(({ headers }) => headers['linear-signature'])).size).toBe(4);
  });

  it('marks a session unresponsive after 10 s of silence, stale after 30 min, and takes it back at a sign', async () => {
    const { workplace, clock } = await openWorkplace();
    const { sessionId = '' } = workplace.persons.createLinearIssue(delegated);
    const session = () => workplace.state().linear.issues[0]?.sessions[0];
    await clock.advance(9_000);
    expect(session()?.unresponsive).toBe(false);
    await clock.advance(1_100);
    expect(session()?.unresponsive).toBe(true);
    const linear = new LinearClient({
      accessToken: workplace.credentials.linear.access_token,
      apiUrl: workplace.upstreams.linearApiUrl,
    });
    const content = { type: 'thought', body: 'On it' };
    await linear.createAgentActivity({ agentSessionId: sessionId, content });
    expect(session()).toMatchObject({ unresponsive: false, status: 'active' });
    await clock.advance(31 * 60_000);
    expect(session()?.status).toBe('stale');
  });
});
