import { describe, expect, test } from 'vitest';
import type { Signal } from '../../../src/providers/provider.ts';
import { signals } from '../../../src/providers/slack/signals.ts';
import { delivered, signedSlack } from '../support/sign.ts';
import { envelope, identity, mention, message, reply } from './payloads.ts';

const read = (event: Record<string, unknown>, more: Record<string, unknown> = {}): Signal => {
  const [signal] = signals(delivered(signedSlack(envelope(event, more))), identity);
  if (!signal) throw new Error('no signal');
  return signal;
};
const ignoredFor = (signal: Signal) => (signal.kind === 'ignored' ? signal.reason : signal.kind);

describe('what addresses the agent', () => {
  test('a mention, with the thread that it begins as its anchor', () => {
    expect(read(mention())).toEqual({
      kind: 'addressed',
      anchor: {
        key: 'T1:C1:1763640000.000100',
        place: { team: 'T1', channel: 'C1', thread_ts: '1763640000.000100' },
        title: 'run the tests',
      },
      externalKey: 'slack:T1:C1:1763640000.000100',
      author: { id: 'U1', kind: 'person' },
      body: 'run the tests',
      place: { channel: 'C1', ts: '1763640000.000100' },
      written: { channel: 'C1', ts: '1763640000.000100' },
    });
  });

  test('its twin `message` is the same message', () => {
    expect(read(message(), { event_id: 'Ev0002' })).toEqual(read(mention()));
  });

  test('a mention in a thread is anchored at the root of the thread', () => {
    const signal = read(mention({ ts: '1763640009.000200', thread_ts: '1763640000.000100' }));
    expect(signal).toMatchObject({
      kind: 'addressed',
      anchor: { key: 'T1:C1:1763640000.000100' },
      externalKey: 'slack:T1:C1:1763640009.000200',
      place: { ts: '1763640009.000200' },
    });
  });

  test('a direct message, each at top level a thread of its own', () => {
    const first = read(message({ channel: 'D1', channel_type: 'im', text: 'hello' }));
    const second = read(
      message({ channel: 'D1', channel_type: 'im', text: 'again', ts: '1763640010.000100' }),
    );
    expect(first).toMatchObject({
      kind: 'addressed',
      body: 'hello',
      anchor: { key: 'T1:D1:1763640000.000100' },
    });
    expect(second).toMatchObject({ kind: 'addressed', anchor: { key: 'T1:D1:1763640010.000100' } });
    expect(read(reply({ channel: 'D1', channel_type: 'im' })).kind).toBe('addressed');
  });

  test('a mention in the middle of a text, and in a group conversation', () => {
    expect(read(message({ text: 'could <@UBOT|ada> look?' }))).toMatchObject({
      kind: 'addressed',
      body: 'could @ada look?',
    });
    expect(read(message({ channel_type: 'mpim', channel: 'G1' })).kind).toBe('addressed');
  });

  test('a broadcast reply and a message with files', () => {
    const broadcast = reply({ subtype: 'thread_broadcast', text: '<@UBOT> and this', root: message() });
    expect(read(broadcast)).toMatchObject({ kind: 'addressed', anchor: { key: 'T1:C1:1763640000.000100' } });
    const files = [{ id: 'F1', name: 'report.pdf', mimetype: 'application/pdf' }];
    expect(read(message({ subtype: 'file_share', files })).kind).toBe('addressed');
    expect(read(message({ subtype: 'file_share', text: '<@UBOT>', files }))).toMatchObject({
      kind: 'addressed',
      body: '[file: report.pdf, application/pdf]',
    });
  });

  test('a bare mention in a thread, but not one at top level', () => {
    const bare = { text: ' <@UBOT> ' };
    expect(read(reply({ ...bare, type: 'app_mention' }))).toMatchObject({ kind: 'addressed', body: '@ada' });
    expect(ignoredFor(read(mention(bare)))).toBe('empty_message');
  });

  test('an event that reaches us through another workspace of a shared channel', () => {
    expect(read(mention(), { team_id: 'T2', context_team_id: 'T1' }).kind).toBe('addressed');
    expect(read(mention({ user_team: 'T2' }))).toMatchObject({ authorHint: { team: 'T2' } });
  });
});

