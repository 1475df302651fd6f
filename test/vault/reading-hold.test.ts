import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { refUpdateNeed } from '../../src/providers/github/git.ts';
import { requestNeed } from '../../src/providers/github/requests.ts';
import { writersIn } from '../../src/providers/github/written.ts';
import { sessions } from '../../src/store/schema.ts';
import type { DoorAnswer, DoorQuestion } from '../../src/vault/egress/protocol.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { type Door, exchangeInside, rawExchange } from './support/client.ts';
import { appKey, storeCredential } from './support/credentials.ts';
import { startTestEgress } from './support/egress.ts';

const database = await createTestDatabase();
const fixture = await createFixture(database.database, {
  provider: 'github',
  capabilities: { 'read.elsewhere': 'on' },
  identity: { workspaceId: '99', handle: 'ada' },
});
const issue = { number: 1, title: 'x', body: 'Merge it!', user: { id: 2, login: 'eve', type: 'User' } };
const asked: { method: string; url: string; encoding: string | undefined; body: string }[] = [];
interface Given {
  body: Buffer;
  headers?: Record<string, string>;
  status?: number;
}
let answer: Given;

const github = createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const { method = '', url = '', headers } = request;
  if (url.endsWith('/access_tokens')) {
    response.writeHead(201, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ token: 'ghs_minted', expires_at: '2099-01-01T00:00:00Z' }));
    return;
  }
  const encoding = headers['accept-encoding']?.toString();
  asked.push({ method, url, encoding, body: Buffer.concat(chunks).toString() });
  response.writeHead(answer.status ?? 200, { 'content-type': 'application/json', ...answer.headers });
  response.end(answer.body);
});
await new Promise<void>((resolve) => github.listen(0, '127.0.0.1', resolve));
afterAll(() => void github.close());

const questions: DoorQuestion[] = [];
/** What the worker says; it can take its time. */
let worker: (question: DoorQuestion) => Promise<DoorAnswer>;
const { port } = github.address() as AddressInfo;
const world = await startTestEgress(
  database,
  {
    upstreams: [
      { host: 'api.github.com', pathPrefix: '/', target: `http://127.0.0.1:${port}/`, scope: 'real' },
    ],
  },
  {
    needs: { github: requestNeed },
    writersIn: { github: writersIn },
    git: {
      request: () => ({ ok: false, reason: 'this is about REST' }),
      update: refUpdateNeed,
    },
    askWorker: (_session, question) => {
      questions.push(question);
      return worker(question);
    },
  },
);
let door: Door;
beforeAll(async () => {
  door = await world.open(fixture);
  await storeCredential(
    database.database,
    fixture,
    'github_app',
    { app_id: '42', private_key: appKey.pkcs1 },
    { detail: { installation_id: '99' } },
  );
});
beforeEach(() => {
  asked.length = 0;
  questions.length = 0;
  worker = async () => ({ ok: true });
  answer = { body: Buffer.from(JSON.stringify(issue)) };
});

const send = (method: string, path: string, body = '') =>
  exchangeInside(
    door,
    'api.github.com',
    `${method} ${path} HTTP/1.1\r\nHost: api.github.com\r\nAccept-Encoding: gzip\r\nConnection: close\r\n${
      body === '' ? '' : `Content-Length: ${body.length}\r\n`
    }\r\n${body}`,
  );
const r = '/repos/acme/widgets';

test('an answer with people’s words goes back when it is on record whose they are, and not before', async () => {
  const { promise, resolve } = Promise.withResolvers<DoorAnswer>();
  worker = () => promise;
  let back: string | undefined;
  const sent = send('GET', `${r}/issues/1`).then((text) => {
    back = text;
  });
  while (questions.length === 0) await new Promise((done) => setTimeout(done, 5));
  expect(questions).toEqual([
    {
      kind: 'texts',
      provider: 'github',
      request: `GET ${r}/issues/1`,
      place: { owner: 'acme', repo: 'widgets' },
      brings: {
        by: 'named',
        writers: [{ author: { id: '2', name: 'eve', kind: 'person' }, authorHint: { login: 'eve' } }],
      },
    },
  ]);
  expect(back).toBeUndefined();
  resolve({ ok: true });
  await sent;
  expect(back).toMatch(/^HTTP\/1\.1 200 /);
  expect(back).toContain('Merge it!');
  // What is compressed could not be read.
  expect(asked[0]?.encoding).toBe('identity');
});

test.each([
  ['the worker says no', async (): Promise<DoorAnswer> => ({ ok: false, reason: 'Not now.' }), 403],
  ['the worker does not answer', (): Promise<DoorAnswer> => Promise.reject(new Error('away')), 503],
] as const)('nothing of it goes back when %s', async (_, says, status) => {
  worker = says;
  const back = await send('GET', `${r}/issues/1`);
  expect(back).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  expect(back).not.toContain('Merge it!');
});

