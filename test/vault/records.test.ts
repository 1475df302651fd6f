import { expect, it } from 'vitest';
import { type EgressRecord, Recorder, type WriteRecords } from '../../src/vault/egress/records.ts';
import { silent } from './support/egress.ts';

const record = (more: Partial<EgressRecord> = {}): EgressRecord => ({
  organizationId: 'org_a',
  sessionId: 'sesn_a',
  installationId: null,
  turnId: null,
  at: new Date(),
  method: 'GET',
  scheme: 'https',
  host: 'h',
  port: 443,
  path: '/',
  status: 200,
  bytesUp: 0,
  bytesDown: 0,
  durationMs: 0,
  credential: null,
  decision: 'allowed',
  rule: 'r',
  ...more,
});
const connectionLost = Object.assign(new Error('gone'), { code: 'ECONNREFUSED' });

it('writes each organization under its own role, and keeps what the database does not take now', async () => {
  const written: [string, number][] = [];
  let away = true;
  const write: WriteRecords = async (organizationId, rows) => {
    if (away) throw connectionLost;
    written.push([organizationId, rows.length]);
  };
  const recorder = new Recorder({ write, logger: silent, flushMs: 60_000 });
  recorder.add(record());
  recorder.add(record({ organizationId: 'org_b' }));
  recorder.add(record());
  await recorder.flush();
  expect(written).toEqual([]);
  away = false;
  await recorder.stop();
  expect(written.sort()).toEqual([
    ['org_a', 2],
    ['org_b', 1],
  ]);
});

it('gives up rows that the database refuses for what they are, without losing the others', async () => {
  const written: string[] = [];
  const write: WriteRecords = async (organizationId) => {
    if (organizationId === 'org_gone')
      throw new Error('insert', { cause: Object.assign(new Error('fk'), { code: '23503' }) });
    written.push(organizationId);
  };
  const recorder = new Recorder({ write, logger: silent, flushMs: 60_000 });
  recorder.add(record({ organizationId: 'org_gone' }));
  recorder.add(record());
  await recorder.stop();
  expect(written).toEqual(['org_a']);
});

it('says that it is full, and is not any more once it could write', async () => {
  const recorder = new Recorder({ write: async () => {}, logger: silent, flushMs: 60_000, maxWaiting: 3 });
  for (let i = 0; i < 3; i++) recorder.add(record());
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
  recorder.add(record());
  await recorder.stop();
});

it('keeps control characters and endless paths out of the table', async () => {
  const rows: EgressRecord[] = [];
  const recorder = new Recorder({ write: async (_, batch) => void rows.push(...batch), logger: silent });
  recorder.add(record({ host: 'a\0b\r\n', path: `/${'x'.repeat(100_000)}` }));
  await recorder.stop();
  expect(rows[0]?.host).toBe('a?b??');
  expect(rows[0]?.path).toHaveLength(2_048);
});
