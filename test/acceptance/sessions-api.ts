import { eventually, type TestServer } from './server.ts';

export interface SessionEvent {
  id: string;
  type: string;
  [field: string]: unknown;
}

/** A session by the REST API, with an agent of its own. */
export interface ApiSession {
  id: string;
  agentId: string;
  events(): Promise<SessionEvent[]>;
  say(text: string): Promise<void>;
  /** Says it, waits for the end of the turn, and answers its events. */
  turn(text: string): Promise<SessionEvent[]>;
  interrupt(): Promise<void>;
  /** Waits until no turn runs; answers the events since the last time. */
  settled(): Promise<SessionEvent[]>;
}

/** Makes an agent and a session with it. */
export async function openSession(server: TestServer, agent: Record<string, unknown>): Promise<ApiSession> {
  const made = await server.api<{ id: string }>('/v1/agents', {
    name: 'Ada',
    model: 'claude-test',
    ...agent,
  });
  const { id } = await server.api<{ id: string }>('/v1/sessions', { agent: made.id });
  return joinSession(server, id, made.id);
}

/** A session that is there already. */
export function joinSession(server: TestServer, id: string, agentId: string, seen = 0): ApiSession {
  let known = seen;
  const events = async () =>
    (await server.api<{ data: SessionEvent[] }>(`/v1/sessions/${id}/events?limit=1000`)).data;
  const send = async (event: object) => {
    await server.api(`/v1/sessions/${id}/events`, { events: [event] });
  };
  const session: ApiSession = {
    id,
    agentId,
    events,
    say: (text) => send({ type: 'user.message', content: [{ type: 'text', text }] }),
    interrupt: () => send({ type: 'user.interrupt' }),
    async turn(text) {
      await session.say(text);
      return session.settled();
    },
    async settled() {
      const all = await eventually(
        async () => {
          const now = await events();
          // What the egress process records of the turn's requests may come a moment later.
          const last = now.slice(known).findLast(({ type }) => type.startsWith('session.status_'));
          return last?.type === 'session.status_idle' && now;
        },
        () => `the end of a turn in ${id}:\n${server.output().slice(-4_000)}`,
        180_000,
      );
      const fresh = all.slice(known);
      known = all.length;
      return fresh;
    },
  };
  return session;
}

/** What the agent said in these events. */
export function saidIn(events: readonly SessionEvent[]): string {
  return events
    .filter(({ type }) => type === 'agent.message')
    .flatMap(({ content }) => (content as { text: string }[]).map(({ text }) => text))
    .join('\n');
}

/** What these events say that went wrong; empty when nothing did. */
export function errorIn(events: readonly SessionEvent[]): string {
  return events
    .filter(({ type }) => type === 'session.error')
    .map(({ error }) => (error as { message: string }).message)
    .join('\n');
}
