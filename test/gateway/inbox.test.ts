import { sql } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import { binaryArray } from '../../src/store/binary-array.ts';
import type { Database } from '../../src/store/connection.ts';
import {
  connectInbox,
  forgetBodies,
  forgetDeliveryKeys,
  type IncomingDelivery,
  storeDeliveries,
} from '../../src/store/inbox.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';

describe('the inbox', () => {
  let database: Database;
  let pool: ReturnType<typeof connectInbox>;
  let base: Pick<IncomingDelivery, 'organizationId' | 'publicationId' | 'provider' | 'headers'>;
  const now = new Date('2026-11-20T12:00:00Z');

  beforeAll(async () => {
    const test = await createTestDatabase();
    database = test.database;
    pool = connectInbox(test.url);
    const { organizationId, publicationId } = await createFixture(database);
    base = { organizationId, publicationId, provider: 'github', headers: { a: 'b' } };
    return () => pool.end();
  });
  const make = (body: string, deliveryId?: string): IncomingDelivery => ({
    ...base,
    body: Buffer.from(body),
    deliveryId,
  });

  it('answers for each of a batch, in order, also for doubles within it', async () => {
    const results = await storeDeliveries(
      pool,
      [
        make('one', 'id-1'),
        make('one', 'id-1'),
        make('two', 'id-2'),
        make('three', 'id-2'),
        make('one', 'id-9'),
        make('nine', 'id-9'),
        make('none'),
        make('none'),
      ],
      now,
    );
    expect(results).toEqual(['new', 'duplicate', 'new', 'duplicate', 'duplicate', 'new', 'new', 'duplicate']);
    const jobs = await database.execute(sql`select count(*)::int as n from graphile_worker._private_jobs`);
    expect(jobs.rows[0]?.n).toBe(4);
  });

  it('stores an empty batch as nothing', async () => {
    expect(await storeDeliveries(pool, [], now)).toEqual([]);
  });

  it('stores all of a batch or none', async () => {
    const bad = { ...make('bad', 'id-bad'), publicationId: 'pub_gone' };
    await expect(storeDeliveries(pool, [make('good', 'id-good'), bad], now)).rejects.toMatchObject({
      code: '23503',
    });
    expect(await storeDeliveries(pool, [make('good', 'id-good')], now)).toEqual(['new']);
  });

  it('does not deadlock when many store the same keys in every order', async () => {
    const deliveries = Array.from({ length: 40 }, (_, n) => make(`many ${n}`, `many-${n}`));
    const shuffled = (seed: number) =>
      deliveries
        .map((item, n) => ({ item, key: (n * 7919 * (seed + 1)) % 41 }))
        .sort((a, b) => a.key - b.key)
        .map(({ item }) => item);
    const results = await Promise.all(
      Array.from({ length: 8 }, (_, n) => storeDeliveries(pool, shuffled(n), now)),
    );
    expect(results.flat().filter((result) => result === 'new')).toHaveLength(40);
  });

  it('forgets bodies of settled deliveries only, and keys later, after which a copy is new', async () => {
    const later = new Date(now.getTime() + 1_000);
    await storeDeliveries(pool, [make('settled', 's')], now);
    await database.execute(sql`update deliveries set outcome = 'routed' where body = 'settled'`);
    expect(await forgetBodies(database, now)).toBe(0);
    expect(await forgetBodies(database, later)).toBe(1);
    const left = await database.execute(
      sql`select count(*)::int as n from deliveries where outcome = 'pending' and body is null`,
    );
    expect(left.rows[0]?.n).toBe(0);
    expect(await storeDeliveries(pool, [make('settled', 's')], later)).toEqual(['duplicate']);
    expect(await forgetDeliveryKeys(database, later)).toBeGreaterThan(0);
    expect(await storeDeliveries(pool, [make('settled', 's')], later)).toEqual(['new']);
  });

  it('passes any bytes and any text through its arrays', async () => {
    const texts = ['', 'a"b\\c', '{},NULL', 'caf\u00e9 \ud83d\ude80', null];
    const bytes = [
      Buffer.alloc(0),
      Buffer.from([0, 255, 92, 34]),
      null,
      Buffer.alloc(100_000, 7),
      Buffer.from('x'),
    ];
    const { rows } = await pool.query('select * from unnest($1::text[], $2::bytea[]) as t(text, bytes)', [
      binaryArray('text', texts),
      binaryArray('bytea', bytes),
    ]);
    expect(rows.map((row: { text: string | null }) => row.text)).toEqual(texts);
    expect(rows.map((row: { bytes: Buffer | null }) => row.bytes)).toEqual(bytes);
  });
});
