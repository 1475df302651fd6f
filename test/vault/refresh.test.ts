import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { authInput, splitAuth } from '../../src/gateway/rest/credential-input.ts';
import { newId } from '../../src/store/ids.ts';
import { credentials, publications, sessions, vaults } from '../../src/store/schema.ts';
import { type RunningEgress, startEgress } from '../../src/vault/egress/control.ts';
import { createPlatformFetch } from '../../src/vault/egress/platform-fetch.ts';
import { organizationPublicKey } from '../../src/vault/keys.ts';
import { readRefresh } from '../../src/vault/refresh-request.ts';
import { retryAfterMs } from '../../src/vault/retry-after.ts';
import { credentialBinding, sealCredential } from '../../src/vault/seal.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { curl, type Door } from './support/client.ts';
import { storeCredential } from './support/credentials.ts';
import { rootKey, silent, startTestEgress } from './support/egress.ts';
import { makeListener } from './support/listener.ts';
import { startUpstream } from './support/upstream.ts';

const entry = fileURLToPath(new URL('./support/egress-entry.ts', import.meta.url));
const database = await createTestDatabase();
const upstream = await startUpstream();
const hosts = ['mcp.example.com', 'auth.example.com', 'paste.example.com'];
const fixture = await createFixture(database.database, { policy: { allowed_hosts: hosts } });
const upstreams = [
  ...hosts.map((host) => ({ host, pathPrefix: '/', target: `${upstream.origin}/`, scope: 'all' as const })),
  {
    ...{ host: 'api.linear.app', pathPrefix: '/', target: `${upstream.origin}/linear` },
    scope: 'emulated' as const,
  },
];
const vaultId = newId('vlt');
const folders: string[] = [];
const processes: RunningEgress[] = [];

/** An egress process of its own, and a listener of the session in it. */
async function startProcess(): Promise<{
  control: RunningEgress;
  start: { platformSocket: string };
  door: Door;
}> {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-refresh-'));
  folders.push(folder);
  const start = {
    databaseUrl: database.url,
    rootKey: rootKey.toString('base64url'),
    upstreams,
    modelCredentials: {},
    platformSocket: join(folder, 'platform.sock'),
    internalSocket: join(folder, 'internal.sock'),
  };
  const control = await startEgress({ start, logger: silent, entry });
  processes.push(control);
  const { caCertificatePem } = await control.openSession(fixture);
  const { port, handle } = await makeListener();
  await control.addListener(fixture.sessionId, handle);
  return { control, start, door: { port, ca: caCertificatePem } };
}

async function store(path: string, more: object = {}): Promise<string> {
  const split = splitAuth(
    authInput.parse({
      type: 'mcp_oauth',
      access_token: 'access-token-0',
      mcp_server_url: `https://mcp.example.com${path}`,
      expires_at: '2000-01-01T00:00:00Z',
      refresh: {
        client_id: 'client',
        refresh_token: 'refresh-token-0',
        token_endpoint: 'https://auth.example.com/token',
        token_endpoint_auth: { type: 'none' },
        scope: 'read write',
      },
      ...more,
    }),
  );
  const { organizationId } = fixture;
  const id = newId('cred');
  await database.database.insert(credentials).values({
    ...{ id, organizationId, vaultId, displayName: path, kind: split.kind },
    detail: { ...split.detail, metadata: {} },
    sealed: await sealCredential(
      organizationPublicKey(rootKey, organizationId),
      credentialBinding(organizationId, id),
      split.secret,
    ),
  });
  return id;
}
const oauthOf = async (id: string) => {
  const [row] = await database.database.select().from(credentials).where(eq(credentials.id, id));
  return row?.detail.oauth as Record<string, unknown>;
};

let refreshes: string[] = [];
let valid = '';
let tokenAnswer: () => { status: number; body: unknown; headers?: Record<string, string> } | undefined;
let refuse: { status: number; challenge?: string } = { status: 401 };

