import { and, eq } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import { submitAction } from '../../src/outbound/actions.ts';
import { approvalSetting } from '../../src/outbound/approvals/setting.ts';
import type { Database } from '../../src/store/connection.ts';
import { withOrganization } from '../../src/store/organization.ts';
import { actions, type Grant, outbox } from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/database.ts';
import { cloudAdapter } from './cloud.ts';
import { createStage, giveMessage, type Stage } from './stage.ts';

describe('an action', () => {
  let database: Database;
  beforeAll(async () => {
    database = (await createTestDatabase()).database;
  });

  const rows = (stage: Stage) =>
    database
      .select()
      .from(actions)
      .where(and(eq(actions.sessionId, stage.sessionId)))
      .orderBy(actions.createdAt);
  const outboxRows = (stage: Stage) =>
    database.select().from(outbox).where(eq(outbox.anchorId, stage.anchorId)).orderBy(outbox.position);

  it('that is allowed is recorded, queued and given a job in one transaction', async () => {
    const stage = await createStage(database);
    const id = await stage.post('hello');
    expect(await stage.action(id)).toMatchObject({
      decision: 'allowed',
      state: 'queued',
      reason: null,
      tool: 'slack_reply',
      capability: 'slack:thread.reply',
      arguments: { text: 'hello' },
      argumentsHash: expect.stringMatching(/^[0-9a-f]{64}$/),
      turnId: stage.turnId,
      anchorId: stage.anchorId,
      installationId: stage.installationId,
      settledAt: null,
    });
    expect(await stage.row(id)).toMatchObject({ state: 'queued', attempts: 0 });
    expect(await stage.job()).toBeDefined();
  });

  it('leaves nothing behind when its transaction fails', async () => {
    const stage = await createStage(database);
    const tool = cloudAdapter(stage.cloud).tools[0];
    const failing = withOrganization(database, stage.organizationId, async (tx) => {
      await submitAction(tx, {
        organizationId: stage.organizationId,
        sessionId: stage.sessionId,
        provider: 'slack',
        grants: {},
        tool: tool ?? expect.fail('no tool'),
        arguments: { text: 'x' },
        turn: { id: stage.turnId, attempt: 1 },
        anchor: { id: stage.anchorId, installationId: stage.installationId },
        approval: approvalSetting(cloudAdapter(stage.cloud), stage.publicationId, {}),
      });
      throw new Error('stop');
    });
    await expect(failing).rejects.toThrow('stop');
    expect(await rows(stage)).toEqual([]);
    expect(await stage.job()).toBeUndefined();
  });

  it.each<{ tool: string; grants: Record<string, Grant>; reason: RegExp }>([
    { tool: 'slack_delete', grants: {}, reason: /slack:message.delete is not granted/ },
    { tool: 'slack_reply', grants: { 'thread.reply': 'off' }, reason: /slack:thread.reply is not granted/ },
    {
      tool: 'slack_read_thread',
      grants: { 'message.read': 'off' },
      reason: /slack:message.read is not granted/,
    },
  ])('of $tool under $grants is refused and recorded with the reason', async ({ tool, grants, reason }) => {
    const stage = await createStage(database);
    const submission = await stage.submit(tool, { text: 'x' }, { grants });
    expect(submission).toMatchObject({ kind: 'refused', reason: expect.stringMatching(reason) });
    expect(await stage.action(submission.actionId)).toMatchObject({
      decision: 'refused',
      state: 'refused',
      reason: expect.stringMatching(reason),
      settledAt: expect.any(Date),
    });
    expect(await outboxRows(stage)).toEqual([]);
  });

  it('outside a turn, or without a place, is refused and recorded', async () => {
    const stage = await createStage(database);
    const noTurn = await stage.submit('slack_reply', { text: 'x' }, { turn: undefined });
    const noPlace = await stage.submit('slack_reply', { text: 'x' }, { anchor: undefined });
    expect(noTurn).toMatchObject({ kind: 'refused', reason: expect.stringContaining('No turn is running') });
    expect(noPlace).toMatchObject({ kind: 'refused', reason: expect.stringContaining('no place in slack') });
    expect((await rows(stage)).map((row) => row.state)).toEqual(['refused', 'refused']);
  });

  it('waits for a person once people without authority were read, but for reading and replying in the anchor', async () => {
    const stage = await createStage(database);
    await giveMessage(stage, { authority: false, turnId: null, state: 'waiting' });
    expect(await stage.submit('slack_react', { text: 'eyes' })).toMatchObject({ kind: 'queued' });
    await giveMessage(stage, { authority: false });
    const asked = await stage.submit('slack_react', { text: 'tada' });
    expect(asked).toMatchObject({ kind: 'waiting', approvalId: expect.stringMatching(/^apr_/) });
    expect(await stage.action(asked.actionId)).toMatchObject({
      state: 'waiting',
      reason: expect.stringContaining('people without authority'),
    });
    expect(await stage.submit('slack_delete', { text: 'x' })).toMatchObject({ kind: 'refused' });
    expect(await stage.submit('slack_reply', { text: 'x' })).toMatchObject({ kind: 'queued' });
    expect(await stage.submit('slack_read_thread', {})).toMatchObject({ kind: 'perform' });
  });

  it('keeps text that the database cannot, without what makes it so', async () => {
    const stage = await createStage(database);
    const id = await stage.post('a\0b \ud800 \u{1F600} c');
    expect((await stage.action(id)).arguments).toEqual({ text: 'ab \ufffd \u{1F600} c' });
    const huge = await stage.post('x'.repeat(2_000_000));
    expect((await stage.action(huge)).arguments).toEqual({ text: 'x'.repeat(2_000_000) });
  });

  describe('of a resumed turn', () => {
    const second = (stage: Stage) => ({ turn: { id: stage.turnId, attempt: 2 } });

    it('that was sent before is answered from the record, once per time that it was recorded', async () => {
      const stage = await createStage(database);
      const first = await stage.post('same');
      const again = await stage.post('same');
      await stage.send();
      const answers = [];
      for (let n = 0; n < 3; n++)
        answers.push(await stage.submit('slack_reply', { text: 'same' }, second(stage)));
      expect(answers).toMatchObject([
        { kind: 'settled', actionId: first, state: 'sent', text: 'posted 0' },
        { kind: 'settled', actionId: again, state: 'sent', text: 'posted 1' },
        { kind: 'queued' },
      ]);
      await stage.send();
      expect(stage.cloud.texts()).toEqual(['same', 'same', 'same']);
    });

    it('that still waits is joined, and one that failed says so again', async () => {
      const stage = await createStage(database);
      const waiting = await stage.post('one');
      expect(await stage.submit('slack_reply', { text: 'one' }, second(stage))).toEqual({
        kind: 'queued',
        actionId: waiting,
      });
      stage.cloud.behaviours.push({ before: () => new Response('{}', { status: 400 }) });
      await stage.send();
      const third = { turn: { id: stage.turnId, attempt: 3 } };
      expect(await stage.submit('slack_reply', { text: 'one' }, third)).toMatchObject({
        kind: 'settled',
        state: 'failed',
        text: 'channel_is_archived',
      });
      await stage.send();
      expect(stage.cloud.texts()).toEqual([]);
    });

    it('is told apart by tool, arguments and turn; the order of keys and absent ones do not matter', async () => {
      const stage = await createStage(database);
      const one = await stage.submit('slack_reply', { text: 'x', extra: { a: 1, b: [2] }, none: undefined });
      const same = { extra: { b: [2], a: 1 }, text: 'x' };
      expect(await stage.submit('slack_react', same, second(stage))).not.toMatchObject({
        actionId: one.actionId,
      });
      expect(await stage.submit('slack_reply', { text: 'y' }, second(stage))).not.toMatchObject({
        actionId: one.actionId,
      });
      const other = await createStage(database);
      expect(await other.submit('slack_reply', same, second(other))).not.toMatchObject({
        actionId: one.actionId,
      });
      expect(await stage.submit('slack_reply', same, second(stage))).toMatchObject({
        actionId: one.actionId,
      });
    });

    it('and its twin at the same moment take one record each', async () => {
      const stage = await createStage(database);
      const recorded = [await stage.post('same'), await stage.post('same'), await stage.post('same')];
      const taken = await Promise.all(
        recorded.map(() => stage.submit('slack_reply', { text: 'same' }, second(stage))),
      );
      expect(taken.map((each) => each.actionId).sort()).toEqual([...recorded].sort());
    });

    it('is decided anew when it was refused, and read anew when it was a read', async () => {
      const stage = await createStage(database);
      await stage.submit('slack_delete', { text: 'x' });
      const granted = { ...second(stage), grants: { 'message.delete': 'on' } } as const;
      expect(await stage.submit('slack_delete', { text: 'x' }, granted)).toMatchObject({ kind: 'queued' });
      await stage.submit('slack_read_thread', {});
      expect(await stage.submit('slack_read_thread', {}, second(stage))).toMatchObject({ kind: 'perform' });
    });

    it('that has lost its capability meanwhile is refused, not answered', async () => {
      const stage = await createStage(database);
      await stage.post('one');
      const revoked = { ...second(stage), grants: { 'thread.reply': 'off' } } as const;
      expect(await stage.submit('slack_reply', { text: 'one' }, revoked)).toMatchObject({ kind: 'refused' });
    });
  });
});
