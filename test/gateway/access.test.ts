import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApiKey, createLoginLink, ensureApiKey, ensureOrganization } from '../../src/gateway/access.ts';
import { organizations, workers } from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { type RawAnswer, send, startTestGateway, type TestGateway } from './support.ts';

describe('who may come in', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-console-'));
  let gateway: TestGateway;
  let now = new Date();

  beforeAll(async () => {
    mkdirSync(join(folder, 'console', 'assets'), { recursive: true });
    writeFileSync(join(folder, 'secret.txt'), 'outside');
    writeFileSync(join(folder, 'console', 'index.html'), '<!doctype html><title>console</title>');
    writeFileSync(join(folder, 'console', 'assets', 'main-1a2b.js'), 'export {}');
    gateway = await startTestGateway(await createTestDatabase(), {
      consoleFolder: join(folder, 'console'),
      clock: () => now,
    });
  });
  afterAll(async () => {
    await gateway.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const ask = (path: string, headers: Record<string, string> = {}, method = 'GET', body?: string) =>
    send(gateway.port, path, {
      method,
      headers: { host: `127.0.0.1:${gateway.port}`, ...headers },
      ...(body === undefined ? {} : { body }),
    });
  const browser = { accept: 'text/html,application/xhtml+xml' };
  const cookieOf = (answer: RawAnswer) => String(answer.headers['set-cookie']).split(';')[0] ?? '';
  const signIn = async () => {
    const token = await createLoginLink(gateway.database, gateway.organizationId, now);
    return cookieOf(await ask(`/open/${token}`));
  };

  it('lets nobody without a key into the API, whatever the path', async () => {
    for (const path of [
      '/v1/agents',
      '/v1/sessions/x/events/stream',
      '/v1/nothing',
      '/workplace/api/state',
    ]) {
      const answer = await ask(path, browser);
      expect(answer.status).toBe(401);
      expect(JSON.parse(answer.body)).toMatchObject({
        type: 'error',
        error: { type: 'authentication_error' },
        request_id: answer.headers['request-id'],
      });
    }
  });

  it.each(['x-api-key', 'authorization'])('takes the API key as %s', async (name) => {
    const value = name === 'authorization' ? `Bearer ${gateway.apiKey}` : gateway.apiKey;
    expect((await ask('/v1/agents', { [name]: value })).status).toBe(200);
    expect((await ask('/v1/agents', { [name]: `${value}x` })).status).toBe(401);
  });

  it('does not take a revoked key, nor a hash for a key', async () => {
    const key = await createApiKey(gateway.database, gateway.organizationId, 'to revoke');
    const { rows } = await gateway.database.execute(
      sql`update api_keys set revoked_at = now() where name = 'to revoke' returning hash`,
    );
    expect((await ask('/v1/agents', { 'x-api-key': key })).status).toBe(401);
    expect((await ask('/v1/agents', { 'x-api-key': String(rows[0]?.hash) })).status).toBe(401);
  });

  it("lets the operator's own key in, twice over, unless it is short or another organization's", async () => {
    const key = 'an-operators-own-key-0001';
    await ensureApiKey(gateway.database, gateway.organizationId, key);
    await ensureApiKey(gateway.database, gateway.organizationId, key);
    expect((await ask('/v1/agents', { 'x-api-key': key })).status).toBe(200);
    await expect(ensureApiKey(gateway.database, gateway.organizationId, 'short')).rejects.toThrow(RangeError);
    const other = await createFixture(gateway.database);
    await expect(ensureApiKey(gateway.database, other.organizationId, key)).rejects.toThrow(RangeError);
  });

  it('makes one organization, however many processes start at once', async () => {
    const empty = await createTestDatabase();
    const ids = await Promise.all(Array.from({ length: 5 }, () => ensureOrganization(empty.database)));
    expect(new Set(ids).size).toBe(1);
    expect(await empty.database.select().from(organizations)).toHaveLength(1);
  });

  it('shows a browser without a cookie how to get in, on a page that runs and loads nothing foreign', async () => {
    const answer = await ask('/workplace', browser);
    expect(answer.status).toBe(401);
    expect(answer.body).toContain('npm start');
    expect(answer.headers['content-security-policy']).toContain("default-src 'self'");
    expect(answer.headers['content-security-policy']).toContain("frame-ancestors 'none'");
    expect(answer.headers['x-content-type-options']).toBe('nosniff');
    expect((await ask('/assets/main-1a2b.js')).status).toBe(401);
  });

  it('opens the console by a link once', async () => {
    const token = await createLoginLink(gateway.database, gateway.organizationId, now);
    expect((await ask(`/open/${token}`, {}, 'HEAD')).headers['set-cookie']).toBeUndefined();
    const [first, second] = await Promise.all([ask(`/open/${token}`), ask(`/open/${token}`)]);
    const [won, lost] = first.status === 303 ? [first, second] : [second, first];
    expect(won.status).toBe(303);
    expect(won.headers.location).toBe('/');
    const cookie = String(won.headers['set-cookie']);
    for (const attribute of ['HttpOnly', 'SameSite=Strict', 'Secure', 'Path=/', 'Max-Age=2592000']) {
      expect(cookie).toContain(attribute);
    }
    expect(lost.status).toBe(401);
    expect(lost.headers['set-cookie']).toBeUndefined();
    expect(lost.body).toContain('no longer works');
    expect((await ask('/', { cookie: cookieOf(won) })).body).toContain('<title>console</title>');
  });

  it('stores neither link nor cookie nor key in the clear', async () => {
    const token = await createLoginLink(gateway.database, gateway.organizationId, now);
    const cookie = cookieOf(await ask(`/open/${token}`)).split('=')[1] ?? '-';
    const { rows } = await gateway.database.execute(
      sql`select (select json_agg(t)::text from console_tokens t) || (select json_agg(k)::text from api_keys k) as all`,
    );
    for (const secret of [token, cookie, gateway.apiKey]) expect(String(rows[0]?.all)).not.toContain(secret);
  });

  it('leads on from another site with a page, since the browser would hold the cookie back from a redirect', async () => {
    const token = await createLoginLink(gateway.database, gateway.organizationId, now);
    const answer = await ask(`/open/${token}`, { ...browser, 'sec-fetch-site': 'cross-site' });
    expect(answer.status).toBe(200);
    expect(answer.body).toContain('http-equiv="refresh"');
  });

  it('ends links after a day and cookies after thirty', async () => {
    const start = now;
    const token = await createLoginLink(gateway.database, gateway.organizationId, now);
    const cookie = await signIn();
    now = new Date(start.getTime() + 24 * 3_600_000 + 1);
    expect((await ask(`/open/${token}`)).status).toBe(401);
    expect((await ask('/v1/agents', { cookie })).status).toBe(200);
    now = new Date(start.getTime() + 30 * 24 * 3_600_000 + 1);
    expect((await ask('/v1/agents', { cookie })).status).toBe(401);
    now = start;
  });

  it('does not take a link for a cookie', async () => {
    const token = await createLoginLink(gateway.database, gateway.organizationId, now);
    expect((await ask('/v1/agents', { cookie: `tagalong_console=${token}` })).status).toBe(401);
  });

  it("serves the console's files to its cookie, its page for every address, and nothing outside of its folder", async () => {
    const cookie = await signIn();
    const asset = await ask('/assets/main-1a2b.js', { cookie });
    expect(asset).toMatchObject({ status: 200, body: 'export {}' });
    expect(asset.headers['cache-control']).toContain('immutable');
    expect((await ask('/workplace', { cookie, ...browser })).body).toContain('<title>console</title>');
    for (const path of [
      '/../secret.txt',
      '/%2e%2e/secret.txt',
      '/..%2fsecret.txt',
      '/%2e%2e%2fsecret.txt',
      '/a%00.txt',
      '/%',
    ]) {
      const answer = await ask(path, { cookie });
      expect(answer.status).toBe(404);
      expect(answer.body).not.toContain('outside');
    }
  });

  describe('by the Host that is asked for', () => {
    it.each(['evil.example', '169.254.169.254', 'localhost', 'localhost:1', '127.0.0.1.evil.example'])(
      'answers 421 to %j',
      async (host) => {
        const key = { 'x-api-key': gateway.apiKey };
        for (const path of ['/v1/agents', '/', '/open/x', '/workplace/api/state']) {
          expect((await ask(path, { host, ...key })).status).toBe(421);
        }
      },
    );

    it('answers its base URL and the names of this machine', async () => {
      const key = { 'x-api-key': gateway.apiKey };
      for (const host of [
        'tagalong.example.com',
        'TAGALONG.example.com',
        'tagalong.example.com:443',
        `localhost:${gateway.port}`,
        `127.0.0.1:${gateway.port}`,
        `[::1]:${gateway.port}`,
      ]) {
        expect((await ask('/v1/agents', { host, ...key })).status).toBe(200);
      }
    });

    it('answers probes under any name', async () => {
      expect((await ask('/health', { host: '10.1.2.3' })).status).toBe(200);
    });
  });

  describe('by where a cookie comes from', () => {
    const body = JSON.stringify({ name: 'Ada', model: 'claude-test' });
    const own = () => `http://127.0.0.1:${gateway.port}`;
    const cases: [string, (cookie: string) => Record<string, string>, number][] = [
      ['a page of ours', () => ({ origin: own() }), 201],
      ['a page of ours, said by the browser', () => ({ 'sec-fetch-site': 'same-origin' }), 201],
      ['no word of where', () => ({}), 403],
      ['another site', () => ({ origin: 'https://evil.example' }), 403],
      ['another port of this machine', () => ({ origin: 'http://127.0.0.1:1' }), 403],
      ['an opaque origin', () => ({ origin: 'null' }), 403],
      ['the same site', () => ({ 'sec-fetch-site': 'same-site', origin: own() }), 403],
      ['typed in', () => ({ 'sec-fetch-site': 'none' }), 403],
    ];
    it.each(cases)('a write from %s', async (_name, headers, status) => {
      const cookie = await signIn();
      expect((await ask('/v1/agents', { cookie, ...headers(cookie) }, 'POST', body)).status).toBe(status);
    });

    it('a read from another site', async () => {
      const cookie = await signIn();
      expect((await ask('/v1/agents', { cookie, 'sec-fetch-site': 'cross-site' })).status).toBe(403);
      expect((await ask('/v1/agents', { cookie, 'sec-fetch-site': 'same-origin' })).status).toBe(200);
    });

    it('a write with a key, from anywhere', async () => {
      const headers = { 'x-api-key': gateway.apiKey, origin: 'https://elsewhere.example' };
      expect((await ask('/v1/agents', headers, 'POST', body)).status).toBe(201);
    });
  });

  it('is ready only with a fresh heartbeat of a worker', async () => {
    await gateway.database.delete(workers);
    expect((await ask('/ready')).status).toBe(503);
    await gateway.database.insert(workers).values({ id: 'worker_1', host: 'here', pid: process.pid });
    expect(await ask('/ready')).toMatchObject({ status: 200 });
    await gateway.database.execute(sql`update workers set heartbeat_at = now() - interval '16 seconds'`);
    const stale = await ask('/ready');
    expect(stale.status).toBe(503);
    expect(JSON.parse(stale.body)).toMatchObject({ database: 'ok', worker: 'no heartbeat within 15 s' });
  });
});
