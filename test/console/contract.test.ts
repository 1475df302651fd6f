import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from 'vitest';
import type { WorkplaceState as Shown } from '../../console/src/workplace-api.ts';
import { workplaceApi } from '../../src/workplace/api.ts';
import type { WorkplaceState as Served } from '../../src/workplace/state.ts';
import { startWorkplace, type Workplace } from '../../src/workplace/workplace.ts';
import { launchBrowser, openPage } from './support/browser.ts';
import { buildConsole, type ConsoleServer, removeConsole, serveConsole } from './support/console-server.ts';

// Checked by the type checker.
test('the page reads what the workplace serves', () => {
  expectTypeOf<Served>().toExtend<Shown>();
});

describe('the page before the real workplace', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-workplace-'));
  let built: string;
  let workplace: Workplace;
  let server: ConsoleServer;
  let browser: Browser;

  beforeAll(async () => {
    built = await buildConsole();
    workplace = await startWorkplace({ folder, agentName: 'Ada' });
    server = await serveConsole(built, () => workplaceApi(workplace));
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
    await workplace?.close();
    if (built) removeConsole(built);
    rmSync(folder, { recursive: true, force: true });
  });

  test('everything that a person does on the page is done in the workplace', async () => {
    const { page, problems, context } = await openPage(browser, `${server.origin}/workplace`);
    await page.getByText('Offline model:').waitFor();
    const slack = page.getByRole('region', { name: 'Slack' });
    await slack.getByRole('button', { name: 'Send' }).click();
    await slack.getByText('Sent. Waiting for Ada…').waitFor();
    const [thread] = workplace.state().slack.threads;
    if (thread === undefined) throw new Error('The message did not become a thread.');
    await slack.getByLabel('Reply in thread').fill('a < b && `c > d`');
    await slack.getByLabel('Reply in thread').press('Enter');
    await slack.locator('article', { hasText: 'a < b && c > d' }).waitFor();
    await sayInSlack(thread.channel, thread.threadTs, 'Here: *done*.');
    await slack.locator('strong', { hasText: /^done$/ }).waitFor();
    expect(await slack.getByText('Sent. Waiting for Ada…').count()).toBe(0);

    const github = page.getByRole('region', { name: 'GitHub' });
    await github.getByRole('checkbox').uncheck();
    await github.getByRole('button', { name: 'Open issue' }).click();
    await github.getByRole('button', { name: 'Add label' }).click();
    await github.getByRole('list', { name: 'Labels' }).waitFor();
    await github.getByLabel('Comment on #1').fill('And please hurry');
    await github.getByRole('button', { name: 'Comment' }).click();
    await github.locator('article', { hasText: 'And please hurry' }).waitFor();

    const linear = page.getByRole('region', { name: 'Linear' });
    await linear.getByRole('checkbox').uncheck();
    await linear.getByRole('button', { name: 'Create issue' }).click();
    await linear.getByRole('button', { name: 'Delegate to Ada' }).click();
    await linear.getByText('Starting').waitFor();
    await linear.getByLabel('Message Ada').fill('Are you there?');
    await linear.getByRole('button', { name: 'Send' }).click();
    await linear.locator('article', { hasText: 'Are you there?' }).waitFor();

    const state = workplace.state();
    expect(state.github.issues[0]?.labels).toEqual([state.agent.label]);
    expect(state.linear.issues[0]?.delegate).toBe('Ada');
    expect(problems).toEqual([]);
    await context.close();
  });

  test('what the workplace refuses is said beside the field', async () => {
    const { page, context } = await openPage(browser, `${server.origin}/workplace`);
    const field = page.getByLabel('Message #general');
    await field.fill('x'.repeat(40_001));
    await page.getByRole('region', { name: 'Slack' }).getByRole('button', { name: 'Send' }).click();
    await page.getByRole('alert').getByText('40000').waitFor();
    expect((await field.inputValue()).length).toBe(40_001);
    await context.close();
  });

  async function sayInSlack(channel: string, threadTs: string, text: string): Promise<void> {
    const response = await fetch(`${workplace.upstreams.slackApiUrl}chat.postMessage`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${workplace.credentials.slack.bot_token}`,
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams({ channel, thread_ts: threadTs, text }).toString(),
    });
    expect(await response.json()).toMatchObject({ ok: true });
  }
});