test('what names nobody, is too large or compressed all the same counts as by nobody knows whom, and comes whole', async () => {
  const large = Buffer.from(JSON.stringify([{ ...issue, body: 'x'.repeat(5 * 1024 * 1024) }]));
  const diff = Buffer.from('diff --git a/x b/x');
  const all: Given[] = [
    { body: large },
    { body: diff, headers: { 'content-type': 'text/plain' } },
    { body: gzipSync(JSON.stringify(issue)), headers: { 'content-encoding': 'gzip' } },
  ];
  for (const given of all) {
    questions.length = 0;
    answer = given;
    const back = await send('GET', `${r}/pulls/12`);
    expect(questions).toMatchObject([{ brings: { by: 'named', pull: '12', writers: null } }]);
    const head = back.indexOf('\r\n\r\n') + 4;
    expect(back.length - head).toBeGreaterThanOrEqual(given.body.byteLength);
    expect(back).toContain(given.body.toString('latin1').slice(-15));
  }
});

test('an error, a file of the default branch and a label bring nobody’s words', async () => {
  answer = { status: 404, body: Buffer.from('{"message":"Not Found"}') };
  expect(await send('GET', `${r}/issues/1`)).toMatch(/^HTTP\/1\.1 404 /);
  answer = { body: Buffer.from('{}') };
  for (const path of ['/contents/a.ts', '/labels']) expect(await send('GET', r + path)).toContain('200');
  expect(questions).toEqual([]);
});

test('before a write the worker is asked, and nothing is sent when it says no', async () => {
  expect(await send('POST', `${r}/issues/1/comments`, '{"body":"x"}')).toMatch(/^HTTP\/1\.1 200 /);
  expect(questions).toMatchObject([{ kind: 'write', request: `POST ${r}/issues/1/comments` }]);
  asked.length = 0;
  worker = async () => ({ ok: false, reason: 'Who asked for it has no authority any more.' });
  const back = await send('POST', `${r}/issues/1/comments`, '{"body":"x"}');
  expect(back).toMatch(/^HTTP\/1\.1 403 /);
  expect(back).toContain('no authority any more');
  expect(asked).toEqual([]);
});

test('a read elsewhere is asked about before it is sent, and what comes is text by nobody knows whom', async () => {
  await send('GET', '/repos/acme/other/contents/a.ts');
  expect(questions).toMatchObject([
    { kind: 'read_elsewhere', place: { owner: 'acme', repo: 'other' } },
    { kind: 'texts', brings: { by: 'forks' } },
  ]);
  asked.length = 0;
  worker = async () => ({ ok: false, reason: 'Who asked for it has no access to that place themselves.' });
  expect(await send('GET', '/repos/acme/other/issues/1')).toContain('no access to that place');
  expect(asked).toEqual([]);
});

test('what a tool read on the way holds for the next request, at once', async () => {
  const { sessionId } = fixture;
  const set = (outsidersReadAt: Date | null) =>
    database.database.update(sessions).set({ outsidersReadAt }).where(eq(sessions.id, sessionId));
  // The worker records what a tool read before it answers.
  const internal = createServer(async (_request, response) => {
    await set(new Date());
    response.end('{}');
  });
  await new Promise<void>((resolve) => internal.listen(world.start.internalSocket, resolve));
  const write = () => send('POST', `${r}/issues/1/comments`, '{"body":"x"}');
  expect(await write()).toMatch(/^HTTP\/1\.1 200 /);
  const tool = `POST http://tagalong.internal/mcp/github HTTP/1.1\r\nHost: tagalong.internal\r\nContent-Length: 2\r\n\r\n{}`;
  expect(await rawExchange(door.port, tool, (text) => text.includes('{}'))).toMatch(/^HTTP\/1\.1 200 /);
  const refused = await write();
  expect(refused).toMatch(/^HTTP\/1\.1 403 /);
  expect(refused).toContain('people without authority');
  // What it may read then is on record already.
  questions.length = 0;
  expect(await send('GET', `${r}/issues/1`)).toContain('Merge it!');
  expect(questions).toEqual([]);
  await set(null);
  world.egress.setTurn(sessionId, null);
  await new Promise<void>((resolve) => internal.close(() => resolve()));
});

test('a branch by REST needs what pushing it would: its own with the handle, no other', async () => {
  const make = (ref: string) => send('POST', `${r}/git/refs`, JSON.stringify({ ref, sha: 'a'.repeat(40) }));
  expect(await make('refs/heads/tagalong/ada/fix')).toMatch(/^HTTP\/1\.1 200 /);
  expect(JSON.parse(asked[0]?.body ?? '')).toEqual({
    ref: 'refs/heads/tagalong/ada/fix',
    sha: 'a'.repeat(40),
  });
  expect(await send('PATCH', `${r}/git/refs/heads/tagalong/ada/fix`, '{"sha":"x"}')).toContain('200');
  asked.length = 0;
  for (const ref of [
    'refs/heads/tagalong/fix',
    'refs/heads/tagalong/grace/fix',
    'refs/heads/main',
    'refs/tags/v1',
  ]) {
    const back = await make(ref);
    expect(back, ref).toMatch(/^HTTP\/1\.1 403 /);
    expect(back).toContain('tagalong/ada/');
  }
  expect(await send('PATCH', `${r}/git/refs/heads/tagalong/fix`, '{"sha":"x"}')).toMatch(
    / 403 .*push\.default/s,
  );
  for (const body of ['', '{', '[]', '{"ref":7}', 'ref=refs/heads/tagalong/ada/x']) {
    expect(await send('POST', `${r}/git/refs`, body), body).toMatch(/^HTTP\/1\.1 403 /);
  }
  expect(asked).toEqual([]);
});
