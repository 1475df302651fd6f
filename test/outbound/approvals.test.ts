import { eq } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import { expireApprovals } from '../../src/outbound/approvals/sweep.ts';
import { sessionPort } from '../../src/sessions/session-port.ts';
import type { Database } from '../../src/store/connection.ts';
import {
  actions,
  approvals,
  approvalVotes,
  messages,
  publications,
  sessionEvents,
} from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/database.ts';
import { cloudAdapters } from './cloud.ts';
import { ask, createStage, giveMessage, type Stage, voteOn } from './stage.ts';

let database: Database;
beforeAll(async () => {
  database = (await createTestDatabase()).database;
});

/** A stage whose turn is about the words of U1. */
async function asked(policy: Record<string, unknown> = {}): Promise<Stage> {
  const stage = await createStage(database, { policy: { approvals: policy } });
  await giveMessage(stage);
  return stage;
}

const rowOf = async (id: string) =>
  (await database.select().from(approvals).where(eq(approvals.id, id)))[0] ?? expect.fail('no approval');
const told = (stage: Stage) =>
  database.select().from(messages).where(eq(messages.sessionId, stage.sessionId)).orderBy(messages.createdAt);
const eventsOf = async (stage: Stage) =>
  (await database.select().from(sessionEvents).where(eq(sessionEvents.sessionId, stage.sessionId))).filter(
    (event) => event.type === 'tagalong.approval_decided',
  );
const done = (stage: Stage) =>
  stage.cloud.posts.filter(({ tool }) => tool === 'slack_canvas').map(({ text }) => text);

describe('an action on ask', () => {
  it('does nothing but ask: its bytes are stored and the question is on its way', async () => {
    const stage = await asked();
    const { approvalId, actionId } = await ask(stage, 'plans');
    expect(await stage.action(actionId)).toMatchObject({
      state: 'waiting',
      decision: 'waiting_for_approval',
      arguments: { text: 'plans' },
    });
    await stage.send();
    expect(stage.cloud.posts.map(({ tool }) => tool)).toEqual(['ask_approval']);
    expect(await rowOf(approvalId)).toMatchObject({
      state: 'waiting',
      askers: [{ id: 'U1' }],
      shown: expect.stringContaining('text: plans'),
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });

  it('is the same request while it waits; one letter more makes another', async () => {
    const stage = await asked();
    const first = await ask(stage, 'plans');
    expect(await ask(stage, 'plans')).toEqual(first);
    expect((await ask(stage, 'plans!')).approvalId).not.toBe(first.approvalId);
  });

  it('is refused where ten wait already, and where it is too long to be shown whole', async () => {
    const stage = await asked();
    expect(await stage.submit('slack_canvas', { text: 'x'.repeat(13_000) })).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('too long to be shown'),
    });
    for (let n = 0; n < 10; n++) await ask(stage, `plan ${n}`);
    expect(await stage.submit('slack_canvas', { text: 'one more' })).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('wait in this session already'),
    });
  });

  it('approved, is sent once and wakes the agent with the result; the question shows its outcome', async () => {
    const stage = await asked();
    const { approvalId, actionId } = await ask(stage, 'plans');
    expect(await voteOn(stage, approvalId)).toMatchObject({ kind: 'approved', reason: 'Approved by Maya.' });
    await stage.send();
    await stage.send();
    expect(stage.cloud.posts.map(({ tool }) => tool)).toEqual([
      'ask_approval',
      'slack_canvas',
      'close_approval',
    ]);
    expect(await stage.action(actionId)).toMatchObject({ state: 'sent', decision: 'allowed' });
    expect((await told(stage)).at(-1)).toMatchObject({
      body: expect.stringMatching(/Approved by Maya.*posted 1/),
      wakes: true,
      authority: true,
      anchorId: stage.anchorId,
    });
    expect(await eventsOf(stage)).toMatchObject([
      { payload: { approval_id: approvalId, state: 'approved' } },
    ]);
  });

  it('rejected, is never sent, and the agent is woken to know', async () => {
    const stage = await asked();
    const { approvalId, actionId } = await ask(stage, 'plans');
    expect(await voteOn(stage, approvalId, { decision: 'reject' })).toMatchObject({ kind: 'rejected' });
    await stage.send();
    expect(done(stage)).toEqual([]);
    expect(await stage.action(actionId)).toMatchObject({ state: 'refused', reason: 'Rejected by Maya.' });
    expect((await told(stage)).at(-1)).toMatchObject({
      body: expect.stringContaining('Rejected by Maya'),
      wakes: true,
    });
  });

  it('whose provider fails wakes the agent with that', async () => {
    const stage = await asked();
    const { approvalId } = await ask(stage, 'plans');
    await stage.send();
    await voteOn(stage, approvalId);
    stage.cloud.behaviours.push({ before: () => new Response('{}', { status: 400 }) });
    await stage.send();
    expect((await told(stage)).at(-1)?.body).toMatch(/failed all the same.*channel_is_archived/);
  });
});

