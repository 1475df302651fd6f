import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findEmbeddedPostgres } from '../../src/store/embedded.ts';
import { openHome } from '../../src/store/home.ts';
import { launchBrowser, openPage } from '../console/support/browser.ts';
import { signedGithub, signedLinear, signedSlack } from '../providers/support/sign.ts';
import {
  beginPublication,
  freePort,
  installApp,
  makeApp,
  type Provider,
  readAppFields,
  setupOf,
  stepLink,
} from './publishing.ts';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';
import { stateOf } from './workplace-state.ts';

interface Delivery {
  id: string;
  outcome: { kind: string; reason?: string; message: string; session_id?: string };
}
interface SessionEvent {
  type: string;
  content?: { text?: string }[];
}
// biome-ignore lint/suspicious/noExplicitAny: whatever the providers send
type Body = Record<string, any>;

const key = 'the-secret-that-this-test-signs-with';
let server: TestServer;
let browser: Browser;
let database: pg.Client;

beforeAll(async () => {
  const home = mkdtempSync(join(tmpdir(), 'tagalong-acceptance-'));
  server = await startServer({ home, env: { PORT: String(await freePort()) } });
  browser = await launchBrowser();
  const running = await findEmbeddedPostgres(openHome(home));
  database = new pg.Client({ connectionString: running?.url });
  await database.connect();
}, 90_000);
afterAll(async () => {
  await database?.end();
  await browser?.close();
  await cleanUp(server);
});

const output = (what: string) => () => `${what}:\n${server.output().slice(-3_000)}`;

interface Made {
  id: string;
  page: Page;
  appPage: string;
  handle: string;
}
async function made(provider: Provider, name: string): Promise<Made> {
  const id = await beginPublication(server, provider, { name });
  const { page } = await openPage(browser, 'about:blank');
  await makeApp(page, server, id, provider);
  let appPage = page.url();
  if (provider === 'github') {
    await page.goto(await stepLink(server, id, 'install'));
    appPage = page.url().replace(/\/installations\/new.*$/, '');
  }
  await installApp(page, server, id, provider);
  await server.api(`/v1/publications/${id}/webhook_secret`, { webhook_secret: key });
  const { identity } = await server.api<{ identity: { handle: string } }>(`/v1/publications/${id}`);
  return { id, page, appPage, handle: identity.handle };
}

