import { execFile, spawn } from 'node:child_process';
import { createHash, randomFillSync } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningEgress, startEgress } from '../../src/vault/egress/control.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import type { Door } from './support/client.ts';
import { appKey, storeCredential } from './support/credentials.ts';
import { rootKey, silent } from './support/egress.ts';
import { makeListener } from './support/listener.ts';

const MiB = 1024 * 1024;
const full = process.env.TAGALONG_TEST_FULL === '1';
const sizeMib = full ? 1_024 : 64;
/** What the egress process may grow by, whatever the size. */
const maxGrownMib = 128;
/** The same for a push, of which each object is inflated whole before it goes on: they are of 32 MiB here. */
const maxGrownByPushMib = 256;
const host = 'files.example.com';
const folder = mkdtempSync(join(tmpdir(), 'tagalong-large-'));
const file = join(folder, 'large');
const run = promisify(execFile);
let control: RunningEgress;
let door: Door;
let gitDoor: Door;
let sent = '';
/** What arrived of the last upload. */
let arrived = { bytes: 0, hash: '', length: '' as string | undefined };

const server = createServer((request, response) => {
  const { url = '' } = request;
  if (url.startsWith('/api/')) {
    response.writeHead(201, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ token: 'ghs_minted', expires_at: '2099-01-01T00:00:00Z' }));
  } else if (url.startsWith('/git/')) serveGit(request, response);
  else takeIn(request, response);
});

function takeIn(request: IncomingMessage, response: ServerResponse): void {
  const hash = createHash('sha256');
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.byteLength;
    hash.update(chunk);
  });
  request.on('end', () => {
    arrived = { bytes, hash: hash.digest('hex'), length: request.headers['content-length'] };
    response.end('in');
  });
}

/** GitHub, by git's own program. */
async function serveGit(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [path = '', query = ''] = (request.url ?? '').slice('/git'.length).split('?');
  const child = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: join(folder, 'served'),
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      PATH_INFO: path,
      QUERY_STRING: query,
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: String(request.headers['content-type'] ?? ''),
      HTTP_CONTENT_ENCODING: String(request.headers['content-encoding'] ?? ''),
      REMOTE_USER: 'app',
    },
  });
  child.stdin.on('error', () => {});
  request.pipe(child.stdin);
  const out = await buffer(child.stdout);
  const end = out.indexOf('\r\n\r\n');
  for (const line of out.toString('latin1', 0, end).split('\r\n')) {
    const [name = '', value = ''] = line.split(/: (.*)/s);
    if (name !== 'Status') response.setHeader(name, value);
  }
  response.writeHead(200).end(out.subarray(end + 4));
}

/** A file that no compression makes smaller; gives its hash. */
function writeRandom(path: string, mebibytes: number): string {
  const hash = createHash('sha256');
  const piece = Buffer.alloc(MiB);
  const descriptor = openSync(path, 'w');
  for (let i = 0; i < mebibytes; i++) {
    hash.update(randomFillSync(piece));
    writeSync(descriptor, piece);
  }
  closeSync(descriptor);
  return hash.digest('hex');
}

async function enter(fixture: Fixture): Promise<Door> {
  const { caCertificatePem } = await control.openSession(fixture);
  const { port, handle } = await makeListener();
  await control.addListener(fixture.sessionId, handle);
  return { port, ca: caCertificatePem };
}

