import { describe, expect, test } from 'vitest';
import { signals } from '../../../src/providers/linear/signals.ts';
import type { Signal } from '../../../src/providers/provider.ts';
import { delivered, signedLinear } from '../support/sign.ts';
import { created, identity, issueId, prompted, sessionId } from './payloads.ts';

const read = (body: Record<string, unknown>, who = identity): Signal => {
  const [signal] = signals(delivered(signedLinear(body)), who);
  if (!signal) throw new Error('no signal');
  return signal;
};
const ignoredFor = (signal: Signal) => (signal.kind === 'ignored' ? signal.reason : signal.kind);

describe('a session that is created', () => {
  test('by delegation says what the issue says', () => {
    expect(read(created())).toEqual({
      kind: 'addressed',
      anchor: {
        key: sessionId,
        place: { agent_session_id: sessionId, issue_id: issueId, identifier: 'ENG-1' },
        title: 'ENG-1 Tests fail on main',
      },
      externalKey: `linear:session:${sessionId}`,
      author: { id: 'user-1', name: 'Maya', kind: 'person' },
      body: 'ENG-1: Tests fail on main\n\nThey fail since Tuesday.',
      // Whose text that is, the delivery does not say.
      takenUp: {
        body: 'ENG-1: Tests fail on main\n\nThey fail since Tuesday.',
        externalKey: `linear:session:${sessionId}:text`,
        instead: 'Please look into this issue (ENG-1).',
      },
      place: { agent_session_id: sessionId },
    });
  });

  test('by a mention says what the comment says', () => {
    const comment = { id: 'comment-1', body: '@Ada: look at this' };
    expect(read(created({ commentId: 'comment-1', comment }))).toMatchObject({
      body: 'look at this',
      place: { agent_session_id: sessionId, comment_id: 'comment-1' },
    });
    const other = { id: 'comment-1', body: '@ada-lovelace look' };
    expect(read(created({ comment: other }))).toMatchObject({ body: '@ada-lovelace look' });
  });

  test("by delegation does not take Linear's own notice for words of a person", () => {
    const comment = { id: 'comment-1', body: 'This thread is for an agent session with ada.' };
    expect(read(created({ comment }))).toMatchObject({ body: expect.stringMatching(/^ENG-1: Tests/) });
  });

  test('carries the guidance of the workspace', () => {
    const guidance = [
      { body: 'Write British English.', origin: { type: 'organization' } },
      { body: 'Use tabs.', origin: { type: 'team' } },
    ];
    expect(read(created({}, { guidance }))).toMatchObject({
      body: expect.stringMatching(
        /Guidance of this Linear workspace:\n\nWrite British English\.\n\nUse tabs\.$/,
      ),
    });
  });

  test('on something that is no issue has no issue in its place', () => {
    const signal = read(
      created({ issue: null, issueId: null, comment: { id: 'c', body: '@ada summarise' } }),
    );
    expect(signal).toMatchObject({ kind: 'addressed', anchor: { place: { agent_session_id: sessionId } } });
    expect(ignoredFor(read(created({ issue: null, comment: null })))).toBe('empty_message');
  });

  test('by the agent itself, or by an automation, starts nothing', () => {
    expect(ignoredFor(read(created({ creatorId: 'app-user-1', creator: null })))).toBe('own_message');
    expect(ignoredFor(read(created({ creatorId: null, creator: null })))).toBe('no_authority');
  });
});

describe('a session that is prompted', () => {
  test('continues at its anchor', () => {
    expect(read(prompted())).toMatchObject({
      kind: 'addressed',
      anchor: { key: sessionId },
      externalKey: 'linear:activity:33333333-3333-4333-8333-333333333333',
      body: 'and the linter',
      author: { id: 'user-1', name: 'Maya' },
      place: { agent_activity_id: '33333333-3333-4333-8333-333333333333', comment_id: 'comment-2' },
    });
    expect(read(prompted({ content: null, body: 'as the prose says' }))).toMatchObject({
      body: 'as the prose says',
    });
  });

  test('to stop, stops', () => {
    expect(read(prompted({ signal: 'stop', content: { type: 'prompt', body: 'Stop' } }))).toEqual({
      kind: 'stop',
      anchor: expect.objectContaining({ key: sessionId }),
      author: { id: 'user-1', name: 'Maya', kind: 'person' },
    });
  });

  test('by the agent itself, with nothing, or without an activity', () => {
    expect(ignoredFor(read(prompted({ userId: 'app-user-1' })))).toBe('own_message');
    expect(ignoredFor(read(prompted({ content: { type: 'prompt', body: ' ' } })))).toBe('empty_message');
    expect(ignoredFor(read(prompted({}, { agentActivity: null })))).toBe('malformed');
    expect(ignoredFor(read(prompted({ userId: null, user: null })))).toBe('no_authority');
  });
});

test('a wrong organization, OAuth client or app user is another installation', () => {
  expect(ignoredFor(read({ ...created(), organizationId: 'org-2' }))).toBe('unknown_installation');
  expect(ignoredFor(read({ ...created(), organizationId: undefined }))).toBe('unknown_installation');
  expect(ignoredFor(read({ ...created(), appUserId: 'app-user-2' }))).toBe('unknown_installation');
  const known = { ...identity, appId: 'client-1' };
  expect(read(created(), known).kind).toBe('addressed');
  expect(ignoredFor(read({ ...created(), oauthClientId: 'client-2' }, known))).toBe('unknown_installation');
});

test('a revoked app is gone', () => {
  const revoked = { type: 'OAuthApp', action: 'revoked', organizationId: 'org-1', oauthClientId: 'client-1' };
  expect(read(revoked)).toEqual({ kind: 'lifecycle', change: 'uninstalled' });
  const createdAt = '2026-11-20T12:00:00.000Z';
  expect(read({ ...revoked, createdAt })).toMatchObject({ change: 'uninstalled', at: createdAt });
  for (const odd of ['noon', '+012026-11-20T12:00:00.000Z', '']) {
    expect(read({ ...revoked, createdAt: odd })).not.toHaveProperty('at');
  }
  expect(ignoredFor(read({ ...revoked, organizationId: 'org-2' }))).toBe('unknown_installation');
});

test.each([
  ['Comment', 'handled_elsewhere'],
  ['Issue', 'handled_elsewhere'],
  ['AppUserNotification', 'handled_elsewhere'],
  ['PermissionChange', 'unsupported_event'],
  ['SomethingNew', 'unsupported_event'],
])('%s is %s', (type, reason) => {
  expect(ignoredFor(read({ type, action: 'create', organizationId: 'org-1', data: {} }))).toBe(reason);
});

test('an action that is new is unsupported', () => {
  expect(ignoredFor(read({ ...created(), action: 'renamed' }))).toBe('unsupported_event');
});
