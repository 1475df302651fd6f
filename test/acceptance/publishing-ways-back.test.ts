import pg from 'pg';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findEmbeddedPostgres } from '../../src/store/embedded.ts';
import { openHome } from '../../src/store/home.ts';
import { launchBrowser, openPage } from '../console/support/browser.ts';
import {
  addressAgent,
  beginPublication,
  consent,
  installApp,
  makeApp,
  type Provider,
  setupOf,
  stepLink,
} from './publishing.ts';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';

const wayBack = /\/(oauth\/\w+\/callback|github\/setup)\?/;
/** What of the address the provider gives out, beside our state. */
const given: Record<Provider, string> = { slack: 'code', github: 'installation_id', linear: 'code' };

describe.each<Provider>(['slack', 'github', 'linear'])('the way back from %s', (provider) => {
  let server: TestServer;
  let browser: Browser;
  let database: pg.Client;

  beforeAll(async () => {
    server = await startServer();
    browser = await launchBrowser();
    const running = await findEmbeddedPostgres(openHome(server.home));
    database = new pg.Client({ connectionString: running?.url });
    await database.connect();
  }, 90_000);
  afterAll(async () => {
    await database?.end();
    await browser?.close();
    await cleanUp(server);
  });

  /** GitHub tells of an installation by a signed event as well, and that confirms it whatever the browser brings. */
  const byEvent = provider === 'github';
  const becomes = (id: string, state: string) =>
    eventually(
      async () => (await setupOf(server, id)).state === state,
      () => `${id} is ${state}:\n${server.output().slice(-3_000)}`,
    );
  const newBrowser = () => openPage(browser, 'about:blank');
  /** An app that exists and is not installed, and the browser in which it was made. */
  const made = async (name: string) => {
    const id = await beginPublication(server, provider, { name });
    const opened = await newBrowser();
    await makeApp(opened.page, server, id, provider);
    return { id, ...opened };
  };
  /** Goes as far as the provider's question. */
  const begin = async (page: Page, id: string) => {
    await page.goto(await stepLink(server, id, 'install'));
    await page.getByRole('button', { name: consent[provider], exact: true }).waitFor();
  };
  const agree = (page: Page) => page.getByRole('button', { name: consent[provider], exact: true }).click();
  /** Agrees, and stops at the address to which the provider sends the browser. */
  const agreed = async (page: Page, context: BrowserContext) => {
    const sent = Promise.withResolvers<string>();
    await context.route('**', async (route) => {
      const answer = await route.fetch({ maxRedirects: 0 });
      const to = answer.headers().location ?? '';
      if (!wayBack.test(to)) return route.fulfill({ response: answer });
      sent.resolve(to);
      return route.fulfill({ body: 'Sent back.' });
    });
    await agree(page);
    const url = new URL(await sent.promise);
    await context.unroute('**');
    return url;
  };
  const changed = (url: URL, field: string) => {
    const other = new URL(url);
    const value = url.searchParams.get(field) ?? '';
    other.searchParams.set(field, value.slice(0, -1) + (value.endsWith('7') ? '8' : '7'));
    return other;
  };
  const read = async (page: Page, url: URL | string) => {
    const response = await page.goto(String(url));
    return `${response?.status()} ${await page.locator('main').innerText()}`;
  };
  const rows = async (table: string, id: string) =>
    (await database.query(`select * from ${table} where publication_id = $1`, [id])).rows;

  it('is refused with words that help where it is altered, of another browser, late or used, and can be gone anew', async () => {
    const { id, page, context } = await made('Ways');
    const start = await stepLink(server, id, 'install');
    await page.goto(start);
    expect(await read(page, start)).toMatch(/^400 .*works once.*run tagalong publish again/s);

    await begin(page, id);
    const back = await agreed(page, context);
    const other = await newBrowser();
    expect(await read(other.page, back)).toMatch(/^400 .*started in another browser.*Start the step again/s);
    await other.context.close();
    expect(await read(page, changed(back, 'state'))).toMatch(
      /^400 .*was changed on the way.*Start the step again/s,
    );
    if (byEvent) await becomes(id, 'live');
    expect(await read(page, changed(back, given[provider]))).toMatch(
      byEvent
        ? /^200 .*is installed in acme/s
        : /^400 .*(invalid_code|is not valid)\.\s.*the step can be done again/s,
    );
    expect(await read(page, back)).toMatch(/^400 .*works once.*Start the step again/s);
    expect((await rows('installations', id)).map(({ identity }) => identity.workspaceId)).toEqual(
      byEvent ? [back.searchParams.get('installation_id')] : [],
    );

    await begin(page, id);
    const late = await agreed(page, context);
    await database.query(
      `update publish_tokens set expires_at = now() - interval '1 second' where publication_id = $1 and kind = 'state'`,
      [id],
    );
    expect(await read(page, late)).toMatch(/^400 .*valid for an hour.*Start the step again/s);
    expect(await setupOf(server, id)).toMatchObject(
      byEvent ? { state: 'live', state_reason: null } : { state: 'awaiting_install' },
    );

    await installApp(page, server, id, provider);
    expect(await setupOf(server, id)).toMatchObject({ state: 'live', state_reason: null });
    await context.close();
  });

  it('of two browsers at once ends in one installation, which answers', async () => {
    const { id, page, context } = await made('Race');
    const other = await newBrowser();
    for (const each of [page, other.page]) await begin(each, id);
    await Promise.all([page, other.page].map((each) => agree(each)));
    for (const each of [page, other.page]) {
      await each.getByRole('heading', { name: /is installed in/ }).waitFor();
    }
    expect(await rows('installations', id)).toHaveLength(1);
    const kept = (await rows('credentials', id)).filter(({ kind }) => !String(kind).endsWith('_client'));
    expect(kept).toHaveLength(1);
    const { identity } = await server.api<{ identity: { handle: string } }>(`/v1/publications/${id}`);
    const answered = await addressAgent(server, provider, identity.handle, 'say hello');
    await eventually(
      async () => (await setupOf(server, id)).checklist.every(({ done }) => done),
      () => `a reply:\n${server.output().slice(-3_000)}`,
    );
    expect(provider === 'linear' || (await answered())).toBe(true);
    await context.close();
    await other.context.close();
  });

  it('with a handoff is walked by one browser, and by no other, by none twice, and by none when it is over', async () => {
    const { id, context } = await made('Hand');
    const handoff = async () =>
      (await server.api<{ url: string }>(`/v1/publications/${id}/handoffs`, {})).url;
    const url = await handoff();
    const guest = await newBrowser();
    expect(await read(guest.page, url)).toMatch(/^200 .*asks you to install it/s);
    await guest.page.getByRole('button', { name: 'Show me the steps' }).click();
    await guest.page.getByRole('link', { name: /^Install it in/ }).waitFor();
    const stranger = await newBrowser();
    expect(await read(stranger.page, url)).toMatch(/^400 .*used already.*Ask the person who sent it/s);
    expect(await read(stranger.page, `${server.url}/handoff`)).toMatch(
      /^400 .*Open the link that you were given/s,
    );
    expect(
      await read(
        stranger.page,
        url.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A')),
      ),
    ).toMatch(/^400 .*was changed on the way/s);
    const late = await handoff();
    await database.query(
      `update publish_tokens set expires_at = now() - interval '1 second'
       where publication_id = $1 and kind = 'handoff' and used_at is null`,
      [id],
    );
    expect(await read(stranger.page, late)).toMatch(/^400 .*valid for seven days/s);
    await guest.page.getByRole('link', { name: /^Install it in/ }).click();
    await agree(guest.page);
    await guest.page.getByRole('heading', { name: /is installed in/ }).waitFor();
    expect((await setupOf(server, id)).state).toBe('live');
    for (const each of [context, guest.context, stranger.context]) await each.close();
  });
});
