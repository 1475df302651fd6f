import { describe, expect, test } from 'vitest';
import type { Signal } from '../../../src/providers/provider.ts';
import { createSlackAdapter } from '../../../src/providers/slack/index.ts';
import { signals } from '../../../src/providers/slack/signals.ts';
import { type Answer, createCloud } from '../support/cloud.ts';
import { delivered, signedSlack } from '../support/sign.ts';
import { envelope, identity, mention } from './payloads.ts';

const member = { id: 'U1', team_id: 'T1', name: 'bob', profile: { display_name: 'Bob' } };

function asked(author = 'U1'): Extract<Signal, { kind: 'addressed' | 'ambient' }> {
  const [signal] = signals(delivered(signedSlack(envelope(mention({ user: author })))), identity);
  if (signal?.kind !== 'addressed') throw new Error('not addressed');
  return signal;
}

describe('who may address the agent', () => {
  const decide = (user: Record<string, unknown>) => {
    const cloud = createCloud(() => ({ json: { ok: true, user } }));
    return createSlackAdapter().mayAddress({ fetch: cloud.fetch, identity }, asked());
  };

  test('full members', async () => {
    expect(await decide(member)).toEqual({ allowed: true });
    expect(await decide({ ...member, team_id: 'T9', enterprise_user: { teams: ['T9', 'T1'] } })).toEqual({
      allowed: true,
    });
  });

  test.each([
    ['guests', { is_restricted: true }],
    ['single-channel guests', { is_ultra_restricted: true }],
    ['people from another workspace', { team_id: 'T2' }],
    ['strangers', { is_stranger: true }],
    ['deactivated people', { deleted: true }],
    ['bots', { is_bot: true }],
    ['workflow bots', { is_workflow_bot: true }],
    ['people without a workspace', { team_id: undefined }],
    ['somebody else than was asked for', { id: 'U7' }],
  ])('not %s', async (_, fields) => {
    const answer = await decide({ ...member, ...fields });
    expect(answer).toMatchObject({ allowed: false, detail: expect.stringMatching(/\w/) });
  });

  test('nobody while Slack does not answer, and it is asked again', async () => {
    let answer: Answer = { status: 503, text: '' };
    const cloud = createCloud(() => answer);
    const adapter = createSlackAdapter();
    const context = { fetch: cloud.fetch, identity };
    await expect(adapter.mayAddress(context, asked())).rejects.toMatchObject({ code: 'unavailable' });
    answer = { json: { ok: true, user: member } };
    expect(await adapter.mayAddress(context, asked())).toEqual({ allowed: true });
    answer = { json: { ok: false, error: 'user_not_found' } };
    expect(await adapter.mayAddress(context, asked('U8'))).toMatchObject({ allowed: false });
  });

  test('is remembered for minutes, a no for one minute, and asked once by many at a time', async () => {
    let nowMs = 0;
    let user: Record<string, unknown> = member;
    const cloud = createCloud(() => ({ json: { ok: true, user } }));
    const adapter = createSlackAdapter(() => nowMs);
    const context = { fetch: cloud.fetch, identity };
    await Promise.all(Array.from({ length: 20 }, () => adapter.mayAddress(context, asked())));
    expect(cloud.requests).toHaveLength(1);
    user = { ...member, deleted: true };
    nowMs = 299_999;
    expect(await adapter.mayAddress(context, asked())).toEqual({ allowed: true });
    nowMs = 300_000;
    expect(await adapter.mayAddress(context, asked())).toMatchObject({ allowed: false });
    user = member;
    nowMs = 359_999;
    expect(await adapter.mayAddress(context, asked())).toMatchObject({ allowed: false });
    nowMs = 360_000;
    expect(await adapter.mayAddress(context, asked())).toEqual({ allowed: true });
    // Another workspace's person of the same id is another person.
    await adapter.mayAddress({ ...context, identity: { ...identity, workspaceId: 'T1x' } }, asked());
    expect(cloud.requests).toHaveLength(4);
  });
});

describe('who am I', () => {
  const answers: Record<string, unknown> = {
    'auth.test': { ok: true, team_id: 'T1', team: 'Acme', user_id: 'UBOT', user: 'ada_bot', bot_id: 'BBOT' },
    'bots.info': { ok: true, bot: { id: 'BBOT', app_id: 'A1' } },
    'users.info': { ok: true, user: { id: 'UBOT', profile: { display_name: '', real_name: 'ada' } } },
  };

  test('team, app, bot user, bot id and the name that people type', async () => {
    const cloud = createCloud(({ call }) => ({ json: answers[call] }));
    expect(await createSlackAdapter().whoAmI({ fetch: cloud.fetch }, {})).toEqual(identity);
  });

  test('goes without what the scopes do not give', async () => {
    const cloud = createCloud(({ call }) => ({
      json: call === 'auth.test' ? answers[call] : { ok: false, error: 'missing_scope' },
    }));
    const found = await createSlackAdapter().whoAmI({ fetch: cloud.fetch }, {});
    expect(found).toEqual({
      workspaceId: 'T1',
      workspaceName: 'Acme',
      userId: 'UBOT',
      botId: 'BBOT',
      handle: 'ada_bot',
    });
  });

  test("refuses a person's token, and a revoked one", async () => {
    const person = createCloud(() => ({ json: { ok: true, team_id: 'T1', user_id: 'U1' } }));
    await expect(createSlackAdapter().whoAmI({ fetch: person.fetch }, {})).rejects.toMatchObject({
      code: 'unauthorized',
    });
    const revoked = createCloud(() => ({ json: { ok: false, error: 'invalid_auth' } }));
    await expect(createSlackAdapter().whoAmI({ fetch: revoked.fetch }, {})).rejects.toMatchObject({
      code: 'unauthorized',
    });
  });
});

test('only bot tokens are taken', () => {
  const split = (bot_token: string) =>
    createSlackAdapter().splitCredentials({ signing_secret: 'x'.repeat(32), bot_token });
  expect(split(' xoxb-1-2-abc\n').credential.secret).toEqual({ token: 'xoxb-1-2-abc' });
  expect(split('xoxe.xoxb-1-abc').credential.kind).toBe('slack_bot');
  for (const token of ['xoxp-1', 'xapp-1', 'Bearer xoxb-1', 'xoxb-1\r\nX: y'])
    expect(() => split(token)).toThrow();
});