beforeAll(async () => {
  const database = await createTestDatabase();
  const fixture = await createFixture(database.database, { policy: { allowed_hosts: [host] } });
  const github = await createFixture(database.database, {
    provider: 'github',
    place: { owner: 'Acme', repo: 'Widgets', number: '7' },
    identity: { workspaceId: '99', handle: 'helper' },
  });
  await storeCredential(
    database.database,
    github,
    'github_app',
    { app_id: '42', private_key: appKey.pkcs1 },
    { detail: { installation_id: '99' } },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const mapped = (name: string, at: string) => ({
    ...{ host: name, pathPrefix: '/', target: `${origin}${at}`, scope: 'all' as const },
  });
  // The worker, who has nothing against it.
  const worker = createServer((_request, response) => response.end('{"ok":true}'));
  await new Promise<void>((resolve) => worker.listen(join(folder, 'internal.sock'), resolve));
  worker.unref();
  control = await startEgress({
    logger: silent,
    entry: fileURLToPath(new URL('../../src/egress.ts', import.meta.url)),
    start: {
      databaseUrl: database.url,
      rootKey: rootKey.toString('base64url'),
      upstreams: [mapped(host, '/'), mapped('api.github.com', '/api/'), mapped('github.com', '/git/')],
      modelCredentials: {},
      platformSocket: join(folder, 'platform.sock'),
      internalSocket: join(folder, 'internal.sock'),
    },
  });
  door = await enter(fixture);
  gitDoor = await enter(github);
  sent = writeRandom(file, sizeMib);
});
afterAll(async () => {
  await control.stop();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

const memoryMib = (what: 'VmRSS' | 'VmHWM') => {
  const status = readFileSync(`/proc/${control.pid}/status`, 'utf8');
  return Number(new RegExp(`^${what}:\\s+(\\d+)`, 'm').exec(status)?.[1]) / 1024;
};

/** Runs it, and gives what the egress process grew by meanwhile at the most. */
async function grownBy(work: () => Promise<unknown>): Promise<number> {
  // From here on the peak is counted anew.
  writeFileSync(`/proc/${control.pid}/clear_refs`, '5');
  const before = memoryMib('VmRSS');
  await work();
  return memoryMib('VmHWM') - before;
}

function clientEnvironment({ port, ca }: Door): NodeJS.ProcessEnv {
  const bundle = join(folder, `ca-${port}.pem`);
  writeFileSync(bundle, ca);
  return {
    ...{ PATH: process.env.PATH, HOME: folder, https_proxy: `http://127.0.0.1:${port}` },
    ...{ CURL_CA_BUNDLE: bundle, GIT_SSL_CAINFO: bundle, GIT_TERMINAL_PROMPT: '0' },
  };
}

test.each([
  ['with its length', ['--http1.1', '-T', file], String(sizeMib * MiB)],
  ['in chunks', ['--http1.1', '-T', '-'], undefined],
  ['over HTTP/2', ['--http2', '-T', file], String(sizeMib * MiB)],
])(
  `an upload of ${sizeMib} MiB %s, with Expect: 100-continue, arrives byte for byte and is not held`,
  async (what, how, length) => {
    const started = performance.now();
    let said = '';
    const grown = await grownBy(async () => {
      const child = spawn(
        'curl',
        ['-sv', '--max-time', '500', ...how, '-H', 'Expect: 100-continue', `https://${host}/up`],
        { env: clientEnvironment(door) },
      );
      child.stdin.on('error', () => {});
      if (how.includes('-')) createReadStream(file).pipe(child.stdin);
      else child.stdin.end();
      const [out, error] = await Promise.all([buffer(child.stdout), buffer(child.stderr)]);
      expect(out.toString()).toBe('in');
      said = error.toString();
    });
    expect(said).toMatch(/< HTTP\/(?:1\.1|2) 100/);
    expect(arrived).toEqual({ bytes: sizeMib * MiB, hash: sent, length });
    expect(grown).toBeLessThan(maxGrownMib);
    if (full) log(`an upload ${what}`, started, grown);
  },
);

test(`a push of ${sizeMib} MiB arrives object by object, searched and not held`, async () => {
  const bare = join(folder, 'served/Acme/Widgets.git');
  const clone = join(folder, 'clone');
  const git = async (directory: string, ...args: string[]) => {
    const who = ['-c', 'user.name=a', '-c', 'user.email=a@example.com', '-c', 'init.defaultBranch=main'];
    // What is random is not worth being compressed, or compared.
    const quick = ['-c', 'core.compression=0', '-c', 'core.bigFileThreshold=1m', '-c', 'gc.auto=0'];
    const env = clientEnvironment(gitDoor);
    return (await run('git', [...who, ...quick, ...args], { cwd: directory, env })).stdout.trim();
  };
  mkdirSync(bare, { recursive: true });
  await git(bare, 'init', '--bare', '-q');
  await git(bare, 'config', 'http.receivepack', 'true');
  await git(folder, 'clone', '-q', bare, clone);
  await git(clone, 'commit', '-q', '--allow-empty', '-m', 'first');
  await git(clone, 'push', '-q', 'origin', 'HEAD:refs/heads/main');
  await git(clone, 'remote', 'set-url', 'origin', 'https://github.com/Acme/Widgets.git');
  const pieceMib = 32;
  for (let i = 0; i < sizeMib / pieceMib; i++) writeRandom(join(clone, `piece-${i}`), pieceMib);
  await git(clone, 'add', '.');
  await git(clone, 'commit', '-q', '-m', 'large');
  const started = performance.now();
  const grown = await grownBy(() =>
    git(clone, 'push', '-q', 'origin', 'HEAD:refs/heads/tagalong/helper/large'),
  );
  if (full) log('a push', started, grown);
  expect(await git(bare, 'rev-parse', 'tagalong/helper/large')).toBe(await git(clone, 'rev-parse', 'HEAD'));
  // Reads each object and computes its name anew.
  await git(bare, 'fsck', '--no-progress', '--no-dangling');
  expect(grown).toBeLessThan(maxGrownByPushMib);
});

function log(what: string, started: number, grown: number): void {
  const seconds = (performance.now() - started) / 1000;
  console.log(
    `${what}: ${sizeMib} MiB in ${seconds.toFixed(1)} s, the process grew by ${grown.toFixed(0)} MiB at the most`,
  );
}
