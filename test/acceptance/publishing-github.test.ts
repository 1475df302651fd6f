import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser, openPage } from '../console/support/browser.ts';
import { beginPublication, freePort, installApp, makeApp, setupOf, stepLink } from './publishing.ts';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';

describe('the ways back from GitHub', () => {
  let server: TestServer;
  let browser: Browser;

  beforeAll(async () => {
    const home = mkdtempSync(join(tmpdir(), 'tagalong-acceptance-'));
    server = await startServer({ home, env: { PORT: String(await freePort()) } });
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await cleanUp(server);
  });

  const made = async (name: string) => {
    const id = await beginPublication(server, 'github', { name });
    const opened = await openPage(browser, 'about:blank');
    await makeApp(opened.page, server, id, 'github');
    const link = await stepLink(server, id, 'install');
    await opened.page.goto(link);
    // Where the installation page is, and the state that it was opened with.
    const installPage = new URL(opened.page.url());
    return { id, ...opened, installPage };
  };

  it('lead to live without a state, when somebody installs it on GitHub itself', async () => {
    const { id, page, context, installPage } = await made('Mae');
    await page.goto(`${installPage.origin}${installPage.pathname}`);
    await page.getByRole('button', { name: 'Install', exact: true }).click();
    await page.waitForURL(/\/github\/setup/);
    await eventually(async () => (await setupOf(server, id)).state === 'live', 'live');
    await context.close();
  });

  it('lead to live by the signed event alone, when the browser never comes back', async () => {
    const { id, page, context, installPage } = await made('Nell');
    await page.route(/\/github\/setup/, (route) => route.abort());
    await page.goto(`${installPage.origin}${installPage.pathname}`);
    await page.getByRole('button', { name: 'Install', exact: true }).click();
    await eventually(
      async () => (await setupOf(server, id)).state === 'live',
      () => `live:\n${server.output().slice(-2000)}`,
    );
    await context.close();
  });

  it('believe no installation number that GitHub does not list for this app', async () => {
    const other = await made('Olga');
    await installApp(other.page, server, other.id, 'github');
    const foreign = await server.api<{ identity: { workspaceId: string } }>(`/v1/publications/${other.id}`);
    await other.context.close();
    for (const spoofed of [foreign.identity.workspaceId, '1']) {
      const { id, page, context, installPage } = await made(`Pia ${spoofed.slice(0, 4)}`);
      const state = installPage.searchParams.get('state') ?? '';
      const setup = new URL('/github/setup', server.url);
      setup.search = new URLSearchParams({
        installation_id: spoofed,
        setup_action: 'install',
        state,
      }).toString();
      await page.goto(setup.href);
      await page.getByRole('heading', { name: 'Not confirmed yet' }).waitFor();
      expect((await setupOf(server, id)).state).toBe('awaiting_install');
      // The step is simply done again.
      await installApp(page, server, id, 'github');
      expect((await setupOf(server, id)).state).toBe('live');
      await context.close();
    }
  });

  it('lead back to live after it was uninstalled and installed anew, as the same installation', async () => {
    const { id, page, context, installPage } = await made('Rosa');
    await installApp(page, server, id, 'github');
    const before = await server.api<{ identity: { workspaceId: string } }>(`/v1/publications/${id}`);
    await page.goto(`${installPage.origin}${installPage.pathname.replace('/installations/new', '')}`);
    await page.getByRole('button', { name: 'Uninstall' }).click();
    await eventually(async () => (await setupOf(server, id)).state === 'needs_reauth', 'needs_reauth');
    await installApp(page, server, id, 'github');
    const after = await server.api<{ state: string; identity: { workspaceId: string } }>(
      `/v1/publications/${id}`,
    );
    expect(after.state).toBe('live');
    expect(after.identity.workspaceId).not.toBe(before.identity.workspaceId);
    await context.close();
  });

  it('say that an owner was asked, and change nothing', async () => {
    const { id, page, context } = await made('Sue');
    await page.goto(`${server.url}/github/setup?setup_action=request`);
    await page.getByRole('heading', { name: 'An owner was asked' }).waitFor();
    expect((await setupOf(server, id)).state).toBe('awaiting_install');
    await context.close();
  });
});
