import { describe, expect, test } from 'vitest';
import { createLinearAdapter } from '../../../src/providers/linear/index.ts';
import { uuidFrom } from '../../../src/providers/linear/presence.ts';
import { type Answer, type Cloud, createCloud, type Recorded } from '../support/cloud.ts';
import { identity, issueId, sessionId } from './payloads.ts';

const mark = '3f2b8c1e-7f1a-4c5e-9a55-0d6f6f1f2a3b';
const target = {
  place: { agent_session_id: sessionId, issue_id: issueId, identifier: 'ENG-1' },
  message: { agent_session_id: sessionId },
};
const adapter = createLinearAdapter();
const tool = (name: string) => {
  const found = adapter.tools.find((each) => each.name === name);
  if (!found) throw new Error(`no tool ${name}`);
  return found;
};
const context = (cloud: Cloud) => ({ fetch: cloud.fetch, identity });
const refusal = (message: string): Answer => ({
  json: { data: null, errors: [{ message, extensions: { type: 'invalid input', code: 'INPUT_ERROR' } }] },
});
const input = (request: Recorded) => (request.json.variables as { input: Record<string, unknown> }).input;

/** A Linear that keeps what is created, by id, and refuses an id twice. */
function createWorkspace(interfere: (request: Recorded) => Answer | undefined = () => undefined) {
  const kept = new Map<string, Record<string, unknown>>();
  const cloud = createCloud((request) => {
    const variables = request.json.variables as { id?: string };
    if (request.call === 'createAgentActivity' || request.call === 'createComment') {
      const given = input(request);
      if (kept.has(String(given.id))) return refusal('Something with this id is there already');
      const other = interfere(request);
      if (other && other.throws === undefined) return other;
      kept.set(String(given.id), given);
      if (other) return other;
      const field = request.call === 'createComment' ? 'commentCreate' : 'agentActivityCreate';
      const made =
        field === 'commentCreate' ? { comment: { id: given.id } } : { agentActivity: { id: given.id } };
      return { json: { data: { [field]: { success: true, lastSyncId: 1, ...made } } } };
    }
    const found = kept.get(String(variables.id));
    if (!found) return refusal('Entity not found: could not be found');
    if (request.call === 'agentActivity') {
      const agentActivity = { id: variables.id, agentSession: { id: found.agentSessionId }, content: {} };
      return { json: { data: { agentActivity } } };
    }
    return { json: { data: { comment: { id: variables.id, issue: { id: found.issueId }, reactions: [] } } } };
  });
  return { cloud, kept };
}

describe('a reply', () => {
  test('is a response activity whose id is the mark, sent without a token', async () => {
    const { cloud } = createWorkspace();
    await tool('reply').perform(context(cloud), { text: 'Done.' }, target, mark);
    const [request] = cloud.requests;
    if (!request) throw new Error('nothing was sent');
    expect(request.url).toBe('https://api.linear.app/graphql');
    expect(request.headers.get('authorization')).toBeNull();
    expect(input(request)).toEqual({
      id: mark,
      agentSessionId: sessionId,
      content: { type: 'response', body: 'Done.' },
    });
  });

  test('sent twice is said once', async () => {
    const { cloud, kept } = createWorkspace();
    const first = await tool('reply').perform(context(cloud), { text: 'Done.' }, target, mark);
    expect(await tool('reply').perform(context(cloud), { text: 'Done.' }, target, mark)).toEqual(first);
    expect(kept.size).toBe(1);
  });

  test('that arrived although the connection broke is found', async () => {
    const { cloud, kept } = createWorkspace(() => ({ throws: new TypeError('terminated') }));
    await expect(tool('reply').perform(context(cloud), { text: 'x' }, target, mark)).rejects.toMatchObject({
      code: 'unavailable',
      mayHaveArrived: true,
    });
    expect(await tool('reply').reconcile?.(context(cloud), { text: 'x' }, target, mark)).toBeDefined();
    expect(kept.size).toBe(1);
  });

  test('that never arrived, or is in another session, is not found', async () => {
    const { cloud } = createWorkspace();
    expect(await tool('reply').reconcile?.(context(cloud), { text: 'x' }, target, mark)).toBeUndefined();
    await tool('reply').perform(context(cloud), { text: 'x' }, target, mark);
    const elsewhere = { place: { ...target.place, agent_session_id: 'another' } };
    expect(await tool('reply').reconcile?.(context(cloud), { text: 'x' }, elsewhere, mark)).toBeUndefined();
  });

  test('that Linear refuses for another reason fails with its words', async () => {
    const { cloud } = createWorkspace(() => refusal('Agent session is archived'));
    await expect(tool('reply').perform(context(cloud), { text: 'x' }, target, mark)).rejects.toMatchObject({
      code: 'refused',
      message: 'Linear refused the activity: Agent session is archived',
    });
  });

  test('is not looked for as missing while Linear does not answer', async () => {
    const cloud = createCloud(() => ({ status: 503, text: '' }));
    await expect(
      tool('reply').reconcile?.(context(cloud), { text: 'x' }, target, mark),
    ).rejects.toMatchObject({
      code: 'unavailable',
    });
  });

  test('of a failed turn is an error activity', async () => {
    const { cloud } = createWorkspace();
    await tool('failure').perform(context(cloud), { text: 'Out of memory.' }, target, mark);
    expect(cloud.requests[0] && input(cloud.requests[0]).content).toEqual({
      type: 'error',
      body: 'Out of memory.',
    });
  });
});

