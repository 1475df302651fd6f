import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, normalize } from 'node:path';
import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { publications } from '../../src/store/schema.ts';
import { startEgress } from '../../src/vault/egress/control.ts';
import type { ListenerHandle, ListenerRole } from '../../src/vault/egress/protocol.ts';
import { createHarness, type Harness } from '../sandbox/harness.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { appKey, storeCredential } from '../vault/support/credentials.ts';
import { silent } from '../vault/support/egress.ts';
import { echoWebSocket } from '../vault/support/web-socket-server.ts';
import { clientHost, clientPrograms } from './client-programs.ts';

const folder = mkdtempSync(join(tmpdir(), 'tagalong-clients-'));
const mintedToken = 'ghs_minted';
const served = join(folder, 'served');
makePackages();

/** What the programs ask for: packages, a repository as plain files, GitHub's API, and an echo of everything else. */
const upstream = createServer((request, response) => {
  const path = new URL(request.url ?? '/', 'http://upstream').pathname;
  const file = normalize(join(served, path));
  if (path.endsWith('/access_tokens')) {
    response.writeHead(201, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ token: mintedToken, expires_at: '2099-01-01T00:00:00Z' }));
  } else if (path.startsWith('/github/')) {
    response.setHeader('content-type', 'application/json');
    // The token itself would be masked on its way back.
    const [scheme, token] = (request.headers.authorization ?? '').split(' ');
    const whose = token === mintedToken ? 'ours' : 'not ours';
    response.end(JSON.stringify({ said: `${request.method} ${path} as ${scheme}, ${whose}` }));
  } else if (path === '/tiny') {
    response.setHeader('content-type', 'application/json');
    response.end(npmPackument());
  } else if (path === '/simple/tiny/') {
    response.setHeader('content-type', 'text/html');
    response.end('<a href="/tiny-1.0-py3-none-any.whl">tiny-1.0-py3-none-any.whl</a>');
  } else if (existsSync(file) && statSync(file).isFile()) {
    response.end(readFileSync(file));
  } else if (path.startsWith('/repository.git/')) {
    response.writeHead(404).end();
  } else {
    response.end(`${request.method} ${request.url} through\n`);
  }
});
upstream.on('upgrade', echoWebSocket);
await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
const origin = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;

/** The worker, which has nothing against anything. */
const worker = createServer((_, response) => response.end('{"ok":true}'));
await new Promise<void>((resolve) => worker.listen(join(folder, 'internal.sock'), resolve));

const database = await createTestDatabase();
const hosts = [clientHost, 'registry.npmjs.org', 'pypi.org'];
const control = await startEgress({
  logger: silent,
  start: {
    databaseUrl: database.url,
    rootKey: Buffer.alloc(32, 7).toString('base64url'),
    upstreams: [
      ...hosts.map((host) => ({ host, pathPrefix: '/', target: `${origin}/`, scope: 'all' as const })),
      { host: 'api.github.com', pathPrefix: '/', target: `${origin}/github/`, scope: 'all' as const },
    ],
    modelCredentials: {},
    platformSocket: join(folder, 'platform.sock'),
    internalSocket: join(folder, 'internal.sock'),
  },
});
const fixture = await createFixture(database.database, {
  provider: 'github',
  place: { owner: 'Acme', repo: 'Widgets', number: '7' },
  identity: { workspaceId: '99', handle: 'helper' },
});
const secret = { app_id: '42', private_key: appKey.pkcs1 };
const detail = { installation_id: '99' };
await storeCredential(database.database, fixture, 'github_app', secret, { detail });
await database.database
  .update(publications)
  .set({ policy: { allowed_hosts: hosts } })
  .where(eq(publications.id, fixture.publicationId));
const { caCertificatePem } = await control.openSession(fixture);
let harness: Harness;

beforeAll(async () => {
  harness = await createHarness();
});
afterAll(async () => {
  await control.stop();
  upstream.close();
  upstream.closeAllConnections();
  worker.close();
  worker.closeAllConnections();
  harness.clear();
  rmSync(folder, { recursive: true, force: true });
});

let count = 0;
const run = (script: string) =>
  harness.run(script, {
    directory: join(harness.home.open, 'sessions', `client-${++count}`),
    caCertificatePem,
    onListener: (handle: ListenerHandle, role: ListenerRole) =>
      control.addListener(fixture.sessionId, handle, role),
  });

const modes = {
  'with the proxy variables': '',
  'without any proxy variable':
    'unset HTTP_PROXY HTTPS_PROXY http_proxy https_proxy ALL_PROXY all_proxy NO_PROXY no_proxy NODE_USE_ENV_PROXY\n',
};
const tried = new Set<string>();
const missing = new Set<string>();

describe.each(Object.entries(modes))('%s', (mode, before) => {
  test.for(clientPrograms)('$name gets through', async (client, { skip }) => {
    if ((await run(`command -v ${client.needs}`)).code !== 0) {
      missing.add(client.name);
      skip(`${client.needs} is not installed`);
    }
    const { stdout, stderr } = await run(before + client.script);
    expect(stdout + stderr).toMatch(client.expected);
    tried.add(`${client.name}, ${mode}`);
  });
});

test('none of those that every machine has was left out', () => {
  console.info(`tried: ${[...tried].join('; ')}\nnot installed: ${[...missing].join('; ') || 'none'}`);
  for (const { name } of clientPrograms.filter(({ always }) => always)) {
    for (const mode of Object.keys(modes)) expect([...tried]).toContain(`${name}, ${mode}`);
  }
});

/** A package for npm and one for pip, and a repository for git's way over plain files. */
function makePackages(): void {
  mkdirSync(served, { recursive: true });
  const tiny = join(folder, 'package');
  mkdirSync(tiny);
  writeFileSync(join(tiny, 'package.json'), JSON.stringify({ name: 'tiny', version: '3.2.1', main: 'a.js' }));
  writeFileSync(join(tiny, 'a.js'), "module.exports = 'tiny works';\n");
  execFileSync('tar', ['czf', join(served, 'tiny-3.2.1.tgz'), '-C', folder, 'package']);
  const wheel = join(served, 'tiny-1.0-py3-none-any.whl');
  execFileSync('python3', [
    '-c',
    `import zipfile, sys
w = zipfile.ZipFile(sys.argv[1], 'w')
w.writestr('tiny.py', 'x = 1\\n')
w.writestr('tiny-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n')
w.writestr('tiny-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
w.writestr('tiny-1.0.dist-info/RECORD', '')
w.close()`,
    wheel,
  ]);
  const repository = join(served, 'repository.git');
  const seed = join(folder, 'seed');
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.com', ...args], { stdio: 'pipe' });
  git('init', '-q', '-b', 'main', seed);
  git('-C', seed, 'commit', '-q', '--allow-empty', '-m', 'first');
  git('clone', '-q', '--bare', seed, repository);
  git('-C', repository, 'update-server-info');
}

function npmPackument(): string {
  const content = readFileSync(join(served, 'tiny-3.2.1.tgz'));
  const integrity = `sha512-${createHash('sha512').update(content).digest('base64')}`;
  const dist = { tarball: 'https://registry.npmjs.org/tiny-3.2.1.tgz', integrity };
  return JSON.stringify({
    name: 'tiny',
    'dist-tags': { latest: '3.2.1' },
    versions: { '3.2.1': { name: 'tiny', version: '3.2.1', main: 'a.js', dist } },
  });
}
