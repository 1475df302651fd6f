import { eq } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import { adapters } from '../../../src/providers/index.ts';
import { vendorPages } from '../../../src/providers/pages.ts';
import { ProviderError } from '../../../src/providers/provider.ts';
import {
  credentials,
  deliveries,
  type InstallationIdentity,
  installations,
  publications,
  publishTokens,
  sessions,
  webhookSecrets,
} from '../../../src/store/schema.ts';
import { type RestSetUp, setUpRest } from '../rest-support.ts';
import { send, signSlack, slackMention } from '../support.ts';

const app = {
  client_id: '123.456',
  client_secret: 'the-client-secret',
  signing_secret: 'the-signing-secret',
};
const identity: InstallationIdentity = { workspaceId: 'T9', workspaceName: 'Acme', userId: 'UBOT' };

describe('the guided flow', () => {
  let t: RestSetUp;
  let now = Date.now();
  let whoAmI = async () => identity;
  let exchanges = 0;
  let revoke: () => Promise<void> = async () => {};

  beforeAll(async () => {
    const { slack } = adapters;
    t = await setUpRest({
      adapters: {
        ...adapters,
        slack: {
          ...slack,
          whoAmI: () => whoAmI(),
          publishFlow: {
            ...slack.publishFlow,
            async exchange(_context, { code }) {
              if (code === 'bad') throw new ProviderError('refused', 'Slack refused the code: invalid_code.');
              exchanges += 1;
              return { kind: 'slack_bot', secret: { token: `xoxb-${code}` }, detail: {} };
            },
            revoke: () => revoke(),
          },
        },
      },
      platformFetch: () => () => Promise.reject(new Error('not in this test')),
      config: { baseUrl: 'http://127.0.0.1:1', pages: { real: vendorPages } },
      clock: () => new Date(now),
    });
    return () => t.gateway.close();
  });

  const begin = async (more: Record<string, unknown> = {}) => {
    const { body } = await t.api('POST', '/v1/publications', {
      provider: 'slack',
      agent_id: t.gateway.agentId,
      ...more,
    });
    return String(body.id);
  };
  const filled = async () => {
    const id = await begin();
    await t.api('POST', `/v1/publications/${id}/credentials`, app);
    return id;
  };
  const setup = async (id: string) => (await t.api('GET', `/v1/publications/${id}/setup`)).body;
  const visit = (path: string, cookie?: string, method = 'GET') =>
    fetch(`${t.gateway.url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        accept: 'text/html',
        ...(cookie ? { cookie } : {}),
        ...(method === 'POST' ? { 'sec-fetch-site': 'same-origin' } : {}),
      },
    });
  const cookieOf = (response: Response) => (response.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
  const pathOf = (url: unknown) => new URL(String(url)).pathname;
  const link = async (id: string, step: string) =>
    pathOf((await t.api('POST', `/v1/publications/${id}/links`, { step })).body.url);
  /** A browser that was sent to the provider: its cookie and the state. */
  const started = async (id: string) => {
    const response = await visit(await link(id, 'install'));
    const to = new URL(response.headers.get('location') ?? '');
    return { cookie: cookieOf(response), state: to.searchParams.get('state') ?? '', to };
  };
  const comeBack = async (state: string, cookie: string, code = 'good') => {
    const response = await visit(`/oauth/slack/callback?${new URLSearchParams({ code, state })}`, cookie);
    return { status: response.status, text: await response.text() };
  };

  it('has its row, its addresses and its webhook door from the first minute', async () => {
    const id = await begin({ name: 'Grace' });
    expect(await setup(id)).toMatchObject({ state: 'pending_setup', next: 'create', name: 'Grace' });
    const challenge = JSON.stringify({ type: 'url_verification', challenge: 'abc-123' });
    const path = `/webhooks/slack/${id}`;
    const asked = await send(t.gateway.port, path, signSlack('a secret that nobody knows here', challenge));
    expect(asked).toMatchObject({ status: 200, body: 'abc-123' });
    expect(asked.headers['content-type']).toMatch(/^text\/plain/);
    const rows = await t.database.select().from(publications).where(eq(publications.id, id));
    expect(rows[0]?.state).toBe('pending_setup');
    for (const bad of ['x'.repeat(201), '<script>', 'a b', '']) {
      const body = JSON.stringify({ type: 'url_verification', challenge: bad });
      expect((await send(t.gateway.port, path, signSlack('x', body))).status).toBe(401);
    }
    expect((await send(t.gateway.port, path, slackMention('x'))).status).toBe(401);
  });

  it('wants a signature for the challenge as soon as it knows a secret', async () => {
    const id = await filled();
    const challenge = JSON.stringify({ type: 'url_verification', challenge: 'abc' });
    const path = `/webhooks/slack/${id}`;
    expect((await send(t.gateway.port, path, signSlack('wrong', challenge, new Date(now)))).status).toBe(401);
    const right = signSlack(app.signing_secret, challenge, new Date(now));
    expect(await send(t.gateway.port, path, right)).toMatchObject({ status: 200, body: 'abc' });
  });

  it('goes to live by a code that comes back to the browser that began', async () => {
    const id = await filled();
    expect(await setup(id)).toMatchObject({ state: 'credentials_filled', next: 'install' });
    const { cookie, state, to } = await started(id);
    expect(to.origin + to.pathname).toBe('https://slack.com/oauth/v2/authorize');
    expect(to.searchParams.get('client_id')).toBe(app.client_id);
    expect(to.searchParams.get('redirect_uri')).toBe('http://127.0.0.1:1/oauth/slack/callback');
    expect((await setup(id)).state).toBe('awaiting_install');
    expect(await comeBack(state, cookie)).toMatchObject({
      status: 200,
      text: expect.stringContaining('is installed in Acme'),
    });
    expect(await setup(id)).toMatchObject({ state: 'live', next: 'done', workspace: 'Acme' });
  });

  it('can be done again when it is live: the new token takes the place of the old', async () => {
    const id = await filled();
    for (const code of ['first', 'second']) {
      const { cookie, state } = await started(id);
      expect((await comeBack(state, cookie, code)).status).toBe(200);
    }
    const kinds = (await t.database.select().from(credentials).where(eq(credentials.publicationId, id))).map(
      (row) => row.kind,
    );
    expect(kinds.sort()).toEqual(['slack_bot', 'slack_client']);
  });

  it('ends in one installation when two browsers race', async () => {
    const id = await filled();
    const browsers = await Promise.all([started(id), started(id)]);
    const before = exchanges;
    const ends = await Promise.all(
      browsers.map(({ cookie, state }, i) => comeBack(state, cookie, `race${i}`)),
    );
    expect(ends.map(({ status }) => status)).toEqual([200, 200]);
    expect(exchanges - before).toBe(2);
    const rows = await t.database.select().from(installations).where(eq(installations.publicationId, id));
    expect(rows).toHaveLength(1);
    const tokens = await t.database.select().from(credentials).where(eq(credentials.publicationId, id));
    expect(tokens.filter((row) => row.kind === 'slack_bot')).toHaveLength(1);
    expect((await setup(id)).state).toBe('live');
  });

  it('refuses another workspace than the one that it is installed in, and keeps that', async () => {
    const id = await filled();
    const first = await started(id);
    await comeBack(first.state, first.cookie);
    const tokens = async () => {
      const rows = await t.database.select().from(credentials).where(eq(credentials.publicationId, id));
      return rows.filter(({ kind }) => kind === 'slack_bot').map((row) => row.id);
    };
    const installed = await tokens();
    whoAmI = async () => ({ ...identity, workspaceId: 'T10', workspaceName: 'Elsewhere' });
    const second = await started(id);
    const refused = await comeBack(second.state, second.cookie);
    whoAmI = async () => identity;
    expect(refused.status).toBe(400);
    expect(refused.text).toContain('installed in Acme already');
    expect(await setup(id)).toMatchObject({ state: 'live', workspace: 'Acme' });
    // What was refused leaves nothing behind that would be asked with, or taken over, later.
    expect(await tokens()).toEqual(installed);
  });

  it('keeps all of what it has when it is given whole credentials of another workspace', async () => {
    const whole = { signing_secret: 'a-signing-secret', bot_token: 'xoxb-the-bot-token' };
    const made = await t.api('POST', '/v1/publications', {
      provider: 'slack',
      agent_id: t.gateway.agentId,
      credentials: whole,
    });
    expect(made.body).toMatchObject({ state: 'live' });
    const id = String(made.body.id);
    const held = async () => ({
      credentials: await t.database.select().from(credentials).where(eq(credentials.publicationId, id)),
      secrets: await t.database.select().from(webhookSecrets).where(eq(webhookSecrets.publicationId, id)),
    });
    const before = await held();
    whoAmI = async () => ({ ...identity, workspaceId: 'T10', workspaceName: 'Elsewhere' });
    const other = { signing_secret: 'another-signing-secret', bot_token: 'xoxb-of-another-team' };
    const refused = await t.api('POST', `/v1/publications/${id}/credentials`, other);
    whoAmI = async () => identity;
    expect([refused.status, JSON.stringify(refused.body)]).toEqual([
      409,
      expect.stringContaining('installed in Acme already'),
    ]);
    expect(await held()).toEqual(before);
    expect((await t.api('GET', `/v1/publications/${id}`)).body).toMatchObject({
      state: 'live',
      state_reason: null,
    });
  });

  it.each([
    [
      'used twice',
      async (state: string, cookie: string) => {
        await comeBack(state, cookie);
        return comeBack(state, cookie);
      },
      'works once',
    ],
    [
      'altered',
      (state: string, cookie: string) =>
        comeBack(`${state.slice(0, -1)}${state.endsWith('A') ? 'B' : 'A'}`, cookie),
      'was changed on the way',
    ],
    [
      'cut off',
      (state: string, cookie: string) => comeBack(state.slice(0, 20), cookie),
      'was changed on the way',
    ],
    [
      'from another browser',
      (state: string) => comeBack(state, 'tagalong_browser=someone-else'),
      'started in another browser',
    ],
    ['from a browser without a cookie', (state: string) => comeBack(state, ''), 'started in another browser'],
    ['missing', (_state: string, cookie: string) => comeBack('', cookie), 'does not say what it belongs to'],
    [
      'expired',
      async (state: string, cookie: string) => {
        now += 61 * 60_000;
        return comeBack(state, cookie);
      },
      'that time is over',
    ],
  ])('refuses a state that is %s, with words that help', async (_what, act, words) => {
    const id = await filled();
    const { cookie, state } = await started(id);
    const { status, text } = await act(state, cookie);
    expect(status).toBe(400);
    expect(text).toContain(words);
    expect(text).toContain('Start the step again');
  });

  it('says so when the person declines or the code is no good, and goes on from there', async () => {
    const id = await filled();
    const declined = await started(id);
    const answer = await visit(
      `/oauth/slack/callback?error=access_denied&state=${declined.state}`,
      declined.cookie,
    );
    expect(await answer.text()).toContain('declined');
    const bad = await started(id);
    const refused = await comeBack(bad.state, bad.cookie, 'bad');
    expect(refused.text).toContain('invalid_code');
    expect((await setup(id)).state).toBe('awaiting_install');
    const good = await started(id);
    expect((await comeBack(good.state, good.cookie)).status).toBe(200);
  });

  it('does not use a link up for a program that only looks', async () => {
    const path = await link(await filled(), 'install');
    expect((await visit(path, undefined, 'HEAD')).status).toBe(204);
    expect((await visit(path)).status).toBe(303);
    const again = await visit(path);
    expect(again.status).toBe(400);
    expect(await again.text()).toContain('works once');
  });

  it('will not install what does not exist yet, and names a field that is wrong', async () => {
    const id = await begin();
    expect((await t.api('POST', `/v1/publications/${id}/links`, { step: 'install' })).status).toBe(409);
    const { status, body } = await t.api('POST', `/v1/publications/${id}/credentials`, {
      ...app,
      client_secret: 'short',
    });
    expect(status).toBe(400);
    expect(JSON.stringify(body)).toContain('client_secret is too short');
    expect((await setup(id)).state).toBe('pending_setup');
  });

  it('honours a replaced webhook secret for 24 hours, and not longer', async () => {
    const id = await filled();
    const path = `/webhooks/slack/${id}`;
    const answers = async (secret: string) =>
      (await send(t.gateway.port, path, slackMention(secret, {}, new Date(now)))).status;
    await t.api('POST', `/v1/publications/${id}/webhook_secret`, { webhook_secret: 'the-next-secret' });
    await t.api('POST', `/v1/publications/${id}/webhook_secret`, { webhook_secret: 'the-next-secret' });
    expect(
      await t.database.select().from(webhookSecrets).where(eq(webhookSecrets.publicationId, id)),
    ).toHaveLength(2);
    expect([await answers(app.signing_secret), await answers('the-next-secret')]).toEqual([200, 200]);
    now += 24 * 3_600_000 + 5_000;
    expect([await answers(app.signing_secret), await answers('the-next-secret')]).toEqual([401, 200]);
  });

  describe('a handoff', () => {
    const make = async (id: string) =>
      pathOf((await t.api('POST', `/v1/publications/${id}/handoffs`, {})).body.url);

    it('shows what the agent may do, works in one browser, and does just these steps', async () => {
      const id = await begin();
      const path = await make(id);
      const looked = await (await visit(path)).text();
      expect(looked).toContain('Reply in those threads');
      expect(looked).toContain('Only after a person has approved it');
      const opened = await visit(path, undefined, 'POST');
      expect(opened.status).toBe(303);
      const cookie = cookieOf(opened);
      const steps = await (await visit('/handoff', cookie)).text();
      expect(steps).toContain('Make it in Slack');
      const again = await visit(path, undefined, 'POST');
      expect(again.status).toBe(400);
      expect(await again.text()).toContain('used already');
      // The same browser is led on instead.
      expect((await visit(path, cookie)).headers.get('location')).toBe('/handoff');
      expect((await visit('/v1/publications', cookie)).status).toBe(401);
    });

    it('is refused when it is altered, expired or taken back, with words that help', async () => {
      const id = await begin();
      const altered = await visit(`${(await make(id)).slice(0, -1)}`);
      expect([altered.status, await altered.text()]).toEqual([
        400,
        expect.stringContaining('Ask the person who sent it'),
      ]);
      const revoked = await make(id);
      const opened = cookieOf(await visit(await make(id), undefined, 'POST'));
      await t.api('POST', `/v1/publications/${id}/handoffs/revoke`, {});
      expect(await (await visit(revoked)).text()).toContain('taken back');
      expect(await (await visit('/handoff', opened)).text()).toContain('taken back');
      const old = await make(id);
      now += 7 * 24 * 3_600_000 + 1_000;
      expect(await (await visit(old)).text()).toContain('seven days');
    });

    it('takes no form that another page sent', async () => {
      const path = await make(await begin());
      const response = await fetch(`${t.gateway.url}${path}`, {
        method: 'POST',
        headers: { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
      });
      expect(response.status).toBe(403);
    });
  });

  it('unpublishes: taken back at the provider, sessions ended, secrets destroyed, links dead, twice as once', async () => {
    const id = await filled();
    const { cookie, state } = await started(id);
    await comeBack(state, cookie);
    const open = await link(id, 'install');
    const [installation] = await t.database
      .select()
      .from(installations)
      .where(eq(installations.publicationId, id));
    await t.database.insert(sessions).values({
      id: `sesn_${id}`,
      organizationId: t.gateway.organizationId,
      agentId: t.gateway.agentId,
      agentVersion: 1,
      publicationId: id,
      installationId: installation?.id ?? null,
    });
    const waiting = `dlv_${id}`;
    await t.database.insert(deliveries).values({
      ...{ id: waiting, organizationId: t.gateway.organizationId, publicationId: id, provider: 'slack' },
      ...{ headers: {}, reason: 'waiting_for_install: T9:C1:1.1' },
    });
    let revoked = 0;
    revoke = async () => {
      revoked += 1;
      throw new ProviderError('unavailable', 'no answer');
    };
    const { body } = await t.api('POST', `/v1/publications/${id}/unpublish`);
    await t.api('POST', `/v1/publications/${id}/unpublish`);
    revoke = async () => {};
    expect(revoked).toBe(1);
    expect(body).toMatchObject({ state: 'unpublished' });
    expect(body.state_reason).toContain('Remove the app in Acme by hand');
    expect(await t.database.select().from(credentials).where(eq(credentials.publicationId, id))).toEqual([]);
    expect(
      await t.database.select().from(webhookSecrets).where(eq(webhookSecrets.publicationId, id)),
    ).toEqual([]);
    const settled = await t.api('GET', `/v1/deliveries/${waiting}`);
    expect(settled.body.outcome).toMatchObject({
      kind: 'ignored',
      reason: 'not_live',
      message: expect.stringContaining('was ended before'),
    });
    const [session] = await t.database.select().from(sessions).where(eq(sessions.publicationId, id));
    expect(session).toMatchObject({ status: 'terminated' });
    const dead = await t.database.select().from(publishTokens).where(eq(publishTokens.publicationId, id));
    expect(dead.every((row) => row.revokedAt !== null)).toBe(true);
    expect(await (await visit(open)).text()).toContain('taken back');
    expect((await t.api('POST', `/v1/publications/${id}/credentials`, app)).status).toBe(409);
  });
});
