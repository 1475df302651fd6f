import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ModelMessage } from 'ai';
import { afterAll, expect, test } from 'vitest';
import { modelFailure } from '../../src/agents/builtin/model-failure.ts';
import { createOutputCollector } from '../../src/agents/builtin/output.ts';
import { boundText } from '../../src/agents/builtin/text.ts';
import {
  createTranscript,
  interruptedResult,
  loadTranscript,
  repair,
} from '../../src/agents/builtin/transcript.ts';

const folder = mkdtempSync(join(tmpdir(), 'tagalong-transcript-'));
afterAll(() => rmSync(folder, { recursive: true }));

const id = 'conv_0123456789abcdef01234567';
const file = join(folder, `${id}.jsonl`);
const user = (content: string): ModelMessage => ({ role: 'user', content });
const calls = (...ids: string[]): ModelMessage => ({
  role: 'assistant',
  content: ids.map((toolCallId) => ({ type: 'tool-call', toolCallId, toolName: 'bash', input: {} })),
});
const results = (...ids: string[]): ModelMessage => ({
  role: 'tool',
  content: ids.map((toolCallId) => ({
    type: 'tool-result',
    toolCallId,
    toolName: 'bash',
    output: { type: 'text', value: 'ok' },
  })),
});
const interrupted = (...ids: string[]) => ({
  role: 'tool',
  content: ids.map((toolCallId) => ({
    type: 'tool-result',
    toolCallId,
    toolName: 'bash',
    output: { type: 'error-text', value: interruptedResult },
  })),
});

test('what was appended is there again, at whatever byte the file was cut', () => {
  const transcript = createTranscript(folder, id);
  const messages = [
    user('Grüße'),
    calls('1'),
    results('1'),
    { role: 'assistant', content: 'Done.' } as ModelMessage,
  ];
  for (const message of messages) transcript.append(message);
  const whole = readFileSync(file);
  expect(loadTranscript(folder, id)?.messages).toEqual(messages);
  for (let length = whole.length; length >= 0; length -= 7) {
    writeFileSync(file, whole.subarray(0, length));
    const loaded = loadTranscript(folder, id);
    expect(loaded).toBeDefined();
    loaded?.append(user('next'));
    const again = loadTranscript(folder, id);
    // A complete prefix, with the repair where it ended in a call, and what came after the cut.
    expect(again?.messages.at(-1)).toEqual(user('next'));
    expect(again?.messages).toEqual(loaded?.messages);
    expect(again?.messages.length).toBeLessThanOrEqual(messages.length + 2);
  }
});

test('lines that are no message are skipped', () => {
  writeFileSync(file, '');
  appendFileSync(
    file,
    'garbage\n\n{"type":"message"}\n{"type":"message","message":{"role":"system","content":"x"}}\n',
  );
  appendFileSync(file, `{"type":"message","message":{"role":"user","content":7}}\n`);
  appendFileSync(file, `${JSON.stringify({ type: 'message', message: user('kept') })}\n`);
  expect(loadTranscript(folder, id)?.messages).toEqual([user('kept')]);
});

test('an id that leads elsewhere finds nothing and makes nothing', () => {
  for (const wrong of ['../x', 'conv_../../etc/passwd', '', 'conv_ABC', `${id}\n`]) {
    expect(loadTranscript(folder, wrong)).toBeUndefined();
    expect(() => createTranscript(folder, wrong)).toThrow();
  }
  expect(loadTranscript(folder, 'conv_ffffffffffffffffffffffff')).toBeUndefined();
});

test('each call has a result behind it and each result a call before it', () => {
  expect(repair([calls('1', '2')])).toEqual([calls('1', '2'), interrupted('1', '2')]);
  expect(repair([calls('1', '2'), results('1'), user('hi')])).toEqual([
    calls('1', '2'),
    results('1'),
    interrupted('2'),
    user('hi'),
  ]);
  expect(repair([results('9'), user('hi')])).toEqual([user('hi')]);
  const sound = [user('a'), calls('1'), results('1'), user('b')];
  expect(repair(sound)).toEqual(sound);
});

