import { expect, it } from 'vitest';
import { newestEgressRequests } from '../../src/store/egress-requests.ts';
import { withOrganization } from '../../src/store/organization.ts';
import { egressRecords, egressRequests } from '../../src/store/schema.ts';
import { groupRecords } from '../../src/vault/egress/record-groups.ts';
import { databaseWriter } from '../../src/vault/egress/record-writer.ts';
import { type EgressRecord, Recorder } from '../../src/vault/egress/records.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { recordKey, silent } from './support/egress.ts';
import { Chance } from './support/mutations.ts';
import { makeRecord } from './support/records.ts';

const startedMs = Date.UTC(2026, 0, 2);

it('puts alike neighbours together, whatever stands between them, in the order in which they began', () => {
  const at = (ms: number, more: Partial<EgressRecord> = {}) =>
    makeRecord({ at: new Date(startedMs + ms), path: `/${ms}`, ...more });
  const groups = groupRecords([
    at(5),
    at(1),
    at(2, { host: 'other' }),
    at(3, { status: 404 }),
    at(70_000),
    at(4, { decision: 'refused' }),
  ]);
  expect(groups.map(({ paths }) => paths)).toEqual([['/1', '/3', '/5'], ['/70000'], ['/2'], ['/4']]);
  expect(groups[0]).toMatchObject({
    at: new Date(startedMs + 1),
    offsetsMs: [0, 2, 4],
    statuses: [200, 404, 200],
  });
});

it('gives the same groups and identifiers when the same records are given again', () => {
  const records = Array.from({ length: 40 }, (_, i) =>
    makeRecord({ host: `h${i % 3}`, at: new Date(startedMs + (i % 7)) }),
  );
  expect(groupRecords(records)).toEqual(groupRecords(records));
});

it('keeps a request that tells of a model by itself', () => {
  const usage = { model: 'm', inputTokens: 1, outputTokens: 2, cachedTokens: 0, writtenTokens: null };
  const told = () => makeRecord({ usage: { ...usage, stopReason: null } });
  expect(groupRecords([told(), told(), makeRecord(), told(), makeRecord()])).toHaveLength(4);
});

it('lists what was recorded newest first, page by page, as if each had a row of its own', async () => {
  const { database } = await createTestDatabase();
  const { organizationId, sessionId } = await createFixture(database);
  const write = databaseWriter(database, recordKey);
  const chance = new Chance(11);
  const all: EgressRecord[] = [];
  for (let batch = 0; batch < 12; batch++) {
    const records = Array.from({ length: 30 }, () =>
      makeRecord({
        ...{ organizationId, sessionId: chance.below(10) < 7 ? sessionId : null },
        host: `h${chance.below(4)}`,
        decision: chance.below(10) === 0 ? 'refused' : 'allowed',
        // Long ones are recorded long after they began; some began in the same millisecond.
        at: new Date(startedMs + batch * 200 - chance.below(chance.below(10) === 0 ? 100_000 : 400)),
        path: `/${all.length}-${chance.below(1e9)}`,
      }),
    );
    await write(records);
    all.push(...records);
  }
  expect(await database.$count(egressRecords)).toBeLessThan(all.length / 2);
  const rows = await database.select().from(egressRequests);
  expect(new Set(rows.map(({ id }) => id)).size).toBe(all.length);
  for (const { groupId, id } of rows) expect(groupId > id).toBe(true);
  for (const query of [{}, { sessionId }, { decision: 'refused' as const }]) {
    const expected = rows
      .filter((row) => query.sessionId === undefined || row.sessionId === query.sessionId)
      .filter((row) => query.decision === undefined || row.decision === query.decision)
      .sort((one, other) => (one.id < other.id ? 1 : -1))
      .map(({ id }) => id);
    const timesOf = new Map(rows.map(({ id, at }) => [id, at.getTime()]));
    const times = expected.map((id) => timesOf.get(id));
    expect(times).toEqual([...times].sort((one, other) => Number(other) - Number(one)));
    const listed: string[] = [];
    for (let before: string | undefined; ; before = listed.at(-1)) {
      const page = await withOrganization(database, organizationId, (tx) =>
        newestEgressRequests(tx, { ...query, before, limit: 17 }),
      );
      listed.push(...page.map(({ id }) => id));
      if (page.length < 17) break;
    }
    expect(listed).toEqual(expected);
  }
});

