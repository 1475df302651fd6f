import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser, openPage } from '../console/support/browser.ts';
import { startCommand } from './cli.ts';
import { beginPublication, freePort, installApp, makeAndInstall, setupOf } from './publishing.ts';
import { cleanUp, eventually, startServer, type TestServer } from './server.ts';

interface Notice {
  kind: string;
  publication_id: string | null;
  text: string;
}
interface State {
  github: { issues: { number: number; comments: Said[] }[] };
  linear: { issues: { id: string; comments: Said[] }[] };
}
interface Said {
  author: { name: string; isBot: boolean };
  body: string;
}

describe('an app that the provider takes away', () => {
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

  const made = async (provider: 'github' | 'linear', name: string) => {
    const id = await beginPublication(server, provider, { name });
    const { page, context } = await openPage(browser, 'about:blank');
    const appPage = await makeAndInstall(page, server, id, provider);
    const { identity } = await server.api<{ identity: { handle: string } }>(`/v1/publications/${id}`);
    return { id, page, context, appPage, handle: identity.handle };
  };
  const press = async (page: Page, appPage: string, button: string | RegExp) => {
    await page.goto(appPage);
    await page.getByRole('button', { name: button }).click();
  };
  const stateIs = (id: string, state: string) =>
    eventually(
      async () => (await setupOf(server, id)).state === state,
      () => `${id} is ${state}:\n${server.output().slice(-2_000)}`,
    );
  const noticesOf = async (id: string, query = '') =>
    (await server.api<{ data: Notice[] }>(`/v1/notices${query}`)).data.filter(
      (notice) => notice.publication_id === id,
    );
  const working = () =>
    eventually(async () => {
      const { data } = await server.api<{ data: { status: string }[] }>('/v1/sessions');
      return data.some(({ status }) => status === 'running');
    }, 'the agent works');
  const idle = () =>
    eventually(async () => {
      const { data } = await server.api<{ data: { status: string }[] }>('/v1/sessions');
      return data.every(({ status }) => status === 'idle');
    }, 'the turn is over');
  /** Says something, and answers what came back. */
  const say = async (provider: 'github' | 'linear', handle: string, text: string) => {
    const state = () => server.workplace<State>('/state');
    if (provider === 'github') {
      const { number } = await server.workplace<{ number: number }>('/github/issues', {
        personId: 'maya',
        title: 'A question',
        body: `@${handle} ${text}`,
      });
      return async () =>
        ((await state()).github.issues.find((each) => each.number === number)?.comments ?? []).filter(
          ({ author }) => author.name === `${handle}[bot]`,
        );
    }
    const { id } = await server.workplace<{ id: string }>('/linear/issues', {
      personId: 'maya',
      title: text,
      delegate: true,
      agent: handle,
    });
    return async () =>
      ((await state()).linear.issues.find((each) => each.id === id)?.comments ?? []).filter(({ body }) =>
        body.includes('after'),
      );
  };
  /** What waited comes once, and nothing more comes after it. */
  const answeredOnce = async (answers: () => Promise<Said[]>) => {
    await eventually(
      async () => (await answers()).length > 0,
      () => `the answer that waited:\n${server.output().slice(-3_000)}`,
    );
    await idle();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(await answers()).toHaveLength(1);
  };

  it.each(['github', 'linear'] as const)(
    '%s: needs to be installed again, its admin is told, and what waited is answered once afterwards',
    async (provider) => {
      const { id, page, context, appPage, handle } = await made(provider, `Vera ${provider[0]}`);
      const answers = await say(provider, handle, 'run `sleep 3; echo after`');
      await working();
      await press(page, appPage, provider === 'github' ? 'Uninstall' : /^Revoke access/);
      await stateIs(id, 'needs_reauth');
      expect(await noticesOf(id, '?state=open')).toEqual([
        expect.objectContaining({
          kind: 'publication.needs_reauth',
          text: expect.stringMatching(
            /needs to be installed again\. The app was uninstalled at the provider/,
          ),
        }),
      ]);
      await idle();
      expect(await answers()).toEqual([]);
      await installApp(page, server, id, provider);
      await answeredOnce(answers);
      expect(await noticesOf(id, '?state=open')).toEqual([]);
      expect((await noticesOf(id)).map(({ kind }) => kind)).toEqual([
        'publication.live',
        'publication.needs_reauth',
      ]);
      await context.close();
    },
  );

  it('github: is suspended and goes on by itself when that ends, and says so meanwhile', async () => {
    const { id, page, context, appPage, handle } = await made('github', 'Wanda');
    const answers = await say('github', handle, 'run `sleep 3; echo after`');
    await working();
    await press(page, appPage, 'Suspend');
    await stateIs(id, 'suspended');
    expect((await noticesOf(id, '?state=open')).map(({ kind }) => kind)).toEqual(['publication.suspended']);
    // Told where an admin is, whichever page that is, and where an operator looks.
    const console = await openPage(browser, server.link);
    for (const room of ['/workplace', '/publications', '/approvals', '/notices', `/publications/${id}`]) {
      await console.page.goto(server.url + room);
      await console.page.locator('.notice-banner').getByText('Wanda in GitHub').waitFor();
    }
    await console.context.close();
    const doctor = startCommand(['doctor'], { home: server.home, port: new URL(server.url).port });
    expect(await doctor.ended).toBe(4);
    expect(doctor.output()).toMatch(/✗ notices .*Wanda in GitHub .* is suspended/);
    await idle();
    expect(await answers()).toEqual([]);
    await press(page, appPage, 'Unsuspend');
    await stateIs(id, 'live');
    await answeredOnce(answers);
    expect((await noticesOf(id)).map(({ kind }) => kind)).toEqual([
      'publication.live',
      'publication.suspended',
    ]);
    await context.close();
  });

  it('github: is found live again when it was taken for revoked while it was suspended', async () => {
    const { id, page, context, appPage } = await made('github', 'Xenia');
    await press(page, appPage, 'Suspend');
    await stateIs(id, 'suspended');
    await server.api(`/v1/publications/${id}/confirm`, {});
    expect(await setupOf(server, id)).toMatchObject({
      state: 'needs_reauth',
      state_reason: expect.stringContaining('suspended'),
    });
    await press(page, appPage, 'Unsuspend');
    await stateIs(id, 'live');
    await context.close();
  });
});
