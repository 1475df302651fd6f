import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sessionEvents } from '../../src/store/schema.ts';
import { tokenEndpointRefusal } from '../../src/vault/egress/token-endpoints.ts';
import { readTokenEndpoint } from '../../src/vault/token-endpoint.ts';
import type { ReadVaultCredential } from '../../src/vault/vault-credential.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import { curl, type Door, exchangeInside, openTunnel } from './support/client.ts';
import { startTestEgress } from './support/egress.ts';
import { startUpstream } from './support/upstream.ts';
import { storeVaultAuth } from './support/vault-credential.ts';

describe('the spelling of a path', () => {
  const holding = (url: string, provider?: 'github' | 'slack') => {
    const credential: ReadVaultCredential = {
      ...{ id: 'cred_1', version: 1, kind: 'mcp_oauth', displayName: 'Docs', sealed: '', hosts: null },
      ...{ detail: { auth: {}, metadata: {} }, rule: undefined, tokenEndpoint: readTokenEndpoint(url) },
    };
    return { credentials: [credential], publication: provider ? { provider } : null };
  };
  const rule = (url: string, host: string, path: string) =>
    tokenEndpointRefusal(holding(url), host, path)?.rule;

  test.each([
    '/oauth/token',
    '/oauth/token/',
    '/OAuth/Token',
    '/oauth/%74oken',
    '/oauth/%2574oken',
    '/oauth%2Ftoken',
    '/oauth%5ctoken',
    '/oauth%2f%2ftoken',
    '/oauth/token;x=1',
    '/oauth;x=1/token',
    '/oauth%3bx/token',
    '/oauth/token.json',
    '/oauth/token/again',
    '/oauth/token%20',
  ])('%s leads to a token endpoint', (path) => {
    expect(rule('https://Auth.example.com/oauth/token', 'auth.example.com', path)).toBe(
      'credential.token_endpoint',
    );
  });

  test.each([
    ['auth.example.com', '/oauth/tokens'],
    ['auth.example.com', '/oauth'],
    ['auth.example.com', '/'],
    ['auth.example.com', '/x/oauth/token'],
    ['other.example.com', '/oauth/token'],
    ['sub.auth.example.com', '/oauth/token'],
  ])('%s%s does not', (host, path) => {
    expect(rule('https://auth.example.com/oauth/token', host, path)).toBeUndefined();
  });

  test('an endpoint at the root of its host closes the root only', () => {
    expect(rule('https://auth.example.com', 'auth.example.com', '/')).toBe('credential.token_endpoint');
    expect(rule('https://auth.example.com', 'auth.example.com', '/x')).toBeUndefined();
  });

  test.each([
    ['api.github.com', '/app/installations/7/access_tokens'],
    ['api.github.com', '/APP/installations/7/access_tokens/'],
    ['api.github.com', '/applications/Iv1.1/token'],
    ['api.github.com', '/applications/Iv1.1/token/scoped'],
    ['api.github.com', '/app-manifests/code/conversions'],
    ['github.com', '/login/oauth/access_token'],
  ])('GitHub gives tokens out at %s%s, which only its own publications know', (host, path) => {
    const none = { credentials: [] };
    const refusal = (provider: 'github' | 'slack') =>
      tokenEndpointRefusal({ ...none, publication: { provider } }, host, path)?.rule;
    expect(refusal('github')).toBe('credential.token_endpoint');
    expect(refusal('slack')).toBeUndefined();
    expect(tokenEndpointRefusal({ ...none, publication: null }, host, path)).toBeUndefined();
  });
});

