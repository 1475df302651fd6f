import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { gitRequest, refUpdateNeed } from '../../src/providers/github/git.ts';
import { publications } from '../../src/store/schema.ts';
import { readGitCommands } from '../../src/vault/egress/git-commands.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { type Door, exchangeInside } from './support/client.ts';
import { appKey, storeCredential } from './support/credentials.ts';
import { startTestEgress } from './support/egress.ts';

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'tagalong-git-'));
const database = await createTestDatabase();
const fixture = await createFixture(database.database, {
  provider: 'github',
  place: { owner: 'Acme', repo: 'Widgets', number: '7' },
  identity: { workspaceId: '99', handle: 'helper' },
});
const asked: { method: string; url: string; authorization: string | undefined; body: string }[] = [];
const minted: unknown[] = [];

/** GitHub: gives tokens, and serves bare repositories by git's own program. */
const server = createServer(async (request, response) => {
  const { method = '', url = '', headers } = request;
  if (url.startsWith('/api/')) {
    minted.push(JSON.parse((await buffer(request)).toString()));
    response.writeHead(201, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ token: 'ghs_minted', expires_at: '2099-01-01T00:00:00Z' }));
    return;
  }
  const body = await buffer(request);
  asked.push({ method, url, authorization: headers.authorization, body: body.toString('latin1') });
  const [path = '', query = ''] = url.split('?');
  const child = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: join(folder, 'served'),
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_PROTOCOL: String(headers['git-protocol'] ?? ''),
      PATH_INFO: path,
      QUERY_STRING: query,
      REQUEST_METHOD: method,
      CONTENT_TYPE: String(headers['content-type'] ?? ''),
      CONTENT_LENGTH: String(body.length),
      HTTP_CONTENT_ENCODING: String(headers['content-encoding'] ?? ''),
      REMOTE_USER: 'app',
    },
  });
  child.stdin.end(body);
  const out = await buffer(child.stdout);
  const end = out.indexOf('\r\n\r\n');
  const head = out.toString('latin1', 0, end).split('\r\n');
  let status = 200;
  for (const line of head) {
    const [name = '', value = ''] = line.split(/: (.*)/s);
    if (name === 'Status') status = Number.parseInt(value, 10);
    else response.setHeader(name, value);
  }
  response.writeHead(status).end(out.subarray(end + 4));
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const { port } = server.address() as AddressInfo;
const origin = `http://127.0.0.1:${port}`;
const world = await startTestEgress(
  database,
  {
    upstreams: [
      { host: 'api.github.com', pathPrefix: '/', target: `${origin}/api/`, scope: 'real' },
      { host: 'github.com', pathPrefix: '/', target: `${origin}/`, scope: 'real' },
    ],
  },
  { git: { request: gitRequest, update: refUpdateNeed } },
);
let door: Door;

async function git(directory: string, ...args: string[]): Promise<string> {
  const ca = join(folder, 'ca.pem');
  const identity = ['-c', 'user.name=a', '-c', 'user.email=a@example.com', '-c', 'init.defaultBranch=main'];
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    https_proxy: `http://127.0.0.1:${door.port}`,
    GIT_SSL_CAINFO: ca,
    GIT_TERMINAL_PROMPT: '0',
  };
  const result = await run('git', [...identity, ...args], { cwd: directory, env }).catch(
    (error: { stdout: string; stderr: string }) => error,
  );
  return result.stdout + result.stderr;
}

const clone = join(folder, 'clone');

beforeAll(async () => {
  door = await world.open(fixture);
  writeFileSync(join(folder, 'ca.pem'), door.ca);
  await storeCredential(
    database.database,
    fixture,
    'github_app',
    { app_id: '42', private_key: appKey.pkcs1 },
    { detail: { installation_id: '99' } },
  );
  for (const repository of ['Acme/Widgets.git', 'Acme/Other.git']) {
    const bare = join(folder, 'served', repository);
    mkdirSync(bare, { recursive: true });
    await git(bare, 'init', '--bare', '-q');
    await git(bare, 'config', 'http.receivepack', 'true');
    const seed = mkdtempSync(join(folder, 'seed-'));
    await git(seed, 'init', '-q');
    await git(seed, 'commit', '-q', '--allow-empty', '-m', 'first');
    await git(seed, 'push', '-q', bare, 'HEAD:refs/heads/main');
  }
  await git(folder, 'clone', '-q', 'https://github.com/Acme/Widgets.git', clone);
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  asked.length = 0;
});
const grant = (capabilities: Record<string, 'on' | 'ask' | 'off'>) =>
  database.database
    .update(publications)
    .set({ capabilities })
    .where(eq(publications.id, fixture.publicationId))
    // As long as a change may take to be seen.
    .then(() => new Promise((resolve) => setTimeout(resolve, 2_100)));