beforeAll(async () => {
  await database.database
    .insert(vaults)
    .values({ id: vaultId, organizationId: fixture.organizationId, displayName: 'Team' });
  await database.database
    .update(sessions)
    .set({ vaultIds: [vaultId] })
    .where(eq(sessions.id, fixture.sessionId));
});
afterAll(async () => {
  await Promise.all(processes.map((control) => control.stop()));
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  upstream.close();
});
beforeEach(() => {
  refreshes = [];
  valid = '';
  refuse = { status: 401 };
  tokenAnswer = () => {
    valid = `access-token-${randomBytes(8).toString('hex')}`;
    return { status: 200, body: { access_token: valid, refresh_token: 'refresh-token-1', expires_in: 3600 } };
  };
  upstream.answer = async (request, response, { body }) => {
    if (request.url === '/token') {
      refreshes.push(body);
      await new Promise((resolve) => setTimeout(resolve, 150));
      const answer = tokenAnswer();
      if (answer) response.writeHead(answer.status, answer.headers).end(JSON.stringify(answer.body));
      return;
    }
    const isIn = request.headers.authorization === `Bearer ${valid}`;
    if (isIn) return void response.end('in');
    const { status, challenge } = refuse;
    response.writeHead(status, challenge ? { 'www-authenticate': challenge } : {}).end('out');
  };
});

test('64 waiters in 3 processes of the operating system make one refresh, and all get in', async () => {
  await store('/processes');
  const three = await Promise.all([startProcess(), startProcess(), startProcess()]);
  expect(new Set(three.map(({ control }) => control.pid)).size).toBe(3);
  const answers = await Promise.all(
    Array.from({ length: 64 }, (_, i) =>
      curl(three[i % 3]?.door ?? { port: 0, ca: '' }, 'https://mcp.example.com/processes'),
    ),
  );
  expect(new Set(answers.map(({ stdout }) => stdout))).toEqual(new Set(['in']));
  expect(refreshes).toHaveLength(1);
});

test('a process that dies over a refresh leaves word, and the spent token is not sent again', async () => {
  const id = await store('/dies');
  const { control, door } = await startProcess();
  const arrived = Promise.withResolvers<void>();
  tokenAnswer = () => {
    arrived.resolve();
    return undefined;
  };
  const asked = curl(door, 'https://mcp.example.com/dies');
  await arrived.promise;
  process.kill(control.pid ?? 0, 'SIGKILL');
  await asked;
  expect(await oauthOf(id)).toMatchObject({ refreshing: { at: expect.any(String) } });
  expect(refreshes).toHaveLength(1);
  // Another process, when nobody can be asking any more.
  const later = await startTestEgress(database, { upstreams }, { now: () => Date.now() + 91_000 });
  expect((await curl(await later.open(fixture), 'https://mcp.example.com/dies')).stdout).toBe('out');
  expect(refreshes).toHaveLength(1);
  expect(await oauthOf(id)).toMatchObject({
    needsReauth: 'refresh_unknown',
    refused: expect.stringContaining('not sent again'),
  });
  expect(await oauthOf(id)).not.toHaveProperty('refreshing');
});

