import { asc, eq, sql } from 'drizzle-orm';
import pino from 'pino';
import { beforeAll, describe, expect, it } from 'vitest';
import { type ProviderAdapter, ProviderError, type Signal } from '../../src/providers/provider.ts';
import { createResumeJob, resumeStranded } from '../../src/sessions/resume.ts';
import { createRouteJob } from '../../src/sessions/route.ts';
import type { Database } from '../../src/store/connection.ts';
import { newId } from '../../src/store/ids.ts';
import { withOrganization } from '../../src/store/organization.ts';
import { changePublicationState } from '../../src/store/publication-changes.ts';
import type { PublicationEvent } from '../../src/store/publication-states.ts';
import { deliveries, messages, publications } from '../../src/store/schema.ts';
import { endWaiting } from '../../src/store/waiting-deliveries.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';

let database: Database;
beforeAll(async () => {
  database = (await createTestDatabase()).database;
});

type MayAddress = ProviderAdapter['mayAddress'];
const logger = pino({ level: 'silent' });
const allows: MayAddress = async () => ({ allowed: true });

/** A publication whose deliveries say in JSON what they mean. */
async function world(mayAddress: MayAddress = allows) {
  const fixture = await createFixture(database);
  const { organizationId, publicationId } = fixture;
  const adapter = {
    signals: (delivery: { body: Buffer }) => JSON.parse(delivery.body.toString()) as Signal[],
    mayAddress,
    placeNames: () => [],
    tools: [],
  } as unknown as ProviderAdapter;
  const route = createRouteJob({
    database,
    adapters: { slack: adapter, github: adapter, linear: adapter },
    platformFetch: () => fetch,
    clock: () => new Date(),
    logger,
  });
  const resume = createResumeJob({ database, logger }, route);
  return {
    fixture,
    deliver: (signals: Signal[]) => deliver(fixture, signals),
    route: (deliveryId: string) => route({ organizationId, deliveryId }),
    resume: () => resume({ organizationId, publicationId }),
    becomes: (event: PublicationEvent) =>
      withOrganization(database, organizationId, (tx) =>
        changePublicationState(tx, publicationId, event, null, new Date()),
      ),
    publication: async () => {
      const [row] = await database.select().from(publications).where(eq(publications.id, publicationId));
      return row;
    },
    said: async () => {
      const rows = await database
        .select({ body: messages.body })
        .from(messages)
        .where(eq(messages.publicationId, publicationId))
        .orderBy(asc(messages.createdAt));
      return rows.map(({ body }) => body);
    },
  };
}

let arrivedMs = Date.now();

/** Each in a millisecond of its own, by which they are in order. */
async function deliver({ organizationId, publicationId }: Fixture, signals: Signal[]): Promise<string> {
  const id = newId('dlv', arrivedMs++);
  const body = Buffer.from(JSON.stringify(signals));
  await database
    .insert(deliveries)
    .values({ id, organizationId, publicationId, provider: 'slack', headers: {}, body });
  return id;
}

const mention = (body: string): Signal[] => [
  {
    kind: 'addressed',
    anchor: { key: 'thread', place: { channel: 'C1' } },
    externalKey: newId('msg'),
    author: { id: 'U1', kind: 'person' },
    body,
    place: {},
  },
];

async function outcomeOf(id: string) {
  const [row] = await database.select().from(deliveries).where(eq(deliveries.id, id));
  return row && [row.outcome, row.reason];
}

async function jobsOf(task: string, mentions: string) {
  const { rows } = await database.execute<{ payload: Record<string, unknown>; max_attempts: number }>(sql`
    select p.payload, p.max_attempts from graphile_worker._private_jobs p
    join graphile_worker._private_tasks t on t.id = p.task_id
    where t.identifier = ${task} and p.payload::text like ${`%${mentions}%`}`);
  return rows;
}

const waits = ['pending', 'waiting_for_install: thread'];

