import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { ProxyAgent, WebSocket } from 'undici';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { defaults } from '../../src/config.ts';
import { startEgress } from '../../src/vault/egress/control.ts';
import { FailedTries } from '../../src/vault/egress/failed-tries.ts';
import type { RemoteProxyAccess } from '../../src/vault/egress/protocol.ts';
import { readPresented } from '../../src/vault/egress/remote-token.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import { readAll } from './support/client.ts';
import { silent, startTestEgress, type TestEgress } from './support/egress.ts';
import { selfSigned } from './support/http2-upstream.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';
import { echoWebSocket } from './support/web-socket-server.ts';

const host = 'files.example.com';
const certificate = selfSigned('127.0.0.1');
const folder = mkdtempSync(join(tmpdir(), 'tagalong-remote-'));
let upstream: Upstream;
let world: TestEgress;
let one: Fixture;
let two: Fixture;
let access: RemoteProxyAccess;
let foreign: RemoteProxyAccess;
let database: Awaited<ReturnType<typeof createTestDatabase>>;

beforeAll(async () => {
  database = await createTestDatabase();
  upstream = await startUpstream();
  one = await createFixture(database.database, { policy: { allowed_hosts: [host] } });
  two = await createFixture(database.database, { policy: { allowed_hosts: ['other.example.com'] } });
  world = await startTestEgress(database, {
    remote: { host: '127.0.0.1', port: 0, certificatePem: certificate.cert, privateKeyPem: certificate.key },
  });
  world.network.names.set(host, ['93.184.216.34']);
  world.network.machines.set('93.184.216.34', upstream.port);
  await world.egress.openSession(one.organizationId, one.sessionId);
  await world.egress.openSession(two.organizationId, two.sessionId);
  access = await world.egress.remoteProxy(one.sessionId);
  foreign = await world.egress.remoteProxy(two.sessionId);
  writeFileSync(join(folder, 'proxy.pem'), certificate.cert);
});
afterAll(() => {
  upstream.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  upstream.seen.length = 0;
});

/** Real curl, from what could be another machine. */
function curl(ca: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const bundle = join(folder, 'ca.pem');
  writeFileSync(bundle, ca);
  const all = [
    '-sSv',
    '--max-time',
    '10',
    '--proxy',
    access.url,
    '--proxy-cacert',
    join(folder, 'proxy.pem'),
  ];
  return new Promise((resolve) => {
    execFile(
      'curl',
      [...all, '--cacert', bundle, ...args],
      { env: { PATH: process.env.PATH } },
      (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    );
  });
}
const basic = ({ username, token }: RemoteProxyAccess) => ['--proxy-user', `${username}:${token}`];
const header = (value: string) => ['--proxy-header', `Proxy-Authorization: ${value}`];
const last = async (of: Fixture) => (await world.records(of.sessionId)).at(-1);

test('curl comes through with the session’s token, over HTTP/1.1 and HTTP/2, and the token goes no further', async () => {
  for (const version of ['--http1.1', '--http2']) {
    const got = await curl(access.caCertificatePem, `https://${host}/a`, version, ...basic(access));
    expect(got.stdout, got.stderr).toBe('{"ok":true}');
  }
  const bearer = header(`Bearer ${access.username}.${access.token}`);
  expect((await curl(access.caCertificatePem, `https://${host}/a`, ...bearer)).stdout).toBe('{"ok":true}');
  expect(upstream.seen).toHaveLength(3);
  expect(upstream.raw()).not.toMatch(/proxy-auth/i);
  expect(upstream.raw()).not.toContain(access.token);
  await expect.poll(() => last(one)).toMatchObject({ path: '/a', status: 200, decision: 'allowed' });
});

test('plain http and WebSockets too', async () => {
  const internal = createServer((request, response) =>
    response.end(`${request.headers['x-tagalong-session']} ${request.headers['proxy-authorization']}`),
  );
  await new Promise<void>((resolve) => internal.listen(world.start.internalSocket, resolve));
  const url = 'http://tagalong.internal/mcp';
  const got = await curl(access.caCertificatePem, url, url, ...basic(access));
  expect(got.stdout).toBe(`${one.sessionId} undefined${one.sessionId} undefined`);
  internal.close();
  internal.closeAllConnections();

  const sockets = createServer().on('upgrade', echoWebSocket);
  await new Promise<void>((resolve) => sockets.listen(0, '127.0.0.1', resolve));
  const address = sockets.address();
  if (typeof address === 'object' && address) world.network.machines.set('93.184.216.34', address.port);
  const token = `Basic ${Buffer.from(`${access.username}:${access.token}`).toString('base64')}`;
  const agent = new ProxyAgent({
    ...{ uri: access.url, token, requestTls: { ca: access.caCertificatePem } },
    proxyTls: { ca: certificate.cert },
  });
  const socket = new WebSocket(`wss://${host}/`, { dispatcher: agent });
  const said = await new Promise((resolve, reject) => {
    socket.addEventListener('error', (event) => reject(event.error));
    socket.addEventListener('open', () => socket.send('far away'));
    socket.addEventListener('message', (event) => resolve(event.data));
  });
  expect(said).toBe('echo far away');
  await agent.destroy();
  sockets.closeAllConnections();
  sockets.close();
  world.network.machines.set('93.184.216.34', upstream.port);
});

test('a token gives exactly its own session’s policy', async () => {
  const got = await curl(foreign.caCertificatePem, `https://${host}/a`, ...basic(foreign));
  expect(got.stderr).toContain('403');
  await expect.poll(() => last(two)).toMatchObject({ rule: 'host.not_allowed', host });
  // What one session's sandbox trusts is not what another's proxy shows.
  const crossed = await curl(foreign.caCertificatePem, `https://${host}/a`, ...basic(access));
  expect(crossed.stdout).toBe('');
  expect(crossed.stderr).toMatch(/certificate/i);
  expect(crossed.code).not.toBe(0);
});

test('no token, a wrong one, a changed one, another session’s and two at once are refused alike', async () => {
  const { username, token } = access;
  const changed = token.replace(/^./, (first) => (first === 'A' ? 'B' : 'A'));
  const attempts = [
    [],
    ['--proxy-user', 'someone:something'],
    ['--proxy-user', `${username}:${changed}`],
    ['--proxy-user', `${username}:${foreign.token}`],
    ['--proxy-user', `${username}:`],
    ['--proxy-user', `${username}:${token.slice(0, -1)}`],
    header(`Digest ${token}`),
    [...header(`Bearer ${username}.${token}`), ...header(`Bearer ${username}.${token}`)],
  ];
  for (const attempt of attempts) {
    const got = await curl(access.caCertificatePem, `https://${host}/a`, ...attempt);
    expect(got.stderr, attempt.join(' ')).toMatch(/HTTP\/1\.1 407 Egress refused: proxy\.token/);
    expect(got.stderr).toMatch(/proxy-authenticate: Basic/i);
  }
  expect(upstream.seen).toEqual([]);
  const rows = (await world.records(one.sessionId)).filter(({ rule }) => rule === 'proxy.token');
  expect(rows.length).toBe(3);
  expect(JSON.stringify(rows)).not.toContain(token);
});

/** A connection to the proxy itself. */
function open(): Promise<ReturnType<typeof connectTls>> {
  const port = Number(new URL(access.url).port);
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, ca: certificate.cert }, () => resolve(socket));
    socket.once('error', reject);
  });
}
const get = ({ username, token }: RemoteProxyAccess) =>
  `GET http://nowhere.example/ HTTP/1.1\r\nHost: nowhere.example\r\nProxy-Authorization: Bearer ${username}.${token}\r\n\r\n`;