test('real git clones with a token that it never sees, narrowed to the repository', async () => {
  expect(await git(clone, 'log', '--format=%s')).toBe('first\n');
  expect(await git(clone, 'fetch')).toBe('');
  expect(asked[0]).toMatchObject({
    method: 'GET',
    authorization: `Basic ${Buffer.from('x-access-token:ghs_minted').toString('base64')}`,
  });
  expect(minted).toEqual([{ repositories: ['widgets'] }]);
  expect((await world.records(fixture.sessionId)).at(-1)).toMatchObject({
    host: 'github.com',
    decision: 'allowed',
    rule: 'github:repo.read',
    credential: expect.stringContaining('github_app'),
  });
});

test('a branch of its own is pushed, created and moved, small and as a large pack in chunks', async () => {
  await git(clone, 'commit', '-q', '--allow-empty', '-m', 'second');
  expect(await git(clone, 'push', 'origin', 'HEAD:refs/heads/tagalong/helper/one')).toContain('[new branch]');
  writeFileSync(
    join(clone, 'large'),
    Buffer.from(Array.from({ length: 3_000_000 }, () => Math.random() * 256)),
  );
  await git(clone, 'add', '.');
  await git(clone, 'commit', '-q', '-m', 'large');
  expect(await git(clone, 'push', 'origin', 'HEAD:refs/heads/tagalong/helper/one')).toContain(
    'HEAD -> tagalong/helper/one',
  );
  const served = await git(
    join(folder, 'served/Acme/Widgets.git'),
    'log',
    '--format=%s',
    'tagalong/helper/one',
  );
  expect(served).toBe('large\nsecond\nfirst\n');
});

test.each([
  ['the default branch', 'HEAD:refs/heads/main', 'repo.push.default'],
  ['the branch of another app', 'HEAD:refs/heads/tagalong/other/x', 'repo.push.default'],
  ['a name that only begins like its own', 'HEAD:refs/heads/tagalong/helper', 'repo.push.default'],
  ['a tag', 'HEAD:refs/tags/v1', 'Nothing allows a push to refs/tags/v1'],
  ['another kind of name', 'HEAD:refs/pull/1/head', 'Nothing allows'],
  ['the end of a branch', ':refs/heads/main', 'repo.branch.delete'],
])('%s is not pushed, and the refusal says what would be', async (_, ref, rule) => {
  const out = await git(clone, 'push', 'origin', ref);
  expect(out).toMatch(/403|refused|error/);
  const row = (await world.records(fixture.sessionId)).findLast(({ decision }) => decision === 'refused');
  expect(row?.path).toMatch(/git-receive-pack$/);
  expect(asked.filter(({ method }) => method === 'POST')).toEqual([]);
  const answer = await exchangeInside(
    door,
    'github.com',
    push([
      [
        /:refs\/heads\/main$/.test(ref) && ref.startsWith(':') ? one : zero,
        ref.startsWith(':') ? zero : one,
        ref.split(':').at(-1) ?? '',
      ],
    ]),
  );
  expect(answer).toMatch(/^HTTP\/1\.1 403 /);
  expect(answer).toContain(rule);
  expect(answer).toContain('tagalong/helper/');
});