describe('a word on a request does not count', () => {
  it.each([
    ['by who asked', { voter: { id: 'U1', kind: 'person', hasAuthority: true } }, 'asker'],
    ['by a bot', { voter: { id: 'B2', kind: 'bot', hasAuthority: true } }, 'bot'],
    [
      'by a person without authority',
      { voter: { id: 'U9', kind: 'person', hasAuthority: false } },
      'not_an_approver',
    ],
    ['from another place, where other people have authority', { anchorId: 'anchor_other' }, 'unknown'],
  ] as const)('%s', async (_, over, code) => {
    const stage = await asked();
    const { approvalId } = await ask(stage, 'plans');
    expect(await voteOn(stage, approvalId, over)).toMatchObject({ kind: 'refused', code });
    await stage.send();
    expect(done(stage)).toEqual([]);
    expect(await rowOf(approvalId)).toMatchObject({ state: 'waiting' });
  });

  it('for an id that is one letter off', async () => {
    const stage = await asked();
    const { approvalId } = await ask(stage, 'plans');
    const off = approvalId.slice(0, -1) + (approvalId.endsWith('a') ? 'b' : 'a');
    expect(await voteOn(stage, off)).toMatchObject({ kind: 'refused', code: 'unknown' });
  });

  it('after it expired, by the clock or by the sweep; the agent learns of it without being woken', async () => {
    const stage = await asked();
    const late = await ask(stage, 'late');
    const swept = await ask(stage, 'swept');
    stage.clock.advance(61 * 60_000);
    expect(await voteOn(stage, late.approvalId)).toMatchObject({ kind: 'refused', code: 'expired' });
    await expireApprovals(
      database,
      { adapters: cloudAdapters(stage.cloud), sessions: sessionPort },
      stage.clock.read(),
    );
    for (const { approvalId, actionId } of [late, swept]) {
      expect(await rowOf(approvalId)).toMatchObject({ state: 'expired' });
      expect(await stage.action(actionId)).toMatchObject({ state: 'refused' });
      expect(await voteOn(stage, approvalId)).toMatchObject({ kind: 'refused', code: 'already_decided' });
    }
    expect((await told(stage)).slice(1).map(({ wakes }) => wakes)).toEqual([false, false]);
    await stage.send();
    expect(done(stage)).toEqual([]);
  });

  it('when the stored action is not what people were shown, by one byte', async () => {
    const stage = await asked();
    const { approvalId, actionId } = await ask(stage, 'plans');
    await database
      .update(actions)
      .set({ arguments: { text: 'plans.' } })
      .where(eq(actions.id, actionId));
    expect(await voteOn(stage, approvalId)).toMatchObject({ kind: 'refused', code: 'changed' });
    await stage.send();
    expect(done(stage)).toEqual([]);
  });

  it('and what is changed between the decision and the sending is not sent', async () => {
    const stage = await asked();
    const { approvalId, actionId } = await ask(stage, 'plans');
    await voteOn(stage, approvalId);
    await database
      .update(actions)
      .set({ arguments: { text: 'plan' } })
      .where(eq(actions.id, actionId));
    await stage.send();
    expect(done(stage)).toEqual([]);
    expect(await stage.action(actionId)).toMatchObject({
      state: 'failed',
      reason: expect.stringContaining('not what people approved'),
    });
  });

  it('when the capability was taken away meanwhile', async () => {
    const stage = await asked();
    const { approvalId } = await ask(stage, 'plans');
    await database
      .update(publications)
      .set({ capabilities: { 'canvas.write': 'off' } })
      .where(eq(publications.id, stage.publicationId));
    expect(await voteOn(stage, approvalId)).toMatchObject({ kind: 'refused', code: 'no_longer_granted' });
    await stage.send();
    expect(done(stage)).toEqual([]);
  });
});

