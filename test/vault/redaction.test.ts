import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { Redaction, Redactions } from '../../src/vault/egress/redaction.ts';
import { secretForms } from '../../src/vault/secret-forms.ts';

const secret = 'sk-live/+"Zürich"-0123456789abcdef';

/** What comes out when the bytes are cut into pieces of this size. */
function through(bytes: Buffer, size: number, secrets = [secret]): { out: Buffer; hits: number } {
  const redaction = new Redaction(secrets);
  const stream = redaction.stream();
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) out.push(stream.push(bytes.subarray(at, at + size)));
  out.push(stream.rest());
  return { out: Buffer.concat(out), hits: redaction.hits };
}

const forms: Record<string, Buffer> = {
  plain: Buffer.from(secret),
  base64: Buffer.from(Buffer.from(secret).toString('base64')),
  'base64, one byte on': Buffer.from(Buffer.from(`:${secret}`).toString('base64')),
  'base64, two bytes on': Buffer.from(Buffer.from(`u:${secret}`).toString('base64')),
  'base64 within a longer text': Buffer.from(
    Buffer.from(`x-access-token:${secret}:and more`).toString('base64'),
  ),
  base64url: Buffer.from(Buffer.from(secret).toString('base64url')),
  hex: Buffer.from(Buffer.from(secret).toString('hex')),
  'upper-case hex': Buffer.from(Buffer.from(secret).toString('hex').toUpperCase()),
  percent: Buffer.from(encodeURIComponent(secret)),
  json: Buffer.from(JSON.stringify({ token: secret })),
};

for (const [name, form] of Object.entries(forms)) {
  test(`${name} is found wherever it is cut, and the length stays`, () => {
    const whole = Buffer.concat([Buffer.from('before '), form, Buffer.from(' after')]);
    for (let size = 1; size <= whole.length; size++) {
      const { out, hits } = through(whole, size);
      expect(hits).toBe(1);
      expect(out.length).toBe(whole.length);
      expect(out.toString('latin1')).toMatch(/before .*\*{20,}.* after/s);
      expect(new Redaction([secret]).text(out.toString('latin1'))).toBe(out.toString('latin1'));
    }
  });
}

test('what holds no secret comes out byte for byte, binary too, and with many beginnings of one', () => {
  const bytes: Buffer[] = [];
  let state = createHash('sha256').update('x').digest();
  for (let i = 0; i < 2_000; i++) {
    state = createHash('sha256').update(state).digest();
    bytes.push(state, Buffer.from(secret.slice(0, (state[0] ?? 0) % 20)));
  }
  const whole = Buffer.concat(bytes);
  for (const size of [1, 7, 1_000, whole.length]) expect(through(whole, size).out.equals(whole)).toBe(true);
});

test('only what may be the beginning of a secret is held back', () => {
  const stream = new Redaction([secret]).stream();
  expect(stream.push(Buffer.from('data: hello\n\n')).toString()).toBe('data: hello\n\n');
  expect(stream.holds()).toBe(false);
  expect(stream.push(Buffer.from('data: sk-l')).toString()).toBe('data: ');
  expect(stream.holds()).toBe(true);
  expect(stream.rest().toString()).toBe('sk-l');
});

test('short values are not looked for', () => {
  expect(new Redaction(['short']).active).toBe(false);
});

test('what is held back is the longest end that begins a secret, as trying every length says', () => {
  let seed = 1;
  const random = (below: number) => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  const word = (length: number) => Array.from({ length }, () => 'ab'[random(2)]).join('');
  for (let round = 0; round < 2_000; round++) {
    const secrets = [word(8 + random(6)), word(8 + random(6))];
    const chunk = word(random(24));
    const stream = new Redaction(secrets).stream();
    const out = stream.push(Buffer.from(chunk)).toString('latin1');
    const clean = new Redaction(secrets).text(chunk);
    const forms = secrets.flatMap(secretForms);
    const lengths = Array.from({ length: clean.length }, (_, at) => clean.length - at);
    const held =
      lengths.find((length) =>
        forms.some((form) => form.length > length && form.startsWith(clean.slice(clean.length - length))),
      ) ?? 0;
    expect(out).toBe(clean.slice(0, clean.length - held));
    expect(stream.rest().toString('latin1')).toBe(clean.slice(clean.length - held));
  }
});

test('a search that was made before counts anew', () => {
  const redactions = new Redactions();
  const first = redactions.for(['plain-secret']);
  first.text('a plain-secret');
  expect([first.hits, redactions.for(['plain-secret']).hits]).toEqual([1, 0]);
  expect(redactions.for(['plain-secret', 'other-secret']).found('other-secret')).toBe(true);
  expect(redactions.for(['plain-secret","other-secret']).found('other-secret')).toBe(false);
});
