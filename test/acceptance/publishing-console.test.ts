import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser, openPage } from '../console/support/browser.ts';
import {
  addressAgent,
  beginPublication,
  consent,
  freePort,
  installApp,
  makeApp,
  type Provider,
  readAppFields,
  setupOf,
} from './publishing.ts';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';

const entry = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

describe('publishing', () => {
  let server: TestServer;
  let browser: Browser;
  let port: string;

  beforeAll(async () => {
    port = String(await freePort());
    const home = mkdtempSync(join(tmpdir(), 'tagalong-acceptance-'));
    server = await startServer({ home, env: { PORT: port } });
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await cleanUp(server);
  });

  const signedIn = async () => {
    const token = await spawnCli(['link']);
    const opened = await openPage(browser, token.output.trim());
    await opened.page.waitForURL(/\/workplace/);
    return opened;
  };

  /** The command line, in the environment of an operator. */
  const spawnCli = (given: string[], onOutput?: (output: string, write: (line: string) => void) => void) =>
    new Promise<{ code: number | null; output: string }>((resolve) => {
      const child = spawn(process.execPath, [entry, ...given], {
        env: {
          PATH: process.env.PATH ?? '',
          HOME: process.env.HOME ?? '/',
          TAGALONG_HOME: server.home,
          PORT: port,
        },
        stdio: ['pipe', 'pipe', 'pipe'],
      });
      let output = '';
      const read = (chunk: Buffer) => {
        output += chunk.toString();
        onOutput?.(output, (line) => child.stdin.write(`${line}\n`));
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
      child.once('exit', (code) => resolve({ code, output }));
    });

  it('is walked in the console, with a checklist that fills by itself', async () => {
    const { page, context, problems } = await signedIn();
    await page.goto(`${server.url}/publications`);
    await page.getByRole('link', { name: 'Publish an agent' }).click();
    await page.getByText('Delegate issues to it').click();
    await page.getByLabel('Name there').fill('Grace');
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.waitForURL(/\/publications\/pub_/);
    const id = page.url().split('/').at(-1) ?? '';

    const [vendor] = await Promise.all([
      context.waitForEvent('page'),
      page.getByRole('button', { name: 'Make the app in Linear' }).click(),
    ]);
    await vendor.getByRole('button', { name: 'Create' }).click();
    const typed = await readAppFields(vendor, ['client_id', 'client_secret', 'signing_secret']);
    await vendor.close();
    for (const [name, value] of Object.entries(typed)) await page.locator(`#${name}`).fill(value);
    await page.getByRole('button', { name: 'Store them' }).click();

    await page.getByRole('button', { name: 'Install it in Linear' }).click();
    await page.getByRole('button', { name: consent.linear, exact: true }).click();
    await page.getByRole('link', { name: 'Open it in the console' }).click();
    await page.getByText('Live', { exact: true }).waitFor();

    const { identity } = await server.api<{ identity: { handle: string } }>(`/v1/publications/${id}`);
    await addressAgent(server, 'linear', identity.handle, 'say hello');
    await page.locator('[data-check="reply"][data-done="true"]').waitFor({ timeout: 60_000 });
    await page.getByText('Everything works.').waitFor();
    expect(problems).toEqual([]);
    await context.close();
  });

  it('changes what an agent may do, and the manifest with it', async () => {
    const id = await beginPublication(server, 'slack');
    const { page, context, problems } = await signedIn();
    await page.goto(`${server.url}/publications/${id}`);
    const row = page.locator('li', { hasText: 'search.read' });
    await row.getByText('ask', { exact: true }).click();
    await eventually(async () => {
      const { capabilities } = await server.api<{ capabilities: Record<string, string> }>(
        `/v1/publications/${id}`,
      );
      return capabilities['search.read'] === 'ask';
    }, 'the grant is saved');
    await page.getByText('Manifest and addresses').click();
    await page.getByText('search:read.public').first().waitFor();
    await row.getByText('off', { exact: true }).click();
    await eventually(async () => {
      const { capabilities } = await server.api<{ capabilities: Record<string, string> }>(
        `/v1/publications/${id}`,
      );
      return Object.keys(capabilities).length === 0;
    }, 'the default is no deviation');
    expect(problems).toEqual([]);
    await context.close();
  });

  it('is done by somebody without an account, by a handoff', async () => {
    const id = await beginPublication(server, 'slack', { name: 'Hedy' });
    const { url } = await server.api<{ url: string }>(`/v1/publications/${id}/handoffs`, {});
    const { page, context, problems } = await openPage(browser, url);
    await page.getByRole('button', { name: 'Show me the steps' }).click();
    const [vendor] = await Promise.all([
      context.waitForEvent('page'),
      page.getByRole('link', { name: 'Make it in Slack' }).click(),
    ]);
    await vendor.getByRole('button', { name: 'Create' }).click();
    expect(await vendor.locator('#verified').innerText()).toBe('Verified');
    const typed = await readAppFields(vendor, ['client_id', 'client_secret', 'signing_secret']);
    for (const [name, value] of Object.entries(typed)) await page.locator(`#${name}`).fill(value);
    await page.getByRole('button', { name: 'Store them' }).click();
    await page.getByRole('link', { name: 'Install it in Slack' }).click();
    await page.getByRole('button', { name: 'Allow' }).click();
    await page.getByRole('link', { name: 'Back to the steps' }).click();
    await page.getByRole('heading', { name: 'Hedy is ready' }).waitFor();
    // Nothing else is open to this browser.
    const console = await context.request.get(`${server.url}/publications`, {
      headers: { accept: 'text/html' },
    });
    expect(console.status()).toBe(401);
    expect(problems).toEqual([]);
    await context.close();
  });

  it('waits for a revoked app and sends the answer after it was installed again', async () => {
    const id = await beginPublication(server, 'slack', { name: 'Iris' });
    const { page, context } = await openPage(browser, 'about:blank');
    await makeApp(page, server, id, 'slack');
    const appPage = page.url();
    await installApp(page, server, id, 'slack');
    const { identity } = await server.api<{ identity: { handle: string } }>(`/v1/publications/${id}`);
    const answered = await addressAgent(server, 'slack', identity.handle, 'run `sleep 4; echo after`');
    await eventually(async () => {
      const { data } = await server.api<{ data: { status: string }[] }>('/v1/sessions');
      return data.some(({ status }) => status === 'running');
    }, 'the agent works');
    await page.goto(appPage);
    await page.getByRole('button', { name: /^Remove from/ }).click();
    const revoked = await eventually(async () => {
      const setup = await setupOf(server, id);
      return setup.state === 'needs_reauth' && setup;
    }, 'needs_reauth');
    expect(revoked.state_reason).toMatch(/install/i);
    const openNotices = async () =>
      (
        await server.api<{ data: { publication_id: string; kind: string }[] }>('/v1/notices?state=open')
      ).data.filter(({ publication_id: publication }) => publication === id);
    expect((await openNotices()).map(({ kind }) => kind)).toEqual(['publication.needs_reauth']);
    await eventually(async () => {
      const { data } = await server.api<{ data: { status: string }[] }>('/v1/sessions');
      return data.every(({ status }) => status === 'idle');
    }, 'the turn is over');
    expect(await answered()).toBe(false);
    await installApp(page, server, id, 'slack');
    expect(await openNotices()).toEqual([]);
    await eventually(answered, () => `the answer that waited:\n${server.output().slice(-3000)}`);
    await context.close();
  });

  it.each(['slack', 'github', 'linear'] as const)(
    '%s: unpublished, the app is gone at the provider as well',
    async (provider) => {
      const id = await beginPublication(server, provider, {
        name: `June ${provider === 'linear' ? 'l' : provider}`,
      });
      const { page, context } = await openPage(browser, 'about:blank');
      await makeApp(page, server, id, provider);
      const slug = (await setupOf(server, id)).app.slug;
      const appPage = provider === 'github' ? '' : page.url();
      await installApp(page, server, id, provider);
      const installPage = page.url();
      expect(installPage).toContain(server.url);
      const ended = await server.api<{ state: string; state_reason: string | null }>(
        `/v1/publications/${id}/unpublish`,
        {},
      );
      expect(ended).toMatchObject({ state: 'unpublished', state_reason: null });
      // That the provider takes away what an admin ends is no news.
      const { data: told } = await server.api<{ data: { publication_id: string }[] }>('/v1/notices');
      expect(told.filter(({ publication_id: publication }) => publication === id)).toEqual([]);
      if (provider !== 'github') {
        await page.goto(appPage);
        expect(await page.getByRole('button', { name: /Remove from|Revoke access/ }).count()).toBe(0);
      } else expect(slug).toBe('june-github');
      await context.close();
    },
  );

  it.each<Provider>(['slack', 'github', 'linear'])('%s: is walked by the command line', async (provider) => {
    const { page, context } = await openPage(browser, 'about:blank');
    const visited = new Set<string>();
    let walking: Promise<void> = Promise.resolve();
    const { code, output } = await spawnCli(
      ['publish', provider, '--workplace', '--name', `Kay ${provider === 'linear' ? 'x' : provider}`],
      (text, write) => {
        for (const [url] of text.matchAll(/http:\S+\/publish\/start\/\S+/g)) {
          if (visited.has(url)) continue;
          visited.add(url);
          const step = visited.size === 1 ? 'create' : 'install';
          walking = walking.then(() => walk(page, url, provider, step, write));
        }
      },
    );
    await walking;
    expect(output).toMatch(/is live in/i);
    expect(code).toBe(0);
    await context.close();
  });

  it('goes on from the command line without a terminal, by flags', async () => {
    const first = await spawnCli(['publish', 'linear', '--workplace', '--name', 'Lou', '--no-wait']);
    expect(first.code).toBe(2);
    const id = /--publication (pub_\w+)/.exec(first.output)?.[1] ?? '';
    const link = /http:\S+\/publish\/start\/\S+/.exec(first.output)?.[0] ?? '';
    const { page, context } = await openPage(browser, link);
    await page.getByRole('button', { name: 'Create' }).click();
    const typed = await readAppFields(page, ['client_id', 'client_secret', 'signing_secret']);
    const second = await spawnCli([
      'publish',
      '--publication',
      id,
      '--no-wait',
      '--client-id',
      typed.client_id ?? '',
      '--client-secret',
      typed.client_secret ?? '',
      '--signing-secret',
      typed.signing_secret ?? '',
    ]);
    expect(second).toMatchObject({ code: 2, output: expect.stringContaining('Install it in Linear') });
    await page.goto(/http:\S+\/publish\/start\/\S+/.exec(second.output)?.[0] ?? '');
    await page.getByRole('button', { name: 'Authorize' }).click();
    await page.getByRole('heading', { name: /is installed in/ }).waitFor();
    const third = await spawnCli(['publish', '--publication', id]);
    expect(third).toMatchObject({ code: 0, output: expect.stringContaining('Lou is live in Acme') });
    const wrong = await spawnCli(['publish', 'teams']);
    expect(wrong).toMatchObject({ code: 1, output: expect.stringContaining('slack, github or linear') });
    await context.close();
  });
});

/** One printed link, followed as a person does; what has to be typed is typed. */
async function walk(
  page: Page,
  url: string,
  provider: Provider,
  step: 'create' | 'install',
  write: (line: string) => void,
): Promise<void> {
  await page.goto(url);
  if (step === 'install') {
    await page.getByRole('button', { name: consent[provider], exact: true }).click();
    await page.getByRole('heading', { name: /is installed in/ }).waitFor();
    return;
  }
  if (provider === 'github') {
    await page.getByRole('button', { name: /^Go on to/ }).click();
    await page.getByRole('button', { name: /^Create GitHub App/ }).click();
    await page.getByRole('heading', { name: /exists at GitHub/ }).waitFor();
    return;
  }
  await page.getByRole('button', { name: 'Create' }).click();
  const typed = await readAppFields(page, ['client_id', 'client_secret', 'signing_secret']);
  for (const value of Object.values(typed)) write(value);
}