describe('a session', () => {
  const [mcp, auth] = ['mcp.example.com', 'auth.example.com'];
  const token = `https://${auth}/oauth/token`;
  const oauth = {
    type: 'mcp_oauth',
    access_token: 'access-token-that-ended',
    mcp_server_url: `https://${mcp}/mcp`,
    expires_at: '2000-01-01T00:00:00Z',
    refresh: {
      ...{ client_id: 'client', refresh_token: 'refresh-token-0', token_endpoint: token },
      token_endpoint_auth: { type: 'none' },
    },
  };
  const set = async () => {
    const database = await createTestDatabase();
    const upstream = await startUpstream();
    upstream.answer = (request, response) => {
      response.setHeader('content-type', 'application/json');
      const isToken = request.url === '/oauth/token';
      const given = { access_token: 'access-token-1', refresh_token: 'refresh-token-1', expires_in: 3600 };
      response.end(JSON.stringify(isToken ? given : { path: request.url }));
    };
    const hosts = [mcp, auth, 'api.github.com', 'github.com'];
    const upstreams = hosts.map((host) => ({
      ...{ host, pathPrefix: '/', target: `${upstream.origin}/`, scope: 'all' as const },
    }));
    const world = await startTestEgress(database, { upstreams });
    const open = async (policy: object, provider: 'slack' | 'github' | 'linear' = 'slack') => {
      const fixture = await createFixture(database.database, { provider, policy: { ...policy } });
      return { fixture, door: await world.open(fixture) };
    };
    return { ...database, upstream, world, open };
  };
  let t: Awaited<ReturnType<typeof set>>;
  let fixture: Fixture;
  let door: Door;

  beforeAll(async () => {
    t = await set();
    ({ fixture, door } = await t.open({ allowed_hosts: [mcp, auth] }));
    await storeVaultAuth(t.database, fixture, oauth, 'Docs server');
    await t.world.egress.closeSession(fixture.sessionId);
    door = await t.world.open(fixture);
  });
  afterAll(() => t.upstream.close());
  beforeEach(() => {
    t.upstream.seen.length = 0;
  });

  const form = ['-d', 'grant_type=client_credentials&client_id=mine&client_secret=mine'];
  const ofAuth = () => t.upstream.seen.filter(({ url }) => url !== '/mcp').map(({ url }) => url);

  test('asks no token endpoint of its credentials, and the refusal names rule and credential and is an event', async () => {
    for (const args of [form, ['--http2', ...form], ['-X', 'GET'], ['-I']]) {
      const { stdout } = await curl(door, '-w', ' %{http_code} %header{x-tagalong-egress}', token, ...args);
      expect(stdout, args.join(' ')).toMatch(/ 403 refused$/);
      if (!args.includes('-I')) expect(stdout).toContain('"rule":"credential.token_endpoint"');
    }
    expect((await curl(door, `https://${auth}/oauth/%74oken?x=1`, ...form)).stdout).toContain('Docs server');
    expect(t.upstream.seen).toEqual([]);
    const rows = await t.world.records(fixture.sessionId);
    expect(rows.filter(({ rule }) => rule === 'credential.token_endpoint')).toHaveLength(5);
    const events = await t.database
      .select()
      .from(sessionEvents)
      .where(eq(sessionEvents.sessionId, fixture.sessionId));
    expect(events.map(({ payload }) => payload)).toContainEqual(
      expect.objectContaining({ rule: 'credential.token_endpoint', host: auth }),
    );
  });

  test('nor by WebSocket', async () => {
    const answer = await exchangeInside(
      door,
      auth,
      `GET /oauth/token HTTP/1.1\r\nHost: ${auth}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${Buffer.alloc(16, 1).toString('base64')}\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 403 [\s\S]*credential\.token_endpoint/);
    expect(t.upstream.seen).toEqual([]);
  });

  test('reaches all else of that host, and the egress process still refreshes there', async () => {
    expect((await curl(door, `https://${auth}/oauth/tokeninfo`)).stdout).toBe('{"path":"/oauth/tokeninfo"}');
    expect((await curl(door, `https://${mcp}/mcp`, '-d', '{}')).stdout).toBe('{"path":"/mcp"}');
    expect(ofAuth()).toEqual(['/oauth/tokeninfo', '/oauth/token']);
    expect(t.upstream.seen.at(-1)?.headers.authorization).toBe('Bearer access-token-1');
  });

  test('without that credential asks with its own, for its own', async () => {
    const other = await t.open({ allowed_hosts: [auth] });
    expect((await curl(other.door, token, ...form)).stdout).toContain('access-token-1');
  });

  test('is not passed through unread to where its tokens are given out', async () => {
    const passing = await t.open({ passthrough_hosts: [auth] });
    expect(String(await openTunnel(passing.door.port, `${auth}:443`))).not.toContain('credential.');
    await storeVaultAuth(t.database, passing.fixture, oauth, 'Docs server');
    await t.world.egress.closeSession(passing.fixture.sessionId);
    const again = await t.world.open(passing.fixture);
    expect(await openTunnel(again.port, `${auth}:443`)).toMatch(
      /^HTTP\/1\.1 403 Egress refused: credential\.token_endpoint/,
    );
  });

  test('of a GitHub publication mints no token of the App', async () => {
    const own = await t.open({ allowed_hosts: ['api.github.com', 'github.com'] }, 'github');
    for (const url of [
      'https://api.github.com/app/installations/7/access_tokens',
      'https://github.com/login/oauth/access_token',
    ]) {
      const { stdout } = await curl(own.door, '-w', ' %{http_code}', url, ...form);
      expect(stdout, url).toMatch(/"rule":"credential\.token_endpoint".* 403$/);
    }
    expect(t.upstream.seen).toEqual([]);
  });

  test.each([
    ['slack', 'slack.com', '/api/oauth.v2.access'],
    ['linear', 'api.linear.app', '/oauth/token'],
  ] as const)('of a %s publication has no way to %s', async (provider, host, path) => {
    const own = await t.open({ allowed_hosts: [host], passthrough_hosts: [host] }, provider);
    expect(await openTunnel(own.door.port, `${host}:443`)).toMatch(/^HTTP\/1\.1 403 [\s\S]*host\.tools_only/);
    const { stderr } = await curl(own.door, '-v', `https://${host}${path}`, ...form);
    expect(stderr).toContain('403 Egress refused: host.tools_only');
  });
});
