import { asc, eq, sql } from 'drizzle-orm';
import pino from 'pino';
import { beforeAll, describe, expect, it } from 'vitest';
import { type ProviderAdapter, ProviderError, type Signal } from '../../src/providers/provider.ts';
import { createRouteJob } from '../../src/sessions/route.ts';
import type { Database } from '../../src/store/connection.ts';
import { newId } from '../../src/store/ids.ts';
import { anchors, deliveries, messages, sessionEvents, sessions } from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';

let database: Database;
beforeAll(async () => {
  database = (await createTestDatabase()).database;
});

type MayAddress = ProviderAdapter['mayAddress'];

/** An adapter whose signals are what the delivery's body says in JSON. */
function adapterOf(mayAddress: MayAddress = async () => ({ allowed: true })): ProviderAdapter {
  return {
    signals: (delivery: { body: Buffer }) => JSON.parse(delivery.body.toString()) as Signal[],
    mayAddress,
    placeNames: () => [],
    tools: [{ name: 'failure', capability: 'slack:thread.reply' }],
  } as unknown as ProviderAdapter;
}

async function deliver(fixture: Fixture, signals: Signal[]): Promise<string> {
  const id = newId('dlv');
  await database.insert(deliveries).values({
    id,
    organizationId: fixture.organizationId,
    publicationId: fixture.publicationId,
    provider: 'slack',
    headers: {},
    body: Buffer.from(JSON.stringify(signals)),
  });
  return id;
}

function routeJob(mayAddress?: MayAddress) {
  const adapter = adapterOf(mayAddress);
  return createRouteJob({
    database,
    adapters: { slack: adapter, github: adapter, linear: adapter },
    platformFetch: () => fetch,
    clock: () => new Date(),
    logger: pino({ level: 'silent' }),
  });
}

const mention = (fields: Partial<Extract<Signal, { kind: 'addressed' | 'ambient' }>> = {}): Signal => ({
  kind: 'addressed',
  anchor: { key: `thread-${newId('anchor')}`, place: { channel: 'C1' } },
  externalKey: newId('msg'),
  author: { id: 'U1', kind: 'person' },
  body: 'hello',
  place: {},
  ...fields,
});

async function outcomeOf(id: string) {
  const rows = await database.select().from(deliveries).where(eq(deliveries.id, id));
  return rows[0];
}

async function route(fixture: Fixture, signals: Signal[], mayAddress?: MayAddress) {
  const deliveryId = await deliver(fixture, signals);
  await routeJob(mayAddress)({ organizationId: fixture.organizationId, deliveryId });
  return outcomeOf(deliveryId);
}

const sessionsOf = (fixture: Fixture) =>
  database
    .select()
    .from(sessions)
    .where(
      sql`${sessions.publicationId} = ${fixture.publicationId} and ${sessions.id} <> ${fixture.sessionId}`,
    );

