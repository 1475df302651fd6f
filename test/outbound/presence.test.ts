import { eq } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import { createPresenceJob, showPresence } from '../../src/outbound/presence.ts';
import { ProviderError } from '../../src/providers/provider.ts';
import type { Database } from '../../src/store/connection.ts';
import { newId } from '../../src/store/ids.ts';
import { messages, turns } from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/database.ts';
import { cloudAdapters } from './cloud.ts';
import { createStage, giveMessage, type Stage, silent } from './stage.ts';

describe('presence', () => {
  let database: Database;
  beforeAll(async () => {
    database = (await createTestDatabase()).database;
  });

  const show = async (
    stage: Stage,
    messageId: string,
    phase: 'working' | 'done' | 'failed',
    text?: string,
  ) => {
    const slept: number[] = [];
    const outcome = await showPresence(
      {
        database,
        adapters: cloudAdapters(stage.cloud),
        platformFetch: stage.cloud.platformFetch,
        logger: silent,
        sleep: async (ms) => void slept.push(ms),
      },
      {
        organizationId: stage.organizationId,
        anchorId: stage.anchorId,
        messageId,
        phase,
        ...(text && { text }),
      },
    );
    return { outcome, slept };
  };
  /** A provider that takes so long to show the beginning that the end has been told when it is done. */
  const endingWhileShown = (stage: Stage, messageId: string) => {
    const adapters = cloudAdapters(stage.cloud);
    const { presence } = adapters.slack;
    let ended = false;
    adapters.slack.presence = async (context, target, phase, text) => {
      if (phase === 'working') {
        await database.update(messages).set({ state: 'done' }).where(eq(messages.id, messageId));
        ended = true;
      }
      return presence(context, target, phase, text);
    };
    return { adapters, ended: () => ended };
  };
  const unavailable = (options = {}) => new ProviderError('unavailable', 'away', options);

  it('is shown at the message, with the anchor and the text', async () => {
    const stage = await createStage(database);
    const id = await giveMessage(stage, { place: { channel: 'C1', ts: '5.5' } });
    await show(stage, id, 'working');
    await show(stage, id, 'failed', 'out of memory');
    expect(stage.cloud.presences).toMatchObject([
      {
        phase: 'working',
        message: { ts: '5.5' },
        place: { thread_ts: '1700000000.000100' },
        text: undefined,
      },
      { phase: 'failed', text: 'out of memory' },
    ]);
  });

  it('is shown for a message that still waits, and for one without a place of its own', async () => {
    const stage = await createStage(database);
    const id = await giveMessage(stage, { turnId: null, state: 'waiting', place: {} });
    expect(await show(stage, id, 'working')).toMatchObject({ outcome: 'shown' });
    expect(stage.cloud.presences[0]).toMatchObject({ message: undefined });
  });

  it.each(['completed', 'failed', 'cancelled'] as const)(
    'of work is not shown once the turn has %s',
    async (state) => {
      const stage = await createStage(database);
      const id = await giveMessage(stage);
      await database.update(turns).set({ state }).where(eq(turns.id, stage.turnId));
      expect(await show(stage, id, 'working')).toMatchObject({ outcome: 'too_late' });
      expect(await show(stage, id, 'done')).toMatchObject({ outcome: 'shown' });
      expect(stage.cloud.presences.map((each) => each.phase)).toEqual(['done']);
    },
  );

  it('of a turn that ended, told late, does not hide that the agent works on what came after', async () => {
    const stage = await createStage(database);
    const first = await giveMessage(stage, { place: { channel: 'C1', ts: '1.1' }, state: 'done' });
    await database.update(turns).set({ state: 'completed' }).where(eq(turns.id, stage.turnId));
    const nextTurn = newId('turn');
    const { organizationId, sessionId, anchorId } = stage;
    await database.insert(turns).values({ id: nextTurn, organizationId, sessionId, fence: 2, anchorId });
    const second = await giveMessage(stage, { place: { channel: 'C1', ts: '2.2' }, turnId: nextTurn });
    await show(stage, second, 'working');
    await show(stage, first, 'done');
    const last = stage.cloud.presences.at(-1);
    expect(last).toMatchObject({ phase: 'working', message: { ts: '2.2' } });
    await database.update(messages).set({ state: 'done' }).where(eq(messages.id, second));
    await show(stage, second, 'done');
    await show(stage, first, 'done');
    expect(stage.cloud.presences.at(-1)).toMatchObject({ phase: 'done', message: { ts: '1.1' } });
  });

  it('of work that ends while it is being shown is taken back', async () => {
    const stage = await createStage(database);
    const id = await giveMessage(stage);
    const { adapters, ended } = endingWhileShown(stage, id);
    const about = { organizationId: stage.organizationId, anchorId: stage.anchorId, messageId: id };
    const { platformFetch } = stage.cloud;
    await showPresence({ database, adapters, platformFetch, logger: silent }, { ...about, phase: 'working' });
    expect(ended()).toBe(true);
    expect(stage.cloud.presences.map((each) => each.phase)).toEqual(['working', 'done']);
  });

  it('of work that is tried again looks again whether the turn has ended', async () => {
    const stage = await createStage(database);
    const id = await giveMessage(stage);
    stage.cloud.presenceErrors = [unavailable()];
    const outcome = await showPresence(
      {
        database,
        adapters: cloudAdapters(stage.cloud),
        platformFetch: stage.cloud.platformFetch,
        logger: silent,
        sleep: async () => {
          await database.update(messages).set({ state: 'done' }).where(eq(messages.id, id));
        },
      },
      { organizationId: stage.organizationId, anchorId: stage.anchorId, messageId: id, phase: 'working' },
    );
    expect(outcome).toBe('too_late');
  });

  it('is tried a little, as the provider says', async () => {
    const stage = await createStage(database);
    const id = await giveMessage(stage);
    stage.cloud.presenceErrors = [
      new ProviderError('rate_limited', 'slow', { retryAfterMs: 2_000 }),
      new TypeError('x'),
    ];
    expect(await show(stage, id, 'working')).toEqual({ outcome: 'shown', slept: [2_000, 1_500] });
  });

  it.each([
    ['refused', [new ProviderError('refused', 'no')], 0],
    ['not authorized', [new ProviderError('unauthorized', 'no')], 0],
    ['told to come back much later', [unavailable({ retryAfterMs: 60_000 })], 0],
    ['away for good', [unavailable(), unavailable(), unavailable()], 2],
  ])('gives up without failing when it is %s', async (_, errors, sleeps) => {
    const stage = await createStage(database);
    const id = await giveMessage(stage);
    stage.cloud.presenceErrors = errors;
    const { outcome, slept } = await show(stage, id, 'working');
    expect(outcome).toBe('failed');
    expect(slept).toHaveLength(sleeps);
  });

  it('of a message that is gone is nothing', async () => {
    const stage = await createStage(database);
    const job = createPresenceJob({
      database,
      adapters: cloudAdapters(stage.cloud),
      platformFetch: stage.cloud.platformFetch,
      logger: silent,
    });
    await job({
      organizationId: stage.organizationId,
      anchorId: stage.anchorId,
      messageId: 'msg_0',
      phase: 'working',
    });
    expect(stage.cloud.presences).toEqual([]);
  });
});
