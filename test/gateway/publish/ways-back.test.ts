import { createHash } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import { adapters } from '../../../src/providers/index.ts';
import { vendorPages } from '../../../src/providers/pages.ts';
import type { NewCredential } from '../../../src/providers/publish-flow.ts';
import {
  credentials,
  type InstallationIdentity,
  installations,
  type ProviderName,
} from '../../../src/store/schema.ts';
import { type RestSetUp, setUpRest } from '../rest-support.ts';

const identity: InstallationIdentity = { workspaceId: '900', workspaceName: 'Acme', userId: 'BOT' };
const typed = {
  client_id: 'a-client-id',
  client_secret: 'the-client-secret',
  signing_secret: 'the-signing-secret',
};
const credentialKinds = { slack: 'slack_bot', github: 'github_app', linear: 'linear_app' } as const;

describe.each<ProviderName>(['slack', 'github', 'linear'])('the ways back from %s', (provider) => {
  let t: RestSetUp;
  let now = Date.now();
  let exchanged: string[] = [];
  let verifiers: string[] = [];

  beforeAll(async () => {
    const real = adapters[provider];
    const credential = (token: string): NewCredential => ({
      kind: credentialKinds[provider],
      secret: provider === 'slack' ? { token } : { access_token: token },
      detail: {},
    });
    t = await setUpRest({
      adapters: {
        ...adapters,
        [provider]: {
          ...real,
          whoAmI: async () => identity,
          publishFlow: {
            ...real.publishFlow,
            ...(real.publishFlow.exchange
              ? {
                  exchange: async (_context: unknown, given: { code: string; verifier: string }) => {
                    exchanged.push(given.code);
                    verifiers.push(given.verifier);
                    return credential(given.code);
                  },
                }
              : {}),
            ...(real.publishFlow.convert
              ? {
                  convert: async (_context: unknown, code: string) => ({
                    webhookSecret: 'from-the-conversion',
                    credential: { ...credential(code), detail: { app_id: '7' } },
                    setup: { appId: '7', slug: 'grace', clientId: 'Iv1.x' },
                  }),
                }
              : {}),
          },
        },
      },
      platformFetch: () => () => Promise.reject(new Error('not in this test')),
      config: { baseUrl: 'http://127.0.0.1:1', pages: { real: vendorPages } },
      clock: () => new Date(now),
    });
    return () => t.gateway.close();
  });

  const visit = (path: string, cookie?: string) =>
    fetch(`${t.gateway.url}${path}`, {
      redirect: 'manual',
      headers: { accept: 'text/html', ...(cookie ? { cookie } : {}) },
    });
  const link = async (id: string, step: string) =>
    new URL(String((await t.api('POST', `/v1/publications/${id}/links`, { step })).body.url)).pathname;
  const cookieOf = (response: Response) => (response.headers.get('set-cookie') ?? '').split(';')[0] ?? '';

  /** The first step done: the app exists. */
  const filled = async () => {
    const { body } = await t.api('POST', '/v1/publications', { provider, agent_id: t.gateway.agentId });
    const id = String(body.id);
    if (provider !== 'github') {
      const given = await t.api('POST', `/v1/publications/${id}/credentials`, typed);
      expect(given.status).toBe(200);
      return id;
    }
    const { cookie, state } = await created(id);
    expect(
      (await visit(`/oauth/github/callback?${new URLSearchParams({ code: 'made', state })}`, cookie)).status,
    ).toBe(200);
    return id;
  };
  /** GitHub: a browser that was sent to make the app. */
  const created = async (id: string) => {
    const response = await visit(await link(id, 'create'));
    const action = /action="([^"]+)"/.exec(await response.text())?.[1] ?? '';
    const state = new URL(action.replaceAll('&amp;', '&')).searchParams.get('state') ?? '';
    return { cookie: cookieOf(response), state };
  };
  /** A browser that was sent to install it. */
  const started = async (id: string) => {
    const response = await visit(await link(id, 'install'));
    const to = new URL(response.headers.get('location') ?? '');
    return { cookie: cookieOf(response), state: to.searchParams.get('state') ?? '', to };
  };
  const comeBack = async (state: string, cookie: string, code = 'good') => {
    const given: Record<string, string> =
      provider === 'github' ? { installation_id: '900', setup_action: 'install' } : { code };
    const path = provider === 'github' ? '/github/setup' : `/oauth/${provider}/callback`;
    const response = await visit(`${path}?${new URLSearchParams({ ...given, state })}`, cookie);
    return { status: response.status, text: await response.text() };
  };

  it('end in one installation when two browsers race', async () => {
    const id = await filled();
    const browsers = await Promise.all([started(id), started(id)]);
    const ends = await Promise.all(
      browsers.map(({ cookie, state }, n) => comeBack(state, cookie, `race${n}`)),
    );
    expect(ends.map(({ status }) => status)).toEqual([200, 200]);
    const rows = await t.database.select().from(installations).where(eq(installations.publicationId, id));
    expect(rows).toHaveLength(1);
    const kept = await t.database.select().from(credentials).where(eq(credentials.publicationId, id));
    expect(kept.filter(({ kind }) => kind === credentialKinds[provider])).toHaveLength(1);
    expect((await t.api('GET', `/v1/publications/${id}`)).body.state).toBe('live');
  });

  it.each<[string, (state: string, cookie: string) => ReturnType<typeof comeBack>, string]>([
    [
      'used twice',
      async (state, cookie) => {
        await comeBack(state, cookie);
        return comeBack(state, cookie);
      },
      'works once',
    ],
    [
      'altered',
      (state, cookie) => comeBack(`${state.slice(0, -1)}${state.endsWith('A') ? 'B' : 'A'}`, cookie),
      'was changed on the way',
    ],
    [
      'from another browser',
      (state) => comeBack(state, 'tagalong_browser=other'),
      'started in another browser',
    ],
    ['from a browser without a cookie', (state) => comeBack(state, ''), 'started in another browser'],
    ['empty', (_state, cookie) => comeBack('', cookie), 'does not say what it belongs to'],
    [
      'expired',
      async (state, cookie) => {
        now += 61 * 60_000;
        return comeBack(state, cookie);
      },
      'that time is over',
    ],
  ])('refuse a state that is %s, with words that help, and change nothing', async (what, act, words) => {
    const id = await filled();
    const { cookie, state } = await started(id);
    exchanged = [];
    const { status, text } = await act(state, cookie);
    expect(status).toBe(400);
    expect(text).toContain(words);
    expect(text).toContain('Start the step again');
    const isUsed = what === 'used twice';
    expect(exchanged).toHaveLength(isUsed && provider !== 'github' ? 1 : 0);
    const { body } = await t.api('GET', `/v1/publications/${id}`);
    expect(body.state).toBe(isUsed ? 'live' : 'awaiting_install');
  });

  it('take of two browsers that bring the same state back one', async () => {
    const id = await filled();
    const { cookie, state } = await started(id);
    const ends = await Promise.all([
      comeBack(state, cookie),
      comeBack(state, cookie),
      comeBack(state, cookie),
    ]);
    expect(ends.map(({ status }) => status).sort()).toEqual([200, 400, 400]);
  });

  if (provider === 'github')
    it('take the code of a made app once, from the browser that began', async () => {
      const { body } = await t.api('POST', '/v1/publications', { provider, agent_id: t.gateway.agentId });
      const id = String(body.id);
      const { cookie, state } = await created(id);
      const back = async (given: string, from: string) => {
        const query = new URLSearchParams({ code: 'made', state: given });
        const response = await visit(`/oauth/github/callback?${query}`, from);
        return { status: response.status, text: await response.text() };
      };
      expect((await back(state, 'tagalong_browser=other')).text).toContain('started in another browser');
      expect((await back(`${state}x`, cookie)).text).toContain('was changed on the way');
      expect((await t.api('GET', `/v1/publications/${id}`)).body.state).toBe('pending_setup');
      expect((await back(state, cookie)).status).toBe(200);
      expect((await back(state, cookie)).text).toContain('works once');
      expect((await t.api('GET', `/v1/publications/${id}`)).body.state).toBe('credentials_filled');
    });

  if (provider === 'linear')
    it('bring the proof that belongs to the challenge', async () => {
      const id = await filled();
      const { cookie, state, to } = await started(id);
      verifiers = [];
      await comeBack(state, cookie);
      const challenge = createHash('sha256')
        .update(verifiers[0] ?? '')
        .digest('base64url');
      expect(to.searchParams.get('code_challenge')).toBe(challenge);
      expect(to.searchParams.get('code_challenge_method')).toBe('S256');
    });

  it('refuse a handoff that is used twice, altered, taken back, or of another browser', async () => {
    const id = await filled();
    const handoff = async () =>
      new URL(String((await t.api('POST', `/v1/publications/${id}/handoffs`, {})).body.url)).pathname;
    const open = (path: string, cookie?: string) =>
      fetch(`${t.gateway.url}${path}`, {
        method: 'POST',
        redirect: 'manual',
        headers: { 'sec-fetch-site': 'same-origin', ...(cookie ? { cookie } : {}) },
      });
    const path = await handoff();
    const opened = await open(path);
    expect(opened.status).toBe(303);
    expect(await (await visit('/handoff', cookieOf(opened))).text()).toContain('Install it');
    expect(await (await open(path)).text()).toContain('used already');
    expect(await (await open(`${(await handoff()).slice(0, -1)}`)).text()).toContain(
      'was changed on the way',
    );
    expect((await visit('/handoff')).status).toBe(400);
    await t.api('POST', `/v1/publications/${id}/handoffs/revoke`, {});
    expect(await (await visit('/handoff', cookieOf(opened))).text()).toContain('taken back');
  });
});