/** Speaks to the agent where it works, so that there is a conversation to go on with. */
async function speak(provider: Provider, handle: string, text: string): Promise<void> {
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

/** The body with which the provider told of words, as it was stored. */
const told = (id: string, words: string) =>
  eventually(
    async () => {
      const { rows } = await database.query<{ body: Buffer; headers: Record<string, string> }>(
        `select body, headers from deliveries where publication_id = $1 and position($2::bytea in body) > 0
       and outcome = 'routed' order by id desc limit 1`,
        [id, Buffer.from(words)],
      );
      return rows[0];
    },
    output(`a delivery with ${words}`),
  );

/** The same told of other words, said later in the same place. */
function saidLater(provider: Provider, body: Body, n: number, words: string): Body {
  const later = structuredClone(body);
  if (provider === 'slack') {
    const [seconds = '', micros = ''] = String(body.event.ts).split('.');
    later.event_id = `Ev${String(n).padStart(9, '0')}`;
    later.event.thread_ts = body.event.ts;
    later.event.ts = `${Number(seconds) + n}.${micros}`;
    later.event.event_ts = later.event.ts;
    later.event.text = String(body.event.text).replace(/run .*/, words);
  } else if (provider === 'github') {
    later.comment.id = Number(body.comment.id) + 10_000 + n;
    later.comment.body = String(body.comment.body).replace(/run .*/, words);
  } else {
    const id = String(body.agentActivity.id).replace(/^.{8}/, String(n).padStart(8, '0'));
    Object.assign(later.agentActivity, { id, content: { ...body.agentActivity.content, body: words } });
  }
  return later;
}

/** Sends a webhook as the provider does: signed, in time, under an id of its own. */
async function send(provider: Provider, id: string, body: Body, event: string): Promise<void> {
  const at = new Date();
  const request =
    provider === 'slack'
      ? signedSlack(body, { key, at })
      : provider === 'github'
        ? signedGithub(event, body, { key })
        : signedLinear({ ...body, webhookTimestamp: at.getTime() }, { key, at });
  const headers = { ...request.headers };
  for (const name of ['x-github-delivery', 'linear-delivery']) {
    if (headers[name] !== undefined) headers[name] = crypto.randomUUID();
  }
  const response = await fetch(`${server.url}/webhooks/${provider}/${id}`, {
    method: 'POST',
    headers,
    body: new Uint8Array(request.body),
  });
  expect(response.status).toBe(200);
}

async function userMessages(sessionId: string): Promise<string[]> {
  const { data } = await server.api<{ data: SessionEvent[] }>(
    `/v1/sessions/${sessionId}/events?limit=100&order=asc`,
  );
  return data.filter(({ type }) => type === 'user.message').map(({ content }) => content?.[0]?.text ?? '');
}

/** How often each of these words was said by an agent, in whatever place. */
async function answersWith(words: string): Promise<number> {
  const { rows } = await database.query<{ n: string }>(
    `select count(*) as n from actions where tool = 'reply' and state = 'sent' and arguments::text like $1`,
    [`%${words}%`],
  );
  return Number(rows[0]?.n);
}

/** What of a publication's deliveries waits, once it is so many. */
const waitingDeliveries = (id: string, count: number) =>
  eventually(
    async () => {
      const { data } = await server.api<{ data: Delivery[] }>(
        `/v1/deliveries?outcome=pending&publication_id=${id}`,
      );
      return data.filter(({ outcome }) => outcome.reason === 'waiting_for_install').length === count && data;
    },
    output(`${count} deliveries that wait`),
  );

const allIdle = () =>
  eventually(async () => {
    const { data } = await server.api<{ data: { status: string }[] }>('/v1/sessions');
    return data.every(({ status }) => status === 'idle');
  }, 'all turns are over');

describe('what is said to an agent that is not installed, or suspended', () => {
  it.each<[Provider, string | RegExp, string, string | undefined]>([
    ['slack', /^Remove from/, 'needs_reauth', undefined],
    ['github', 'Uninstall', 'needs_reauth', undefined],
    ['github', 'Suspend', 'suspended', 'Unsuspend'],
    ['linear', /^Revoke access/, 'needs_reauth', undefined],
  ])(
    '%s, "%s": waits, says so, and is answered once and in order afterwards',
    async (provider, ends, state, begins) => {
      const name = `Wait ${provider[0]}${state[0]}`;
      const tag = `${provider}-${state}`;
      const { id, page, appPage, handle } = await made(provider, name);
      await speak(provider, handle, `run \`echo ${tag}-zero\``);
      await eventually(async () => (await answersWith(`${tag}-zero`)) === 1, output('the first answer'));
      const { body, headers } = await told(id, `${tag}-zero`);
      const original = JSON.parse(body.toString()) as Body;

      await page.goto(appPage);
      await page.getByRole('button', { name: ends, exact: typeof ends === 'string' }).click();
      await eventually(async () => (await setupOf(server, id)).state === state, output(`${id} is ${state}`));
      for (const [n, word] of ['one', 'two', 'three'].entries()) {
        const later = saidLater(provider, original, n + 1, `run \`echo ${tag}-${word}\``);
        await send(provider, id, later, headers['x-github-event'] ?? '');
      }
      const waiting = await waitingDeliveries(id, 3);
      expect(waiting[0]?.outcome.message).toMatch(
        /stored and waits.*installed again.*answered, in its order/,
      );

      if (begins) {
        await page.goto(appPage);
        await page.getByRole('button', { name: begins }).click();
      } else await installApp(page, server, id, provider);
      await eventually(async () => (await setupOf(server, id)).state === 'live', output(`${id} is live`));
      await eventually(async () => (await answersWith(`${tag}-three`)) > 0, output('the answers'));
      await allIdle();
      const settled = await server.api<Delivery>(`/v1/deliveries/${waiting[0]?.id}`);
      expect(settled.outcome).toMatchObject({ kind: 'routed' });
      const said = await userMessages(settled.outcome.session_id ?? '');
      const tags = said.flatMap((text) => /run `echo \S+-(one|two|three)`/.exec(text)?.[1] ?? []);
      expect(tags).toEqual(['one', 'two', 'three']);
      expect(await answersWith(`${tag}-three`)).toBe(1);
      await page.context().close();
    },
  );
});

describe('a token that the provider will not refresh', () => {
  it('linear: wants the app installed again, tells its admin, and what was said waits for it', async () => {
    const { id, page, appPage, handle } = await made('linear', 'Refused');
    await page.goto(appPage);
    await page.getByRole('button', { name: 'Rotate the client secret' }).click();
    // The token is about to end, as it is each day; the process that keeps it reads the row anew within a second.
    const soon = new Date(Date.now() + 60_000).toISOString();
    await database.query(
      `update credentials set detail = detail || jsonb_build_object('expires_at', $2::text)
       where publication_id = $1 and kind = 'linear_app'`,
      [id, soon],
    );
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await speak('linear', handle, 'run `echo after-refusal`');
    const setup = await eventually(async () => {
      const found = await setupOf(server, id);
      return found.state === 'needs_reauth' && found;
    }, output('needs_reauth'));
    expect(setup.state_reason).toMatch(/refused to refresh the token.*Install the app again/);
    const { data: notices } = await server.api<{
      data: { publication_id: string; kind: string; text: string }[];
    }>('/v1/notices?state=open');
    expect(notices.filter((notice) => notice.publication_id === id)).toEqual([
      expect.objectContaining({
        kind: 'publication.needs_reauth',
        text: expect.stringMatching(/needs to be installed again\. .*refused to refresh the token/),
      }),
    ]);
    await waitingDeliveries(id, 2);

    await page.goto(appPage);
    const { app_fields: fields } = await setupOf(server, id);
    const typed = await readAppFields(
      page,
      fields.map(({ name }) => name),
    );
    await server.api(`/v1/publications/${id}/credentials`, typed);
    await installApp(page, server, id, 'linear');
    await eventually(async () => (await answersWith('after-refusal')) > 0, output('the answer'));
    await allIdle();
    expect(await answersWith('after-refusal')).toBe(1);
    await page.context().close();
  });
});