describe('what is said while a publication is not live', () => {
  it.each([
    ['revoked', 'installed'],
    ['suspended', 'unsuspended'],
  ] as const)(
    'waits when it was %s, asks nobody, and is routed in order when it is %s',
    async (ends, begins) => {
      const asked: unknown[] = [];
      const w = await world(async (_, who) => {
        asked.push(who);
        return { allowed: true };
      });
      // Accepted before, routed after.
      const first = await w.deliver(mention('one'));
      await w.becomes(ends);
      const second = await w.deliver(mention('two'));
      await w.route(second);
      await w.route(first);
      expect([await outcomeOf(first), await outcomeOf(second)]).toEqual([waits, waits]);
      expect([asked, await w.said()]).toEqual([[], []]);
      await w.becomes(begins);
      expect(await jobsOf('resume', w.fixture.publicationId)).toHaveLength(1);
      await Promise.all([w.resume(), w.resume()]);
      await w.resume();
      expect(await w.said()).toEqual(['one', 'two']);
      expect((await w.publication())?.setup).toEqual({ resumedAt: expect.any(String) });
    },
  );

  it('is not overtaken by what comes once it is live again', async () => {
    const w = await world();
    await w.becomes('suspended');
    const first = await w.deliver(mention('one'));
    await w.route(first);
    await w.becomes('unsuspended');
    const second = await w.deliver(mention('two'));
    await w.route(second);
    expect(await outcomeOf(second)).toEqual(waits);
    await w.resume();
    expect(await w.said()).toEqual(['one', 'two']);
    const third = await w.deliver(mention('three'));
    await w.route(third);
    expect(await w.said()).toEqual(['one', 'two', 'three']);
  });

  it('does not wait for a word that cannot be settled: that one is tried again by itself', async () => {
    let broken = true;
    const w = await world(async (_, { author }) => {
      if (broken && author.id === 'UBROKEN') throw new ProviderError('unavailable', 'No answer');
      return { allowed: true };
    });
    await w.becomes('suspended');
    const [signal] = mention('first');
    const first = await w.deliver([{ ...signal, author: { id: 'UBROKEN', kind: 'person' } } as Signal]);
    const second = await w.deliver(mention('second'));
    for (const id of [first, second]) await w.route(id);
    await w.becomes('unsuspended');
    await w.resume();
    expect(await outcomeOf(first)).toEqual(['pending', null]);
    expect(await w.said()).toEqual(['second']);
    broken = false;
    expect(await jobsOf('route', first)).toMatchObject([{ payload: { deliveryId: first, isNext: true } }]);
    await w.route(first);
    expect(await w.said()).toEqual(['second', 'first']);
  });

  it('to nobody is kept only where a session listens, or will once what waits is routed', async () => {
    const w = await world();
    const talk = (body: string, key: string): Signal[] =>
      mention(body).map((signal) => ({ ...signal, kind: 'ambient', anchor: { key, place: {} } }) as Signal);
    await w.route(await w.deliver(mention('one')));
    await w.becomes('suspended');
    const heard = await w.deliver(talk('two', 'thread'));
    const elsewhere = await w.deliver(talk('three', 'elsewhere'));
    const [asked] = mention('four').map(
      (signal) => ({ ...signal, anchor: { key: 'new', place: {} } }) as Signal,
    );
    const first = await w.deliver(asked ? [asked] : []);
    const reply = await w.deliver(talk('five', 'new'));
    for (const id of [heard, elsewhere, first, reply]) await w.route(id);
    expect(await outcomeOf(heard)).toEqual(waits);
    expect(await outcomeOf(elsewhere)).toEqual(['ignored', 'not_addressed']);
    expect(await outcomeOf(reply)).toEqual(['pending', 'waiting_for_install: new']);
    await w.becomes('unsuspended');
    await w.resume();
    expect(await w.said()).toEqual(['one', 'two', 'four', 'five']);
  });

  it('waits on when it is suspended again before its turn came', async () => {
    const w = await world();
    await w.becomes('suspended');
    const id = await w.deliver(mention('one'));
    await w.route(id);
    await w.becomes('unsuspended');
    await w.becomes('suspended');
    await w.resume();
    expect(await outcomeOf(id)).toEqual(waits);
    await w.becomes('unsuspended');
    await w.resume();
    expect(await w.said()).toEqual(['one']);
  });

  it('is found where its job is lost', async () => {
    const w = await world();
    await w.becomes('suspended');
    await w.route(await w.deliver(mention('one')));
    expect(await resumeStranded(database)).toBe(0);
    await w.becomes('unsuspended');
    expect(await resumeStranded(database)).toBe(0);
    await database.execute(
      sql`select graphile_worker.complete_jobs(array_agg(id)) from graphile_worker.jobs where task_identifier = 'resume'`,
    );
    expect(await resumeStranded(database)).toBeGreaterThan(0);
    expect(await jobsOf('resume', w.fixture.publicationId)).toHaveLength(1);
    await w.resume();
  });

  it('is ignored with a reason when the publication ends', async () => {
    const w = await world();
    await w.becomes('revoked');
    const id = await w.deliver(mention('one'));
    await w.route(id);
    await withOrganization(database, w.fixture.organizationId, (tx) =>
      endWaiting(tx, w.fixture.publicationId, new Date()),
    );
    expect(await outcomeOf(id)).toEqual(['ignored', 'not_live']);
  });

  it.each([
    [{ kind: 'lifecycle', change: 'unsuspended' } as Signal, 'routed', null],
    [{ kind: 'ignored', reason: 'own_message' } as Signal, 'ignored', 'own_message'],
    [
      { kind: 'stop', anchor: { key: 'no', place: {} }, author: { id: 'U1', kind: 'person' } } as Signal,
      'ignored',
      'not_addressed',
    ],
  ])('does not keep back what is no message: %j', async (signal, outcome, reason) => {
    const w = await world();
    await w.becomes('suspended');
    const id = await w.deliver([signal]);
    await w.route(id);
    expect(await outcomeOf(id)).toEqual([outcome, reason]);
  });
});

describe('a credential that the provider does not accept when it is asked who wrote something', () => {
  it('has the provider asked whether we are still installed; the message waits for the answer', async () => {
    let isRevoked = true;
    const w = await world(async () => {
      if (isRevoked) throw new ProviderError('unauthorized', 'The token was revoked');
      return { allowed: true };
    });
    const id = await w.deliver(mention('one'));
    await expect(w.route(id)).rejects.toThrow('revoked');
    expect(await outcomeOf(id)).toEqual(['pending', null]);
    expect(await jobsOf('confirm', w.fixture.publicationId)).toHaveLength(1);
    await w.becomes('revoked');
    await w.route(id);
    expect(await outcomeOf(id)).toEqual(waits);
    isRevoked = false;
    await w.becomes('installed');
    await w.resume();
    expect(await w.said()).toEqual(['one']);
  });
});
