import { describe, expect, test } from 'vitest';
import { publishFlow } from '../../../src/providers/slack/publish.ts';
import { type Answer, createCloud } from '../support/cloud.ts';

const identity = { workspaceId: 'T1' };
const ok: Answer = { json: { ok: true } };
const refusal = (error: string): Answer => ({ json: { ok: false, error } });

describe('taking the app back from a workspace', () => {
  const revoke = async (answers: { uninstall: Answer; revoke?: Answer }) => {
    const cloud = createCloud(({ call }) =>
      call.includes('apps.uninstall') ? answers.uninstall : (answers.revoke ?? refusal('unexpected')),
    );
    await publishFlow.revoke({ fetch: cloud.fetch, clock: () => new Date() }, identity);
    return cloud.requests.map(({ call }) => call.split('/').at(-1));
  };

  test('uninstalls it', async () => {
    expect(await revoke({ uninstall: ok })).toEqual(['apps.uninstall']);
  });

  test('counts as done when it is gone already', async () => {
    expect(await revoke({ uninstall: refusal('token_revoked') })).toEqual(['apps.uninstall']);
  });

  test.each([
    ['Slack refuses bots', refusal('is_bot')],
    ['the client secret is wrong', refusal('bad_client_secret')],
    ['the client secret is not known here', { status: 502, json: { error: { message: 'missing' } } }],
  ])('revokes the token at least where %s', async (_why, uninstall) => {
    expect(await revoke({ uninstall, revoke: ok })).toEqual(['apps.uninstall', 'auth.revoke']);
  });

  test('says so when neither was done', async () => {
    await expect(revoke({ uninstall: refusal('is_bot'), revoke: refusal('internal_error') })).rejects.toThrow(
      'did not revoke',
    );
  });
});