describe('several words on a request', () => {
  it('by two people at once: one decides, and it is sent once', async () => {
    const stage = await asked();
    const { approvalId } = await ask(stage, 'plans');
    const voters = ['U2', 'U3', 'U4'].map((id) => ({ id, kind: 'person', hasAuthority: true }) as const);
    const outcomes = await Promise.all(voters.map((voter) => voteOn(stage, approvalId, { voter })));
    expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['approved', 'refused', 'refused']);
    await stage.send();
    expect(done(stage)).toEqual(['plans']);
  });

  it('of which two are needed: not the same person twice, and one rejection ends it', async () => {
    const stage = await asked({ needed: 2 });
    const { approvalId } = await ask(stage, 'plans');
    expect(await voteOn(stage, approvalId)).toMatchObject({ kind: 'counted' });
    expect(await voteOn(stage, approvalId)).toMatchObject({ kind: 'refused', code: 'twice' });
    await stage.send();
    expect(done(stage)).toEqual([]);
    const jonas = { id: 'U3', name: 'Jonas', kind: 'person', hasAuthority: true } as const;
    expect(await voteOn(stage, approvalId, { voter: jonas })).toMatchObject({
      reason: 'Approved by Maya, Jonas.',
    });
    await stage.send();
    expect(done(stage)).toEqual(['plans']);

    const other = await ask(stage, 'other');
    await voteOn(stage, other.approvalId);
    expect(await voteOn(stage, other.approvalId, { voter: jonas, decision: 'reject' })).toMatchObject({
      kind: 'rejected',
    });
    expect(
      await database.select().from(approvalVotes).where(eq(approvalVotes.approvalId, other.approvalId)),
    ).toHaveLength(2);
  });

  it('by the list of approvers only, who may be the asker where the policy says so', async () => {
    const stage = await asked({ approvers: ['U1', '@Jonas'], self: true });
    const { approvalId } = await ask(stage, 'plans');
    expect(await voteOn(stage, approvalId)).toMatchObject({ code: 'not_an_approver' });
    // A display name is everybody's own choice and counts for nothing.
    const impostor = { id: 'U5', name: 'jonas', kind: 'person', hasAuthority: true } as const;
    expect(await voteOn(stage, approvalId, { voter: impostor })).toMatchObject({ code: 'not_an_approver' });
    const asker = { id: 'U1', kind: 'person', hasAuthority: true } as const;
    expect(await voteOn(stage, approvalId, { voter: asker })).toMatchObject({ kind: 'approved' });
    const byHandle = await ask(stage, 'more');
    const jonas = { id: 'U3', handle: 'jonas', kind: 'person', hasAuthority: false } as const;
    expect(await voteOn(stage, byHandle.approvalId, { voter: jonas })).toMatchObject({ kind: 'approved' });
  });

  it('who asked may take it back, and stays the asker of what follows from the outcome', async () => {
    const stage = await asked();
    const { approvalId } = await ask(stage, 'plans');
    const asker = { id: 'U1', name: 'Ada', kind: 'person', hasAuthority: true } as const;
    expect(await voteOn(stage, approvalId, { voter: asker, decision: 'reject' })).toMatchObject({
      kind: 'rejected',
    });
    await database.delete(messages).where(eq(messages.turnId, stage.turnId));
    await database
      .update(messages)
      .set({ turnId: stage.turnId })
      .where(eq(messages.sessionId, stage.sessionId));
    const again = await ask(stage, 'plans, again');
    expect(await voteOn(stage, again.approvalId, { voter: asker })).toMatchObject({ code: 'asker' });
  });
});
