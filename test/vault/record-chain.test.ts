import { EventEmitter } from 'node:events';
import { eq, sql } from 'drizzle-orm';
import type { from } from 'pg-copy-streams';
import { beforeEach, describe, expect, it } from 'vitest';
import { describeRecords } from '../../src/cli/verify-records.ts';
import type { Database } from '../../src/store/connection.ts';
import { egressRecords, organizations } from '../../src/store/schema.ts';
import { databaseWriter } from '../../src/vault/egress/record-writer.ts';
import { Recorder } from '../../src/vault/egress/records.ts';
import { verifyRecords } from '../../src/vault/record-verification.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { recordKey, rootKey, silent } from './support/egress.ts';
import { makeRecord } from './support/records.ts';

let database: Database;
let organizationId: string;
beforeEach(async () => {
  database = (await createTestDatabase()).database;
  ({ organizationId } = await createFixture(database));
});

/** Writes as many rows as asked, in a chain of its own. */
async function writeRows(count: number): Promise<void> {
  const write = databaseWriter(database, recordKey);
  for (let i = 0; i < count; i++) {
    const usage = { model: 'm"\\', inputTokens: 1, outputTokens: null, cachedTokens: 0, writtenTokens: null };
    await write([
      makeRecord({ organizationId, path: `/${i}`, bytesDown: 5e9 }),
      makeRecord({ organizationId, path: '/é"{}\\', status: null }),
      makeRecord({ organizationId, usage: { ...usage, stopReason: 'end' }, credential: 'c' }),
    ]);
  }
}

/** A database whose connection breaks before it takes what is copied in (`away`), or after it took it (`cut`). */
function troubled(database: Database, next: () => string | undefined): Database {
  const lost = Object.assign(new Error('gone'), { code: 'ECONNREFUSED' });
  const connect = async () => {
    const fate = next();
    if (fate === 'away') throw lost;
    const client = await database.$client.connect();
    if (fate !== 'cut') return client;
    const query = (copy: ReturnType<typeof from>) => {
      const told = new EventEmitter();
      client.query(copy).once('finish', () => told.emit('error', lost));
      copy.once('error', (error) => told.emit('error', error));
      return Object.assign(told, { end: (rows: Buffer) => copy.end(rows) });
    };
    return { query, release: (broken: boolean) => client.release(broken) };
  };
  return { $client: { connect } } as unknown as Database;
}

