import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { createCache } from '../../src/providers/cache.ts';
import { ignoreReasons } from '../../src/providers/ignore-reasons.ts';
import { adapters } from '../../src/providers/index.ts';
import { requestNeed as linearNeed } from '../../src/providers/linear/requests.ts';
import { requestNeed as slackNeed } from '../../src/providers/slack/requests.ts';
import { renderTranscript } from '../../src/providers/transcript.ts';

test('every provider is there under its name', () => {
  for (const [name, adapter] of Object.entries(adapters)) expect(adapter.name).toBe(name);
  expect(Object.values(adapters).flatMap((adapter) => adapter.apiHosts)).toEqual([
    'slack.com',
    'api.github.com',
    'api.linear.app',
  ]);
});

test('every reason is a sentence', () => {
  for (const sentence of Object.values(ignoreReasons)) expect(sentence).toMatch(/^[A-Z].{20,}\.$/);
});

test('Slack and Linear are closed at the second door, and say which tools to use', () => {
  const request = { method: 'POST', path: '/api/chat.postMessage', query: new URLSearchParams() };
  expect(slackNeed(request)).toMatchObject({ ok: false, reason: expect.stringContaining('slack_reply') });
  expect(linearNeed(request)).toMatchObject({ ok: false, reason: expect.stringContaining('linear_comment') });
});

test('what maps requests for the egress process brings no package with it', () => {
  const root = fileURLToPath(new URL('../../src/providers', import.meta.url));
  const seen = new Set<string>();
  const follow = (file: string) => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const [, isType, from] of readFileSync(file, 'utf8').matchAll(
      /^import (type )?.*? from '(.+)';$/gms,
    )) {
      if (isType || !from) continue;
      expect(from.startsWith('.')).toBe(true);
      follow(join(dirname(file), from));
    }
  };
  for (const name of Object.keys(adapters)) follow(join(root, name, 'requests.ts'));
  expect(seen.size).toBeLessThan(8);
});

describe('the cache', () => {
  test('forgets what failed, and what was used least lately', async () => {
    let loads = 0;
    const cache = createCache<number>({ ttlMs: () => 1_000, maxEntries: 2, now: () => 0 });
    const load = async () => ++loads;
    await expect(
      cache.get('a', async () => {
        throw new Error('down');
      }),
    ).rejects.toThrow('down');
    expect(await cache.get('a', load)).toBe(1);
    await cache.get('b', load);
    await cache.get('a', load);
    await cache.get('c', load);
    expect(await cache.get('a', load)).toBe(1);
    expect(await cache.get('b', load)).toBe(4);
  });

  test('asks once for all who wait, and tells all of a failure', async () => {
    let loads = 0;
    const cache = createCache<number>({ ttlMs: () => 1_000, maxEntries: 10, now: () => 0 });
    const failing = async (): Promise<number> => {
      loads++;
      throw new Error('down');
    };
    const answers = await Promise.allSettled([cache.get('a', failing), cache.get('a', failing)]);
    expect(answers.map((answer) => answer.status)).toEqual(['rejected', 'rejected']);
    expect(loads).toBe(1);
  });
});

describe('a transcript', () => {
  const entry = (index: number, text: string) => ({
    id: String(index),
    author: 'Maya',
    kind: 'person' as const,
    text,
  });

  test('keeps the newest when it is too long, and at least one', () => {
    const entries = Array.from({ length: 100 }, (_, index) => entry(index, 'x'.repeat(100)));
    const text = renderTranscript('Heading.', entries, { maxCharacters: 1_000 });
    expect(text.length).toBeLessThan(1_500);
    expect(text).toContain('"id":"99"');
    expect(text).toMatch(/\(9\d older ones left out\)/);
    expect(renderTranscript('Heading.', [entry(1, 'x'.repeat(50_000))], { maxCharacters: 10 })).toContain(
      '"id":"1"',
    );
  });

  test('of nothing says nothing more', () => {
    expect(renderTranscript('Heading.', []).split('\n')).toHaveLength(2);
  });
});
