import { eq } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import { shouldReply, submitFailure, submitReply, whyNoReply } from '../../src/outbound/reply.ts';
import type { Database } from '../../src/store/connection.ts';
import { withOrganization } from '../../src/store/organization.ts';
import { turns } from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/database.ts';
import type { FixtureOptions } from '../support/fixture.ts';
import { cloudAdapters } from './cloud.ts';
import { createStage, type Stage } from './stage.ts';

describe('shouldReply', () => {
  it.each([
    ['Done.', undefined, true],
    ['Done.', 'Working on it', true],
    ['', undefined, false],
    [' \n\t\0 ', undefined, false],
    ['NO_REPLY', undefined, false],
    ['  `NO_REPLY`.\n', undefined, false],
    ['NO_REPLY is what I would say', undefined, true],
    ['no_reply', undefined, true],
    ['Done.', 'Done.', false],
    [' Done.\r\nReally.', 'Done.\nReally. ', false],
    ['Done', 'Done.', true],
  ])('of %j after %j is %j', (text, lastPosted, expected) => {
    expect(shouldReply(text, lastPosted)).toBe(expected);
  });

  it('says why there is none', () => {
    expect(whyNoReply('', 'x')).toBe('empty');
    expect(whyNoReply('NO_REPLY', 'x')).toBe('asked_for_none');
    expect(whyNoReply('x', 'x')).toBe('already_posted');
  });
});

describe('the reply of a turn', () => {
  let database: Database;
  beforeAll(async () => {
    database = (await createTestDatabase()).database;
  });

  const stageWith = (options?: FixtureOptions) => createStage(database, options);
  const close = (stage: Stage, text: string, submit = submitReply) =>
    withOrganization(database, stage.organizationId, (tx) =>
      submit(tx, cloudAdapters(stage.cloud), {
        organizationId: stage.organizationId,
        turnId: stage.turnId,
        text,
      }),
    );

  it('goes out after what the agent posted itself', async () => {
    const stage = await stageWith();
    await stage.post('looking');
    expect(await close(stage, 'Here it is.')).toMatchObject({ kind: 'queued' });
    await stage.send();
    expect(stage.cloud.posts.map(({ tool, text }) => [tool, text])).toEqual([
      ['slack_reply', 'looking'],
      ['reply', 'Here it is.'],
    ]);
  });

  it('is not sent when it equals the last post of this turn in this anchor, and is after another post', async () => {
    const stage = await stageWith();
    await stage.post('Here it is.');
    expect(await close(stage, 'Here it is.\n')).toEqual({ kind: 'none', why: 'already_posted' });
    await stage.post('One more thing.');
    expect(await close(stage, 'Here it is.')).toMatchObject({ kind: 'queued' });
  });

  it('is sent when the equal post was refused, or was made in another turn', async () => {
    const stage = await stageWith();
    await stage.submit('slack_reply', { text: 'Same.' }, { grants: { 'thread.reply': 'off' } });
    expect(await close(stage, 'Same.')).toMatchObject({ kind: 'queued' });
    const other = await stageWith();
    const submission = await other.submit('slack_reply', { text: 'Same.' });
    await database.execute(
      `update actions set turn_id = null where id = '${submission.kind !== 'refused' && submission.actionId}'`,
    );
    expect(await close(other, 'Same.')).toMatchObject({ kind: 'queued' });
  });

  it('is one, however often the turn is closed', async () => {
    const stage = await stageWith();
    const first = await close(stage, 'Done.');
    const again = await close(stage, 'Done, differently.');
    expect(again).toEqual(first);
    await stage.send();
    expect(stage.cloud.texts()).toEqual(['Done.']);
    expect(await close(stage, 'Done.')).toMatchObject({ kind: 'settled', state: 'sent' });
  });

  it('is not sent for NO_REPLY, and nothing is recorded', async () => {
    const stage = await stageWith();
    expect(await close(stage, 'NO_REPLY')).toEqual({ kind: 'none', why: 'asked_for_none' });
    expect(await stage.job()).toBeUndefined();
  });

  it('is refused and recorded without its capability', async () => {
    const stage = await stageWith({ capabilities: { 'thread.reply': 'off' } });
    const refused = await close(stage, 'Done.');
    expect(refused).toMatchObject({ kind: 'refused', reason: expect.stringContaining('slack:thread.reply') });
    expect(await close(stage, 'Done.')).toEqual(refused);
    if (refused.kind === 'refused') {
      expect(await stage.action(refused.actionId)).toMatchObject({ tool: 'reply', state: 'refused' });
    }
  });

  it('has nowhere to go in a turn without an anchor', async () => {
    const stage = await stageWith();
    await database.update(turns).set({ anchorId: null }).where(eq(turns.id, stage.turnId));
    expect(await close(stage, 'Done.')).toEqual({ kind: 'none', why: 'no_place' });
  });

  it('that says a failure is sent even when it repeats a post, and beside no other', async () => {
    const stage = await stageWith();
    await stage.post('It broke.');
    expect(await close(stage, 'It broke.', submitFailure)).toMatchObject({ kind: 'queued' });
    await close(stage, 'It broke again.', submitFailure);
    await stage.send();
    expect(stage.cloud.posts.map((post) => post.tool)).toEqual(['slack_reply', 'failure']);
  });
});