describe('records in their chains', () => {
  it('are as they were written, in several processes and organizations', async () => {
    await writeRows(3);
    await writeRows(2);
    const other = await createFixture(database);
    await databaseWriter(database, recordKey)([makeRecord({ organizationId: other.organizationId })]);
    const found = await verifyRecords(database, rootKey);
    expect(found).toEqual({
      ...{ requests: 5 * 3 + 1, chains: 3, unsealed: 0, foreign: 0 },
      ...{ faults: [], faultCount: 0 },
    });
    expect(describeRecords(found)).toBe('✓ 16 requests in 3 chains: all as they were written.\n');
  });

  const changes: [string, string][] = [
    ['a host', "host = 'elsewhere'"],
    ['a path', "paths[1] = '/other'"],
    [
      'the order of paths',
      'paths = (select array_agg(p order by i desc) from unnest(paths) with ordinality u (p, i))',
    ],
    ['a time', "at = at + interval '1 millisecond'"],
    ['an offset', 'offsets_ms[1] = 1'],
    ['a status', 'statuses[1] = 403'],
    ['a size', 'bytes_down[1] = 1'],
    ['a duration', 'durations_ms[1] = 7'],
    ['a decision', "decision = 'refused'"],
    ['a credential', "credential = 'none'"],
    ['whose it is', "organization_id = 'org_other'"],
    ['which session', "session_id = 'sesn_other'"],
    ['an identifier', "id = id || '0'"],
    ['a count of tokens', 'input_tokens = 3'],
  ];
  it.for(changes)('show that %s was changed', async ([, assignment]) => {
    await writeRows(3);
    const [row] = await database.select().from(egressRecords).where(eq(egressRecords.number, 3));
    await database.execute(sql.raw(`update egress_records set ${assignment} where number = 3`));
    const found = await verifyRecords(database, rootKey);
    expect(found.faults).toMatchObject([{ kind: 'changed', chain: row?.chain }]);
  });

  it('show that one was taken out, put in, swapped with another, or brought from another chain', async () => {
    await writeRows(4);
    const kinds = async () => (await verifyRecords(database, rootKey)).faults.map(({ kind }) => kind);
    const rows = await database.select().from(egressRecords).orderBy(egressRecords.number);
    const third = rows[2] ?? expect.fail();
    const is = (number: number) => eq(egressRecords.number, number);
    await database.delete(egressRecords).where(is(3));
    expect(await kinds()).toEqual(['missing']);
    expect(describeRecords(await verifyRecords(database, rootKey))).toMatch(
      /^✗ \d+ requests in 1 chain as they were written, but 1 row of egress_records not:\n✗ egr_\w+ of org_\w+ follows on a gap: what was written before it is gone\.\n$/,
    );
    await database.insert(egressRecords).values({ ...third, number: 19, id: 'egr_forged' });
    expect(await kinds()).toEqual(['missing', 'missing']);
    await database.delete(egressRecords).where(is(19));
    await database.insert(egressRecords).values(third);
    expect(await kinds()).toEqual([]);
    await database.update(egressRecords).set({ number: 30 }).where(is(3));
    await database.update(egressRecords).set({ number: 3 }).where(is(4));
    await database.update(egressRecords).set({ number: 4 }).where(is(30));
    expect(await kinds()).toEqual(['changed', 'changed', 'changed']);
    await database.delete(egressRecords);
    await writeRows(1);
    await writeRows(1);
    const [one, two] = await database.selectDistinct({ chain: egressRecords.chain }).from(egressRecords);
    await database.delete(egressRecords).where(eq(egressRecords.chain, two?.chain ?? ''));
    await database
      .update(egressRecords)
      .set({ chain: 'another' })
      .where(eq(egressRecords.chain, one?.chain ?? ''));
    expect(await kinds()).toContain('changed');
  });

  it('tell what has no seal or one of another key apart', async () => {
    await writeRows(2);
    const other = await verifyRecords(database, Buffer.alloc(32, 9));
    expect(other).toMatchObject({ requests: 0, foreign: 4, faultCount: 0 });
    expect(describeRecords(other)).toMatch(/! Sealed with another key, .*: 4 rows\./);
    expect(await verifyRecords(database, [Buffer.alloc(32, 9), rootKey])).toMatchObject({
      requests: 6,
      foreign: 0,
    });
    await database.update(egressRecords).set({ seal: null });
    expect(await verifyRecords(database, rootKey)).toMatchObject({ requests: 0, unsealed: 4 });
  });

  it('show that the newest were changed and given a seal of another key', async () => {
    await writeRows(3);
    await database.execute(
      sql`update egress_records set host = 'elsewhere', seal = 'er1-another.' || split_part(seal, '.', 2) where number >= 4`,
    );
    expect(await verifyRecords(database, rootKey)).toMatchObject({
      foreign: 0,
      faults: [4, 5, 6].map(() => ({ kind: 'changed' })),
    });
  });

  it('hold when the database took a batch and could not say so, refused one, or was away for a while', async () => {
    const plan = ['cut', 'away', 'away', 'store', 'cut', 'cut', 'store', 'away'];
    const write = databaseWriter(
      troubled(database, () => plan.shift()),
      recordKey,
    );
    const recorder = new Recorder({ write, logger: silent, flushMs: 60_000 });
    let made = 0;
    for (let batch = 0; batch < 9; batch++) {
      for (let i = 0; i < 3; i++)
        recorder.add(makeRecord({ organizationId, host: `h${i % 2}`, path: `/${made++}` }));
      // One that the database refuses for what it is.
      if (batch === 5) recorder.add(makeRecord({ organizationId, durationMs: Number.NaN }));
      await recorder.flush();
    }
    await recorder.stop();
    expect(await verifyRecords(database, rootKey)).toMatchObject({
      requests: made,
      chains: 1,
      faultCount: 0,
    });
  });

  it('go with their organization, and leave those of others whole', async () => {
    const other = await createFixture(database);
    const write = databaseWriter(database, recordKey);
    for (let i = 0; i < 3; i++)
      await write([makeRecord({ organizationId }), makeRecord({ organizationId: other.organizationId })]);
    await database.delete(organizations).where(eq(organizations.id, other.organizationId));
    expect(await verifyRecords(database, rootKey)).toMatchObject({ requests: 3, chains: 1, faultCount: 0 });
  });
});
