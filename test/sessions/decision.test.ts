import { eq } from 'drizzle-orm';
import pino from 'pino';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Judgement, ProviderAdapter, Signal } from '../../src/providers/provider.ts';
import { createRouteJob } from '../../src/sessions/route.ts';
import type { Database } from '../../src/store/connection.ts';
import { newId } from '../../src/store/ids.ts';
import { approvals, deliveries } from '../../src/store/schema.ts';
import { cloudAdapter } from '../outbound/cloud.ts';
import { ask, createStage, giveMessage, type Stage } from '../outbound/stage.ts';
import { createTestDatabase } from '../support/database.ts';

let database: Database;
beforeAll(async () => {
  database = (await createTestDatabase()).database;
});

type Decision = Extract<Signal, { kind: 'decision' }>;

/** A request that waits, and the deliveries by which people decide over it. */
async function waiting(judgement: Judgement = { allowed: true }) {
  const stage = await createStage(database, { anchorKey: 'talk' });
  await giveMessage(stage);
  const { approvalId } = await ask(stage, 'plans');
  const whispers: string[] = [];
  const options: unknown[] = [];
  const adapter: ProviderAdapter = {
    ...cloudAdapter(stage.cloud),
    signals: (delivery) => JSON.parse(delivery.body.toString()) as Signal[],
    async mayAddress(_context, _who, wanted) {
      options.push(wanted);
      return judgement;
    },
    async whisper(_context, _place, _personId, text) {
      whispers.push(text);
    },
  };
  const route = createRouteJob({
    database,
    adapters: { slack: adapter, github: adapter, linear: adapter },
    platformFetch: () => fetch,
    clock: stage.clock.read,
    logger: pino({ level: 'silent' }),
  });
  const decide = async (over: Partial<Decision> = {}) => {
    const { organizationId, publicationId } = stage;
    const id = newId('dlv');
    const signal: Decision = {
      kind: 'decision',
      approvalId,
      decision: 'approve',
      anchor: { key: 'talk', place: {} },
      author: { id: 'U2', name: 'Maya', kind: 'person' },
      place: {},
      ...over,
    };
    const body = Buffer.from(JSON.stringify([signal]));
    await database
      .insert(deliveries)
      .values({ id, organizationId, publicationId, provider: 'slack', headers: {}, body });
    await route({ organizationId, deliveryId: id });
    await route({ organizationId, deliveryId: id });
    return (
      (await database.select().from(deliveries).where(eq(deliveries.id, id)))[0] ?? expect.fail('no delivery')
    );
  };
  return { stage, approvalId, decide, whispers, options };
}

const stateOf = async (id: string) =>
  (await database.select().from(approvals).where(eq(approvals.id, id)))[0]?.state;
const sent = async (stage: Stage) => {
  await stage.send();
  return stage.cloud.posts.filter(({ tool }) => tool === 'slack_canvas').length;
};

describe('a decision by a delivery', () => {
  it('counts once, by somebody whom the provider was asked about for it', async () => {
    const { stage, approvalId, decide, options } = await waiting();
    expect(await decide()).toMatchObject({ outcome: 'routed', sessionId: stage.sessionId });
    expect(options).toEqual([{ fresh: true }]);
    expect(await decide()).toMatchObject({
      outcome: 'ignored',
      reason: expect.stringContaining('approved already'),
    });
    expect(await stateOf(approvalId)).toBe('approved');
    expect(await sent(stage)).toBe(1);
  });

  it('of a person without authority does not, and they are told quietly', async () => {
    const { stage, decide, whispers } = await waiting({ allowed: false, kind: 'guest', detail: 'a guest' });
    expect(await decide()).toMatchObject({
      outcome: 'ignored',
      reason: expect.stringMatching(/^decision_refused: Only people with authority/),
    });
    expect(whispers).toEqual([expect.stringContaining('Only people with authority')]);
    expect(await sent(stage)).toBe(0);
  });

  it('of a bot does not, whatever it says', async () => {
    const { stage, decide, options } = await waiting();
    const outcome = await decide({ author: { id: 'B2', kind: 'bot' } });
    expect(outcome).toMatchObject({
      outcome: 'ignored',
      reason: expect.stringContaining('Bots do not decide'),
    });
    expect(options).toEqual([]);
    expect(await sent(stage)).toBe(0);
  });

  it('in another place does not: who has authority there may have none here', async () => {
    const { stage, approvalId, decide } = await waiting();
    expect(await decide({ anchor: { key: 'elsewhere', place: {} } })).toMatchObject({
      outcome: 'ignored',
      reason: expect.stringContaining('unknown_approval'),
    });
    const other = await waiting();
    expect(await other.decide({ approvalId })).toMatchObject({
      reason: expect.stringContaining('unknown_approval'),
    });
    expect(await stateOf(approvalId)).toBe('waiting');
    expect(await sent(stage)).toBe(0);
  });

  it('by two people at once is one', async () => {
    const { stage, decide } = await waiting();
    const outcomes = await Promise.all(
      ['U2', 'U3', 'U4'].map((id) => decide({ author: { id, kind: 'person' } })),
    );
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual(['ignored', 'ignored', 'routed']);
    expect(await sent(stage)).toBe(1);
  });
});
