import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { findEmbeddedPostgres } from '../../src/store/embedded.ts';
import { openHome } from '../../src/store/home.ts';
import { signedGithub, signedLinear, signedSlack } from '../providers/support/sign.ts';
import type { Provider } from './publishing.ts';
import { eventually, type TestServer } from './server.ts';
import { stateOf } from './workplace-state.ts';

/** What providers send, as far as it is changed here. */
export interface Body extends Record<string, unknown> {
  event?: Record<string, unknown> & { ts: string; text: string };
  comment?: Record<string, unknown> & { id: number; body: string };
  agentActivity?: Record<string, unknown> & { id: string; content: object };
}
/** A webhook as it was stored. */
export interface Told {
  body: Body;
  event: string;
}

/** With which the tests sign; given to a publication beside its app's own. */
export const key = 'the-secret-that-this-test-signs-with';

/** The database of a server that runs. */
export async function openDatabase(server: TestServer): Promise<pg.Client> {
  const running = await findEmbeddedPostgres(openHome(server.home));
  const database = new pg.Client({ connectionString: running?.url });
  database.on('error', () => {});
  await database.connect();
  return database;
}

/** Speaks to the agent in a new place, with words that it is told of in a delivery of their own. */
export async function speak(
  server: TestServer,
  provider: Provider,
  handle: string,
  text: string,
): Promise<void> {
  if (provider === 'slack') {
    const { slack } = await stateOf(server);
    const channel = slack.channels.find(({ name }) => name === 'general')?.id;
    await server.workplace('/slack/messages', { personId: 'maya', channel, text: `@${handle} ${text}` });
  } else if (provider === 'github') {
    const { number } = await server.workplace<{ number: number }>('/github/issues', {
      personId: 'maya',
      title: 'A question',
      body: 'Nothing yet.',
    });
    await server.workplace(`/github/issues/${number}/comments`, {
      personId: 'maya',
      body: `@${handle} ${text}`,
    });
  } else {
    const { sessionId } = await server.workplace<{ sessionId: string }>('/linear/issues', {
      personId: 'maya',
      title: 'A question',
      delegate: true,
      agent: handle,
    });
    await server.workplace(`/linear/sessions/${sessionId}/prompts`, { personId: 'maya', body: text });
  }
}

/** How the provider told a publication of these words. */
export async function toldOf(database: pg.Client, publicationId: string, words: string): Promise<Told> {
  const found = await eventually(async () => {
    const { rows } = await database.query<{ body: Buffer; headers: Record<string, string> }>(
      `select body, headers from deliveries where publication_id = $1 and position($2::bytea in body) > 0
       and outcome = 'routed' order by id desc limit 1`,
      [publicationId, Buffer.from(words)],
    );
    return rows[0];
  }, `a delivery with ${words}`);
  return {
    body: JSON.parse(found.body.toString()) as Body,
    event: found.headers['x-github-event'] ?? '',
  };
}

/** The same told of other words, the n-th said later in the same place: they begin where `run` does. */
export function saidLater({ body, event }: Told, n: number, words: string): Told {
  const later = structuredClone(body);
  if (later.event) {
    const { ts, text } = later.event;
    const [seconds = '', micros = ''] = ts.split('.');
    const at = `${Number(seconds) + n}.${micros}`;
    later.event_id = `Ev${String(n).padStart(9, '0')}`;
    Object.assign(later.event, { thread_ts: ts, ts: at, event_ts: at, text: text.replace(/run .*/, words) });
  } else if (later.comment) {
    later.comment.id += 10_000 + n;
    later.comment.body = later.comment.body.replace(/run .*/, words);
  } else if (later.agentActivity) {
    const id = later.agentActivity.id.replace(/^.{8}/, String(n).padStart(8, '0'));
    Object.assign(later.agentActivity, { id, content: { ...later.agentActivity.content, body: words } });
  }
  return { body: later, event };
}

/** Sends a webhook as the provider does: signed, in time, under an id of its own. Answers the status. */
export async function sendSigned(
  server: TestServer,
  provider: Provider,
  publicationId: string,
  { body, event }: Told,
): Promise<number> {
  const at = new Date();
  const request =
    provider === 'slack'
      ? signedSlack(body, { key, at })
      : provider === 'github'
        ? signedGithub(event, body, { key })
        : signedLinear({ ...body, webhookTimestamp: at.getTime() }, { key, at });
  const headers = { ...request.headers };
  for (const name of ['x-github-delivery', 'linear-delivery']) {
    if (headers[name] !== undefined) headers[name] = randomUUID();
  }
  const response = await fetch(`${server.url}/webhooks/${provider}/${publicationId}`, {
    method: 'POST',
    headers,
    body: new Uint8Array(request.body),
  });
  return response.status;
}

/** How many replies with these words were sent, in whatever place. */
export async function repliesWith(database: pg.Client, words: string): Promise<number> {
  const { rows } = await database.query<{ n: string }>(
    `select count(*) as n from actions where tool = 'reply' and state = 'sent' and arguments::text like $1`,
    [`%${words}%`],
  );
  return Number(rows[0]?.n);
}
