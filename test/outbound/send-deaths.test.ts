import { eq } from 'drizzle-orm';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sweepOutbox } from '../../src/outbound/sweep.ts';
import type { Database } from '../../src/store/connection.ts';
import { outbox } from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/database.ts';
import { createStage, gate, type Stage } from './stage.ts';

describe('the outbox, when a worker dies', () => {
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

  it('before the provider was called: it is sent once', async () => {
    const id = await stage.post('one');
    const reached = gate();
    void stage.send({
      limits: { renewEveryMs: 3_600_000 },
      checkOutbound: () => {
        reached.open();
        return new Promise(() => {});
      },
    });
    await reached.opened;
    expect(await stage.row(id)).toMatchObject({ state: 'sending', attempts: 1 });
    await stage.expireLease();
    await stage.send({ workerId: 'worker_b' });
    expect(stage.cloud.texts()).toEqual(['one']);
    expect(stage.cloud.lookups).toHaveLength(1);
    expect(await stage.row(id)).toMatchObject({ state: 'sent', attempts: 2 });
  });

  it('after the call and before our record of it: it is found, not sent again, and the loser cannot write', async () => {
    const id = await stage.post('one');
    const next = await stage.post('two');
    const reached = gate();
    const wakes = gate();
    stage.cloud.behaviours.push({
      after: async () => {
        reached.open();
        await wakes.opened;
        return answer(400);
      },
    });
    const loser = stage.send({ limits: { renewEveryMs: 3_600_000 } });
    await reached.opened;
    await stage.expireLease();
    await stage.send({ workerId: 'worker_b' });
    wakes.open();
    await loser;
    expect(stage.cloud.texts()).toEqual(['one', 'two']);
    expect(await stage.action(id)).toMatchObject({ state: 'sent', result: { text: 'found 0' } });
    expect(await stage.action(next)).toMatchObject({ state: 'sent' });
  });

  it('after its record: nothing is sent again', async () => {
    await stage.post('one');
    const held = gate();
    const reached = gate();
    const second = await stage.post('two');
    stage.cloud.behaviours.push(
      {},
      {
        before: async () => {
          reached.open();
          await held.opened;
          return undefined;
        },
      },
    );
    void stage.send({ limits: { renewEveryMs: 3_600_000 } });
    await reached.opened;
    await stage.expireLease();
    await stage.send({ workerId: 'worker_b' });
    expect(stage.cloud.texts()).toEqual(['one', 'two']);
    expect(await stage.action(second)).toMatchObject({ state: 'sent' });
  });

  it('and wakes up again: its open request is cut off as soon as it learns that it lost the lease', async () => {
    await stage.post('one');
    const reached = gate();
    stage.cloud.behaviours.push({
      before: () => {
        reached.open();
        return new Promise(() => {});
      },
    });
    const loser = stage.send({ limits: { renewEveryMs: 20 } });
    await reached.opened;
    // Another takes it in one step, so that no renewal comes between.
    await database.execute(
      `update anchors set lease_worker_id = 'worker_b', lease_fence = lease_fence + 1 where id = '${stage.anchorId}'`,
    );
    await loser;
    expect(stage.cloud.texts()).toEqual([]);
    expect(await stage.anchor()).toMatchObject({ leaseWorkerId: 'worker_b' });
  });

  it('a live lease is left alone, and a job comes when it runs out', async () => {
    await stage.post('one');
    const reached = gate();
    const held = gate();
    stage.cloud.behaviours.push({
      before: async () => {
        reached.open();
        await held.opened;
        return undefined;
      },
    });
    const holder = stage.send();
    await reached.opened;
    await stage.send({ workerId: 'worker_b' });
    expect(stage.cloud.texts()).toEqual([]);
    const until = (await stage.anchor()).leaseExpiresAt;
    expect(until).not.toBeNull();
    expect((await stage.job())?.runAt.getTime()).toBeGreaterThan(Date.now());
    held.open();
    await holder;
    expect(stage.cloud.texts()).toEqual(['one']);
  });

  it('the sweep brings its rows back, in every organization, and leaves what is done alone', async () => {
    const own = await createTestDatabase();
    const [one, two, done] = [
      await createStage(own.database),
      await createStage(own.database),
      await createStage(own.database),
    ];
    await one.post('one');
    await two.post('two');
    await done.post('done');
    await done.send();
    await own.database.execute('delete from graphile_worker._private_jobs');
    expect(await sweepOutbox(own.database)).toBe(2);
    expect(await sweepOutbox(own.database)).toBe(0);
    expect(await one.job()).toBeDefined();
    expect(await two.job()).toBeDefined();
    expect(await done.job()).toBeUndefined();
    const jobs = await own.database.execute('select 1 from graphile_worker._private_jobs');
    expect(jobs.rows).toHaveLength(2);
  });

  it('the sweep brings forward what waits for the lease of a worker that was buried', async () => {
    const own = await createTestDatabase();
    const held = await createStage(own.database);
    await held.post('one');
    await own.database.execute(
      `update anchors set lease_worker_id = 'worker_x', lease_expires_at = now() + interval '1 hour'`,
    );
    await held.send();
    expect((await held.job())?.runAt.getTime()).toBeGreaterThan(Date.now() + 3_000_000);
    await own.database.execute('update anchors set lease_worker_id = null, lease_expires_at = null');
    expect(await sweepOutbox(own.database)).toBe(1);
    expect((await held.job())?.runAt.getTime()).toBeLessThan(Date.now() + 1_000_000);
  });

  it('the sweep does not hurry what waits for its time', async () => {
    const own = await createTestDatabase();
    const waiting = await createStage(own.database);
    await waiting.post('one');
    waiting.cloud.behaviours.push({ before: () => answer(429, { 'retry-after': '3600' }) });
    await waiting.send();
    expect(await sweepOutbox(own.database)).toBe(0);
    await own.database.execute('delete from graphile_worker._private_jobs');
    expect(await sweepOutbox(own.database)).toBe(1);
    expect((await waiting.job())?.runAt.getTime()).toBe(waiting.clock.now.getTime() + 3_600_000);
  });

  it('keeps effectively once under many workers, failures and deaths at random', async () => {
    const total = 30;
    for (let n = 0; n < total; n++) await stage.post(`row ${n}`);
    let seed = 7;
    const random = () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed / 2_147_483_648;
    };
    let died = gate();
    const die = async () => {
      await stage.expireLease();
      died.open();
      return new Promise<never>(() => {});
    };
    stage.cloud.always = {
      before: () => {
        const dice = random();
        if (dice < 0.1) return die();
        if (dice < 0.2) return answer(502);
        return dice < 0.3 ? answer(429, { 'retry-after': '0' }) : undefined;
      },
      after: () => {
        const dice = random();
        if (dice < 0.1) return die();
        return dice < 0.3 ? answer(502) : undefined;
      },
    };
    for (let round = 0; round < 200; round++) {
      stage.clock.advance(60_000);
      died = gate();
      const limits = { renewEveryMs: 3_600_000 };
      const sends = ['worker_a', 'worker_b'].map((workerId) => stage.send({ workerId, limits }));
      await Promise.race([Promise.all(sends), died.opened]);
      const open = await database.select().from(outbox).where(eq(outbox.anchorId, stage.anchorId));
      if (open.every((row) => row.state === 'sent')) break;
    }
    expect(stage.cloud.texts()).toEqual(Array.from({ length: total }, (_, n) => `row ${n}`));
  });
});