describe('the route job', () => {
  it('makes a session, its message, a turn job and presence at first contact', async () => {
    const fixture = await createFixture(database);
    const settled = await route(fixture, [mention()]);
    expect(settled).toMatchObject({ outcome: 'routed', sessionId: expect.stringMatching(/^sesn_/) });
    const said = await database
      .select()
      .from(messages)
      .where(eq(messages.sessionId, settled?.sessionId ?? ''));
    expect(said).toMatchObject([
      { body: 'hello', state: 'waiting', authority: true, deliveryId: settled?.id },
    ]);
    const jobs = await database.execute(
      sql`select task_identifier as task from graphile_worker.jobs order by task_identifier`,
    );
    expect(jobs.rows.map((job) => job.task)).toEqual(expect.arrayContaining(['presence', 'turn']));
    const events = await database
      .select()
      .from(sessionEvents)
      .where(eq(sessionEvents.sessionId, settled?.sessionId ?? ''))
      .orderBy(asc(sessionEvents.position));
    expect(events).toMatchObject([{ type: 'user.message' }]);
  });

  it('does its work once however often it runs', async () => {
    const fixture = await createFixture(database);
    const deliveryId = await deliver(fixture, [mention()]);
    const job = routeJob();
    await Promise.all([1, 2, 3].map(() => job({ organizationId: fixture.organizationId, deliveryId })));
    await job({ organizationId: fixture.organizationId, deliveryId });
    expect(await sessionsOf(fixture)).toHaveLength(1);
    expect(await database.select().from(messages).where(eq(messages.deliveryId, deliveryId))).toHaveLength(1);
    expect(await outcomeOf(deliveryId)).toMatchObject({ outcome: expect.stringMatching(/routed|ignored/) });
  });

  it.each([
    ['ambient', 'addressed'],
    ['addressed', 'ambient'],
  ] as const)('takes the twins %s and %s for one message', async (first, second) => {
    const fixture = await createFixture(database);
    const anchor = { key: 'twins', place: {} };
    const twin = { anchor, externalKey: 'slack:T1:C1:1' };
    await route(fixture, [mention({ ...twin, kind: first })]);
    await route(fixture, [mention({ ...twin, kind: second })]);
    const found = await sessionsOf(fixture);
    expect(found).toHaveLength(1);
    expect(
      await database
        .select()
        .from(messages)
        .where(eq(messages.sessionId, found[0]?.id ?? '')),
    ).toHaveLength(1);
  });

  it('makes one session of many first contacts at once', async () => {
    const fixture = await createFixture(database);
    const anchor = { key: 'busy', place: {} };
    await Promise.all(Array.from({ length: 12 }, () => route(fixture, [mention({ anchor })])));
    const found = await sessionsOf(fixture);
    expect(found).toHaveLength(1);
    expect(await database.select().from(anchors).where(eq(anchors.key, 'busy'))).toHaveLength(1);
    expect(
      await database
        .select()
        .from(messages)
        .where(eq(messages.sessionId, found[0]?.id ?? '')),
    ).toHaveLength(12);
  });

  it('lets an unaddressed message in only where a session listens already', async () => {
    const fixture = await createFixture(database);
    const anchor = { key: 'talk', place: {} };
    expect(await route(fixture, [mention({ kind: 'ambient', anchor })])).toMatchObject({
      outcome: 'ignored',
      reason: 'not_addressed',
    });
    await route(fixture, [mention({ anchor })]);
    expect(await route(fixture, [mention({ kind: 'ambient', anchor })])).toMatchObject({ outcome: 'routed' });
  });

  it.each([
    [{ kind: 'ignored', reason: 'own_message' } as Signal, 'own_message'],
    [mention({ body: '  ' }), 'empty_message'],
    [
      { kind: 'stop', anchor: { key: 'nowhere', place: {} }, author: { id: 'U1', kind: 'person' } } as Signal,
      'not_addressed',
    ],
  ])('ignores %j with a reason', async (signal, reason) => {
    const fixture = await createFixture(database);
    expect(await route(fixture, [signal])).toMatchObject({ outcome: 'ignored', reason });
    expect(await sessionsOf(fixture)).toHaveLength(0);
  });

  it('ignores who has no authority, and starts nothing', async () => {
    const fixture = await createFixture(database);
    const settled = await route(fixture, [mention()], async () => ({
      allowed: false,
      kind: 'guest',
      detail: 'a guest',
    }));
    expect(settled).toMatchObject({ outcome: 'ignored', reason: 'no_authority: a guest' });
    expect(await sessionsOf(fixture)).toHaveLength(0);
  });

  it('keeps a delivery pending while the provider cannot be asked, and routes it later', async () => {
    const fixture = await createFixture(database);
    const deliveryId = await deliver(fixture, [mention()]);
    const away = routeJob(async () => {
      throw new ProviderError('unavailable', 'Slack does not answer');
    });
    await expect(away({ organizationId: fixture.organizationId, deliveryId })).rejects.toThrow(
      'does not answer',
    );
    expect(await outcomeOf(deliveryId)).toMatchObject({ outcome: 'pending' });
    await routeJob()({ organizationId: fixture.organizationId, deliveryId });
    expect(await outcomeOf(deliveryId)).toMatchObject({ outcome: 'routed' });
  });

  it('leaves a delivery of another organization alone', async () => {
    const fixture = await createFixture(database);
    const stranger = await createFixture(database);
    const deliveryId = await deliver(fixture, [mention()]);
    await routeJob()({ organizationId: stranger.organizationId, deliveryId });
    expect(await outcomeOf(deliveryId)).toMatchObject({ outcome: 'pending' });
  });
});
