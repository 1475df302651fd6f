import { randomUUID } from 'node:crypto';
import { LinearClient, LinearError, LinearErrorType } from '@linear/sdk';
import { describe, expect, it } from 'vitest';
import type { Workplace } from '../../src/workplace/workplace.ts';
import { openWorkplace } from './support/open-workplace.ts';

function clientOf(
  workplace: Workplace,
  accessToken = workplace.credentials.linear.access_token,
): LinearClient {
  return new LinearClient({ accessToken, apiUrl: workplace.upstreams.linearApiUrl });
}

async function openDelegated() {
  const opened = await openWorkplace();
  const { workplace } = opened;
  const { id, sessionId = '' } = workplace.persons.createLinearIssue({
    personId: 'maya',
    title: 'Broken',
    description: 'It *breaks*.',
    delegate: true,
  });
  return { ...opened, linear: clientOf(workplace), issueId: id, sessionId };
}

const typeOf = async (call: Promise<unknown>) => {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof LinearError ? error.type : error;
};

describe('the stand-in for Linear, driven by @linear/sdk', () => {
  it('says who the app user is, and refuses other tokens', async () => {
    const { workplace } = await openWorkplace();
    const linear = clientOf(workplace);
    const [viewer, organization] = await Promise.all([linear.viewer, linear.organization]);
    expect(viewer).toMatchObject({ name: 'Tagalong', app: true });
    expect(organization).toMatchObject({ name: 'Acme', urlKey: 'acme' });
    expect((await viewer.organization).id).toBe(organization.id);
    const forged = clientOf(workplace, 'lin_oauth_forged').viewer;
    expect(await typeOf(forged)).toBe(LinearErrorType.AuthenticationError);
    const asKey = new LinearClient({
      apiKey: workplace.credentials.linear.access_token,
      apiUrl: workplace.upstreams.linearApiUrl,
    });
    expect(await typeOf(asKey.viewer)).toBe(LinearErrorType.AuthenticationError);
  });

  it('gives people, guests among them, the team and its states', async () => {
    const { workplace } = await openWorkplace();
    const linear = clientOf(workplace);
    const { nodes: users } = await linear.users({ filter: { app: { eq: false } } });
    expect(users.map(({ displayName, guest, admin }) => [displayName, guest, admin]).sort()).toEqual([
      ['gia', true, false],
      ['jonas', false, false],
      ['maya', false, true],
    ]);
    const { nodes: teams } = await linear.teams();
    expect(teams).toMatchObject([{ key: 'ENG', name: 'Engineering' }]);
    const states = await teams[0]?.states({ filter: { type: { eq: 'started' } } });
    expect(states?.nodes.sort((a, b) => a.position - b.position).map(({ name }) => name)).toEqual([
      'In Progress',
      'In Review',
    ]);
    expect((await linear.workflowStates({ first: 2 })).pageInfo.hasNextPage).toBe(true);
    expect((await linear.team('ENG')).key).toBe('ENG');
    expect((await linear.user(users[0]?.id ?? '')).id).toBe(users[0]?.id);
  });

  it('gives an issue by id and by identifier, with what belongs to it', async () => {
    const { linear, issueId } = await openDelegated();
    const issue = await linear.issue('ENG-1');
    expect(issue).toMatchObject({
      id: issueId,
      identifier: 'ENG-1',
      title: 'Broken',
      description: 'It *breaks*.',
    });
    expect(await issue.delegate).toMatchObject({ app: true });
    expect(await issue.creator).toMatchObject({ displayName: 'maya' });
    expect(await issue.state).toMatchObject({ name: 'Todo' });
    expect(await issue.team).toMatchObject({ key: 'ENG' });
    expect(await issue.assignee).toBeUndefined();
    expect((await linear.issues({ filter: { team: { key: { eq: 'ENG' } } } })).nodes).toHaveLength(1);
    expect((await linear.issues({ filter: { creator: { displayName: { eq: 'jonas' } } } })).nodes).toEqual(
      [],
    );
    expect(await typeOf(linear.issue(randomUUID()) as Promise<unknown>)).toBe(LinearErrorType.InvalidInput);
  });

  it('makes a comment once per client id', async () => {
    const { linear, issueId } = await openDelegated();
    const id = randomUUID();
    const payload = await linear.createComment({ id, issueId, body: 'Looking' });
    expect(payload.success).toBe(true);
    expect(await payload.comment).toMatchObject({ id, body: 'Looking' });
    const again = linear.createComment({ id, issueId, body: 'Looking' });
    expect(await typeOf(again as Promise<unknown>)).toBe(LinearErrorType.InvalidInput);
    const issue = await linear.issue(issueId);
    const { nodes } = await issue.comments();
    expect(nodes.map(({ body }) => body)).toEqual([
      'Looking',
      'This thread is for an agent session with tagalong.',
    ]);
    expect(await (await linear.comment({ id })).user).toMatchObject({ app: true });
    const reply = await linear.createComment({ issueId, parentId: id, body: 'More' });
    expect(await (await reply.comment)?.parent).toMatchObject({ id });
    await linear.updateComment(id, { body: 'Looked' });
    expect(await linear.comment({ id })).toMatchObject({ body: 'Looked' });
    expect(await typeOf(linear.createComment({ body: 'nowhere' }) as Promise<unknown>)).toBe(
      LinearErrorType.InvalidInput,
    );
    const notUuid = linear.createComment({ id: 'out_1', issueId, body: 'x' });
    expect(await typeOf(notUuid as Promise<unknown>)).toBe(LinearErrorType.InvalidInput);
  });

  it('moves a session along with its activities', async () => {
    const { linear, sessionId, workplace } = await openDelegated();
    const status = async () => (await linear.agentSession(sessionId)).status;
    expect(await status()).toBe('pending');
    const add = (content: Record<string, unknown>) =>
      linear.createAgentActivity({ agentSessionId: sessionId, content });
    await add({ type: 'thought', body: 'Hm' });
    expect(await status()).toBe('active');
    await add({ type: 'action', action: 'Read', parameter: 'README.md', result: 'ok' });
    await add({ type: 'elicitation', body: 'Which?' });
    expect(await status()).toBe('awaitingInput');
    workplace.persons.promptLinearSession({ personId: 'maya', sessionId, body: 'That one' });
    expect(await status()).toBe('active');
    await add({ type: 'response', body: 'Done' });
    expect(await status()).toBe('complete');
    expect((await linear.agentSession(sessionId)).endedAt).toBeInstanceOf(Date);
    workplace.persons.promptLinearSession({ personId: 'maya', sessionId, body: 'Stop', stop: true });
    expect(await status()).toBe('stopping');
    await add({ type: 'error', body: 'Stopped' });
    expect(await status()).toBe('error');

    const session = await linear.agentSession(sessionId);
    const { nodes } = await session.activities({ first: 50 });
    expect(nodes.map(({ content }) => content.__typename).reverse()).toEqual([
      'AgentActivityThoughtContent',
      'AgentActivityActionContent',
      'AgentActivityElicitationContent',
      'AgentActivityPromptContent',
      'AgentActivityResponseContent',
      'AgentActivityPromptContent',
      'AgentActivityErrorContent',
    ]);
    expect(nodes.at(-2)?.content).toMatchObject({
      type: 'action',
      action: 'Read',
      parameter: 'README.md',
      result: 'ok',
    });
    expect(nodes[1]).toMatchObject({ signal: 'stop' });
    expect(await session.issue).toMatchObject({ identifier: 'ENG-1' });
    expect(await session.creator).toMatchObject({ displayName: 'maya' });
    expect(await session.appUser).toMatchObject({ app: true });
  });

  it('gives activities in pages, newest first, each once', async () => {
    const { linear, sessionId } = await openDelegated();
    for (let n = 0; n < 7; n++) {
      const content = { type: 'thought', body: String(n) };
      await linear.createAgentActivity({ agentSessionId: sessionId, content });
    }
    const session = await linear.agentSession(sessionId);
    const bodies: string[] = [];
    let page = await session.activities({ first: 3 });
    for (;;) {
      bodies.push(...page.nodes.map(({ content }) => ('body' in content ? content.body : '')));
      if (!page.pageInfo.hasNextPage) break;
      page = await session.activities({ first: 3, after: page.pageInfo.endCursor ?? '' });
    }
    expect(bodies).toEqual(['6', '5', '4', '3', '2', '1', '0']);
    expect(await typeOf(session.activities({ first: 300 }) as Promise<unknown>)).toBe(
      LinearErrorType.InvalidInput,
    );
  });

  it('forgets an ephemeral activity when the next one comes', async () => {
    const { linear, sessionId } = await openDelegated();
    const add = (body: string, ephemeral: boolean) =>
      linear.createAgentActivity({
        agentSessionId: sessionId,
        content: { type: 'thought', body },
        ephemeral,
      });
    const count = async () => (await (await linear.agentSession(sessionId)).activities()).nodes.length;
    await add('a moment', true);
    expect(await count()).toBe(1);
    await add('here', false);
    expect(await count()).toBe(1);
  });

  it.each([
    ['nothing', {}],
    ['an unknown type', { type: 'shout', body: 'x' }],
    ['a prompt, which is the person’s', { type: 'prompt', body: 'x' }],
    ['a thought without a body', { type: 'thought', text: 'x' }],
    ['an empty response', { type: 'response', body: '  ' }],
    ['an action without a parameter', { type: 'action', action: 'Read' }],
    [
      'an action with a result that is no text',
      { type: 'action', action: 'Read', parameter: 'x', result: 3 },
    ],
  ])('refuses an activity whose content is %s', async (_what, content) => {
    const { linear, sessionId } = await openDelegated();
    const made = linear.createAgentActivity({ agentSessionId: sessionId, content });
    expect(await typeOf(made as Promise<unknown>)).toBe(LinearErrorType.InvalidInput);
    expect((await linear.agentSession(sessionId)).status).toBe('pending');
  });

  it('makes an activity once per client id, also of two at once', async () => {
    const { linear, sessionId } = await openDelegated();
    const id = randomUUID();
    const create = () =>
      linear.createAgentActivity({
        id,
        agentSessionId: sessionId,
        content: { type: 'response', body: 'Done' },
      });
    const both = await Promise.allSettled([create(), create()]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(await linear.agentActivity(id)).toMatchObject({ id, content: { body: 'Done' } });
    expect((await (await linear.agentSession(sessionId)).activities()).nodes).toHaveLength(1);
  });

  it('changes an issue: state, labels, delegate, never the app as assignee', async () => {
    const { linear, issueId } = await openDelegated();
    const { nodes: states } = await linear.workflowStates({ filter: { name: { eq: 'In Progress' } } });
    const { nodes: labels } = await linear.issueLabels({ filter: { name: { eq: 'Bug' } } });
    const changed = await linear.updateIssue(issueId, {
      stateId: states[0]?.id ?? '',
      addedLabelIds: [labels[0]?.id ?? ''],
      delegateId: null,
    });
    const issue = await changed.issue;
    expect(await issue?.state).toMatchObject({ name: 'In Progress' });
    expect(await issue?.delegate).toBeUndefined();
    expect((await issue?.labels())?.nodes).toMatchObject([{ name: 'Bug' }]);
    const viewer = await linear.viewer;
    const wrong = linear.updateIssue(issueId, { assigneeId: viewer.id, title: 'Changed' });
    expect(await typeOf(wrong as Promise<unknown>)).toBe(LinearErrorType.InvalidInput);
    expect((await linear.issue(issueId)).title).toBe('Broken');
    await linear.updateIssue(issueId, { delegateId: viewer.id, removedLabelIds: [labels[0]?.id ?? ''] });
    expect((await (await linear.issue(issueId)).labels()).nodes).toEqual([]);
  });

  it('keeps what the agent says of its session', async () => {
    const { linear, sessionId } = await openDelegated();
    const link = { label: 'Log', url: 'https://tagalong.example/sessions/1' };
    await linear.updateAgentSession(sessionId, { addedExternalUrls: [link], summary: 'Fixing', plan: [] });
    const session = await linear.agentSession(sessionId);
    expect(session).toMatchObject({ summary: 'Fixing', externalLinks: [link] });
  });

  it('says of a query that it does not serve that it does not, and refuses one that is none', async () => {
    const { workplace } = await openWorkplace();
    const linear = clientOf(workplace);
    await expect(linear.projects()).rejects.toThrow('does not serve projects');
    await expect(linear.client.rawRequest('{ viewer { nonsense } }')).rejects.toThrow('nonsense');
    const headers = { authorization: `Bearer ${workplace.credentials.linear.access_token}` };
    for (const body of ['', '[]', '{"query":7}', '{"query":"{"}', 'null']) {
      const response = await fetch(workplace.upstreams.linearApiUrl, { method: 'POST', headers, body });
      expect(response.status).toBe(400);
    }
    const huge = JSON.stringify({ query: 'x'.repeat(2 * 1024 * 1024) });
    const response = await fetch(workplace.upstreams.linearApiUrl, { method: 'POST', headers, body: huge });
    expect(response.status).toBe(413);
  });
});
