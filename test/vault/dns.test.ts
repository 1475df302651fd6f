import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { dnsAnswer, placeholderAddress, readDnsQuery } from '../../src/vault/egress/dns.ts';

function query(name: string, type = 1, flags = 0x0100): Buffer {
  const labels = name.split('.').flatMap((label) => [label.length, ...Buffer.from(label, 'latin1')]);
  return Buffer.from([
    0x12,
    0x34,
    flags >> 8,
    flags & 255,
    0,
    1,
    0,
    0,
    0,
    0,
    0,
    0,
    ...labels,
    0,
    0,
    type,
    0,
    1,
  ]);
}
const ask = (name: string, known: boolean, type?: number) => {
  const read = readDnsQuery(query(name, type));
  if (!read.ok) throw new Error('unreadable');
  return dnsAnswer(read.question, known);
};

test('a known name has one address, in the range that leads to our listeners', () => {
  const answer = ask('API.Example.com', true);
  expect(answer.readUInt16BE(0)).toBe(0x1234);
  expect(answer.readUInt16BE(2)).toBe(0x8580);
  expect(answer.readUInt16BE(6)).toBe(1);
  expect([...answer.subarray(-4)]).toEqual(placeholderAddress('api.example.com'));
  expect([18, 19]).toContain(answer.at(-3));
});

test('a known name has nothing of any other type: no IPv6, no text, no way to another protocol', () => {
  for (const type of [28, 16, 10, 255, 65, 15, 5]) {
    const answer = ask('api.example.com', true, type);
    expect([answer.readUInt16BE(2) & 15, answer.readUInt16BE(6)]).toEqual([0, 0]);
  }
});

test('every other name does not exist', () => {
  const answer = ask('evil.example', false);
  expect([answer.readUInt16BE(2) & 15, answer.readUInt16BE(6)]).toEqual([3, 0]);
});

test('what is no plain query gets no address: pointers, dots and spaces in labels, two questions, other kinds', () => {
  const pointer = query('a.b');
  pointer[12] = 0xc0;
  const two = query('a.b');
  two[5] = 2;
  for (const message of [
    pointer,
    two,
    query('a b.c'),
    query('a.b', 1, 0x2900),
    query('a.b').subarray(0, 16),
  ]) {
    expect(readDnsQuery(message).ok).toBe(false);
  }
  const inner = query('aXb.c');
  inner[14] = 0x2e;
  expect(readDnsQuery(inner).ok).toBe(false);
});

test('an answer and a fragment are not answered at all', () => {
  expect(readDnsQuery(query('a.b', 1, 0x8180))).toMatchObject({ ok: false, id: undefined });
  expect(readDnsQuery(Buffer.from([1, 2, 3]))).toMatchObject({ ok: false, id: undefined });
});

test('whatever bytes come, reading ends and an answer is no longer than a datagram', () => {
  const rounds = process.env.TAGALONG_TEST_FULL ? 1_000_000 : 20_000;
  let state = createHash('sha256').update('dns').digest();
  for (let i = 0; i < rounds; i++) {
    if (i % 4 === 0) state = createHash('sha256').update(state).digest();
    const message = Buffer.concat([query('host.example.com'), state]);
    for (let j = 0; j < 3; j++) {
      message[(state[(i + j) % 32] ?? 0) % message.length] = state[(i * 7 + j) % 32] ?? 0;
    }
    const read = readDnsQuery(message.subarray(0, (state[i % 32] ?? 0) % (message.length + 1)));
    if (read.ok) expect(dnsAnswer(read.question, true).length).toBeLessThan(512);
  }
});
