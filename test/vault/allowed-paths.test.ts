import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { newId } from '../../src/store/ids.ts';
import { environments, sessions } from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import { curl, type Door, exchangeInside, openSecureTunnel, readAll } from './support/client.ts';
import { startTestEgress } from './support/egress.ts';
import { ask, connectHttp2 } from './support/http2-client.ts';
import { makeListener } from './support/listener.ts';
import { startUpstream } from './support/upstream.ts';

const host = 'api.example.com';

const set = async () => {
  const database = await createTestDatabase();
  const upstream = await startUpstream();
  const fixture = await createFixture(database.database, {
    policy: { allowed_hosts: [`${host}/v1`, 'packages.example.com/simple'] },
  });
  const { organizationId, sessionId } = fixture;
  const environmentId = newId('env');
  const networking = { type: 'limited', allowed_hosts: [`${host}/v2/users`, `${host}:8443/v1`] };
  await database.database
    .insert(environments)
    .values({ id: environmentId, organizationId, name: 'e', config: { type: 'cloud', networking } });
  await database.database.update(sessions).set({ environmentId }).where(eq(sessions.id, sessionId));
  const world = await startTestEgress(database, {
    upstreams: [
      {
        ...{ host: 'packages.example.com', pathPrefix: '/', scope: 'all' },
        target: `${upstream.origin}/inner/`,
      },
    ],
  });
  const bounded = await startTestEgress(database, { allowedHosts: [`${host}/v1/open`] });
  for (const { network } of [world, bounded]) {
    network.names.set(host, ['93.184.216.34']);
    network.machines.set('93.184.216.34', upstream.port);
  }
  return { upstream, fixture, world, bounded };
};
let t: Awaited<ReturnType<typeof set>>;
let fixture: Fixture;
let door: Door;

beforeAll(async () => {
  t = await set();
  ({ fixture } = t);
  door = await t.world.open(fixture);
});
afterAll(() => t.upstream.close());
beforeEach(() => {
  t.upstream.seen.length = 0;
});

/** The rule that refused, or the status of the upstream. */
const tried = async (url: string, ...more: string[]) => {
  const { stdout, stderr } = await curl(door, '--path-as-is', '-w', '%{http_code}', url, ...more);
  return /"rule":"([^"]*)"/.exec(stdout)?.[1] ?? (stdout.slice(-3) || stderr);
};
const reached = () => t.upstream.seen.map(({ url }) => url);

test('a list that names paths opens these and what is below them, and the refusal says which', async () => {
  for (const path of ['/v1', '/v1/', '/v1/a?b=/../c', '/v2/users/7']) {
    expect(await tried(`https://${host}${path}`), path).toBe('200');
  }
  expect(await tried(`https://${host}:8443/v1/x`)).toBe('200');
  expect(await tried('https://packages.example.com/simple/pip/')).toBe('200');
  const all = ['/v1', '/v1/', '/v1/a?b=/../c', '/v2/users/7', '/v1/x', '/inner/simple/pip/'];
  expect(reached()).toEqual(all);
  for (const path of ['/', '/v10', '/v2', '/V1', '/%761', '/v2/usersx', '/x/v1', '/v1;a/x', '/v1%2fx']) {
    expect(await tried(`https://${host}${path}`), path).toBe('path.not_allowed');
  }
  expect(await tried(`https://${host}:8443/v2/users`)).toBe('path.not_allowed');
  expect(await tried('https://packages.example.com/', '-d', 'x')).toBe('path.not_allowed');
  expect(reached()).toEqual(all);
  const { stdout } = await curl(door, `https://${host}/admin`);
  expect(JSON.parse(stdout).error.message).toMatch(/only these paths.*: \/v1, \/v2\/users\. An admin/);
  expect((await t.world.records(fixture.sessionId)).at(-1)).toMatchObject({
    ...{ host, path: '/admin', status: 403, decision: 'refused', rule: 'path.not_allowed' },
  });
});

test('no other spelling of a path leads out of what is open', async () => {
  for (const path of [
    '/v1/../admin',
    '/v1/..%2fadmin',
    '/v1/%2e%2e/admin',
    '/v1/.%2e/admin',
    '/v1/..;/admin',
    '/v1/..%5cadmin',
    '/v1/%252e%252e/admin',
    '/v1/x%2f..%2f..%2fadmin',
    '/v1//../admin',
    '/./v1/../admin',
    '/v1\\..\\admin',
    '//v1',
  ]) {
    const answer = await exchangeInside(
      door,
      host,
      `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
    );
    expect(answer, path).toMatch(/^HTTP\/1\.1 400 [\s\S]*"rule":"http\.target"/);
  }
  expect(reached()).toEqual([]);
});

test('each request of a connection is judged by its own path, over HTTP/2 too', async () => {
  const secure = await openSecureTunnel(door, host);
  const get = (path: string, last = false) =>
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${last ? 'Connection: close\r\n' : ''}\r\n`;
  secure.write(get('/v1/a') + get('/admin') + get('/v1/b', true));
  const text = await readAll(secure);
  secure.destroy();
  expect([...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual(['200', '403', '200']);
  const session = await connectHttp2(door, host);
  const [open, shut] = await Promise.all([
    ask(session, { ':path': '/v1/h2' }),
    ask(session, { ':path': '/admin/h2' }),
  ]);
  session.destroy();
  expect([open.status, shut.status]).toEqual([200, 403]);
  expect(shut.body).toContain('path.not_allowed');
  expect(reached()).toEqual(['/v1/a', '/v1/b', '/v1/h2']);
});

test('a WebSocket opens where its path is open', async () => {
  const key = Buffer.alloc(16, 1).toString('base64');
  const upgrade = (path: string) =>
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`;
  expect(await exchangeInside(door, host, upgrade('/live'))).toMatch(/^HTTP\/1\.1 403 .*path\.not_allowed/);
  expect(reached()).toEqual([]);
  // This upstream speaks no WebSocket, and answers as to any request.
  expect(await exchangeInside(door, host, upgrade('/v1/live'))).toMatch(/^HTTP\/1\.1 200 /);
  expect(reached()).toEqual(['/v1/live']);
});

test('in transparent mode too', async () => {
  const { port, handle } = await makeListener();
  await t.world.egress.addListener(fixture.sessionId, handle, 'https');
  const at = (path: string) => [
    ...[`https://${host}:${port}${path}`, '--noproxy', '*', '-H', `Host: ${host}`],
    ...['--resolve', `${host}:${port}:127.0.0.1`],
  ];
  expect((await curl(door, ...at('/v1/t'))).stdout).toBe('{"ok":true}');
  expect((await curl(door, ...at('/admin/t'))).stdout).toContain('path.not_allowed');
  expect(reached()).toEqual(['/v1/t']);
});

test('the bound of the operator narrows what a list opens', async () => {
  const own = door;
  door = await t.bounded.open(fixture);
  expect(await tried(`https://${host}/v1/open/x`)).toBe('200');
  expect(await tried(`https://${host}/v1/x`)).toBe('path.ceiling');
  expect(await tried(`https://${host}/v2/users`)).toBe('path.ceiling');
  expect(await tried(`https://${host}/admin`)).toBe('path.not_allowed');
  door = own;
});
