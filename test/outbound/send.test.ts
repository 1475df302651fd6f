import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSendJob } from '../../src/outbound/send.ts';
import { sessionPort } from '../../src/sessions/session-port.ts';
import type { Database } from '../../src/store/connection.ts';
import { createTestDatabase } from '../support/database.ts';
import { cloudAdapters } from './cloud.ts';
import { createStage, giveMessage, type Stage, silent } from './stage.ts';

describe('the outbox', () => {
  let database: Database;
  let stage: Stage;

  beforeAll(async () => {
    database = (await createTestDatabase()).database;
  });
  beforeEach(async () => {
    stage = await createStage(database);
  });

  it('sends what waits in one anchor in the order in which it was submitted, each with its own mark', async () => {
    const ids = [];
    for (const text of ['one', 'two', 'three']) ids.push(await stage.post(text));
    await stage.send();
    expect(stage.cloud.texts()).toEqual(['one', 'two', 'three']);
    expect(new Set(stage.cloud.posts.map((post) => post.mark)).size).toBe(3);
    expect(stage.cloud.posts[0]).toMatchObject({
      token: stage.installationId,
      thread: '1700000000.000100',
      mark: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-4/),
    });
    for (const [index, id] of ids.entries()) {
      expect(await stage.action(id)).toMatchObject({
        state: 'sent',
        result: { text: `posted ${index}`, ref: { id: String(index) } },
      });
      expect(await stage.row(id)).toMatchObject({ state: 'sent', attempts: 1, sentAt: expect.any(Date) });
    }
    expect(await stage.anchor()).toMatchObject({ leaseWorkerId: null, leaseExpiresAt: null });
  });

  it('does nothing when the job comes twice', async () => {
    await stage.post('one');
    await stage.send();
    await stage.send();
    await stage.send({ workerId: 'worker_b' });
    expect(stage.cloud.texts()).toEqual(['one']);
  });

  it('does nothing for an anchor that is gone or belongs to another organization', async () => {
    const other = await createStage(database);
    await other.post('one');
    const job = createSendJob({
      database,
      sessions: sessionPort,
      adapters: cloudAdapters(other.cloud),
      platformFetch: other.cloud.platformFetch,
      workerId: 'worker_a',
      clock: other.clock.read,
      logger: silent,
    });
    await job({ organizationId: stage.organizationId, anchorId: other.anchorId });
    await job({ organizationId: stage.organizationId, anchorId: 'anchor_0' });
    expect(other.cloud.texts()).toEqual([]);
    expect(await other.anchor()).toMatchObject({ leaseWorkerId: null, leaseFence: 0 });
  });

  it('gives the tool the message that the turn was about', async () => {
    await giveMessage(stage, { place: { channel: 'C1', ts: '5.5' } });
    await stage.submit('slack_react', { text: 'eyes' });
    await giveMessage(stage, { place: { channel: 'C1', ts: '9.9' } });
    await stage.send();
    expect(stage.cloud.posts[0]?.message).toBe('5.5');
  });

  it('two workers on one anchor send each row once', async () => {
    for (let n = 0; n < 10; n++) await stage.post(`row ${n}`);
    await Promise.all(
      ['worker_a', 'worker_b', 'worker_c', 'worker_d'].map((workerId) => stage.send({ workerId })),
    );
    // Whoever came too late asked for a job at the end of the holder's lease.
    await stage.send();
    expect(stage.cloud.texts()).toEqual(Array.from({ length: 10 }, (_, n) => `row ${n}`));
  });

  it('sends what is submitted while it sends', async () => {
    await stage.post('one');
    stage.cloud.behaviours.push({
      after: async () => {
        await stage.post('two');
        return undefined;
      },
    });
    await stage.send();
    expect(stage.cloud.texts()).toEqual(['one', 'two']);
  });

  it('gives way after so many rows and asks to come again', async () => {
    for (const text of ['one', 'two', 'three']) await stage.post(text);
    await stage.send({ limits: { maxRowsPerJob: 2 } });
    expect(stage.cloud.texts()).toEqual(['one', 'two']);
    expect(await stage.job()).toBeDefined();
    expect(await stage.anchor()).toMatchObject({ leaseWorkerId: null });
    await stage.send();
    expect(stage.cloud.texts()).toEqual(['one', 'two', 'three']);
  });
});
