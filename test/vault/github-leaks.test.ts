import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { curl, type Door } from './support/client.ts';
import { appKey, storeCredential } from './support/credentials.ts';
import { startTestEgress } from './support/egress.ts';
import { startUpstream } from './support/upstream.ts';

const minted = 'ghs_minted0123456789abcdef';
const modelKey = 'sk-ant-operator-0123456789';
const folder = mkdtempSync(join(tmpdir(), 'tagalong-leaks-'));
const database = await createTestDatabase();
const upstream = await startUpstream();
const fixture = await createFixture(database.database, {
  provider: 'github',
  place: { owner: 'acme', repo: 'widgets', number: '7' },
});
const world = await startTestEgress(
  database,
  {
    modelCredentials: { anthropic: modelKey },
    upstreams: [{ host: 'api.github.com', pathPrefix: '/', target: `${upstream.origin}/`, scope: 'all' }],
  },
  { needs: { github: () => ({ ok: true, capability: 'github:comment.write', repository: 'acme/widgets' }) } },
);
let door: Door;

beforeAll(async () => {
  await storeCredential(
    database.database,
    fixture,
    'github_app',
    { app_id: '42', private_key: appKey.pkcs1 },
    { detail: { installation_id: '99' } },
  );
  upstream.answer = (request, response) => {
    if (!request.url?.endsWith('/access_tokens')) return response.end(`as ${request.headers.authorization}`);
    return response.writeHead(201).end(JSON.stringify({ token: minted, expires_at: '2099-01-01T00:00:00Z' }));
  };
  door = await world.open(fixture);
});
afterAll(() => {
  upstream.close();
  rmSync(folder, { recursive: true, force: true });
});

const base64 = (text: string) => Buffer.from(text).toString('base64');
const wrapped = (text: string) => base64(text).replace(/(.{20})/g, '$1\n');
const escaped = (text: string) =>
  [...text].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');
const json = (value: unknown) => JSON.stringify(value);
const repository = 'https://api.github.com/repos/acme/widgets';
const send = (path: string, body: string, ...more: string[]) => {
  const file = join(folder, 'body');
  writeFileSync(file, body);
  return curl(door, '-X', 'POST', '--data-binary', `@${file}`, ...more, `${repository}${path}`);
};

test.each([
  ['a file’s content', '/contents/a', json({ content: base64(`k=${minted}`) })],
  ['content at another alignment, wrapped', '/contents/a', json({ content: wrapped(`key=${minted}!`) })],
  ['a blob', '/git/blobs', json({ content: `k=${minted}`, encoding: 'utf-8' })],
  ['a tree', '/git/trees', json({ tree: [{ path: minted, mode: '100644', content: 'x' }] })],
  ['a commit’s message', '/git/commits', json({ message: `fix ${minted}` })],
  ['a branch’s name', '/git/refs', json({ ref: `refs/heads/${minted}`, sha: 'x' })],
  ['a comment in hex', '/issues/7/comments', json({ body: Buffer.from(minted).toString('hex') })],
  ['JSON’s own escapes', '/issues/7/comments', `{"body":"${escaped(minted)}"}`],
  ['the name of a field', '/issues/7/comments', json({ [minted]: 1 })],
  ['the model key', '/issues/7/comments', json({ body: modelKey })],
  ['what is no JSON', '/issues/7/comments', `body=${minted}`],
  ['the path', `/contents/${minted}`, '{}'],
  ['the query', `/contents/a?ref=${encodeURIComponent(minted)}`, '{}'],
  ['a body too large to be kept', '/git/blobs', json({ content: `${'x'.repeat(2_000_000)}${minted}` })],
])('a secret in %s does not reach GitHub', async (_, path, body) => {
  // The token has to be there before it can leave.
  await curl(door, `${repository}/issues/7`);
  upstream.seen.length = 0;
  const { stdout } = await send(path, body);
  expect(JSON.parse(stdout).error).toMatchObject({
    rule: 'secret.outbound',
    message: expect.stringContaining('Leave it out'),
  });
  expect(upstream.seen.filter((each) => each.body !== '(cut)')).toEqual([]);
  expect((await world.records(fixture.sessionId)).at(-1)).toMatchObject({ rule: 'secret.outbound' });
});

test('what holds none arrives as it was, small and large', async () => {
  for (const text of ['hello', 'x'.repeat(2_000_000)]) {
    const body = json({ content: base64(text) });
    await send('/contents/a', body);
    expect(upstream.seen.at(-1)?.body === body).toBe(true);
  }
});

test('the token that was put on does not come back', async () => {
  const { stdout } = await curl(door, `${repository}/issues/7`);
  expect(stdout).toBe(`as Bearer ${'*'.repeat(minted.length)}`);
});
