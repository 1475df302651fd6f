import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { gitRequest, refUpdateNeed } from '../../src/providers/github/git.ts';
import { publications, sessions } from '../../src/store/schema.ts';
import { readGitCommands } from '../../src/vault/egress/git-commands.ts';
import { readGitWants, TipsReader } from '../../src/vault/egress/git-wants.ts';
import type { DoorQuestion } from '../../src/vault/egress/protocol.ts';
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
const revoked: string[] = [];
/** What the worker was asked, and what it has against it. */
const questions: DoorQuestion[] = [];
let objection: string | undefined;

/** GitHub: gives tokens, and serves bare repositories by git's own program. */
const server = createServer(async (request, response) => {
  const { method = '', url = '', headers } = request;
  // What is found to hold a secret breaks off on its way.
  const body = await buffer(request).catch(() => undefined);
  if (!body) return;
  if (url.startsWith('/api/')) {
    const asking = body.toString();
    if (method === 'DELETE') {
      revoked.push(String(headers.authorization));
      return void response.writeHead(204).end();
    }
    minted.push(JSON.parse(asking));
    response.writeHead(201, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ token: 'ghs_minted', expires_at: '2099-01-01T00:00:00Z' }));
    return;
  }
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
  // Git may answer without reading it.
  child.stdin.on('error', () => {});
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
  {
    git: { request: gitRequest, update: refUpdateNeed },
    askWorker: async (_session, question) => {
      questions.push(question);
      return objection === undefined ? { ok: true } : { ok: false, reason: objection };
    },
  },
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
  questions.length = 0;
  objection = undefined;
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

describe('whose text git brings', () => {
  const bare = join(folder, 'served/Acme/Widgets.git');
  /** A commit that no branch leads to, as the head of a pull request of a fork is. */
  const pullHead = async (name: string) => {
    const tree = (await git(bare, 'rev-parse', 'main^{tree}')).trim();
    const commit = (await git(bare, 'commit-tree', tree, '-m', name)).trim();
    await git(bare, 'update-ref', `refs/pull/${name}/head`, commit);
    return commit;
  };
  const texts = () => questions.filter(({ kind }) => kind === 'texts');

  test('branches and tags are of people who may write there', async () => {
    await git(bare, 'tag', '-a', 'v1', '-m', 'one', 'main');
    const again = join(folder, 'again');
    await git(folder, 'clone', '-q', 'https://github.com/Acme/Widgets.git', again);
    expect(await git(again, 'log', '-1', '--format=%s', 'v1')).toBe('first\n');
    await git(again, '-c', 'protocol.version=0', 'fetch', '-q', 'origin', 'main');
    expect(questions).toEqual([]);
  });

  test.each(['0', '2'])(
    'the head of a pull request goes on record before it comes (protocol %s)',
    async (version) => {
      await pullHead(version);
      expect(
        await git(clone, '-c', `protocol.version=${version}`, 'fetch', 'origin', `pull/${version}/head`),
      ).toContain('FETCH_HEAD');
      // Git may ask in several rounds.
      expect(texts().slice(0, 1)).toEqual([
        {
          kind: 'texts',
          provider: 'github',
          request: expect.stringContaining('git-upload-pack'),
          place: { owner: 'Acme', repo: 'Widgets' },
          brings: { by: 'forks' },
        },
      ]);
    },
  );

  test('so does a commit by its number, and nothing comes when it cannot go on record', async () => {
    const commit = await pullHead('77');
    await git(bare, 'config', 'uploadpack.allowAnySHA1InWant', 'true');
    objection = 'The provider did not answer.';
    expect(await git(clone, 'fetch', 'origin', commit)).toContain('403');
    expect(asked.filter(({ body }) => body.includes('want '))).toEqual([]);
    objection = undefined;
    expect(await git(clone, 'fetch', 'origin', commit)).toContain('FETCH_HEAD');
    expect(texts().length).toBeGreaterThanOrEqual(2);
  });

  test('what cannot be understood counts, and names are not taken for objects', () => {
    const line = (text: string) => packet(`${text}\n`);
    const wants = (...lines: string[]) => readGitWants(Buffer.from(lines.join('')), undefined);
    expect(wants(line('command=ls-refs'), '0001', line('ref-prefix HEAD'), '0000')).toEqual({
      kind: 'names',
    });
    expect(wants(line('command=fetch'), '0001', line(`want ${one}`), line('done'), '0000')).toEqual({
      kind: 'objects',
      wants: [one],
    });
    expect(wants(line(`want ${one} side-band-64k`), '0000', line('done'))).toEqual({
      kind: 'objects',
      wants: [one],
    });
    for (const odd of [
      [line('command=fetch'), line('want-ref refs/heads/main')],
      ['zz'],
      ['0009wan'],
      ['0003'],
    ]) {
      expect(wants(...odd)).toBeUndefined();
    }
    expect(readGitWants(Buffer.from('no gzip'), 'gzip')).toBeUndefined();
    expect(readGitWants(gzipSync(line(`want ${one}`)), 'gzip')).toEqual({ kind: 'objects', wants: [one] });
    expect(readGitWants(Buffer.from(line(`want ${one}`)), 'br')).toBeUndefined();
  });

  test('the tips of branches and tags are read wherever the bytes are cut', () => {
    const two = '2'.repeat(40);
    const three = '3'.repeat(40);
    const whole = Buffer.from(
      `${packet('# service=git-upload-pack\n')}0000${packet(`${one} HEAD\0symref=HEAD:refs/heads/main\n`)}${packet(
        `${two} refs/tags/v1 peeled:${three}\n`,
      )}${packet(`${'4'.repeat(40)} refs/pull/1/head\n`)}0000`,
    );
    for (let cut = 0; cut <= whole.length; cut++) {
      const tips = new Set<string>();
      const reader = new TipsReader(tips);
      reader.push(whole.subarray(0, cut));
      reader.push(whole.subarray(cut));
      reader.end();
      expect([...tips]).toEqual([one, two, three]);
    }
  });
});