test('a connection stays with the session that it named first', async () => {
  const socket = await open();
  socket.write(get(access));
  await new Promise((resolve) => socket.once('data', resolve));
  socket.write(get(foreign));
  expect(await readAll(socket)).toMatch(/HTTP\/1\.1 407/);
});

test('a connection in the middle of TLS, or without a request, is served to no one', async () => {
  const socket = await open();
  socket.write('\x16\x03\x01 nonsense\r\n\r\n');
  expect(await readAll(socket)).toBe('');
});

test('a closed session’s token is worth nothing; a reopened one’s is the same, as after a restart', async () => {
  const opened = await world.egress.openSession(one.organizationId, one.sessionId);
  await world.egress.closeSession(one.sessionId);
  const gone = await curl(access.caCertificatePem, `https://${host}/a`, ...basic(access));
  expect(gone.stderr).toContain('HTTP/1.1 407');
  await expect(world.egress.remoteProxy(one.sessionId)).rejects.toThrow('not open');
  await world.egress.openSession(one.organizationId, one.sessionId, opened.sealedAuthority);
  const back = await curl(access.caCertificatePem, `https://${host}/a`, ...basic(access));
  expect(back.stdout).toBe('{"ok":true}');
  await world.egress.closeSession(one.sessionId);
  // A new authority, so a new token.
  await world.egress.openSession(one.organizationId, one.sessionId);
  const anew = await world.egress.remoteProxy(one.sessionId);
  expect(anew.token).not.toBe(access.token);
  expect(Buffer.from(anew.token, 'base64url')).toHaveLength(32);
  const old = await curl(anew.caCertificatePem, `https://${host}/a`, ...basic(access));
  expect(old.stderr).toContain('HTTP/1.1 407');
  access = anew;
});

test('after many wrong tries they are told to wait, while the right token still passes', async () => {
  const socket = () => open();
  let answer = '';
  for (let i = 0; i < 30 && !answer.includes(' 429 '); i++) {
    const wrong = await socket();
    wrong.write(get({ ...access, token: `${'x'.repeat(42)}${i % 10}` }));
    answer = await readAll(wrong);
  }
  expect(answer).toMatch(/^HTTP\/1\.1 429 [\s\S]*retry-after: 60/);
  const right = await curl(access.caCertificatePem, `https://${host}/a`, ...basic(access));
  expect(right.stdout).toBe('{"ok":true}');
});

