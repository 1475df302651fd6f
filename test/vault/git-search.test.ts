import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { deflateSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { BodyBudget } from '../../src/vault/egress/bodies.ts';
import { insertedByDelta } from '../../src/vault/egress/git-pack.ts';
import { searchedPush, searchNames } from '../../src/vault/egress/git-search.ts';
import { Redaction } from '../../src/vault/egress/redaction.ts';

const secret = `ghs_${randomBytes(100).toString('hex')}`;
const folder = mkdtempSync(join(tmpdir(), 'tagalong-pack-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function git(...args: string[]): Buffer {
  const identity = ['-c', 'user.name=a', '-c', 'user.email=a@example.com', '-c', 'init.defaultBranch=main'];
  return execFileSync('git', [...identity, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: folder },
    maxBuffer: 1024 * 1024 * 1024,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
}
git('init', '-q');
let commits = 0;

/** The pack that a push of one more commit with these files sends: thin, with deltas against what was there before. */
function packOf(files: Record<string, string | Buffer>, message = 'm', name = 'a'): Buffer {
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  git('add', '-A');
  const before = commits === 0 ? [] : ['^HEAD'];
  commits += 1;
  const parent = before.length > 0 ? git('rev-parse', 'HEAD').toString().trim() : '';
  git('-c', `user.name=${name}`, 'commit', '-q', '--allow-empty', '-m', message);
  const range = parent ? `HEAD\n^${parent}\n` : 'HEAD\n';
  return execFileSync('git', ['pack-objects', '--stdout', '--revs', '--thin', '-q', '--delta-base-offset'], {
    cwd: folder,
    input: range,
    maxBuffer: 1024 * 1024 * 1024,
  });
}

const commands = Buffer.from('0000');
const budget = () => new BodyBudget(256 * 1024 * 1024);
async function pass(pack: Buffer, cut = 65_536, of = budget()): Promise<Buffer> {
  const whole = Buffer.concat([commands, pack]);
  const chunks: Buffer[] = [];
  for (let at = 0; at < whole.length; at += cut) chunks.push(whole.subarray(at, at + cut));
  const search = new Redaction([secret]);
  const searched = searchedPush({ search, budget: of, commandBytes: commands.length, hashBytes: 20 });
  const out = await buffer(Readable.from(chunks).pipe(searched));
  return out.subarray(commands.length);
}
const refusal = (rule: string) => ({ refusal: { rule } });

describe('what a push adds', () => {
  test('passes byte for byte when it holds no secret, wherever it is cut', async () => {
    const pack = packOf({ 'a.txt': 'one\n'.repeat(5_000), 'b.bin': randomBytes(600_000), empty: '' });
    for (const cut of [7, 1_000, 65_536, 10_000_000]) {
      expect((await pass(pack, cut)).equals(pack), String(cut)).toBe(true);
    }
  });

  test.each([
    ['in a file', { 'c.txt': `key = ${secret}\n` }, 'm', 'a'],
    ['in base64', { 'd.txt': Buffer.from(`xy${secret}`).toString('base64') }, 'm', 'a'],
    ['in hex', { 'e.txt': Buffer.from(secret).toString('hex') }, 'm', 'a'],
    ['in a message', {}, `fix\n\n${secret}`, 'a'],
    ['in the name of the author', {}, 'm', secret],
    ['in the name of a file', { [secret]: 'x' }, 'm', 'a'],
    [
      'in a large file, over the edge of what is searched at once',
      { 'f.bin': Buffer.concat([randomBytes(256 * 1024 - 50), Buffer.from(secret), randomBytes(900_000)]) },
      'm',
      'a',
    ],
    [
      'in what changed of a file',
      { 'a.txt': `${'one\n'.repeat(2_500)}${secret}\n${'one\n'.repeat(2_500)}` },
      'm',
      'a',
    ],
  ])('is refused with a secret %s', async (_, files, message, name) => {
    const pack = packOf(files, message, name);
    for (const cut of [100, 65_536])
      await expect(pass(pack, cut)).rejects.toMatchObject(refusal('secret.outbound'));
    git('reset', '-q', '--hard', 'HEAD~1');
  });

  test('nothing of the object with the secret is passed on', async () => {
    const first = packOf({ 'g.txt': randomBytes(3_000).toString('hex') });
    expect((await pass(first)).equals(first)).toBe(true);
    const pack = packOf({ 'h.txt': `${secret}\n` });
    const search = new Redaction([secret]);
    const searched = searchedPush({ search, budget: budget(), commandBytes: 4, hashBytes: 20 });
    const passed: Buffer[] = [];
    searched.on('data', (chunk: Buffer) => passed.push(chunk));
    const ended = new Promise((resolve) => searched.once('error', resolve));
    Readable.from([commands, pack]).pipe(searched);
    await ended;
    const out = Buffer.concat(passed);
    const stored = deflateSync(Buffer.from(`${secret}\n`));
    expect(out.length).toBeLessThan(pack.length);
    expect(out.includes(stored.subarray(2, 40))).toBe(false);
    git('reset', '-q', '--hard', 'HEAD~1');
  });

  test('a push without a pack passes: git trying its credentials, and the end of a branch', async () => {
    expect(await pass(Buffer.alloc(0))).toHaveLength(0);
  });

  test('what is no pack, is cut off, goes on after its end or lies about a size is not passed on', async () => {
    const pack = packOf({ 'i.txt': 'hello\n'.repeat(50) });
    const lies = Buffer.from(pack);
    lies.writeUInt8((lies[12] ?? 0) ^ 0x0f, 12);
    for (const bad of [
      Buffer.from('PACKgarbage that is none'),
      pack.subarray(0, 11),
      pack.subarray(0, pack.length - 30),
      Buffer.concat([pack, Buffer.from('x')]),
      Buffer.concat([pack, pack]),
      lies,
      Buffer.concat([Buffer.from('PACK\0\0\0\x09'), pack.subarray(8)]),
    ]) {
      await expect(pass(bad, 50)).rejects.toMatchObject(refusal('github.git'));
    }
  });

  test('changed anywhere it is refused or passed as it is, and never hangs', async () => {
    const pack = packOf({ 'j.txt': 'hello\n'.repeat(500), 'k.txt': randomBytes(400) });
    const rounds = process.env.TAGALONG_TEST_FULL === '1' ? 20_000 : 400;
    let seed = 7;
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed % below;
    };
    for (let i = 0; i < rounds; i++) {
      const changed = Buffer.from(pack);
      for (let n = random(4) + 1; n > 0; n--) changed[random(changed.length)] = random(256);
      const out = await pass(changed, 1 + random(500)).catch((error: unknown) => error);
      if (Buffer.isBuffer(out)) expect(out.equals(changed)).toBe(true);
      else expect(out).toMatchObject({ refusal: { rule: expect.stringMatching(/^(github\.git|body\.)/) } });
    }
  });

  test('an object that inflates without end, or is larger than a file may be, is refused', async () => {
    const object = (size: number, data: Buffer) => {
      const head: number[] = [];
      let rest = Math.floor(size / 16);
      head.push(0x30 | (size % 16) | (rest > 0 ? 0x80 : 0));
      for (; rest > 0; rest = Math.floor(rest / 128)) head.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
      return Buffer.concat([
        Buffer.from('PACK\0\0\0\x02\0\0\0\x01'),
        Buffer.from(head),
        data,
        Buffer.alloc(20),
      ]);
    };
    const bomb = deflateSync(Buffer.alloc(50 * 1024 * 1024));
    await expect(pass(object(1_000, bomb))).rejects.toMatchObject(refusal('github.git'));
    await expect(pass(object(2 ** 40, bomb))).rejects.toMatchObject(refusal('body.too_large'));
    const small = new BodyBudget(1024 * 1024);
    await expect(pass(object(50 * 1024 * 1024, bomb), 65_536, small)).rejects.toMatchObject(
      refusal('body.no_room'),
    );
    // Given back: what fits afterwards passes.
    const fits = packOf({ 'l.txt': 'fits\n' });
    expect((await pass(fits, 65_536, small)).equals(fits)).toBe(true);
  });
});

test('names are searched, in every form', () => {
  const search = () => new Redaction([secret]);
  expect(searchNames(search(), ['refs/heads/tagalong/a/fine'])).toBeUndefined();
  for (const form of [
    secret,
    Buffer.from(secret).toString('hex'),
    Buffer.from(secret).toString('base64url'),
  ]) {
    expect(searchNames(search(), ['refs/heads/a', `refs/heads/${form}`])).toMatchObject({
      rule: 'secret.outbound',
    });
  }
});

test('a delta of nonsense is none', () => {
  for (const bad of [[], [0x80], [1, 1, 0], [1, 1, 5, 1, 2], [1, 1, 0xff, 1]]) {
    expect(insertedByDelta(Buffer.from(bad))).toBeUndefined();
  }
  expect(insertedByDelta(Buffer.from([1, 3, 2, 65, 66, 1, 67, 0x90, 1, 1, 68]))).toEqual(
    Buffer.from([65, 66, 67, 0, 68]),
  );
});