it('makes an identifier for few more requests than a page has, and finds what was not allowed by its index', async () => {
  const { database } = await createTestDatabase();
  const { organizationId, sessionId } = await createFixture(database);
  const write = databaseWriter(database, recordKey);
  for (let batch = 0; batch < 20; batch++) {
    await write(
      Array.from({ length: 250 }, (_, i) =>
        makeRecord({
          ...{ organizationId, sessionId, host: `h${i % 50}`, at: new Date(startedMs + batch * 250 + i) },
          decision: batch === 10 && i === 7 ? 'refused' : 'allowed',
        }),
      ),
    );
  }
  await database.execute('analyze egress_records');
  await database.transaction(async (tx) => {
    await tx.execute("set local track_functions = 'all'");
    const page = await newestEgressRequests(tx, { limit: 30 });
    const next = await newestEgressRequests(tx, { before: page.at(-1)?.id, limit: 30 });
    expect([...page, ...next].map(({ at }) => at.getTime())).toEqual(
      Array.from({ length: 60 }, (_, i) => startedMs + 4_999 - i),
    );
    const { rows } = await tx.execute<{ calls: string }>(
      "select calls from pg_stat_xact_user_functions where funcname = 'tagalong_request_id'",
    );
    expect(Number(rows[0]?.calls)).toBeLessThan(200);
    const plan = await tx.execute(
      `explain select id from egress_records where organization_id = '${organizationId}' and decision = 'refused' order by id desc limit 30`,
    );
    expect(JSON.stringify(plan.rows)).toContain('egress_records_not_allowed');
  });
});

it('goes through nothing of others to list what one organization has, however old it is', async () => {
  const { database } = await createTestDatabase();
  const [quiet, busy] = [await createFixture(database), await createFixture(database)];
  const write = databaseWriter(database, recordKey);
  const batch = ({ organizationId, sessionId }: typeof quiet, ms: number) =>
    Array.from({ length: 250 }, (_, i) =>
      makeRecord({ organizationId, sessionId, host: `h${i}`, at: new Date(startedMs + ms + i) }),
    );
  await write(batch(quiet, 0));
  for (let i = 1; i < 20; i++) await write(batch(busy, i * 250));
  await database.execute('analyze egress_records');
  await withOrganization(database, quiet.organizationId, async (tx) => {
    expect(await newestEgressRequests(tx, { limit: 30 })).toHaveLength(30);
    const { rows } = await tx.execute<{ 'QUERY PLAN': string }>(
      'explain analyze select id from egress_records order by id desc limit 30',
    );
    expect(rows.map((row) => row['QUERY PLAN']).join('\n')).not.toContain('Rows Removed');
  });
});

it('lists what was divided because the database refused a part of it as if it had not been', async () => {
  const { database } = await createTestDatabase();
  const { organizationId, sessionId } = await createFixture(database);
  const recorder = new Recorder({ write: databaseWriter(database, recordKey), logger: silent });
  const add = (ms: number, more: Partial<EgressRecord> = {}) =>
    recorder.add(
      makeRecord({ ...{ organizationId, sessionId }, at: new Date(startedMs + ms), path: `/${ms}`, ...more }),
    );
  // What begins with this group would stand behind the others, were it known by the end that the group had.
  for (const ms of [10, 20, 30, 50_000]) add(ms);
  for (const ms of [1_000, 2_000, 3_000]) add(ms, { host: 'other' });
  add(5, { host: 'broken', durationMs: Number.NaN });
  await recorder.stop();
  const listed: string[] = [];
  for (let before: string | undefined; ; ) {
    const page = await withOrganization(database, organizationId, (tx) =>
      newestEgressRequests(tx, { before, limit: 1 }),
    );
    listed.push(...page.map(({ path }) => path));
    before = page.at(-1)?.id;
    if (before === undefined) break;
  }
  expect(listed).toEqual(['/50000', '/3000', '/2000', '/1000', '/30', '/20', '/10']);
});

it('shows a tenant its own only, and lets it write none', async () => {
  const { database } = await createTestDatabase();
  const one = await createFixture(database);
  const other = await createFixture(database);
  await databaseWriter(
    database,
    recordKey,
  )([one, other].map(({ organizationId, sessionId }) => makeRecord({ organizationId, sessionId })));
  const seen = await withOrganization(database, one.organizationId, (tx) => tx.select().from(egressRequests));
  expect(seen.map(({ sessionId }) => sessionId)).toEqual([one.sessionId]);
  for (const statement of [
    'update egress_records set host = host',
    'delete from egress_records',
    'insert into egress_records select * from egress_records',
  ]) {
    const tried = withOrganization(database, one.organizationId, (tx) => tx.execute(statement));
    await expect(tried).rejects.toMatchObject({ cause: { code: '42501' } });
  }
});