test('connections that never say whose they are run out', async () => {
  const held = await Promise.all(Array.from({ length: 128 }, () => open().catch(() => undefined)));
  await expect(open()).rejects.toThrow();
  for (const socket of held) socket?.destroy();
  await expect
    .poll(async () => (await open().catch(() => undefined))?.destroyed, { timeout: 5_000 })
    .toBe(false);
});

test('the worker gets it from the egress process, and a sandbox goes on with it when that process was killed', async () => {
  const free = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => free.once('listening', resolve));
  const address = free.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  await new Promise((resolve) => free.close(resolve));
  const control = await startEgress({
    start: {
      ...world.start,
      platformSocket: join(folder, 'platform.sock'),
      upstreams: [{ host, pathPrefix: '/', target: upstream.origin, scope: 'all' }],
      remote: { host: '127.0.0.1', port, certificatePem: certificate.cert, privateKeyPem: certificate.key },
    },
    logger: silent,
    entry: fileURLToPath(new URL('./support/egress-entry.ts', import.meta.url)),
  });
  await control.openSession(one);
  const given = await control.remoteProxy(one.sessionId);
  const through = () =>
    curl(given.caCertificatePem, `https://${host}/far`, '--proxy', given.url, ...basic(given));
  expect((await through()).stdout).toBe('{"ok":true}');
  process.kill(control.pid ?? 0, 'SIGKILL');
  await expect.poll(async () => (await through()).stdout, { timeout: 20_000 }).toBe('{"ok":true}');
  expect((await control.remoteProxy(one.sessionId)).token).toBe(given.token);
  await control.stop();
});

test('there is no such door unless the operator sets one up', async () => {
  const without = await startTestEgress(database);
  await without.egress.openSession(two.organizationId, two.sessionId);
  await expect(without.egress.remoteProxy(two.sessionId)).rejects.toThrow('TAGALONG_EGRESS_LISTEN');
});

test('what is presented is read in one way only', () => {
  const read = (...values: string[]) =>
    readPresented(values.flatMap((value) => ['Proxy-Authorization', value]));
  const encoded = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
  expect(read(encoded('sesn_1:abc'))).toEqual({ sessionId: 'sesn_1', token: 'abc' });
  expect(read('bearer sesn_1.abc')).toEqual({ sessionId: 'sesn_1', token: 'abc' });
  for (const wrong of [
    '',
    'Basic',
    'Basic !!!',
    encoded(''),
    encoded('a'),
    encoded('a:b:c'),
    encoded('a:b\0'),
    'Bearer a',
    'Bearer a.b.c',
    `Bearer a.${'b'.repeat(2_000)}`,
    encoded('a b:c'),
  ]) {
    expect(read(wrong), wrong).toBeUndefined();
  }
  expect(read(encoded('a:b'), encoded('a:b'))).toBeUndefined();
});

test('wrong tries are forgotten after a minute, and the table of them is bounded', () => {
  let now = 0;
  const tries = new FailedTries(() => now);
  for (let i = 0; i < 20; i++) expect(tries.note('a').tooMany).toBe(false);
  expect(tries.note('a').tooMany).toBe(true);
  expect(tries.note('b').tooMany).toBe(false);
  now += 61_000;
  expect(tries.note('a')).toEqual({ tries: 1, tooMany: false });
  for (let i = 0; i < 20_000; i++) tries.note(`source ${i}`);
  expect(tries.note('a').tries).toBe(1);
});

test('who is turned away for coming too often leaves room for others from the same machine', async () => {
  const strict = await startTestEgress(database, {
    remote: { host: '127.0.0.1', port: 0, certificatePem: certificate.cert, privateKeyPem: certificate.key },
    limits: { ...defaults.egress, maxConnectionsPerSecond: 4 },
  });
  for (const { organizationId, sessionId } of [one, two]) {
    await strict.egress.openSession(organizationId, sessionId);
  }
  const [many, few] = [
    await strict.egress.remoteProxy(one.sessionId),
    await strict.egress.remoteProxy(two.sessionId),
  ];
  const port = Number(new URL(many.url).port);
  const answerTo = ({ username, token }: RemoteProxyAccess) => {
    const socket = connectTls({ host: '127.0.0.1', port, ca: certificate.cert });
    socket.on('error', () => {});
    socket.write(
      `CONNECT nowhere.example:443 HTTP/1.1\r\nHost: nowhere.example:443\r\nProxy-Authorization: Bearer ${username}.${token}\r\n\r\n`,
    );
    return readAll(socket).finally(() => socket.destroy());
  };
  // As many as may be there without having said whose they are.
  const answers = Array.from({ length: 120 }, () => answerTo(many));
  await expect
    .poll(async () => (await strict.records(one.sessionId)).map(({ rule }) => rule), { timeout: 20_000 })
    .toContain('limit.connections_per_second');
  answers.push(...Array.from({ length: 120 }, () => answerTo(many)));
  expect(await answerTo(few)).toMatch(/^HTTP\/1\.1 403/);
  const told = (await Promise.all(answers)).filter((answer) => answer.startsWith('HTTP/1.1 429'));
  expect(told.length).toBeGreaterThan(100);
});
