import { eq, sql } from 'drizzle-orm';
import { beforeEach, describe, expect, it } from 'vitest';
import { acquireLease } from '../../src/sessions/lease.ts';
import { beat, buryDeadWorkers, wakeStranded } from '../../src/sessions/sweep.ts';
import type { Database } from '../../src/store/connection.ts';
import { newId } from '../../src/store/ids.ts';
import {
  messages,
  type PublicationState,
  publications,
  sessions,
  turns,
  workers,
} from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';

let database: Database;
let fixture: Fixture;
const self = { workerId: 'worker_self', host: 'here', pid: process.pid };
const other = { workerId: 'worker_other', host: 'here', pid: 4_000_000 };

beforeEach(async () => {
  database = (await createTestDatabase()).database;
  fixture = await createFixture(database);
});

const known = async () => (await database.select().from(workers)).map((worker) => worker.id);
const leaseHolder = async () =>
  (await database.select().from(sessions).where(eq(sessions.id, fixture.sessionId)))[0]?.leaseWorkerId;

describe('buryDeadWorkers', () => {
  it('takes over at once from a process of this host that is gone', async () => {
    await beat(database, other, ['worker-x']);
    await acquireLease(database, fixture.organizationId, fixture.sessionId, other.workerId);
    await database.execute(sql`select graphile_worker.add_job('turn', '{}'::json)`);
    await database.execute(
      sql`update graphile_worker._private_jobs set locked_at = now(), locked_by = 'worker-x'`,
    );
    expect(await buryDeadWorkers(database, self, () => false)).toBe(1);
    expect(await known()).toEqual([]);
    expect(await leaseHolder()).toBeNull();
    const jobs = await database.execute(sql`select locked_by from graphile_worker.jobs`);
    expect(jobs.rows).toEqual([{ locked_by: null }]);
  });

  it('leaves a worker alone whose process runs and whose heart beats', async () => {
    await beat(database, other, []);
    await acquireLease(database, fixture.organizationId, fixture.sessionId, other.workerId);
    expect(await buryDeadWorkers(database, self, () => true)).toBe(0);
    expect(await leaseHolder()).toBe(other.workerId);
  });

  it('believes the silence of a worker on another host, and nothing else', async () => {
    await beat(database, { ...other, host: 'elsewhere' }, []);
    expect(await buryDeadWorkers(database, self, () => false)).toBe(0);
    await database.update(workers).set({ heartbeatAt: new Date(Date.now() - 60_000) });
    expect(await buryDeadWorkers(database, self, () => true)).toBe(1);
  });

  it('knows that an earlier process with our own process id is not us', async () => {
    await beat(database, { ...other, pid: self.pid }, []);
    expect(await buryDeadWorkers(database, self, () => true)).toBe(1);
  });
});

describe('wakeStranded', () => {
  const turnJobs = async () =>
    (await database.execute(sql`select key from graphile_worker.jobs where task_identifier = 'turn'`)).rows;

  it('finds a turn that nobody runs', async () => {
    const { organizationId, sessionId } = fixture;
    await database.insert(turns).values({ id: newId('turn'), organizationId, sessionId, fence: 1 });
    expect(await wakeStranded(database)).toBe(1);
    expect(await turnJobs()).toEqual([{ key: `turn:${sessionId}` }]);
    expect(await wakeStranded(database)).toBe(0);
  });

  it('finds messages that were left waiting, but not those that just came', async () => {
    const { organizationId, sessionId } = fixture;
    const message = (createdAt: Date) => ({
      id: newId('msg'),
      organizationId,
      sessionId,
      externalKey: newId('msg'),
      author: { id: 'U1', kind: 'person' as const },
      authority: true,
      body: 'hi',
      createdAt,
    });
    await database.insert(messages).values(message(new Date()));
    expect(await wakeStranded(database)).toBe(0);
    await database.insert(messages).values(message(new Date(Date.now() - 30_000)));
    expect(await wakeStranded(database)).toBe(1);
  });

  it('finds what waited for its publication once that is live again, and not before', async () => {
    const { organizationId, sessionId, anchorId, publicationId } = fixture;
    await database.insert(messages).values({
      ...{ id: newId('msg'), organizationId, sessionId, anchorId, publicationId, externalKey: newId('msg') },
      author: { id: 'U1', kind: 'person' },
      authority: true,
      body: 'hi',
      createdAt: new Date(Date.now() - 30_000),
    });
    const becomes = (state: PublicationState) => database.update(publications).set({ state });
    for (const state of ['suspended', 'needs_reauth'] as const) {
      await becomes(state);
      expect(await wakeStranded(database)).toBe(0);
    }
    await becomes('live');
    expect(await wakeStranded(database)).toBe(1);
  });

  it('leaves a session alone that a worker holds', async () => {
    const { organizationId, sessionId } = fixture;
    await database.insert(turns).values({ id: newId('turn'), organizationId, sessionId, fence: 1 });
    await acquireLease(database, organizationId, sessionId, 'worker_1');
    expect(await wakeStranded(database)).toBe(0);
  });
});
