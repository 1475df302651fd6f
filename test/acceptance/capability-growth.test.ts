import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser, openPage } from '../console/support/browser.ts';
import { addressAgent, beginPublication, freePort, installApp, makeAndInstall } from './publishing.ts';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';

interface Shown {
  state: string;
  identity: { handle: string };
  pending_capabilities: { difference: string; scopes: string[] } | null;
  missing_scopes: string[];
}

/** What is granted in addition, and what it needs. */
const grown = {
  slack: { capability: 'search.read', scope: 'search:read.public' },
  github: { capability: 'workflow.write', scope: 'workflows:write' },
} as const;

describe('an agent that shall be allowed more', () => {
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

  it.each(['slack', 'github'] as const)(
    '%s: works on with what it has until the provider has given the new scopes',
    async (provider) => {
      const { capability, scope } = grown[provider];
      const id = await beginPublication(server, provider, { name: `Zoe ${provider}` });
      const path = `/v1/publications/${id}`;
      const shown = () => server.api<Shown>(path);
      const { page, context } = await openPage(browser, 'about:blank');
      const appPage = await makeAndInstall(page, server, id, provider);
      expect((await shown()).missing_scopes).toEqual([]);

      const asked = await server.api<Shown>(path, { capabilities: { [capability]: 'on' } });
      expect(asked.pending_capabilities?.scopes).toEqual([scope]);
      const { difference } = asked.pending_capabilities ?? {};
      const approved = await server.api<Shown>(`${path}/capabilities/approve`, { difference });
      expect(approved).toMatchObject({ state: 'live', missing_scopes: [scope] });

      const answered = await addressAgent(server, provider, approved.identity.handle, 'say hello');
      await eventually(answered, () => `a reply:\n${server.output().slice(-3_000)}`);

      const { manifest } = await server.api<{ manifest: Record<string, unknown> }>(`${path}/setup`);
      if (provider === 'slack') {
        await page.goto(appPage);
        await page.locator('#manifest').fill(JSON.stringify(manifest));
        await page.getByRole('button', { name: 'Save Changes' }).click();
        await installApp(page, server, id, provider);
      } else {
        const { origin, pathname } = new URL(appPage);
        await page.goto(`${origin}/settings${pathname}/permissions`);
        await page.locator('#permissions').fill(JSON.stringify(manifest.default_permissions));
        await page.getByRole('button', { name: 'Save changes' }).click();
        await page.getByRole('button', { name: 'Accept new permissions' }).click();
      }
      await eventually(async () => (await shown()).missing_scopes.length === 0, 'nothing is missing');
      expect((await shown()).state).toBe('live');
      await context.close();
    },
  );
});
