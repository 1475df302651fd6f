import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser, openPage } from '../console/support/browser.ts';
import { freePort } from './publishing.ts';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';
import { postInSlack, stateOf } from './workplace-state.ts';

interface Approval {
  id: string;
  tool: string;
  state: string;
}
interface Shown {
  capabilities: Record<string, string>;
  policy: Record<string, Record<string, unknown>>;
  pending_capabilities: { difference: string } | null;
}

/** Where screenshots of the pages go; nowhere unless it is said. */
const shots = process.env.TAGALONG_TEST_SCREENSHOTS;

describe("the admin's pages", () => {
  let server: TestServer;
  let browser: Browser;
  let page: Page;
  let problems: string[];
  let ids: Record<string, string>;

  beforeAll(async () => {
    const home = mkdtempSync(join(tmpdir(), 'tagalong-acceptance-'));
    server = await startServer({ home, env: { PORT: String(await freePort()) } });
    browser = await launchBrowser();
    ({ page, problems } = await openPage(browser, server.link));
    await page.waitForURL(/\/workplace/);
    const { data } = await server.api<{ data: { id: string; provider: string }[] }>('/v1/publications');
    ids = Object.fromEntries(data.map(({ id, provider }) => [provider, id]));
  });
  afterAll(async () => {
    await browser?.close();
    await cleanUp(server);
  });

  const go = async (path: string) => {
    await page.goto(server.url + path);
  };
  const publication = (provider: string) => server.api<Shown>(`/v1/publications/${ids[provider]}`);
  /** At both widths nothing is cut off or has to be scrolled sideways. */
  const fits = async (name: string) => {
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 900 });
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
      if (shots) await page.screenshot({ path: join(shots, `${name}-${width}.png`), fullPage: true });
    }
    await page.setViewportSize({ width: 1280, height: 900 });
  };

  it('set who may use an agent, with what is wrong said beside the field', async () => {
    await server.api('/v1/vaults', { display_name: 'Registry keys' });
    await go(`/publications/${ids.slack}`);
    const form = page.locator('form.policy');
    await form.getByText('Only people on the list').click();
    await form.getByText('Network and credentials').click();
    await form.getByLabel('Other hosts').fill('https://example.com/x');
    await form.getByLabel('How many must approve').fill('3');
    await form.getByLabel('Only these people').fill('U1\nU2');
    await form.getByText('Limits').click();
    await form.getByLabel('In all, per hour').fill('many');
    await form.getByRole('button', { name: 'Save' }).click();
    await form.getByText('Nobody is on the list').waitFor();
    for (const id of ['people', 'hosts', 'needed', 'turns']) {
      expect(await form.locator(`#${id}`).getAttribute('aria-invalid')).toBe('true');
      expect(await form.locator(`#${id}-problem`).innerText()).not.toBe('');
    }
    await fits('settings-wrong');
    expect((await publication('slack')).policy).toEqual({});

    await form.locator('#people').fill('U024BE7LH, U0MAYA\n');
    await form.getByLabel('Only in these channels').fill('C1H9RESGL');
    await form.getByLabel('Other hosts').fill('Example.com/V1\n*.example.org');
    await form.getByLabel('How many must approve').fill('2');
    await form.getByLabel('In all, per hour').fill('50');
    await form.getByLabel('Registry keys').check();
    await form.getByRole('button', { name: 'Save' }).click();
    await form.getByText('Saved.').waitFor();
    expect((await publication('slack')).policy).toEqual({
      authority: {
        who: 'listed',
        people: ['U024BE7LH', 'U0MAYA'],
        places: ['C1H9RESGL'],
        guests: 'ignore',
        external: 'ignore',
        bots: 'ignore',
      },
      approvals: { approvers: ['U1', 'U2'], needed: 2, self: false },
      limits: { turns_per_hour: 50 },
      allowed_hosts: ['example.com/V1', '*.example.org'],
      vault_ids: [expect.stringMatching(/^vlt_/)],
    });
    await page.reload();
    expect(await form.locator('#people').inputValue()).toBe('U024BE7LH\nU0MAYA');
    await fits('settings');

    // What only the server knows is placed as well.
    await form.getByText('Network and credentials').click();
    await form
      .getByLabel('Other hosts')
      .fill(`${Array.from({ length: 201 }, (_, n) => `h${n}.example.com`).join('\n')}`);
    await form.getByRole('button', { name: 'Save' }).click();
    await eventually(
      async () => (await form.locator('#hosts-problem').count()) > 0,
      'the words of the server',
    );
    await form.getByRole('button', { name: 'Undo the changes' }).click();
    expect(await form.getByLabel('Other hosts').inputValue()).toBe('example.com/V1\n*.example.org');
    await server.api(`/v1/publications/${ids.slack}`, { policy: {} });
    expect(problems.filter((each) => !each.includes('400'))).toEqual([]);
    problems.length = 0;
  });

  it('show by how much an agent shall be allowed more, until an admin has approved just that', async () => {
    await go(`/publications/${ids.slack}`);
    const row = page.locator('.capabilities li', { hasText: 'search.read' });
    await row.getByText('on', { exact: true }).click();
    const card = page.locator('.difference');
    await card.getByText('Search messages').waitFor();
    await card.getByText('search:read.public').waitFor();
    await row.getByText('waits for approval').waitFor();
    await page.locator('.notice-banner').getByText('shall be allowed more').waitFor();
    expect((await publication('slack')).capabilities).toEqual({});
    await fits('difference');
    await go('/workplace');
    await page.locator('.notice-banner').getByText('shall be allowed more').waitFor();
    await fits('workplace');
    await go(`/publications/${ids.slack}`);
    await card.getByRole('button', { name: 'Approve…' }).click();
    await card.getByRole('button', { name: 'Yes, allow it' }).waitFor();
    // Somebody asks for more meanwhile: the question is about that now, and is asked again.
    await server.api(`/v1/publications/${ids.slack}`, {
      capabilities: { 'search.read': 'on', 'dm.write': 'on' },
    });
    await card.getByText('Write direct messages').waitFor();
    await card.getByRole('button', { name: 'Approve…' }).click();
    await card.getByRole('button', { name: 'Yes, allow all 2' }).click();
    await card.waitFor({ state: 'detached' });
    expect(await publication('slack')).toMatchObject({
      capabilities: { 'search.read': 'on', 'dm.write': 'on' },
      pending_capabilities: null,
    });
    await eventually(
      async () => (await page.locator('.notice-banner li').count()) === 0,
      'the notice goes by itself',
    );
    expect(problems).toEqual([]);
  });

  it('show a request whole, take the word after one more question, and say when somebody was faster', async () => {
    const { agent, slack } = await stateOf(server);
    const channel = (name: string) => slack.channels.find((each) => each.name === name)?.id;
    const ask = async (text: string) => {
      const known = new Set(
        (await server.api<{ data: Approval[] }>('/v1/approvals')).data.map(({ id }) => id),
      );
      const call = JSON.stringify({ channel: channel('support'), text });
      await postInSlack(server, `${agent.slackHandle} use the tool \`slack_post_message\` with ${call}`);
      return eventually(async () => {
        const { data } = await server.api<{ data: Approval[] }>('/v1/approvals');
        return data.find(({ id, state }) => state === 'waiting' && !known.has(id))?.id;
      }, 'the request');
    };
    const stateIs = (id: string, state: string) =>
      eventually(
        async () => (await server.api<Approval>(`/v1/approvals/${id}`)).state === state,
        `${id} is ${state}`,
      );

    const first = await ask('The build is green. password: hunter2hunter2hunter2hunter2');
    await go('/approvals');
    await page.getByRole('link', { name: /Approvals 1 waiting/ }).waitFor();
    await fits('approvals');
    await page.getByRole('link', { name: /Post messages outside of the thread/ }).click();
    await page.waitForURL(`${server.url}/approvals/${first}`);
    const shown = await page.locator('pre.shown').innerText();
    expect(shown).toContain('text: The build is green.');
    expect(shown).not.toContain('hunter2');
    await page.getByText(`${agent.name} in Slack asks, for`).waitFor();
    await fits('approval');
    await page.getByRole('button', { name: 'Approve…' }).click();
    await page.getByRole('button', { name: 'Not yet' }).click();
    await page.getByRole('button', { name: 'Approve…' }).click();
    await page.getByRole('button', { name: 'Yes, approve it' }).click();
    await page.getByRole('heading', { name: 'Approved' }).waitFor();
    await stateIs(first, 'approved');
    await page
      .getByText(/Approved by an admin|approved/i)
      .first()
      .waitFor();

    const second = await ask('And once more.');
    await go(`/approvals/${second}`);
    await page.getByRole('button', { name: 'Approve…' }).click();
    await page.route('**/v1/approvals/*', (route) => route.abort());
    await server.api(`/v1/approvals/${second}/decide`, { decision: 'reject' });
    await page.unroute('**/v1/approvals/*');
    const button = page.getByRole('button', { name: 'Yes, approve it' });
    // The page may have seen it by itself; either way it ends on what was decided.
    await button.click({ timeout: 1_000 }).catch(() => {});
    await page.getByRole('heading', { name: 'Rejected' }).waitFor();
    await stateIs(second, 'rejected');
    await go('/approvals');
    await page.getByText('Nothing waits for a word.').waitFor();
    expect(await page.locator('.publication-item').count()).toBe(2);
    await go('/approvals/apr_0unknown');
    await page.getByText('There is no approval apr_0unknown.').waitFor();
    problems.length = 0;
  });

  it('tell of an agent that cannot answer, on every page, and take addresses to send it to', async () => {
    await go('/notices');
    await page.getByLabel('Address').fill('https://127.0.0.1/hook');
    await page.getByRole('button', { name: 'Add it' }).click();
    await page.getByText('it must name a public host').waitFor();
    await page.getByLabel('Address').fill('https://hooks.invalid-host.example/hook');
    await page.getByLabel('Name').fill('Operations');
    await page.getByRole('button', { name: 'Add it' }).click();
    await page.getByText(/whsec_/).waitFor();
    await page.getByRole('button', { name: 'Try it' }).click();
    // Nothing outside is reached from a test; the refusal says so in words.
    await page
      .getByText(/could not be resolved|does not resolve to a public address/)
      .waitFor({ timeout: 30_000 });
    await fits('notices');
    await page.reload();
    expect(await page.getByText(/whsec_/).count()).toBe(0);
    await page.getByRole('button', { name: 'Remove' }).click();
    await eventually(
      async () => (await page.locator('.notification-urls li').count()) === 0,
      'it is off the list',
    );
    problems.length = 0;
  });
});