test('one that dies over a token of an installation leaves the same word, and the publication tells it', async () => {
  const linear = await createFixture(database.database, { provider: 'linear', emulated: true });
  const stale = { expires_at: '2000-01-01T00:00:00Z' };
  const secret = { access_token: 'lin-0', refresh_token: 'lin-refresh-0' };
  await storeCredential(database.database, linear, 'linear_client', { client_id: 'c', client_secret: 's' });
  const id = await storeCredential(database.database, linear, 'linear_app', secret, {
    ...{ detail: stale, installation: true },
  });
  const { control, start } = await startProcess();
  const arrived = Promise.withResolvers<void>();
  let asked = 0;
  upstream.answer = (request, response) => {
    if (request.url !== '/linear/oauth/token') return void response.end('in');
    asked += 1;
    arrived.resolve();
  };
  const ask = ({ platformSocket: socketPath }: { platformSocket: string }) =>
    createPlatformFetch({
      ...{ socketPath, principal: linear, patienceMs: 100 },
      ready: async () => {},
    })('https://api.linear.app/graphql', { method: 'POST', body: '{}' });
  const cut = ask(start).catch(() => {});
  await arrived.promise;
  process.kill(control.pid ?? 0, 'SIGKILL');
  await cut;
  expect(await oauthOf(id)).toMatchObject({ refreshing: { at: expect.any(String) } });
  const later = await startTestEgress(database, { upstreams }, { now: () => Date.now() + 91_000 });
  for (let i = 0; i < 3; i++) {
    const answer = await ask(later.start);
    expect(answer.status).toBe(502);
    expect(await answer.text()).toContain('Install the app again');
  }
  expect(asked).toBe(1);
  expect(await oauthOf(id)).toEqual({
    ...{ needsReauth: 'refresh_unknown', refused: expect.stringContaining('not sent again') },
  });
  const [row] = await database.database
    .select()
    .from(publications)
    .where(eq(publications.id, linear.publicationId));
  expect(row).toMatchObject({
    state: 'needs_reauth',
    stateReason: expect.stringContaining('Install the app again'),
  });
});

