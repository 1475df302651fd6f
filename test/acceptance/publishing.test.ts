import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser, openPage } from '../console/support/browser.ts';
import {
  addressAgent,
  beginPublication,
  consent,
  freePort,
  makeApp,
  type Provider,
  setupOf,
  stepLink,
} from './publishing.ts';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';

const providers: Provider[] = ['slack', 'github', 'linear'];

describe('publishing in a browser', () => {
  let server: TestServer;
  let browser: Browser;
  let start: () => Promise<TestServer>;

  beforeAll(async () => {
    const home = mkdtempSync(join(tmpdir(), 'tagalong-acceptance-'));
    const env = { PORT: String(await freePort()) };
    let apiKey: string | undefined;
    start = async () => {
      const started = await startServer({ home, env, ...(apiKey ? { apiKey } : {}) });
      apiKey = started.apiKey;
      return started;
    };
    server = await start();
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await cleanUp(server);
  });

  const open = async (url = 'about:blank') => openPage(browser, url);
  const killAndResume = async () => {
    await server.kill();
    server = await start();
  };

  it.each(providers)(
    '%s: from nothing to live and a reply, killed and resumed after each step',
    async (provider) => {
      const id = await beginPublication(server, provider);
      expect(await setupOf(server, id)).toMatchObject({ state: 'pending_setup', next: 'create' });
      await killAndResume();

      const { page, context, problems } = await open();
      await makeApp(page, server, id, provider);
      await killAndResume();
      expect(await setupOf(server, id)).toMatchObject({ state: 'credentials_filled', next: 'install' });

      await page.goto(await stepLink(server, id, 'install'));
      await page.getByRole('button', { name: consent[provider], exact: true }).waitFor();
      await killAndResume();
      expect(await setupOf(server, id)).toMatchObject({ state: 'awaiting_install', next: 'install' });

      // The vendor of this machine was started anew as well; the browser goes on from the same page.
      await page.getByRole('button', { name: consent[provider], exact: true }).click();
      await page.getByRole('heading', { name: /is installed in/i }).waitFor();
      await killAndResume();
      const setup = await setupOf(server, id);
      expect(setup).toMatchObject({ state: 'live', state_reason: null, next: 'done' });

      const publication = await server.api<{ identity: { handle: string } }>(`/v1/publications/${id}`);
      const answered = await addressAgent(server, provider, publication.identity.handle, 'say hello');
      await eventually(answered, () => `a reply:\n${server.output().slice(-3000)}`);
      const checklist = await eventually(async () => {
        const { checklist: checks } = await setupOf(server, id);
        return checks.every(({ done }) => done) && checks;
      }, 'the whole checklist');
      expect(checklist.map(({ id: check }) => check)).toEqual([
        'app',
        'reachable',
        'signature',
        'installed',
        'event',
        'reply',
      ]);
      expect(problems).toEqual([]);
      await context.close();
    },
  );
});