test('long texts and outputs keep their beginning and end', () => {
  expect(boundText('short', 100)).toBe('short');
  const bound = boundText(`BEGIN${'x'.repeat(10_000)}END`, 300);
  expect(bound).toMatch(/^BEGINx+\n\n\[… 9708 characters left out …\]\n\nx+END$/);
  const collector = createOutputCollector(300);
  for (const piece of ['BEGIN', ...Array(10_000).fill('x'), 'END']) collector.add(Buffer.from(piece));
  expect(collector.text()).toMatch(/^BEGINx+\n\n\[… 9708 bytes left out …\]\n\nx+END$/);
  const small = createOutputCollector(300);
  small.add(Buffer.from('ü'.repeat(75)).subarray(0, 51));
  small.add(Buffer.from('ü'.repeat(75)).subarray(51));
  expect(small.text()).toBe('ü'.repeat(75));
});

test('a model that cannot be reached is worth another try, and said without details of the network', () => {
  const error = new Error('Cannot connect to API: connect ECONNREFUSED 127.0.0.1:3128', {
    cause: Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }),
  });
  expect(modelFailure(error, 'm')).toEqual({
    message: 'The model could not be reached (ECONNREFUSED). Try again in a minute.',
    retryable: true,
    retryAfterMs: undefined,
  });
  expect(modelFailure(undefined, 'm').retryable).toBe(true);
});

test('the wait that a provider asks for is honoured up to a minute', () => {
  const failed = (headers: Record<string, string>) =>
    modelFailure(Object.assign(new Error('x'), { statusCode: 429, responseHeaders: headers }), 'm')
      .retryAfterMs;
  expect(failed({ 'retry-after': '3' })).toBe(3_000);
  expect(failed({ 'retry-after-ms': '250', 'retry-after': '3' })).toBe(250);
  expect(failed({ 'retry-after': '86400' })).toBe(60_000);
  expect(failed({ 'retry-after': 'Fri, 20 Nov 2026 00:00:00 GMT' })).toBeUndefined();
  expect(failed({})).toBeUndefined();
});

test('where the disk is full the conversation goes on, and is written once there is room', async () => {
  const small = mkdtempSync(join(tmpdir(), 'tagalong-full-'));
  const script = join(small, 'talk.mjs');
  const source = fileURLToPath(new URL('../../src/agents/builtin/transcript.ts', import.meta.url));
  writeFileSync(
    script,
    `
    import { rmSync, writeFileSync, readFileSync } from 'node:fs';
    import { createTranscript, loadTranscript } from ${JSON.stringify(source)};
    const disk = process.argv[2];
    const say = (content) => ({ role: 'user', content });
    const fill = () => { try { for (let n = 0; ; n++) writeFileSync(disk + '/fill' + n, 'x'.repeat(4096)); } catch {} };
    const clear = () => { for (let n = 0; n < 64; n++) rmSync(disk + '/fill' + n, { force: true }); };
    const settled = (transcript) => { try { transcript.settle(); return true; } catch (error) { return error.name; } };
    const first = createTranscript(disk + '/t', ${JSON.stringify(id)});
    first.append(say('one'));
    fill();
    first.append(say('two'.repeat(2000)));
    first.append(say('three'));
    const out = [settled(first), first.messages.length, loadTranscript(disk + '/t', ${JSON.stringify(id)}).messages.length];
    clear();
    first.append(say('four'));
    out.push(settled(first), loadTranscript(disk + '/t', ${JSON.stringify(id)}).messages.length);
    fill();
    const other = createTranscript(disk + '/u', ${JSON.stringify(id)});
    other.append(say('one'));
    out.push(settled(other));
    clear();
    out.push(settled(other), loadTranscript(disk + '/u', ${JSON.stringify(id)}).messages.length);
    console.log(JSON.stringify(out));
    `,
  );
  const disk = join(small, 'disk');
  mkdirSync(disk);
  const mounted = `mount -t tmpfs -o size=64k none "$0" && exec "$1" "$2" "$0"`;
  const { stdout, stderr } = spawnSync(
    'unshare',
    ['--user', '--map-root-user', '--mount', 'sh', '-c', mounted, disk, process.execPath, script],
    { encoding: 'utf8' },
  );
  rmSync(small, { recursive: true });
  expect([stderr, stdout.trim()]).toEqual([
    '',
    JSON.stringify(['DiskFullError', 3, 1, true, 4, 'DiskFullError', true, 1]),
  ]);
});