test('before a push the worker is asked, and what it has against it is the refusal', async () => {
  objection = 'Who asked for it has no authority any more.';
  await git(clone, 'commit', '-q', '--allow-empty', '-m', 'third');
  const bytes = push([[zero, one, 'refs/heads/tagalong/helper/late']]);
  const answer = await exchangeInside(door, 'github.com', bytes, (text) => text.includes('"message"'));
  expect(answer).toMatch(/^HTTP\/1\.1 403 /);
  expect(answer).toContain('no authority any more');
  expect(asked).toEqual([]);
  expect(questions).toMatchObject([{ kind: 'write', place: { owner: 'Acme', repo: 'Widgets' } }]);
});

test('a session that was given text by people without authority pushes nothing, and still reads', async () => {
  const { sessionId } = fixture;
  await database.database
    .update(sessions)
    .set({ outsidersReadAt: new Date() })
    .where(eq(sessions.id, sessionId));
  world.egress.setTurn(sessionId, null);
  const answer = await exchangeInside(
    door,
    'github.com',
    push([[zero, one, 'refs/heads/tagalong/helper/sneaked']]),
    (text) => text.includes('"message"'),
  );
  expect(answer).toMatch(/^HTTP\/1\.1 403 /);
  expect(answer).toContain('people without authority');
  expect(await git(clone, 'fetch')).not.toContain('403');
  expect(asked.filter(({ url }) => url.includes('receive-pack'))).toEqual([]);
  await database.database.update(sessions).set({ outsidersReadAt: null }).where(eq(sessions.id, sessionId));
  world.egress.setTurn(sessionId, null);
});

test('what the publication may do decides: no reading, no pushing, or the default branch too', async () => {
  await grant({ 'repo.read': 'off', 'repo.push': 'off' });
  expect(await git(clone, 'fetch')).toContain('403');
  await grant({ 'repo.push.default': 'on' });
  expect(await git(clone, 'push', 'origin', 'HEAD:refs/heads/main')).toContain('HEAD -> main');
});

test('a secret is not pushed, in a file or in the name of a branch, and git says why', async () => {
  await git(clone, 'checkout', '-q', '-b', 'leak');
  writeFileSync(join(clone, 'config.ini'), 'token = ghs_minted\n');
  await git(clone, 'add', '.');
  await git(clone, 'commit', '-q', '-m', 'add the configuration');
  const before = (await world.records(fixture.sessionId)).length;
  expect(await git(clone, 'push', 'origin', 'HEAD:refs/heads/tagalong/helper/leak')).toMatch(/403|error/);
  expect(await git(clone, 'push', 'origin', 'HEAD~1:refs/heads/tagalong/helper/ghs_minted')).toMatch(
    /403|error/,
  );
  const refused = (await world.records(fixture.sessionId))
    .slice(before)
    .filter((row) => row.decision === 'refused');
  expect(refused.map(({ rule }) => rule)).toEqual(['secret.outbound', 'secret.outbound']);
  const branches = await git(join(folder, 'served/Acme/Widgets.git'), 'branch', '--list');
  expect(branches).not.toMatch(/leak|minted/);
  await git(clone, 'checkout', '-q', '-');
});

test('the token is taken back when the session has ended, and another is made for the next', async () => {
  const before = minted.length;
  await world.egress.closeSession(fixture.sessionId);
  await expect.poll(() => revoked).toEqual(['Bearer ghs_minted']);
  door = await world.open(fixture);
  writeFileSync(join(folder, 'ca.pem'), door.ca);
  await git(clone, 'fetch');
  expect(minted).toHaveLength(before + 1);
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
      bytes: end,
      hashBytes: 20,
      updates: [
        { ref: 'refs/heads/a', kind: 'create' },
        { ref: 'refs/heads/b', kind: 'delete' },
      ],
    });
  });
  test('the flush alone, by which git tries its credentials, changes nothing', () => {
    expect(readGitCommands(Buffer.from('0000'))).toEqual({
      state: 'done',
      updates: [],
      bytes: 4,
      hashBytes: 20,
    });
  });
  test.each([
    ['no packets', 'PACKgarbage'],
    ['options', `${packet(`${zero} ${one} refs/heads/a\0report-status push-options`)}0000`],
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
