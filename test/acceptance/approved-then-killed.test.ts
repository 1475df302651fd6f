import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launchBrowser, openPage } from '../console/support/browser.ts';
import { beginPublication, freePort, installApp, makeApp, setupOf, stepLink } from './publishing.ts';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';
import { stateOf } from './workplace-state.ts';

interface Approval {
  id: string;
  action_id: string;
  state: string;
  outcome: string | null;
  publication_id: string;
}

let server: TestServer;
let browser: Browser;
let start: () => Promise<TestServer>;

beforeAll(async () => {
  const home = mkdtempSync(join(tmpdir(), 'tagalong-acceptance-'));
  const env = { PORT: String(await freePort()) };
  start = () => startServer({ home, env, ...(server ? { apiKey: server.apiKey } : {}) });
  server = await start();
  browser = await launchBrowser();
}, 90_000);
afterAll(async () => {
  await browser?.close();
  await cleanUp(server);
});

it('what was approved and not sent yet when the server was killed (SIGKILL) is sent once', async () => {
  const id = await beginPublication(server, 'github', { name: 'Nora' });
  const { page } = await openPage(browser, 'about:blank');
  await makeApp(page, server, id, 'github');
  await page.goto(await stepLink(server, id, 'install'));
  const appPage = page.url().replace(/\/installations\/new.*$/, '');
  await installApp(page, server, id, 'github');
  const press = async (button: string, state: string) => {
    await page.goto(appPage);
    await page.getByRole('button', { name: button, exact: true }).click();
    await eventually(async () => (await setupOf(server, id)).state === state, `${id} is ${state}`);
  };
  const made = async () =>
    (await stateOf(server)).github.issues.filter(({ title }) => title === 'Approved and held up');

  const { number } = await server.workplace<{ number: number }>('/github/issues', {
    personId: 'maya',
    title: 'Please ask',
    body: '@nora use the tool `github_create_issue` with {"title":"Approved and held up"}',
  });
  const comments = async () =>
    (await stateOf(server)).github.issues
      .find((issue) => issue.number === number)
      ?.comments.filter(({ author }) => author.isBot) ?? [];
  const approval = await eventually(
    async () => {
      const { data } = await server.api<{ data: Approval[] }>('/v1/approvals');
      return (await comments()).length >= 2 && data.find((each) => each.publication_id === id);
    },
    () => `a request for approval and an answer:\n${server.output().slice(-3_000)}`,
  );
  // Nothing can be sent now, so that it is killed with the decision made and the sending to come.
  await press('Suspend', 'suspended');
  await server.api(`/v1/approvals/${approval.id}/decide`, { decision: 'approve' });
  await server.kill();
  server = await start();
  expect(await server.api<Approval>(`/v1/approvals/${approval.id}`)).toMatchObject({
    state: 'approved',
    outcome: 'Approved by an admin.',
  });
  const action = () => server.api<{ state: string }>(`/v1/actions/${approval.action_id}`);
  expect(await action()).toMatchObject({ state: 'queued' });
  expect(await made()).toEqual([]);

  const before = (await comments()).length;
  await press('Unsuspend', 'live');
  await eventually(
    async () => (await action()).state === 'sent',
    () => `sent:\n${server.output().slice(-3_000)}`,
  );
  await eventually(async () => (await comments()).length > before, 'the agent says what came of it');
  expect(await made()).toHaveLength(1);
  await expect(server.api(`/v1/approvals/${approval.id}/decide`, { decision: 'approve' })).rejects.toThrow(
    /approved already/,
  );
  expect(await made()).toHaveLength(1);
});