describe('limits', () => {
  const limited = async (headers: Record<string, string>) => {
    const errors = [
      { message: 'Rate limit exceeded', extensions: { type: 'ratelimited', code: 'RATELIMITED' } },
    ];
    const cloud = createCloud(() => ({ status: 400, headers, json: { errors } }));
    return tool('reply')
      .perform(context(cloud), { text: 'x' }, target, mark)
      .catch((error: unknown) => error as { code: string; retryAfterMs: number | undefined });
  };

  test('last until their reset, told in epoch milliseconds', async () => {
    const error = await limited({
      'x-ratelimit-requests-remaining': '40',
      'x-ratelimit-requests-reset': String(Date.now() + 3_600_000),
      'x-ratelimit-complexity-remaining': '0',
      'x-ratelimit-complexity-reset': String(Date.now() + 60_000),
    });
    expect(error).toMatchObject({ code: 'rate_limited' });
    expect((error as { retryAfterMs: number }).retryAfterMs).toBeLessThanOrEqual(60_000);
    expect(await limited({ 'retry-after': '5' })).toMatchObject({ retryAfterMs: 5_000 });
    expect(await limited({})).toMatchObject({ code: 'rate_limited', retryAfterMs: undefined });
  });

  test('a refusal without errors is not taken for a lost token', async () => {
    const cloud = createCloud(() => ({ status: 413, text: 'too large' }));
    await expect(tool('reply').perform(context(cloud), { text: 'x' }, target, mark)).rejects.toMatchObject({
      code: 'refused',
    });
  });
});

test('a comment goes on the issue, once, and needs one', async () => {
  const { cloud, kept } = createWorkspace();
  await tool('linear_comment').perform(context(cloud), { body: 'See here.' }, target, mark);
  await tool('linear_comment').perform(context(cloud), { body: 'See here.' }, target, mark);
  expect([...kept.values()]).toEqual([{ id: mark, issueId, body: 'See here.' }]);
  expect(await tool('linear_comment').reconcile?.(context(cloud), { body: 'x' }, target, mark)).toBeDefined();
  const place = { agent_session_id: sessionId };
  await expect(
    tool('linear_comment').perform(context(cloud), { body: 'x' }, { place }, mark),
  ).rejects.toMatchObject({ code: 'refused' });
});

describe('reading the issue', () => {
  const user = (id: string) => ({
    id,
    displayName: `name-${id}`,
    name: id,
    active: true,
    guest: false,
    app: false,
  });
  const comment = (index: number, userId: string) => ({
    id: `comment-${index}`,
    body: `comment ${index}`,
    createdAt: new Date(1_763_640_000_000 + index * 1_000).toISOString(),
    user: { id: userId },
    reactions: [],
  });
  const answer = ({ call, json }: Recorded): Answer => {
    const { id, after } = json.variables as { id?: string; after?: string };
    if (call === 'issue') {
      const issue = {
        id: issueId,
        identifier: 'ENG-1',
        title: 'Tests fail',
        description: 'since Tuesday',
        priorityLabel: 'High',
        url: 'https://linear.app/acme/issue/ENG-1',
        createdAt: '2026-11-20T11:00:00.000Z',
        creator: { id: 'user-1' },
        state: { id: 'state-1' },
        reactions: [],
        sharedAccess: { sharedWithUsers: [] },
      };
      return { json: { data: { issue } } };
    }
    if (call === 'workflowState')
      return { json: { data: { workflowState: { id: 'state-1', name: 'In Progress' } } } };
    if (call === 'user') return { json: { data: { user: user(String(id)) } } };
    // Newest first, as Linear gives them.
    const nodes = after ? [comment(1, 'user-1')] : [comment(3, 'app-user-1'), comment(2, 'user-2')];
    const pageInfo = { hasNextPage: !after, endCursor: 'next', hasPreviousPage: false };
    return { json: { data: { issue: { comments: { nodes, pageInfo } } } } };
  };

  test('gives state, text and all comments in order, each with its author', async () => {
    const cloud = createCloud(answer);
    const { text } = await tool('linear_read_issue').perform(context(cloud), {}, target, mark);
    const lines = text
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line): unknown => JSON.parse(line));
    expect(text).toContain('Linear issue ENG-1, In Progress, High.');
    expect(lines).toMatchObject([
      { id: 'ENG-1', author: 'name-user-1', text: '# Tests fail\n\nsince Tuesday' },
      { id: 'comment-1', author: 'name-user-1', kind: 'person' },
      { id: 'comment-2', author: 'name-user-2', kind: 'person' },
      { id: 'comment-3', kind: 'you' },
    ]);
  });

  test('that is gone says so', async () => {
    const cloud = createCloud(() => refusal('Entity not found: Issue'));
    await expect(tool('linear_read_issue').perform(context(cloud), {}, target, mark)).rejects.toThrow(
      'Entity not found',
    );
  });
});

describe('presence', () => {
  test('is one thought per message, however often it is shown, and nothing at the end', async () => {
    const { cloud, kept } = createWorkspace();
    for (const phase of ['working', 'working', 'done', 'failed'] as const) {
      await adapter.presence(context(cloud), target, phase);
    }
    expect([...kept.values()]).toMatchObject([
      { agentSessionId: sessionId, content: { type: 'thought', body: 'Looking into it.' } },
    ]);
    const later = { ...target, message: { ...target.message, agent_activity_id: 'activity-2' } };
    await adapter.presence(context(cloud), later, 'working');
    expect(kept.size).toBe(2);
  });

  test('has ids that pass for version 4', () => {
    for (let index = 0; index < 200; index++) {
      expect(uuidFrom(`words ${index}`)).toMatch(
        /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      );
    }
    expect(uuidFrom('a')).toBe(uuidFrom('a'));
    expect(uuidFrom('a')).not.toBe(uuidFrom('b'));
  });
});