describe('in one process', () => {
  let now = Date.now();
  const setUp = async () => {
    const world = await startTestEgress(database, { upstreams }, { now: () => now });
    return { world, door: await world.open(fixture) };
  };

  test('the server is left alone for as long as it asks, by all processes', async () => {
    const id = await store('/later');
    const [one, two] = [await setUp(), await setUp()];
    tokenAnswer = () => ({ status: 429, body: {}, headers: { 'retry-after': '120' } });
    const ask = (door: Door) => curl(door, 'https://mcp.example.com/later');
    expect((await ask(one.door)).stdout).toBe('out');
    expect((await ask(two.door)).stdout).toBe('out');
    expect(refreshes).toHaveLength(1);
    expect(Date.parse(String((await oauthOf(id)).notBefore))).toBe(now + 120_000);
    now += 119_000;
    await Promise.all([ask(one.door), ask(two.door)]);
    expect(refreshes).toHaveLength(1);
    now += 2_000;
    tokenAnswer = () => {
      valid = 'access-token-at-last';
      return { status: 200, body: { access_token: valid, scope: 'read' } };
    };
    expect((await ask(two.door)).stdout).toBe('in');
    expect((await ask(one.door)).stdout).toBe('in');
    expect(refreshes).toHaveLength(2);
    expect(await oauthOf(id)).toMatchObject({ grantedScope: 'read', refresh: { scope: 'read write' } });
    expect(await oauthOf(id)).not.toHaveProperty('notBefore');
  });

  test('a process that may have died over it is not waited for while the token still lives', async () => {
    valid = 'access-token-0';
    const id = await store('/alive', { expires_at: new Date(now + 100_000).toISOString() });
    const [row] = await database.database.select().from(credentials).where(eq(credentials.id, id));
    const oauth = { ...(await oauthOf(id)), refreshing: { by: 'gone', at: new Date(now).toISOString() } };
    await database.database
      .update(credentials)
      .set({ detail: { ...row?.detail, oauth } })
      .where(eq(credentials.id, id));
    const { door } = await setUp();
    const begunMs = performance.now();
    for (let i = 0; i < 3; i++) expect((await curl(door, 'https://mcp.example.com/alive')).stdout).toBe('in');
    expect(performance.now() - begunMs).toBeLessThan(10_000);
    expect(refreshes).toHaveLength(0);
  });

  test('an answer of the server is not read beyond what such an answer has', async () => {
    const id = await store('/endless');
    const { door } = await setUp();
    const answer = tokenAnswer();
    tokenAnswer = () => answer && { ...answer, body: [' '.repeat(1024 * 1024)] };
    expect((await curl(door, 'https://mcp.example.com/endless')).stdout).toBe('out');
    expect(Date.parse(String((await oauthOf(id)).notBefore))).toBe(now + 30_000);
  });

  test('a 403 that says that the token is no good refreshes it; any other 403 is the answer', async () => {
    const { door } = await setUp();
    await store('/scope', { expires_at: '2099-01-01T00:00:00Z' });
    await store('/expired', { expires_at: '2099-01-01T00:00:00Z' });
    now += 2_000;
    for (const challenge of [undefined, 'Bearer error="insufficient_scope"']) {
      refuse = challenge ? { status: 403, challenge } : { status: 403 };
      expect((await curl(door, 'https://mcp.example.com/scope')).stdout).toBe('out');
    }
    expect(refreshes).toHaveLength(0);
    refuse = { status: 403, challenge: 'Bearer realm="x", error="invalid_token"' };
    expect((await curl(door, 'https://mcp.example.com/expired', '-d', 'again')).stdout).toBe('in');
    expect(refreshes).toHaveLength(1);
  });

  test('one that is entered anew during a refresh counts, and is not overwritten', async () => {
    const id = await store('/entered');
    const { door } = await setUp();
    const { organizationId } = fixture;
    const entered = await sealCredential(
      organizationPublicKey(rootKey, organizationId),
      credentialBinding(organizationId, id),
      { access_token: 'access-token-entered', refresh_token: 'refresh-token-entered' },
    );
    upstream.answer = async (request, response, { body }) => {
      if (request.url !== '/token') {
        return void response.end(String(request.headers.authorization));
      }
      refreshes.push(body);
      const [row] = await database.database.select().from(credentials).where(eq(credentials.id, id));
      const { refreshing: _, ...oauth } = await oauthOf(id);
      await database.database
        .update(credentials)
        .set({
          sealed: entered,
          version: 2,
          detail: { ...row?.detail, oauth: { ...oauth, expiresAt: '2099-01-01T00:00:00Z' } },
        })
        .where(eq(credentials.id, id));
      response.end(JSON.stringify({ access_token: 'access-token-of-the-old' }));
    };
    expect((await curl(door, 'https://mcp.example.com/entered')).stdout).toBe(
      `Bearer ${'*'.repeat('access-token-entered'.length)}`,
    );
    expect(refreshes).toHaveLength(1);
    const [row] = await database.database.select().from(credentials).where(eq(credentials.id, id));
    expect(row?.sealed).toBe(entered);
  });

  test('a token that was just refreshed is among the secrets that do not leave', async () => {
    await store('/fresh');
    const { world, door } = await setUp();
    expect(await world.egress.checkText(fixture.organizationId, 'nothing')).toEqual({ ok: true });
    expect((await curl(door, 'https://mcp.example.com/fresh')).stdout).toBe('in');
    expect(await world.egress.checkText(fixture.organizationId, `see ${valid}`)).toMatchObject({ ok: false });
    const { stdout } = await curl(door, 'https://paste.example.com/', '-d', `a=${valid}`);
    expect(JSON.parse(stdout).error.rule).toBe('secret.outbound');
  });
});

test.each([
  ['120', 120_000],
  ['0', 0],
  ['999999999', 3_600_000],
  [new Date(1_000_000_060_000).toUTCString(), 60_000],
  [new Date(0).toUTCString(), 0],
  ['soon', undefined],
  [undefined, undefined],
])('Retry-After: %s', (header, waitMs) => expect(retryAfterMs(header, 1_000_000_000_000)).toBe(waitMs));

test.each([
  [{ status: 400, body: { error: 'invalid_grant' } }, 'refused'],
  [{ status: 401, body: undefined }, 'refused'],
  [{ status: 200, body: {} }, 'refused'],
  [{ status: 302, body: undefined }, 'later'],
  [{ status: 408, body: undefined }, 'later'],
  [{ status: 429, body: undefined }, 'later'],
  [{ status: 500, body: { access_token: 'x' } }, 'later'],
  [{ status: 200, body: { access_token: 'x' } }, 'renewed'],
  [{ status: 200, body: { access_token: 'x', expires_in: 2 ** 63 } }, 'renewed'],
])('%j is read as %s', (answer, kind) => expect(readRefresh(answer, 0).kind).toBe(kind));
