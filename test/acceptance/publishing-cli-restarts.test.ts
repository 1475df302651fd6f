import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser, openPage } from '../console/support/browser.ts';
import { type RunningCommand, startCommand } from './cli.ts';
import { consent, freePort, type Provider, readAppFields } from './publishing.ts';
import { cleanUp, startServer, type TestServer } from './server.ts';

const providers: Provider[] = ['slack', 'github', 'linear'];
const nameOf = (provider: Provider) => `Kim ${provider === 'linear' ? 'x' : provider}`;
const startPage = /http:\S+\/publish\/start\/\S+/;

interface Publication {
  id: string;
  name: string;
  state: string;
}

describe('publishing by the command line, with the server killed at every step', () => {
  let server: TestServer;
  let browser: Browser;
  let port: string;
  const pages = {} as Record<Provider, Page>;
  const commands = {} as Record<Provider, RunningCommand>;

  beforeAll(async () => {
    port = String(await freePort());
    const home = mkdtempSync(join(tmpdir(), 'tagalong-acceptance-'));
    server = await startServer({ home, env: { PORT: port } });
    browser = await launchBrowser();
    for (const provider of providers) pages[provider] = (await openPage(browser, 'about:blank')).page;
  });
  afterAll(async () => {
    for (const provider of providers) await commands[provider]?.interrupt();
    await browser?.close();
    await cleanUp(server);
  });

  /** The same command every time. */
  const run = (provider: Provider) => {
    const command = startCommand(['publish', provider, '--workplace', '--name', nameOf(provider)], {
      home: server.home,
      port,
    });
    commands[provider] = command;
    return command;
  };
  const runAll = () => Promise.all(providers.map(async (provider) => [provider, run(provider)] as const));
  const killAndRestart = async () => {
    await server.kill();
    for (const provider of providers) await commands[provider].interrupt();
    server = await startServer({ home: server.home, apiKey: server.apiKey, env: { PORT: port } });
  };
  const published = async () => {
    const { data } = await server.api<{ data: Publication[] }>('/v1/publications?limit=100');
    return Object.fromEntries(
      providers.map((provider) => [provider, data.filter(({ name }) => name === nameOf(provider))]),
    );
  };
  const states = async () =>
    Object.values(await published()).map((found) => found.map(({ state }) => state).join());

  it('goes on from where it was, to one live publication in each provider', async () => {
    // Killed when nothing but the publication exists.
    for (const [, command] of await runAll()) await command.says(startPage);
    const begun = await published();
    expect(await states()).toEqual(['pending_setup', 'pending_setup', 'pending_setup']);
    await killAndRestart();

    // Killed when the app exists and its credentials are stored.
    for (const [provider, command] of await runAll()) {
      await command.says(/Going on with what this command began earlier/);
      const [link] = await command.says(startPage);
      await makeApp(pages[provider], provider, link, command);
      await command.says(/Install it in/);
    }
    expect(await states()).toEqual(['credentials_filled', 'credentials_filled', 'credentials_filled']);
    await killAndRestart();

    // Killed while somebody looks at the provider's question.
    for (const [provider, command] of await runAll()) {
      const [link] = await command.says(startPage);
      await pages[provider].goto(link);
      await pages[provider].getByRole('button', { name: consent[provider], exact: true }).waitFor();
    }
    expect(await states()).toEqual(['awaiting_install', 'awaiting_install', 'awaiting_install']);
    await killAndRestart();

    // Killed when it is live, before the command could say so.
    for (const [provider, command] of await runAll()) {
      await command.says(/Install it in/);
      await pages[provider].getByRole('button', { name: consent[provider], exact: true }).click();
      await pages[provider].getByRole('heading', { name: /is installed in/ }).waitFor();
    }
    await killAndRestart();
    for (const [, command] of await runAll()) {
      await command.says(/is live in/i);
      expect(await command.ended).toBe(0);
    }

    const after = await published();
    for (const provider of providers) {
      expect(after[provider]?.map(({ id }) => id)).toEqual(begun[provider]?.map(({ id }) => id));
      expect(after[provider]).toHaveLength(1);
    }
    expect(await states()).toEqual(['live', 'live', 'live']);
  });

  it('publishes once more only when it is told to', async () => {
    const command = startCommand(
      ['publish', 'linear', '--workplace', '--name', nameOf('linear'), '--new', '--no-wait'],
      { home: server.home, port },
    );
    expect(await command.ended).toBe(2);
    expect((await published()).linear).toHaveLength(2);
  });
});

async function makeApp(page: Page, provider: Provider, link: string, command: RunningCommand): Promise<void> {
  await page.goto(link);
  if (provider === 'github') {
    await page.getByRole('button', { name: /^Go on to/ }).click();
    await page.getByRole('button', { name: /^Create GitHub App/ }).click();
    await page.getByRole('heading', { name: /exists at GitHub/ }).waitFor();
    return;
  }
  await page.getByRole('button', { name: 'Create' }).click();
  const typed = await readAppFields(page, ['client_id', 'client_secret', 'signing_secret']);
  for (const value of Object.values(typed)) command.type(value);
}
