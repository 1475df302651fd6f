import { eq } from 'drizzle-orm';
import { expect, it } from 'vitest';
import { egressRequests, organizations } from '../../src/store/schema.ts';
import { databaseWriter } from '../../src/vault/egress/record-writer.ts';
import { type EgressRecord, Recorder, type WriteRecords } from '../../src/vault/egress/records.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { recordKey, silent } from './support/egress.ts';
import { makeRecord } from './support/records.ts';

const connectionLost = Object.assign(new Error('gone'), { code: 'ECONNREFUSED' });

it('writes those of all organizations together, and keeps what the database does not take now', async () => {
  const written: string[][] = [];
  let away = true;
  const write: WriteRecords = async (rows) => {
    if (away) throw connectionLost;
    written.push(rows.map(({ organizationId }) => organizationId));
  };
  const recorder = new Recorder({ write, logger: silent, flushMs: 60_000 });
  recorder.add(makeRecord());
  recorder.add(makeRecord({ organizationId: 'org_b' }));
  recorder.add(makeRecord());
  await recorder.flush();
  expect(written).toEqual([]);
  away = false;
  await recorder.stop();
  expect(written).toEqual([['org_a', 'org_b', 'org_a']]);
});

it('gives up rows that the database refuses for what they are, without losing the others', async () => {
  const written: string[] = [];
  const write: WriteRecords = async (rows) => {
    if (rows.some(({ organizationId }) => organizationId === 'org_gone'))
      throw new Error('insert', { cause: Object.assign(new Error('fk'), { code: '23503' }) });
    written.push(...rows.map(({ organizationId }) => organizationId));
  };
  const recorder = new Recorder({ write, logger: silent, flushMs: 60_000 });
  recorder.add(makeRecord({ organizationId: 'org_gone' }));
  recorder.add(makeRecord());
  await recorder.stop();
  expect(written).toEqual(['org_a']);
});

it('writes nothing twice and loses nothing, when the database took a batch and could not say so', async () => {
  const { database } = await createTestDatabase();
  const { organizationId, sessionId } = await createFixture(database);
  const store = databaseWriter(database, recordKey);
  let isCut = true;
  const write: WriteRecords = async (rows) => {
    await store(rows);
    if (isCut) throw connectionLost;
  };
  const recorder = new Recorder({ write, logger: silent, flushMs: 60_000 });
  for (let i = 0; i < 5; i++) recorder.add(makeRecord({ organizationId, sessionId, path: `/${i}` }));
  await recorder.flush();
  isCut = false;
  for (let i = 5; i < 8; i++) recorder.add(makeRecord({ organizationId, sessionId, path: `/${i}` }));
  await recorder.stop();
  const rows = await database.select().from(egressRequests);
  expect(rows.map(({ path }) => path).sort()).toEqual(Array.from({ length: 8 }, (_, i) => `/${i}`));
});

it('says that it is full, and is not any more once it could write', async () => {
  const recorder = new Recorder({ write: async () => {}, logger: silent, flushMs: 60_000, maxWaiting: 3 });
  for (let i = 0; i < 3; i++) recorder.add(makeRecord());
  expect(recorder.full).toBe(true);
  await recorder.flush();
  expect(recorder.full).toBe(false);
  await recorder.stop();
});

it('does not stop for ever when the database stays away', async () => {
  const recorder = new Recorder({
    write: () => Promise.reject(connectionLost),
    logger: silent,
    flushMs: 60_000,
  });
  recorder.add(makeRecord());
  await recorder.stop();
});

it('keeps control characters and endless paths out of the table', async () => {
  const rows: EgressRecord[] = [];
  const recorder = new Recorder({ write: async (batch) => void rows.push(...batch), logger: silent });
  recorder.add(makeRecord({ host: 'a\0b\r\n', path: `/${'x'.repeat(100_000)}` }));
  await recorder.stop();
  expect(rows[0]?.host).toBe('a?b??');
  expect(rows[0]?.path).toHaveLength(2_048);
});

