import { sql } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import type { SessionsPort } from '../../src/gateway/deps.ts';
import { newId } from '../../src/store/ids.ts';
import { withOrganization } from '../../src/store/organization.ts';
import {
  actions,
  anchors,
  egressRecords,
  installations,
  sessionEvents,
  sessions,
} from '../../src/store/schema.ts';
import { type RestSetUp, setUpRest } from './rest-support.ts';
import { addPublication } from './support.ts';

describe('/v1/sessions', () => {
  let t: RestSetUp;
  let sessionId: string;

  const append = async (type: string, payload: Record<string, unknown>, session = sessionId) => {
    const id = newId('sevt');
    await withOrganization(t.database, t.gateway.organizationId, async (tx) => {
      await tx
        .insert(sessionEvents)
        .values({ id, organizationId: t.gateway.organizationId, sessionId: session, type, payload });
      await tx.execute(sql`select pg_notify('tagalong_events', ${session})`);
    });
    return id;
  };
  const newSession = async (title: string | null = null) => {
    const id = newId('sesn');
    const { organizationId, agentId } = t.gateway;
    await t.database.insert(sessions).values({ id, organizationId, agentId, agentVersion: 1, title });
    return id;
  };
  const port: SessionsPort = {
    create: async ({ title }) => newSession(title ?? null),
    say: async (input) =>
      append('user.message', { content: [{ type: 'text', text: input.text }] }, input.sessionId),
    interrupt: async (input) => append('user.interrupt', {}, input.sessionId),
  };

  beforeAll(async () => {
    t = await setUpRest({ sessions: port });
    sessionId = await newSession('About the build');
    return () => t.gateway.close();
  });

  it('shows a session with its agent and its anchors', async () => {
    const { organizationId } = t.gateway;
    const publication = await addPublication(t.gateway, 'slack');
    const installationId = newId('inst');
    await t.database.insert(installations).values({
      id: installationId,
      organizationId,
      publicationId: publication.id,
      provider: 'slack',
      identity: { workspaceId: 'T1' },
    });
    await t.database.insert(anchors).values({
      id: newId('anchor'),
      organizationId,
      publicationId: publication.id,
      installationId,
      sessionId,
      provider: 'slack',
      key: 'T1:C1:1',
      place: { channel: 'C1' },
    });
    const { body } = await t.api('GET', `/v1/sessions/${sessionId}`);
    expect(body).toMatchObject({
      id: sessionId,
      type: 'session',
      status: 'idle',
      title: 'About the build',
      agent: { type: 'agent', id: t.gateway.agentId, version: 1, name: 'Ada' },
      anchors: [{ provider: 'slack', place: { channel: 'C1' } }],
    });
    const list = await t.api('GET', '/v1/sessions');
    expect((list.body.data as { id: string }[]).some(({ id }) => id === sessionId)).toBe(true);
    expect((await t.api('GET', `/v1/sessions/${t.other.sessionId}`)).status).toBe(404);
  });

  it('is made and spoken to through the sessions room', async () => {
    const made = await t.api('POST', '/v1/sessions', { agent: t.gateway.agentId, title: 'By API' });
    expect(made).toMatchObject({ status: 201, body: { type: 'session', title: 'By API' } });
    const path = `/v1/sessions/${made.body.id}/events`;
    const sent = await t.api('POST', path, {
      events: [{ type: 'user.message', content: [{ type: 'text', text: 'hi' }] }, { type: 'user.interrupt' }],
    });
    expect(sent.body.data).toMatchObject([
      { type: 'user.message', content: [{ type: 'text', text: 'hi' }] },
      { type: 'user.interrupt' },
    ]);
    expect((await t.api('GET', path)).body.data).toEqual(sent.body.data);
    for (const events of [[], [{ type: 'agent.message' }], [{ type: 'user.message', content: [] }], 'x']) {
      expect((await t.api('POST', path, { events })).status).toBe(400);
    }
    expect((await t.api('POST', '/v1/sessions', { agent: 'agent_0' })).status).toBe(404);
    const version = { type: 'agent', id: t.gateway.agentId, version: 99 };
    expect((await t.api('POST', '/v1/sessions', { agent: version })).status).toBe(404);
    const theirs = `/v1/sessions/${t.other.sessionId}/events`;
    expect((await t.api('POST', theirs, { events: [{ type: 'user.interrupt' }] })).status).toBe(404);
  });

  it('lists its log in order, both ways, by type, page by page', async () => {
    const id = await newSession();
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) {
      ids.push(
        await append(n % 2 ? 'agent.thinking' : 'agent.message', { n, id: 'forged', type: 'forged' }, id),
      );
    }
    const get = async (query: string) => (await t.api('GET', `/v1/sessions/${id}/events?${query}`)).body;
    const idsOf = (body: Record<string, unknown>) => (body.data as { id: string }[]).map((event) => event.id);
    expect(idsOf(await get(''))).toEqual(ids);
    expect(idsOf(await get('order=desc'))).toEqual([...ids].reverse());
    expect(idsOf(await get('types[]=agent.thinking'))).toEqual([ids[1], ids[3]]);
    const first = await get('limit=2');
    const second = await get(`limit=2&page=${first.next_page}`);
    const third = await get(`limit=2&page=${second.next_page}`);
    expect([...idsOf(first), ...idsOf(second), ...idsOf(third)]).toEqual(ids);
    expect(third.next_page).toBeNull();
  });

  describe('the event stream', () => {
    const openStream = async (id: string, key = t.gateway.apiKey) => {
      const abort = new AbortController();
      const answer = await fetch(`${t.gateway.url}/v1/sessions/${id}/events/stream`, {
        headers: { 'x-api-key': key, accept: 'application/json' },
        signal: abort.signal,
      });
      return { answer, abort, messages: messagesOf(answer) };
    };

    it('tells what is appended from now on, each with an event line, and nothing twice', async () => {
      const id = await newSession();
      await append('agent.message', { content: 'before' }, id);
      const { answer, abort, messages } = await openStream(id);
      expect(answer.headers.get('content-type')).toContain('text/event-stream');
      expect(await messages.next()).toMatchObject({ value: { event: 'ping' } });
      for (let n = 0; n < 3; n++) {
        const eventId = await append('agent.message', { content: [{ type: 'text', text: `say ${n}` }] }, id);
        const { value } = await messages.next();
        expect(value).toMatchObject({
          event: 'agent.message',
          data: { id: eventId, type: 'agent.message', content: [{ type: 'text', text: `say ${n}` }] },
        });
      }
      abort.abort();
    });

    it('tells an event that becomes visible after a later one', async () => {
      const id = await newSession();
      const { abort, messages } = await openStream(id);
      await messages.next();
      let commitFirst = () => {};
      const held = new Promise<void>((resolve) => {
        commitFirst = resolve;
      });
      const { organizationId } = t.gateway;
      const early = newId('sevt');
      let inserted = () => {};
      const isInserted = new Promise<void>((resolve) => {
        inserted = resolve;
      });
      const slow = withOrganization(t.database, organizationId, async (tx) => {
        await tx
          .insert(sessionEvents)
          .values({ id: early, organizationId, sessionId: id, type: 'user.message', payload: {} });
        inserted();
        await held;
        await tx.execute(sql`select pg_notify('tagalong_events', ${id})`);
      });
      await isInserted;
      const late = await append('agent.message', {}, id);
      expect((await messages.next()).value?.data.id).toBe(late);
      commitFirst();
      await slow;
      expect((await messages.next()).value?.data.id).toBe(early);
      abort.abort();
    });

    it('goes on by itself when the connection that listens is cut', async () => {
      const id = await newSession();
      const { abort, messages } = await openStream(id);
      await messages.next();
      await t.database.execute(
        sql`select pg_terminate_backend(pid) from pg_stat_activity
            where query = 'listen tagalong_events' and datname = current_database()`,
      );
      const eventId = await append('agent.message', {}, id);
      expect((await messages.next()).value?.data.id).toBe(eventId);
      abort.abort();
    });

    it("does not exist for another organization's session", async () => {
      expect((await openStream(sessionId, t.otherKey)).answer.status).toBe(404);
    });

    it('ends when the gateway closes', async () => {
      const own = await setUpRest();
      const id = newId('sesn');
      const { organizationId, agentId } = own.gateway;
      await own.database.insert(sessions).values({ id, organizationId, agentId, agentVersion: 1 });
      const answer = await fetch(`${own.gateway.url}/v1/sessions/${id}/events/stream`, {
        headers: { 'x-api-key': own.gateway.apiKey },
      });
      const messages = messagesOf(answer);
      await messages.next();
      await own.gateway.close();
      expect((await messages.next()).done).toBe(true);
    });
  });

  it('lists actions and egress requests of a session, and only the own', async () => {
    const { organizationId } = t.gateway;
    const action = (organization: string, session: string, reason: string) => ({
      id: newId('action'),
      organizationId: organization,
      sessionId: session,
      provider: 'github' as const,
      capability: 'github:pr.merge',
      tool: 'github_merge',
      arguments: { number: 7 },
      argumentsHash: 'x',
      decision: 'refused' as const,
      reason,
      state: 'refused' as const,
    });
    const request = (organization: string, session: string) => ({
      id: newId('egr'),
      organizationId: organization,
      sessionId: session,
      method: 'CONNECT',
      scheme: 'https',
      host: 'evil.example',
      port: 443,
      decision: 'refused' as const,
      rule: 'not_allowed',
      ...{ offsetsMs: [0], paths: ['/'], statuses: [403], durationsMs: [1], bytesUp: [0], bytesDown: [0] },
    });
    await t.database
      .insert(actions)
      .values([
        action(organizationId, sessionId, 'ours'),
        action(t.other.organizationId, t.other.sessionId, 'theirs'),
      ]);
    await t.database
      .insert(egressRecords)
      .values([request(organizationId, sessionId), request(t.other.organizationId, t.other.sessionId)]);
    const shown = (await t.api('GET', `/v1/actions?session_id=${sessionId}`)).body.data;
    expect(shown).toMatchObject([{ type: 'action', capability: 'github:pr.merge', reason: 'ours' }]);
    expect((await t.api('GET', '/v1/actions')).body.data).toHaveLength(1);
    const records = (await t.api('GET', '/v1/egress_requests?decision=refused')).body.data;
    expect(records).toMatchObject([{ type: 'egress_request', host: 'evil.example', rule: 'not_allowed' }]);
    expect((await t.api('GET', `/v1/egress_requests?session_id=${t.other.sessionId}`)).body.data).toEqual([]);
  });
});

interface StreamMessage {
  event: string;
  data: Record<string, unknown>;
}

async function* messagesOf(answer: Response): AsyncGenerator<StreamMessage, undefined> {
  let text = '';
  for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const event = /^event: (.*)$/m.exec(block)?.[1] ?? '';
      yield { event, data: JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? '{}') as Record<string, unknown> };
    }
  }
  return undefined;
}
