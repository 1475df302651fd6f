import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser, openPage } from '../console/support/browser.ts';
import {
  beginPublication,
  freePort,
  installApp,
  makeAndInstall,
  type Provider,
  readAppFields,
  setupOf,
} from './publishing.ts';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';
import { key, openDatabase, repliesWith, saidLater, sendSigned, speak, toldOf } from './signed-deliveries.ts';

interface Delivery {
  id: string;
  outcome: { kind: string; reason?: string; message: string; session_id?: string };
}
interface SessionEvent {
  type: string;
  content?: { text?: string }[];
}
let server: TestServer;
let browser: Browser;
let database: pg.Client;

beforeAll(async () => {
  const home = mkdtempSync(join(tmpdir(), 'tagalong-acceptance-'));
  server = await startServer({ home, env: { PORT: String(await freePort()) } });
  browser = await launchBrowser();
  database = await openDatabase(server);
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
  const appPage = await makeAndInstall(page, server, id, provider);
  await server.api(`/v1/publications/${id}/webhook_secret`, { webhook_secret: key });
  const { identity } = await server.api<{ identity: { handle: string } }>(`/v1/publications/${id}`);
  return { id, page, appPage, handle: identity.handle };
}

async function userMessages(sessionId: string): Promise<string[]> {
  const { data } = await server.api<{ data: SessionEvent[] }>(
    `/v1/sessions/${sessionId}/events?limit=100&order=asc`,
  );
  return data.filter(({ type }) => type === 'user.message').map(({ content }) => content?.[0]?.text ?? '');
}

const answersWith = (words: string) => repliesWith(database, words);

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

/** The provider tells once more that the app was taken away, when it is there again. */
async function heardLate(provider: Provider, id: string): Promise<void> {
  const words = { slack: 'app_uninstalled', github: '"action":"deleted"', linear: '"action":"revoked"' }[
    provider
  ];
  const late = await toldOf(database, id, words);
  const again = { ...late.body, event_id: 'Ev9LATE', again: true };
  expect(await sendSigned(server, provider, id, { ...late, body: again })).toBe(200);
  const settled = await eventually(async () => {
    const { rows } = await database.query<{ outcome: string }>(
      `select outcome from deliveries where publication_id = $1 and position($2::bytea in body) > 0
       and outcome <> 'pending'`,
      [id, Buffer.from('"again":true')],
    );
    return rows[0]?.outcome;
  }, output('what came late is settled'));
  expect(settled).toBe(provider === 'github' ? 'ignored' : 'routed');
  expect(await setupOf(server, id)).toMatchObject({ state: 'live', state_reason: null });
}

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
      await speak(server, provider, handle, `run \`echo ${tag}-zero\``);
      await eventually(async () => (await answersWith(`${tag}-zero`)) === 1, output('the first answer'));
      const original = await toldOf(database, id, `${tag}-zero`);

      await page.goto(appPage);
      await page.getByRole('button', { name: ends, exact: typeof ends === 'string' }).click();
      await eventually(async () => (await setupOf(server, id)).state === state, output(`${id} is ${state}`));
      for (const [n, word] of ['one', 'two', 'three'].entries()) {
        const later = saidLater(original, n + 1, `run \`echo ${tag}-${word}\``);
        expect(await sendSigned(server, provider, id, later)).toBe(200);
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
      if (state === 'needs_reauth') await heardLate(provider, id);
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
    await speak(server, 'linear', handle, 'run `echo after-refusal`');
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