it('loses only the one row that cannot be stored', async () => {
  const written: string[] = [];
  const write: WriteRecords = async (rows) => {
    if (rows.some(({ path }) => path === '/7')) throw Object.assign(new Error('text'), { code: '22021' });
    written.push(...rows.map(({ path }) => path));
  };
  const recorder = new Recorder({ write, logger: silent, flushMs: 60_000 });
  for (let i = 0; i < 20; i++) recorder.add(makeRecord({ path: `/${i}` }));
  await recorder.stop();
  expect(written).toEqual(Array.from({ length: 20 }, (_, i) => `/${i}`).filter((path) => path !== '/7'));
});

it('writes whatever text an upstream made up, and every column', async () => {
  const { database } = await createTestDatabase();
  const { organizationId, sessionId } = await createFixture(database);
  const recorder = new Recorder({
    write: databaseWriter(database, recordKey),
    logger: silent,
    flushMs: 60_000,
  });
  const tokens = { inputTokens: 1, outputTokens: 2, cachedTokens: 3 };
  const usage = { ...tokens, writtenTokens: null, stopReason: 'a"\\\n\ud800' };
  const at = new Date('2026-01-02T03:04:05.678Z');
  const more = { organizationId, sessionId, turnId: 'turn_a', credential: "O'\tHara\\", at, bytesDown: 5e9 };
  recorder.add(makeRecord({ ...more, path: "/\0'\ud800\u{1f600}", usage: { ...usage, model: 'm\0' } }));
  await recorder.stop();
  const [row] = await database.select().from(egressRequests);
  for (const path of ['/a"b', '/a\\b', '/{a,b}', '\\N', '\\.', '', '/é', '/a\\tb'])
    recorder.add(makeRecord({ ...more, path }));
  recorder.add(makeRecord({ ...more, path: '/plain', status: null }));
  await recorder.stop();
  const rows = await database.select().from(egressRequests).orderBy(egressRequests.path);
  expect(rows.map(({ path }) => path).filter((path) => path !== row?.path)).toEqual(
    expect.arrayContaining(['/a"b', '/a\\b', '/{a,b}', '\\N', '\\.', '', '/é', '/a\\tb', '/plain']),
  );
  expect(rows.find(({ path }) => path === '/plain')).toMatchObject({ ...more, status: null, model: null });
  expect(row).toMatchObject({
    ...{ ...more, method: 'GET', scheme: 'https', port: 443, status: 200, bytesUp: 0, durationMs: 0 },
    ...{ path: "/?'\ufffd\u{1f600}", ...tokens, stopReason: 'a"\\?\ufffd', model: 'm?', decision: 'allowed' },
  });
});

it('records a request whatever numbers an upstream claims, and however a clock is set meanwhile', async () => {
  const { database } = await createTestDatabase();
  const { organizationId, sessionId } = await createFixture(database);
  const recorder = new Recorder({ write: databaseWriter(database, recordKey), logger: silent });
  const most = Number.MAX_SAFE_INTEGER;
  const tokens = { inputTokens: most, outputTokens: most, cachedTokens: 0, writtenTokens: most };
  const usage = { ...tokens, model: 'm', stopReason: 'end' };
  recorder.add(makeRecord({ organizationId, sessionId, path: '/claims', usage }));
  recorder.add(makeRecord({ organizationId, sessionId, path: '/long', durationMs: 30 * 24 * 3_600_000 }));
  recorder.add(makeRecord({ organizationId, sessionId, path: '/back', durationMs: -5_000 }));
  await recorder.stop();
  const rows = await database.select().from(egressRequests).orderBy(egressRequests.path);
  const integer = 2 ** 31 - 1;
  expect(rows).toMatchObject([
    { path: '/back', durationMs: 0 },
    { path: '/claims', inputTokens: integer, outputTokens: integer, cachedTokens: 0 },
    { path: '/long', durationMs: integer },
  ]);
});

it('keeps nothing of an organization that is deleted', async () => {
  const { database } = await createTestDatabase();
  const { organizationId, sessionId } = await createFixture(database);
  const recorder = new Recorder({
    write: databaseWriter(database, recordKey),
    logger: silent,
    flushMs: 60_000,
  });
  recorder.add(makeRecord({ organizationId, sessionId }));
  await recorder.stop();
  expect(await database.$count(egressRequests)).toBe(1);
  await database.delete(organizations).where(eq(organizations.id, organizationId));
  expect(await database.$count(egressRequests)).toBe(0);
});