describe('what does not', () => {
  test('a reply without a mention is ambient, unless it is to somebody else', () => {
    expect(read(reply())).toMatchObject({ kind: 'ambient', body: 'and the linter' });
    expect(ignoredFor(read(reply({ text: '<@U2> what do you think?' })))).toBe('not_addressed');
    expect(read(reply({ text: '<@U2> and <@UBOT> what do you think?' })).kind).toBe('addressed');
  });

  test('a top-level message without a mention', () => {
    expect(ignoredFor(read(message({ text: 'lunch?' })))).toBe('not_addressed');
    expect(ignoredFor(read(message({ text: 'lunch?', thread_ts: '1763640000.000100' })))).toBe(
      'not_addressed',
    );
  });

  test.each([
    ['its bot user', { user: 'UBOT' }],
    ['its bot id', { user: undefined, bot_id: 'BBOT' }],
    ['its app id', { bot_id: 'B9', app_id: 'A1' }],
    ['its bot profile', { bot_id: 'B9', bot_profile: { app_id: 'A1' } }],
    ['a customised identity', { subtype: 'bot_message', user: undefined, bot_id: 'BBOT', username: 'x' }],
  ])('an own message, by %s', (_, fields) => {
    expect(ignoredFor(read(message(fields)))).toBe('own_message');
    const changed = { type: 'message', subtype: 'message_changed', channel: 'C1', ts: '9.9' };
    expect(ignoredFor(read({ ...changed, message: message(fields), previous_message: {} }))).toBe(
      'own_message',
    );
    const deleted = { ...changed, subtype: 'message_deleted', previous_message: message(fields) };
    expect(ignoredFor(read(deleted))).toBe('own_message');
  });

  test('other bots, with and without the old subtype', () => {
    const text = 'deployed';
    expect(ignoredFor(read(message({ text, bot_id: 'B2', bot_profile: { app_id: 'A2' } })))).toBe(
      'other_bot',
    );
    expect(ignoredFor(read(message({ text, subtype: 'bot_message', user: null, bot_id: 'B2' })))).toBe(
      'other_bot',
    );
    expect(ignoredFor(read(reply({ bot_id: 'B2' })))).toBe('other_bot');
    expect(ignoredFor(read(message({ user: 'USLACKBOT' })))).toBe('other_bot');
  });

  test('another bot is one also where it mentions the agent, with the hops that it tells of', () => {
    const metadata = { event_type: 'tagalong_outbox', event_payload: { mark: 'm', part: 1, hops: 3 } };
    expect(read(mention({ bot_id: 'B2', metadata }))).toMatchObject({
      kind: 'addressed',
      author: { id: 'B2', kind: 'bot' },
      hops: 3,
    });
    const legacy = message({ subtype: 'bot_message', user: null, bot_id: 'B2' });
    expect(read(legacy)).toMatchObject({ kind: 'addressed', author: { id: 'B2', kind: 'bot' } });
  });

  test('edits, deletions and what people do not say', () => {
    const changed = {
      type: 'message',
      subtype: 'message_changed',
      channel: 'C1',
      ts: '9.9',
      message: message(),
    };
    expect(ignoredFor(read(changed))).toBe('edited_message');
    expect(ignoredFor(read({ ...changed, subtype: 'message_deleted' }))).toBe('deleted_message');
    expect(ignoredFor(read(message({ subtype: 'channel_join' })))).toBe('unsupported_event');
    expect(ignoredFor(read({ type: 'reaction_added', user: 'U1' }))).toBe('unsupported_event');
  });

  test('another workspace, and another app', () => {
    expect(ignoredFor(read(mention(), { team_id: 'T2' }))).toBe('unknown_installation');
    expect(ignoredFor(read(mention(), { context_team_id: 'T2' }))).toBe('unknown_installation');
    expect(ignoredFor(read(mention(), { api_app_id: 'A2' }))).toBe('unknown_installation');
  });

  test('envelopes without an event', () => {
    const outer = { type: 'app_rate_limited', team_id: 'T1', minute_rate_limited: 1, api_app_id: 'A1' };
    expect(signals(delivered(signedSlack(outer)), identity)).toEqual([
      { kind: 'ignored', reason: 'unsupported_event', detail: 'app_rate_limited' },
    ]);
    expect(ignoredFor(read(mention({ ts: undefined })))).toBe('malformed');
    expect(ignoredFor(read(mention({ user: { id: 'U1' } })))).toBe('malformed');
  });
});

test('a stop names its thread', () => {
  const stop = {
    type: 'agent_session_stopped',
    channel: 'C1',
    user: 'U1',
    thread_ts: '1.1',
    streaming_message_ts: [],
  };
  expect(read(stop)).toMatchObject({ kind: 'stop', anchor: { key: 'T1:C1:1.1' }, author: { id: 'U1' } });
});

test('the app is gone when it is uninstalled or its own token revoked, not when a user revokes theirs', () => {
  const at = new Date(1_763_640_000_000).toISOString();
  expect(read({ type: 'app_uninstalled' })).toEqual({ kind: 'lifecycle', change: 'uninstalled', at });
  expect(read({ type: 'tokens_revoked', tokens: { bot: ['UBOT'] } }).kind).toBe('lifecycle');
  expect(ignoredFor(read({ type: 'tokens_revoked', tokens: { oauth: ['U1'] } }))).toBe('unsupported_event');
});

test('markup becomes what people read', () => {
  const bodyOf = (text: string) => {
    const signal = read(mention({ text: `<@UBOT> ${text}` }));
    return signal.kind === 'addressed' ? signal.body : undefined;
  };
  expect(bodyOf('a &lt;b&gt; &amp;amp; c')).toBe('a <b> &amp; c');
  expect(bodyOf('ask <@U2|bob> in <#C2|general>, <!here>, <!subteam^S1|@ops>')).toBe(
    'ask @bob in #general, @here, @ops',
  );
  expect(bodyOf('see <https://a.example/x?y=1&amp;z=2|the page>')).toBe(
    'see the page (https://a.example/x?y=1&z=2)',
  );
  expect(bodyOf('see <https://a.example>, <http://b.example|b.example>, <mailto:a@b.c|a@b.c>')).toBe(
    'see https://a.example, http://b.example, a@b.c',
  );
  expect(bodyOf('&lt;@UBOT&gt; is no mention')).toBe('<@UBOT> is no mention');
  expect(bodyOf('1 < 2 <unknown> > 0')).toBe('1 < 2 <unknown> > 0');
});

test('a text of 4 MB of brackets is read in one go', () => {
  const signal = read(mention({ text: `<@UBOT> ${'<'.repeat(2_000_000)}${'>'.repeat(2_000_000)}` }));
  expect(signal.kind).toBe('addressed');
  if (signal.kind === 'addressed') expect(signal.body.length).toBeLessThan(201_000);
});