const zero = '0'.repeat(40);
const one = '1'.repeat(40);
const packet = (line: string) => (line.length + 4).toString(16).padStart(4, '0') + line;
function push(updates: [before: string, after: string, ref: string][], path = '/Acme/Widgets.git'): string {
  const lines = updates.map((update, i) => packet(`${update.join(' ')}${i === 0 ? '\0report-status' : ''}`));
  const body = `${lines.join('')}0000PACK`;
  return `POST ${path}/git-receive-pack HTTP/1.1\r\nHost: github.com\r\nContent-Type: application/x-git-receive-pack-request\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

test('one forbidden branch among allowed ones stops all of them', async () => {
  const answer = await exchangeInside(
    door,
    'github.com',
    push([
      [zero, one, 'refs/heads/tagalong/helper/fine'],
      [one, zero, 'refs/heads/main'],
    ]),
  );
  expect(answer).toMatch(/^HTTP\/1\.1 403 /);
  expect(asked).toEqual([]);
});

test('another repository is neither read nor written', async () => {
  expect(await git(folder, 'ls-remote', 'https://github.com/Acme/Other.git')).toContain('403');
  const answer = await exchangeInside(
    door,
    'github.com',
    push([[zero, one, 'refs/heads/tagalong/helper/x']], '/Acme/Other.git'),
    (text) => text.includes('"message"'),
  );
  expect(answer).toMatch(/^HTTP\/1\.1 403 /);
  expect(asked).toEqual([]);
});

test('the rest of the site, the dumb protocol and a compressed push are refused', async () => {
  const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: github.com\r\n${more}\r\n`;
  for (const request of [
    get('/'),
    get('/Acme/Widgets/settings'),
    get('/Acme/Widgets.git/info/refs'),
    get('/Acme/Widgets.git/HEAD'),
    get('/Acme/Widgets.git/info/refs?service=git-upload-pack&service=git-receive-pack'),
    get('/login/oauth/access_token'),
    push([[zero, one, 'refs/heads/tagalong/helper/x']]).replace(
      'Content-Type',
      'Content-Encoding: gzip\r\nContent-Type',
    ),
  ]) {
    const answer = await exchangeInside(door, 'github.com', request, (text) => text.includes('"message"'));
    expect(answer).toMatch(/^HTTP\/1\.1 40[03] /);
  }
  expect(asked).toEqual([]);
});

test('what the publication may do decides: no reading, no pushing, or the default branch too', async () => {
  await grant({ 'repo.read': 'off', 'repo.push': 'off' });
  expect(await git(clone, 'fetch')).toContain('403');
  await grant({ 'repo.push.default': 'on' });
  expect(await git(clone, 'push', 'origin', 'HEAD:refs/heads/main')).toContain('HEAD -> main');
});

describe('reading the commands of a push', () => {
  const line = packet(`${zero} ${one} refs/heads/a\0report-status object-format=sha1`);
  test('they are found wherever the bytes are cut', () => {
    const whole = Buffer.from(`${line}${packet(`${one} ${zero} refs/heads/b\n`)}0000PACK…`);
    const end = whole.indexOf('0000PACK') + 4;
    for (let cut = 0; cut < whole.length; cut++) {
      const read = readGitCommands(whole.subarray(0, cut));
      expect(read.state).toBe(cut < end ? 'more' : 'done');
    }
    expect(readGitCommands(whole)).toEqual({
      state: 'done',
      updates: [
        { ref: 'refs/heads/a', kind: 'create' },
        { ref: 'refs/heads/b', kind: 'delete' },
      ],
    });
  });
  test('the flush alone, by which git tries its credentials, changes nothing', () => {
    expect(readGitCommands(Buffer.from('0000'))).toEqual({ state: 'done', updates: [] });
  });
  test.each([
    ['no packets', 'PACKgarbage'],
    ['a delimiter', '0001'],
    ['a signed push', `${packet('push-cert\0report-status\n')}0000`],
    [
      'abilities in the second line, where a server would not look for the name',
      `${line}${packet(`${zero} ${one} refs/heads/b\0x`)}0000`,
    ],
    ['two NULs', `${packet(`${zero} ${one} refs/heads/a\0x\0refs/heads/main`)}0000`],
    ['a space in a name', `${packet(`${zero} ${one} refs/heads/a b`)}0000`],
    ['a line end in a name', `${packet(`${zero} ${one} refs/heads/a\nrefs/heads/main`)}0000`],
    ['nothing to nothing', `${packet(`${zero} ${zero} refs/heads/a`)}0000`],
    ['lengths of two kinds', `${packet(`${zero} ${'1'.repeat(64)} refs/heads/a`)}0000`],
  ])('%s is refused', (_, bytes) => {
    expect(readGitCommands(Buffer.from(bytes, 'latin1')).state).toBe('refused');
  });
  test('commands without end are refused', () => {
    const more = packet(`${zero} ${one} refs/heads/b`);
    expect(readGitCommands(Buffer.from(line + more.repeat(100))).state).toBe('more');
    expect(readGitCommands(Buffer.from(line + more.repeat(1_000))).state).toBe('refused');
  });
});
