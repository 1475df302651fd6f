import { describe, expect, it } from 'vitest';
import { afterError } from '../../src/outbound/attempt.ts';
import { longestWaitMs, unauthorizedWaitMs, waitMs } from '../../src/outbound/backoff.ts';
import { canonicalJson, hashCall } from '../../src/outbound/canonical-json.ts';
import { boundText, cleanRecord, textOf } from '../../src/outbound/clean-text.ts';

import { planRow } from '../../src/outbound/queue.ts';
import { createRateLimit } from '../../src/outbound/rate.ts';
import { adapters } from '../../src/providers/index.ts';
import { ProviderError } from '../../src/providers/provider.ts';
import type { ProviderName } from '../../src/store/schema.ts';
import { findLeak } from '../../src/vault/leaks.ts';
import { TestClock } from './stage.ts';

describe('canonicalJson', () => {
  it('does not depend on the order of keys, at any depth, nor on absent ones', () => {
    expect(canonicalJson({ b: [{ d: 1, c: null }], a: undefined, e: 'x' })).toBe(
      '{"b":[{"c":null,"d":1}],"e":"x"}',
    );
    expect(canonicalJson([undefined, 1])).toBe('[null,1]');
    expect(JSON.parse(canonicalJson({ '"': '\n', z: 1.5, a: true }))).toEqual({ '"': '\n', z: 1.5, a: true });
  });

  it('keeps different calls apart', () => {
    const hashes = [
      hashCall('a', { x: 1 }),
      hashCall('b', { x: 1 }),
      hashCall('a', { x: '1' }),
      hashCall('a', { x: [1] }),
      hashCall('a', { y: 1 }),
      hashCall('a', {}),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
  });
});

describe('text', () => {
  it('is cleaned in keys and values at any depth', () => {
    expect(cleanRecord({ 'a\0': ['b\0', { c: 'd\udc00' }], n: 1, z: null })).toEqual({
      a: ['b', { c: 'd\ufffd' }],
      n: 1,
      z: null,
    });
  });

  it('is bounded without cutting a character in two', () => {
    expect(boundText('abc', 3)).toBe('abc');
    expect(boundText('ab\u{1F600}cd', 3)).toMatch(/^ab\n\[… 3 more characters left out\]$/);
    expect(boundText('', 0)).toBe('');
  });

  it('of a value is all of its strings', () => {
    expect(textOf({ a: ['x', { b: 'y' }], n: 1 }).split('\n')).toEqual(
      expect.arrayContaining(['a', 'x', 'b', 'y']),
    );
  });
});

describe('findLeak', () => {
  const secret = 'xoxb-17/å+secret?value';
  const bytes = Buffer.from(secret);

  it.each([
    ['plain', `token: ${secret}.`],
    ['base64', Buffer.from(secret).toString('base64')],
    ['base64', Buffer.from(`a${secret}`).toString('base64')],
    ['base64', Buffer.from(`ab${secret}zz`).toString('base64')],
    ['base64', Buffer.from(`abc${secret}z`).toString('base64url')],
    [
      'base64',
      (
        Buffer.from(`header ${secret} trailer`)
          .toString('base64')
          .match(/.{1,10}/g) ?? []
      ).join('\n'),
    ],
    ['hex', bytes.toString('hex')],
    ['hex', bytes.toString('hex').toUpperCase()],
    ['hex', (bytes.toString('hex').match(/../g) ?? []).join(':')],
    ['percent', encodeURIComponent(secret)],
    ['percent', [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')],
    ['percent', `https://x.test/?q=${encodeURIComponent(secret).toLowerCase()}&r=%zz`],
  ])('finds it as %s in %s', (form, text) => {
    expect(findLeak(text, ['another-secret', secret])).toEqual({ secret: 1, form });
  });

  it('finds nothing in innocent text, in part of a secret, or for secrets too short to tell', () => {
    expect(findLeak('The deploy is done. %41%42 SGVsbG8gd29ybGQ= deadbeef', [secret])).toBeUndefined();
    expect(findLeak(secret.slice(1), [secret])).toBeUndefined();
    expect(findLeak('a short pin is 1234', ['1234', ''])).toBeUndefined();
    expect(findLeak('', [secret])).toBeUndefined();
  });
});

describe('waitMs', () => {
  it('is what the provider says, else grows to its bound, never beyond', () => {
    expect(waitMs({ code: 'rate_limited', retryAfterMs: 12_345 }, 9, 0.9)).toBe(12_345);
    expect(waitMs({ code: 'rate_limited', retryAfterMs: -5 }, 1, 0)).toBe(0);
    expect(waitMs({ code: 'unavailable', retryAfterMs: Number.NaN }, 1, 0)).toBe(500);
    const waits = [1, 2, 3, 4, 40, 4_000].map((attempts) =>
      waitMs({ code: 'unavailable', retryAfterMs: undefined }, attempts, 1),
    );
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, longestWaitMs, longestWaitMs]);
    expect(waitMs({ code: 'unauthorized', retryAfterMs: undefined }, 1, 0)).toBe(unauthorizedWaitMs);
  });
});

describe('planRow', () => {
  const now = new Date('2026-11-20T12:00:00Z');
  const row = {
    publicationState: 'live',
    resumedAt: null,
    notBefore: now,
    createdAt: now,
    state: 'queued',
    attempts: 1,
  } as const;
  const day = 24 * 3_600_000;

  it('sends what is due, waits for what is not, and fails what is too old', () => {
    expect(planRow(row, now, day)).toEqual({ kind: 'send' });
    const until = new Date(now.getTime() + 1);
    expect(planRow({ ...row, notBefore: until }, now, day)).toEqual({ kind: 'wait', until });
    expect(planRow({ ...row, createdAt: new Date(now.getTime() - day - 1) }, now, day).kind).toBe('fail');
  });

  it('tries what was never tried, whatever its age and the clock that wrote it', () => {
    const fresh = { ...row, attempts: 0, notBefore: new Date(now.getTime() + 5_000), createdAt: new Date(0) };
    expect(planRow(fresh, now, day)).toEqual({ kind: 'send' });
  });

  it('holds a suspended publication and fails an unpublished one', () => {
    expect(planRow({ ...row, publicationState: 'suspended' }, now, day).kind).toBe('wait');
    expect(planRow({ ...row, publicationState: 'unpublished' }, now, day).kind).toBe('fail');
    expect(planRow({ ...row, publicationState: 'needs_reauth' }, now, day).kind).toBe('send');
  });

  it('does not count the time in which the publication was not live', () => {
    const old = { ...row, createdAt: new Date(now.getTime() - 9 * day) };
    expect(planRow({ ...old, publicationState: 'needs_reauth' }, now, day).kind).toBe('send');
    expect(planRow({ ...old, publicationState: 'suspended' }, now, day).kind).toBe('wait');
    expect(planRow({ ...old, publicationState: 'unpublished' }, now, day).kind).toBe('fail');
    const since = (ms: number) => ({ ...old, resumedAt: new Date(now.getTime() - ms).toISOString() });
    expect(planRow(since(1_000), now, day).kind).toBe('send');
    expect(planRow(since(day + 1), now, day).kind).toBe('fail');
  });
});

describe('afterError', () => {
  const base = { row: { attempts: 1 }, timedOut: false, limits: { callMs: 1, maxUnexpected: 3 } };
  const arrival = (error: unknown, progress: { unknown: boolean; performing: boolean }, timedOut = false) => {
    const outcome = afterError(error, { ...base, progress, timedOut });
    return outcome.kind === 'later' ? outcome.error.mayHaveArrived : outcome.kind;
  };
  const limited = new ProviderError('rate_limited', 'slow');
  const broken = new ProviderError('unavailable', 'broken', { mayHaveArrived: true });

  it('keeps the outcome of an earlier try unknown until it was looked for', () => {
    expect(arrival(limited, { unknown: true, performing: false })).toBe(true);
    expect(arrival(limited, { unknown: true, performing: true })).toBe(true);
    expect(arrival(limited, { unknown: false, performing: true })).toBe(false);
    expect(arrival(broken, { unknown: false, performing: false })).toBe(false);
    expect(arrival(broken, { unknown: false, performing: true })).toBe(true);
    expect(arrival(new Error('bug'), { unknown: false, performing: true })).toBe(true);
    expect(arrival(new Error('bug'), { unknown: false, performing: false })).toBe(false);
    expect(arrival(undefined, { unknown: false, performing: true }, true)).toBe(true);
  });

  it('says of a refused look-up that it does not know', () => {
    const outcome = afterError(new ProviderError('refused', 'thread_not_found'), {
      ...base,
      progress: { unknown: true, performing: false },
    });
    expect(outcome).toMatchObject({
      kind: 'failed',
      reason: expect.stringMatching(/may or may not.*thread_not_found/),
    });
  });
});

describe('postedText', () => {
  const postedText = (
    provider: ProviderName,
    name: string,
    input: Record<string, unknown>,
    place: Record<string, string>,
  ) => adapters[provider].tools.find((tool) => tool.name === name)?.postedText?.(input, place);

  it('is the text of a post in the anchor itself, and nothing for one elsewhere', () => {
    expect(postedText('slack', 'slack_reply', { text: 'x' }, {})).toBe('x');
    expect(postedText('slack', 'slack_react', { text: 'x' }, {})).toBeUndefined();
    expect(postedText('github', 'github_comment', { body: 'x' }, { number: '7' })).toBe('x');
    expect(postedText('github', 'github_comment', { body: 'x', number: 7 }, { number: '7' })).toBe('x');
    expect(postedText('github', 'github_comment', { body: 'x', number: 8 }, { number: '7' })).toBeUndefined();
    expect(postedText('linear', 'linear_comment', { body: 'x' }, {})).toBeUndefined();
  });
});

describe('elsewhere', () => {
  const elsewhere = (
    provider: ProviderName,
    name: string,
    input: Record<string, unknown>,
    place: Record<string, string>,
  ) => adapters[provider].tools.find((tool) => tool.name === name)?.elsewhere?.(input, place);
  const repository = { owner: 'acme', repo: 'widgets', number: '7' };

  it('is another channel, repository or team, however it is written', () => {
    expect(elsewhere('slack', 'slack_read_thread', { channel: 'C2' }, { channel: 'C1' })).toEqual({
      channel: 'C2',
    });
    expect(elsewhere('slack', 'slack_post_message', { channel: 'C2' }, { channel: 'C1' })).toEqual({
      channel: 'C2',
    });
    expect(
      elsewhere('github', 'github_read_issue', { repository: 'acme/other', number: 1 }, repository),
    ).toEqual({
      owner: 'acme',
      repo: 'other',
    });
    const issue = { issue_id: 'x', identifier: 'ENG-1' };
    expect(elsewhere('linear', 'linear_read_issue', { issue: 'ops-3' }, issue)).toEqual({
      issue_id: 'OPS-3',
    });
    // Without a team of its own, any is another one.
    expect(elsewhere('linear', 'linear_read_issue', { issue: 'ENG-3' }, {})).toEqual({ issue_id: 'ENG-3' });
  });

  it('is nothing within them', () => {
    expect(elsewhere('slack', 'slack_read_thread', { thread: '1.1' }, { channel: 'C1' })).toBeUndefined();
    expect(elsewhere('slack', 'slack_read_thread', { channel: 'C1' }, { channel: 'C1' })).toBeUndefined();
    expect(
      elsewhere('github', 'github_read_issue', { repository: 'Acme/Widgets' }, repository),
    ).toBeUndefined();
    expect(elsewhere('github', 'github_read_issue', { number: 8 }, repository)).toBeUndefined();
    const issue = { issue_id: 'x', identifier: 'ENG-1' };
    expect(elsewhere('linear', 'linear_read_issue', { issue: 'eng-3' }, issue)).toBeUndefined();
    expect(elsewhere('linear', 'linear_read_issue', {}, issue)).toBeUndefined();
  });
});

describe('the rate limit', () => {
  it('grants a minute at once, then evenly, per key, and does not save up', () => {
    const clock = new TestClock();
    const limit = createRateLimit(2, clock.read);
    expect([limit.take('a'), limit.take('a'), limit.take('a')]).toEqual([undefined, undefined, 30_000]);
    expect(limit.take('b')).toBeUndefined();
    clock.advance(30_000);
    expect([limit.take('a'), limit.take('a')]).toEqual([undefined, 30_000]);
    clock.advance(10 * 60_000);
    expect([limit.take('a'), limit.take('a'), limit.take('a')]).toEqual([undefined, undefined, 30_000]);
    clock.advance(-60_000);
    expect(limit.take('a')).toBe(30_000);
  });
});
