import { describe, expect, it } from 'vitest';
import { workplaceApi } from '../../src/workplace/api.ts';
import { settled } from './support/manual-clock.ts';
import { openWorkplace } from './support/open-workplace.ts';

async function openApi() {
  const opened = await openWorkplace();
  const api = workplaceApi(opened.workplace);
  const post = async (path: string, body: unknown) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const response = await api.request(path, { method: 'POST', body: text });
    return { status: response.status, json: (await response.json()) as Record<string, string> };
  };
  return { ...opened, api, post };
}

describe('the person-side API', () => {
  it('does what a person does at all three, and shows it', async () => {
    const { api, post, receiver } = await openApi();
    const message = { personId: 'maya', channel: '#general', text: 'hi @tagalong' };
    const first = await post('/slack/messages', message);
    expect(first.status).toBe(201);
    const reply = await post('/slack/messages', {
      ...message,
      personId: 'jonas',
      text: 'me too',
      threadTs: first.json.ts,
    });
    expect(reply.json.channel).toBe(first.json.channel);
    await post('/slack/reactions', {
      personId: 'jonas',
      channel: 'general',
      ts: first.json.ts,
      name: 'eyes',
    });
    expect(await post('/github/issues', { personId: 'maya', title: 'Broken', body: 'Really' })).toMatchObject(
      {
        status: 201,
        json: { number: 1 },
      },
    );
    expect((await post('/github/issues/1/labels', { personId: 'maya', labels: ['tagalong'] })).status).toBe(
      201,
    );
    expect((await post('/github/issues/1/comments', { personId: 'guest', body: 'Why?' })).status).toBe(201);
    const issue = await post('/linear/issues', {
      personId: 'jonas',
      title: 'Broken',
      description: '',
      delegate: false,
    });
    const delegated = await post(`/linear/issues/${issue.json.id}/delegate`, { personId: 'jonas' });
    const path = `/linear/sessions/${delegated.json.sessionId}/prompts`;
    expect((await post(path, { personId: 'jonas', body: 'And?' })).status).toBe(201);
    await settled();

    const state = await (await api.request('/state')).json();
    expect(state).toMatchObject({
      people: [
        { id: 'maya', avatarInitials: 'ML' },
        { id: 'jonas' },
        { id: 'guest', isGuest: true },
        { id: 'cleo', isGuest: true },
      ],
      slack: {
        channels: [{ name: 'general' }, { name: 'support' }],
        threads: [
          {
            threadTs: first.json.ts,
            messages: [
              {
                author: { name: 'Maya Lindqvist', isBot: false },
                text: 'hi @tagalong',
                reactions: [{ name: 'eyes', count: 1 }],
              },
              { text: 'me too' },
            ],
          },
        ],
      },
      github: {
        repositories: [{ owner: 'acme', name: 'widgets' }],
        issues: [
          {
            number: 1,
            title: 'Broken',
            body: 'Really',
            labels: ['tagalong'],
            comments: [{ author: { name: 'Gia Rossi', isBot: false }, body: 'Why?' }],
          },
        ],
      },
      linear: {
        issues: [
          {
            identifier: 'ENG-1',
            delegate: 'Tagalong',
            state: 'Todo',
            sessions: [{ status: 'active', activities: [{ type: 'prompt', body: 'And?' }] }],
          },
        ],
      },
      agent: { name: 'Tagalong', slackHandle: '@tagalong', label: 'tagalong' },
    });
    expect(receiver.received.map(({ json }) => json.type ?? json.action)).toEqual([
      'event_callback',
      'event_callback',
      'event_callback',
      'event_callback',
      'opened',
      'labeled',
      'created',
      'AgentSessionEvent',
      'AgentSessionEvent',
    ]);
  });

  it.each([
    ['/slack/messages', ''],
    ['/slack/messages', '{"personId":'],
    ['/slack/messages', 'null'],
    ['/slack/messages', { personId: 'maya', channel: 'general', text: ' ' }],
    ['/slack/messages', { personId: 'nobody', channel: 'general', text: 'hi' }],
    ['/slack/messages', { personId: 'maya', channel: 'nowhere', text: 'hi' }],
    ['/slack/messages', { personId: 'maya', channel: 'general', text: 'x'.repeat(2_000_000) }],
    ['/slack/messages', { personId: 'maya', channel: 'general', text: 'hi', bot: true }],
    ['/github/issues', { personId: 'maya', title: '' }],
    ['/github/issues', { personId: 'maya', title: 'x', repo: '../../user' }],
    ['/github/issues/99/comments', { personId: 'maya', body: 'x' }],
    ['/github/issues/1/labels', { personId: 'guest', labels: ['tagalong'] }],
    ['/linear/issues', { personId: 'maya', title: 'x', delegate: 'yes' }],
    ['/linear/issues/none/delegate', { personId: 'maya' }],
    ['/linear/sessions/none/prompts', { personId: 'maya', body: 'x' }],
  ])('answers what cannot be done with 400 and why: %s', async (path, body) => {
    const { post, workplace } = await openApi();
    await workplace.persons.openGithubIssue({ personId: 'maya', title: 'Broken' });
    const before = JSON.stringify(workplace.state());
    expect(await post(path, body)).toMatchObject({
      status: 400,
      json: { type: 'error', error: { type: 'invalid_request_error', message: expect.stringMatching(/./) } },
    });
    expect(JSON.stringify(workplace.state())).toBe(before);
  });

  it('tells listeners of changes, many at once as few, and forgets who left', async () => {
    const { workplace } = await openWorkplace();
    let listening = 0;
    const target = {
      state: () => workplace.state(),
      persons: workplace.persons,
      onChange(listener: () => void) {
        const stop = workplace.onChange(listener);
        listening += 1;
        return () => {
          if (stop()) listening -= 1;
        };
      },
    };
    const response = await workplaceApi(target).request('/events');
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const reader = response.body?.getReader();
    const read = async () => new TextDecoder().decode((await reader?.read())?.value);
    expect(await read()).toBe('event: changed\ndata: {}\n\n');
    const next = read();
    for (let n = 0; n < 50; n++) workplace.persons.createLinearIssue({ personId: 'maya', title: String(n) });
    expect(await next).toBe('event: changed\ndata: {}\n\n');
    expect(listening).toBe(1);
    await reader?.cancel();
    await settled();
    expect(listening).toBe(0);
  });
});
