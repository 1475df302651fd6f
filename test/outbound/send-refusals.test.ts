import { eq } from 'drizzle-orm';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { resumeSending } from '../../src/outbound/sweep.ts';
import { ProviderError } from '../../src/providers/provider.ts';
import type { Database } from '../../src/store/connection.ts';
import { withOrganization } from '../../src/store/organization.ts';
import { publications } from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/database.ts';
import { createStage, type Stage } from './stage.ts';

describe('the outbox, when the provider does not take it', () => {
  let database: Database;
  let stage: Stage;

  beforeAll(async () => {
    database = (await createTestDatabase()).database;
  });
  beforeEach(async () => {
    stage = await createStage(database);
  });

  const answer = (status: number, headers: Record<string, string> = {}) =>
    new Response('{}', { status, headers });

  it('waits as long as a rate limit says, keeps the order, and lets other anchors go on', async () => {
    const other = await createStage(database);
    const first = await stage.post('one');
    await stage.post('two');
    await other.post('elsewhere');
    stage.cloud.behaviours.push({ before: () => answer(429, { 'retry-after': '30' }) });
    await stage.send();
    await other.send();
    expect(stage.cloud.texts()).toEqual([]);
    expect(other.cloud.texts()).toEqual(['elsewhere']);
    const dueAt = stage.clock.now.getTime() + 30_000;
    expect((await stage.row(first)).notBefore.getTime()).toBe(dueAt);
    expect((await stage.job())?.runAt.getTime()).toBe(dueAt);

    stage.clock.advance(29_999);
    await stage.post('three');
    await stage.send();
    expect(stage.cloud.texts()).toEqual([]);
    expect((await stage.job())?.runAt.getTime()).toBe(dueAt);

    stage.clock.advance(1);
    await stage.send();
    expect(stage.cloud.texts()).toEqual(['one', 'two', 'three']);
    expect(stage.cloud.lookups).toEqual([]);
  });

  it('looks for a post of unknown outcome before it posts again', async () => {
    const arrived = await stage.post('arrived');
    stage.cloud.behaviours.push({ after: () => answer(502) });
    await stage.send();
    expect(await stage.row(arrived)).toMatchObject({ state: 'sending', lastError: 'broken' });
    stage.clock.advance(60_000);
    await stage.send();
    expect(stage.cloud.texts()).toEqual(['arrived']);
    expect(stage.cloud.lookups).toHaveLength(1);
    expect(await stage.action(arrived)).toMatchObject({ state: 'sent', result: { text: 'found 0' } });

    await stage.post('lost');
    stage.cloud.behaviours.push({ before: () => answer(502) });
    await stage.send();
    stage.clock.advance(60_000);
    await stage.send();
    expect(stage.cloud.texts()).toEqual(['arrived', 'lost']);
    expect(stage.cloud.lookups).toHaveLength(2);
  });

  it('still does not know while the looking fails', async () => {
    const id = await stage.post('one');
    stage.cloud.behaviours.push({ after: () => answer(502) });
    await stage.send();
    stage.cloud.lookupError = new ProviderError('rate_limited', 'slow down', { retryAfterMs: 1_000 });
    stage.clock.advance(60_000);
    await stage.send();
    expect(await stage.row(id)).toMatchObject({ state: 'sending' });
    stage.cloud.lookupError = undefined;
    stage.clock.advance(60_000);
    await stage.send();
    expect(stage.cloud.texts()).toEqual(['one']);
  });

  it('sends again without looking where the call is idempotent by itself', async () => {
    await stage.submit('slack_idempotent', { text: 'one' });
    stage.cloud.behaviours.push({ before: () => answer(502) });
    await stage.send();
    stage.clock.advance(60_000);
    await stage.send();
    expect(stage.cloud.texts()).toEqual(['one']);
    expect(stage.cloud.lookups).toEqual([]);
  });

  it('ends a call that takes too long and treats its outcome as unknown', async () => {
    const id = await stage.post('slow');
    stage.cloud.behaviours.push({ after: () => new Promise(() => {}) });
    await stage.send({ limits: { callMs: 50 } });
    expect(await stage.row(id)).toMatchObject({
      state: 'sending',
      lastError: expect.stringContaining('did not answer'),
    });
    stage.clock.advance(60_000);
    await stage.send();
    expect(stage.cloud.texts()).toEqual(['slow']);
  });

  it('records a refusal with the reason and goes on with the next', async () => {
    const refused = await stage.post('one');
    const next = await stage.post('two');
    stage.cloud.behaviours.push({ before: () => answer(400) });
    await stage.send();
    expect(await stage.action(refused)).toMatchObject({
      state: 'failed',
      reason: 'channel_is_archived',
      decision: 'allowed',
    });
    expect(await stage.action(next)).toMatchObject({ state: 'sent' });
  });

  it('says so on the publication when the credential is not accepted, and recovers when it is again', async () => {
    const id = await stage.post('one');
    stage.cloud.behaviours.push({ before: () => answer(401) });
    await stage.send();
    expect(await stage.publication()).toMatchObject({
      state: 'needs_reauth',
      stateReason: 'token_revoked',
    });
    expect(await stage.row(id)).toMatchObject({ state: 'queued' });
    await stage.send();
    expect(stage.cloud.texts()).toEqual([]);

    await withOrganization(database, stage.organizationId, (tx) => resumeSending(tx, stage.publicationId));
    await stage.send();
    expect(stage.cloud.texts()).toEqual(['one']);
    expect(await stage.publication()).toMatchObject({ state: 'live', stateReason: null });
  });

  it('does not raise a publication that was unpublished meanwhile, and does not send for it', async () => {
    const id = await stage.post('one');
    await database
      .update(publications)
      .set({ state: 'unpublished' })
      .where(eq(publications.id, stage.publicationId));
    await stage.send();
    expect(stage.cloud.texts()).toEqual([]);
    expect(await stage.action(id)).toMatchObject({
      state: 'failed',
      reason: expect.stringContaining('unpublished'),
    });
  });

  it('gives up after a day of tries, and the next row goes on; what was never tried is tried however late', async () => {
    const old = await stage.post('one');
    stage.cloud.behaviours.push({ before: () => answer(503) });
    await stage.send();
    stage.clock.advance(25 * 3_600_000);
    const late = await stage.post('two');
    await stage.send();
    expect(await stage.action(old)).toMatchObject({
      state: 'failed',
      reason: expect.stringMatching(/could not be sent for 24 h.*may have arrived/),
    });
    expect(await stage.action(late)).toMatchObject({ state: 'sent' });
  });

  it('does not let an error that is no ProviderError block the anchor for ever', async () => {
    const id = await stage.post('one');
    const next = await stage.post('two');
    stage.cloud.behaviours.push({ before: () => Response.json({ nonsense: true }) });
    await stage.send({ limits: { maxUnexpected: 1 } });
    expect(await stage.action(id)).toMatchObject({ state: 'failed' });
    expect(await stage.action(next)).toMatchObject({ state: 'sent' });
  });

  it('fails a row whose text the leak check holds back, and waits when the check itself is away', async () => {
    const checkOutbound = async (_: string, text: string) =>
      text.includes('hunter2hunter2')
        ? ({ ok: false, reason: 'The text holds a secret of this session.' } as const)
        : ({ ok: true } as const);
    const id = await stage.post('the password is hunter2hunter2');
    await stage.post('fine');
    await stage.send({ checkOutbound });
    expect(await stage.action(id)).toMatchObject({
      state: 'failed',
      reason: expect.stringContaining('secret'),
    });
    expect(stage.cloud.texts()).toEqual(['fine']);

    const waits = await stage.post('later');
    await stage.send({ checkOutbound: () => Promise.reject(new Error('away')) });
    expect(stage.cloud.texts()).toEqual(['fine']);
    expect(await stage.row(waits)).toMatchObject({ state: 'queued' });
  });
});
