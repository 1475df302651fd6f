import { statSync } from 'node:fs';
import { and, eq } from 'drizzle-orm';
import { jwtVerify } from 'jose';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../src/store/connection.ts';
import { credentials, egressRequests } from '../../src/store/schema.ts';
import { createPlatformFetch } from '../../src/vault/egress/platform-fetch.ts';
import type { RequestNeeds } from '../../src/vault/egress/provider-door.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import { curl, type Door } from './support/client.ts';
import { appKey, storeCredential } from './support/credentials.ts';
import { startTestEgress, type TestEgress } from './support/egress.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const needs: RequestNeeds = {
  github: ({ method, path }) => {
    const repository = /^\/repos\/([^/]+\/[^/]+)/.exec(path)?.[1];
    if (!repository) return { ok: false, reason: 'it touches no repository' };
    return method === 'PUT' && path.endsWith('/merge')
      ? { ok: true, capability: 'github:pr.merge', repository }
      : { ok: true, capability: method === 'GET' ? 'github:issue.read' : 'github:comment.write', repository };
  },
};

describe("the platform's own calls", () => {
  let database: Database;
  let world: TestEgress;
  let vendor: Upstream;
  let slack: Fixture;
  let linear: Fixture;
  let github: Fixture;
  let tokens = 0;
  /** Tokens that the vendor takes. */
  const honoured = new Set<string>();
  const minted: { repositories?: string[] }[] = [];

  const fetchAs = (fixture: Fixture, installationId = fixture.installationId) =>
    createPlatformFetch({
      socketPath: world.start.platformSocket,
      principal: { organizationId: fixture.organizationId, installationId },
      ready: async () => {},
      patienceMs: 100,
    });
  const recordsOf = async (fixture: Fixture) => {
    await world.egress.flush();
    return database
      .select()
      .from(egressRequests)
      .where(eq(egressRequests.organizationId, fixture.organizationId))
      .orderBy(egressRequests.id);
  };

  beforeAll(async () => {
    const test = await createTestDatabase();
    database = test.database;
    vendor = await startUpstream();
    slack = await createFixture(database, { provider: 'slack', emulated: true });
    linear = await createFixture(database, { provider: 'linear', emulated: true });
    github = await createFixture(database, {
      provider: 'github',
      emulated: true,
      place: { owner: 'Acme', repo: 'Widgets', number: '7' },
    });
    world = await startTestEgress(
      test,
      {
        upstreams: [
          { host: 'slack.com', pathPrefix: '/api/', target: `${vendor.origin}/slack/`, scope: 'emulated' },
          { host: 'api.linear.app', pathPrefix: '/', target: `${vendor.origin}/linear`, scope: 'emulated' },
          { host: 'api.github.com', pathPrefix: '/', target: `${vendor.origin}/github`, scope: 'emulated' },
        ],
      },
      { needs },
    );
    await storeCredential(database, slack, 'slack_bot', { token: 'xoxb-1' });
    await storeCredential(database, linear, 'linear_app', { access_token: 'lin-1' });
    await storeCredential(
      database,
      github,
      'github_app',
      { app_id: '42', private_key: appKey.pkcs1 },
      { detail: { installation_id: '99' } },
    );
  });

  beforeEach(() => {
    vendor.seen.length = 0;
    vendor.answer = (_request, response, seen) => {
      response.setHeader('content-type', 'application/json');
      if (seen.url === '/github/app/installations/99/access_tokens') {
        const body = JSON.parse(seen.body) as { repositories?: string[] };
        minted.push(body);
        if (body.repositories?.includes('gone')) {
          response.writeHead(422);
          return response.end('{"message":"There is at least one repository that does not exist"}');
        }
        const token = `ghs_${++tokens}`;
        honoured.add(token);
        response.writeHead(201);
        return response.end(
          JSON.stringify({ token, expires_at: new Date(Date.now() + 3_600_000).toISOString() }),
        );
      }
      const bearer = seen.headers.authorization?.replace(/^Bearer /, '') ?? '';
      if (bearer.startsWith('ghs_') && !honoured.has(bearer)) response.writeHead(401);
      response.end(JSON.stringify({ url: seen.url, body: seen.body }));
    };
  });

  it('puts the Slack token in the place of what the SDK sent', async () => {
    const response = await fetchAs(slack)('https://slack.com/api/chat.postMessage?x=1', {
      method: 'POST',
      headers: { authorization: 'Bearer placeholder', 'content-type': 'application/json' },
      body: '{"text":"hi"}',
    });
    expect(response).toBeInstanceOf(Response);
    expect(response.url).toBe('https://slack.com/api/chat.postMessage?x=1');
    expect(await response.json()).toEqual({ url: '/slack/chat.postMessage?x=1', body: '{"text":"hi"}' });
    const [seen] = vendor.seen;
    expect(seen?.rawHeaders.filter((name) => name.toLowerCase() === 'authorization')).toHaveLength(1);
    expect(seen?.headers).toMatchObject({ authorization: 'Bearer xoxb-1', 'content-length': '13' });
    expect(JSON.stringify(seen?.rawHeaders).toLowerCase()).not.toContain('x-tagalong');
    expect((await recordsOf(slack)).at(-1)).toMatchObject({
      installationId: slack.installationId,
      sessionId: null,
      host: 'slack.com',
      path: '/api/chat.postMessage',
      decision: 'allowed',
      credential: expect.stringContaining('slack_bot'),
    });
  });

  it('puts the client and the token into the form by which Slack takes an app out of a workspace', async () => {
    const form = (path: string) =>
      fetchAs(slack)(`https://slack.com/api/${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', authorization: 'Bearer mine' },
        body: 'client_id=forged&extra=1',
      });
    const without = await form('apps.uninstall');
    expect([without.status, vendor.seen.length]).toEqual([502, 0]);
    await storeCredential(database, slack, 'slack_client', { client_id: '1.2', client_secret: 'shh' });
    expect((await form('apps.uninstall')).status).toBe(200);
    expect(Object.fromEntries(new URLSearchParams(vendor.seen.at(-1)?.body))).toEqual({
      client_id: '1.2',
      client_secret: 'shh',
      extra: '1',
      token: 'xoxb-1',
    });
    expect(vendor.seen.at(-1)?.headers.authorization).toBeUndefined();
    // No other call gets them.
    await form('chat.postMessage');
    expect(vendor.seen.at(-1)?.body).not.toContain('shh');
  });

  it('puts the Linear token on, for the publication before there is an installation too', async () => {
    await (
      await fetchAs(linear, linear.publicationId)('https://api.linear.app/graphql', {
        method: 'POST',
        body: '{}',
      })
    ).text();
    expect(vendor.seen[0]).toMatchObject({
      url: '/linear/graphql',
      headers: { authorization: 'Bearer lin-1' },
    });
  });

  it('prefers the credential of the installation', async () => {
    const fixture = await createFixture(database, { provider: 'slack', emulated: true });
    await storeCredential(database, fixture, 'slack_bot', { token: 'xoxb-pub' });
    await storeCredential(database, fixture, 'slack_bot', { token: 'xoxb-inst' }, { installation: true });
    await (await fetchAs(fixture)('https://slack.com/api/x')).text();
    expect(vendor.seen[0]?.headers.authorization).toBe('Bearer xoxb-inst');
  });

  it('sends a credential to its own hosts only', async () => {
    for (const url of [
      'https://api.linear.app/graphql',
      'https://evil.test/',
      'https://slack.com.evil.test/',
      'https://api.slack.com/x',
    ]) {
      const response = await fetchAs(slack)(url);
      expect(response.status, url).toBe(403);
      expect(response.headers.get('x-tagalong-egress')).toBe('refused');
    }
    for (const url of ['http://slack.com/api/x', 'https://slack.com:8443/api/x']) {
      expect((await fetchAs(slack)(url)).status, url).toBe(400);
    }
    expect(vendor.seen).toEqual([]);
    expect(world.network.lookups).toEqual([]);
  });

  it('says when a credential is missing, and when it does not open', async () => {
    const bare = await createFixture(database, { provider: 'slack', emulated: true });
    const missing = await fetchAs(bare)('https://slack.com/api/x');
    expect(missing.status).toBe(502);
    expect(missing.headers.get('x-tagalong-egress')).toBe('failed');
    expect(await missing.json()).toMatchObject({ error: { type: 'credential_missing' } });
    const foreign = await createFixture(database, { provider: 'slack', emulated: true });
    await storeCredential(database, foreign, 'slack_bot', { token: 'x' }, { rootKey: Buffer.alloc(32, 9) });
    expect(await (await fetchAs(foreign)('https://slack.com/api/x')).json()).toMatchObject({
      error: { type: 'credential_unreadable' },
    });
    expect((await recordsOf(foreign)).at(-1)).toMatchObject({
      decision: 'failed',
      rule: 'credential.unreadable',
    });
  });

  it("does not use another organization's credential", async () => {
    const response = await fetchAs({ ...linear, installationId: slack.installationId })(
      'https://slack.com/api/x',
    );
    expect(await response.json()).toMatchObject({ error: { type: 'credential_missing' } });
  });

  it('signs as the App where the App is asked', async () => {
    for (const path of ['/app', '/app/installations/99', '/repos/acme/widgets/installation']) {
      await (await fetchAs(github)(`https://api.github.com${path}`)).text();
    }
    expect(vendor.seen).toHaveLength(3);
    for (const { headers } of vendor.seen) {
      const jwt = headers.authorization?.replace('Bearer ', '') ?? '';
      const { payload, protectedHeader } = await jwtVerify(jwt, appKey.publicKey, { issuer: '42' });
      expect(protectedHeader.alg).toBe('RS256');
      const now = Date.now() / 1_000;
      expect(payload.iat).toBeLessThanOrEqual(now - 59);
      expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBeLessThanOrEqual(600);
      expect(payload.exp).toBeLessThanOrEqual(now + 541);
    }
  });

  it('mints one installation token for all who ask at once, and keeps it', async () => {
    minted.length = 0;
    const fetch = fetchAs(github);
    const answers = await Promise.all(
      Array.from({ length: 32 }, (_, i) => fetch(`https://api.github.com/repos/acme/widgets/issues/${i}`)),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(32).fill(200));
    await fetch('https://api.github.com/users/ada');
    expect(minted).toEqual([{}]);
    expect((await recordsOf(github)).filter(({ rule }) => rule === 'platform:mint')).toHaveLength(1);
  });

  it('mints once more after a 401 and asks again with the same body', async () => {
    const fetch = fetchAs(github);
    await (await fetch('https://api.github.com/repos/acme/widgets')).text();
    honoured.clear();
    minted.length = 0;
    const answers = await Promise.all(
      [1, 2, 3].map((n) =>
        fetch('https://api.github.com/repos/acme/widgets/issues/1/comments', {
          method: 'POST',
          body: `body ${n}`,
        }),
      ),
    );
    expect(
      await Promise.all(answers.map(async (answer) => ((await answer.json()) as { body: string }).body)),
    ).toEqual(['body 1', 'body 2', 'body 3']);
    expect(minted).toHaveLength(1);
  });

  it('does not ask a third time', async () => {
    honoured.clear();
    const take = honoured.add.bind(honoured);
    honoured.add = () => honoured;
    expect((await fetchAs(github)('https://api.github.com/repos/acme/widgets')).status).toBe(401);
    honoured.add = take;
  });

  it('gives no token away and says when GitHub gives none', async () => {
    const direct = await fetchAs(github)('https://api.github.com/app/installations/99/access_tokens', {
      method: 'POST',
    });
    expect(direct.status).toBe(403);
    const gone = await createFixture(database, { provider: 'github', emulated: true });
    await storeCredential(
      database,
      gone,
      'github_app',
      { app_id: '1', private_key: appKey.pkcs8 },
      { detail: { installation_id: '404' } },
    );
    vendor.answer = (_request, response) => {
      response.writeHead(404);
      response.end('{}');
    };
    const refused = await fetchAs(gone)('https://api.github.com/repos/a/b');
    expect(refused.status).toBe(502);
    expect(await refused.json()).toMatchObject({
      error: { type: 'credential_refused', message: expect.stringContaining('404') },
    });
    const noKey = await createFixture(database, { provider: 'github', emulated: true });
    await storeCredential(
      database,
      noKey,
      'github_app',
      { app_id: '1', private_key: 'nonsense' },
      { detail: { installation_id: '1' } },
    );
    expect(await (await fetchAs(noKey)('https://api.github.com/app')).json()).toMatchObject({
      error: { type: 'credential_unreadable' },
    });
  });

  it('takes Requests, streams and signals', async () => {
    const fetch = fetchAs(slack);
    const request = new Request('https://slack.com/api/files', {
      method: 'POST',
      body: 'in a request',
      headers: { 'x-a': 'b' },
    });
    expect(await (await fetch(request)).json()).toMatchObject({ body: 'in a request' });
    expect(vendor.seen[0]?.headers['x-a']).toBe('b');
    const stream = new ReadableStream({
      start(controller) {
        controller.enqueue(Buffer.from('one '));
        controller.enqueue(Buffer.from('two'));
        controller.close();
      },
    });
    const streamed = await fetch('https://slack.com/api/files', {
      method: 'POST',
      body: stream,
      duplex: 'half',
    } as RequestInit);
    expect(await streamed.json()).toMatchObject({ body: 'one two' });
    vendor.answer = () => {};
    const aborting = new AbortController();
    const waiting = fetch('https://slack.com/api/slow', { signal: aborting.signal });
    await expect.poll(() => vendor.seen.at(-1)?.url).toBe('/slack/slow');
    aborting.abort();
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
    vendor.answer = (_request, response) => {
      response.writeHead(204);
      response.end();
    };
    expect(await (await fetch('https://slack.com/api/none')).text()).toBe('');
  });

  it('follows redirects within the vendor and to nobody else', async () => {
    vendor.answer = (request, response) => {
      const to =
        request.url === '/github/repos/acme/old'
          ? 'https://api.github.com/repositories/1'
          : 'https://evil.test/';
      response.writeHead(request.url === '/github/repositories/1' ? 200 : 301, { location: to });
      response.end('{}');
    };
    const fetch = fetchAs(github);
    keepMinting(vendor);
    const followed = await fetch('https://api.github.com/repos/acme/old');
    expect([followed.status, followed.url, followed.redirected]).toEqual([
      200,
      'https://api.github.com/repositories/1',
      true,
    ]);
    expect((await fetch('https://api.github.com/repos/acme/away')).status).toBe(301);
  });

  it('uses a replaced credential within a second and none that was deleted', async () => {
    const fixture = await createFixture(database, { provider: 'slack', emulated: true });
    const id = await storeCredential(database, fixture, 'slack_bot', { token: 'xoxb-old' });
    await (await fetchAs(fixture)('https://slack.com/api/x')).text();
    await database
      .delete(credentials)
      .where(and(eq(credentials.id, id), eq(credentials.organizationId, fixture.organizationId)));
    await expect
      .poll(async () => (await fetchAs(fixture)('https://slack.com/api/x')).status, { timeout: 5_000 })
      .toBe(502);
  });

  it('can be reached by this user only', () => {
    expect(statSync(world.start.platformSocket).mode & 0o777).toBe(0o600);
  });

  it("puts a narrowed token on a session's requests, and keeps it to the gate", async () => {
    minted.length = 0;
    const door: Door = await world.open(github);
    const read = await curl(
      door,
      'https://api.github.com/repos/acme/widgets/issues/1?per_page=2&q=a%20b',
      '-H',
      'Authorization: token agent',
    );
    expect(JSON.parse(read.stdout)).toEqual({
      url: '/github/repos/acme/widgets/issues/1?per_page=2&q=a+b',
      body: '',
    });
    expect(minted).toEqual([{ repositories: ['widgets'] }]);
    const merge = await curl(
      door,
      '-X',
      'PUT',
      'https://api.github.com/repos/acme/widgets/pulls/1/merge',
      '-d',
      '{}',
      '-D',
      '-',
    );
    expect(merge.stdout).toContain(' 403 ');
    expect(merge.stdout).toContain('github:pr.merge');
    const elsewhere = await curl(door, 'https://api.github.com/repos/acme/secrets/issues');
    expect(elsewhere.stdout).toContain('github:read.elsewhere');
    const graphql = await curl(door, 'https://api.github.com/graphql', '-d', '{}');
    expect(graphql.stdout).toContain('github.unmapped');
    expect(vendor.seen.filter(({ url }) => !url.includes('access_tokens'))).toHaveLength(1);
    const rows = await world.records(github.sessionId);
    expect(rows.map(({ rule, decision }) => [rule, decision])).toEqual([
      ['github:issue.read', 'allowed'],
      ['github:pr.merge', 'refused'],
      ['github:read.elsewhere', 'refused'],
      ['github.unmapped', 'refused'],
    ]);
  });

  it('refuses rather than widens when GitHub will not narrow', async () => {
    const fixture = await createFixture(database, {
      provider: 'github',
      emulated: true,
      place: { owner: 'acme', repo: 'gone', number: '1' },
    });
    await storeCredential(
      database,
      fixture,
      'github_app',
      { app_id: '42', private_key: appKey.pkcs1 },
      { detail: { installation_id: '99' } },
    );
    const door = await world.open(fixture);
    const result = await curl(door, 'https://api.github.com/repos/acme/gone/issues/1');
    expect(result.stdout).toContain('"rule":"credential.narrowing"');
    expect(vendor.seen.every(({ url }) => url.endsWith('/access_tokens'))).toBe(true);
  });
});

/** Keeps the minting of tokens working beside an answer of the test's own. */
function keepMinting(vendor: Upstream): void {
  const own = vendor.answer;
  vendor.answer = (request, response, seen) => {
    if (!seen.url.endsWith('/access_tokens')) return own(request, response, seen);
    response.writeHead(201);
    response.end(
      JSON.stringify({ token: 'ghs_any', expires_at: new Date(Date.now() + 3_600_000).toISOString() }),
    );
  };
}
