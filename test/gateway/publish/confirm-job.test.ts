import { eq, sql } from 'drizzle-orm';
import pino from 'pino';
import { beforeAll, describe, expect, it } from 'vitest';
import { createConfirmJob } from '../../../src/gateway/publish/confirm-job.ts';
import { adapters } from '../../../src/providers/index.ts';
import { ProviderError } from '../../../src/providers/provider.ts';
import type { Database } from '../../../src/store/connection.ts';
import { newId } from '../../../src/store/ids.ts';
import { credentials, type PublicationState, publications } from '../../../src/store/schema.ts';
import { createTestDatabase } from '../../support/database.ts';
import { createFixture } from '../../support/fixture.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
let database: Database;
beforeAll(async () => {
  database = (await createTestDatabase()).database;
});

/** A publication in a state since then, whose provider answers so. */
async function world(state: PublicationState, sinceMs: number, says: 'yes' | 'no' | 'nothing') {
  const { organizationId, publicationId, installationId } = await createFixture(database);
  const now = new Date();
  await database.insert(credentials).values({
    ...{ id: newId('cred'), organizationId, publicationId, installationId },
    ...{ kind: 'slack_bot', displayName: 'Token', sealed: '', detail: {} },
  });
  await database
    .update(publications)
    .set({ state, stateReason: 'The words of before.', updatedAt: new Date(now.getTime() - sinceMs) })
    .where(eq(publications.id, publicationId));
  const whoAmI = async () => {
    if (says === 'yes') return { workspaceId: 'W1' };
    throw new ProviderError(says === 'no' ? 'unauthorized' : 'unavailable', 'Not now');
  };
  const confirm = createConfirmJob({
    database,
    adapters: { ...adapters, slack: { ...adapters.slack, whoAmI } },
    platformFetch: () => fetch,
    clock: () => now,
    logger: pino({ level: 'silent' }),
  });
  await confirm({ organizationId, publicationId });
  const [row] = await database.select().from(publications).where(eq(publications.id, publicationId));
  const { rows } = await database.execute<{ run_at: string }>(
    sql`select run_at from graphile_worker.jobs where key = ${`confirm:${publicationId}`}`,
  );
  const asksInMs = rows.map(({ run_at }) => new Date(run_at).getTime() - now.getTime());
  return { state: row?.state, reason: row?.stateReason, asksInMs };
}

describe('the provider, asked in the background whether an app is still installed', () => {
  it('says no: it has to be installed again, and is asked again in some minutes', async () => {
    expect(await world('live', hourMs, 'no')).toEqual({
      state: 'needs_reauth',
      reason: expect.stringContaining('Not now'),
      asksInMs: [5 * minuteMs],
    });
  });

  it.each([
    [minuteMs, 5 * minuteMs],
    [20 * minuteMs, 20 * minuteMs],
    [48 * hourMs, 6 * hourMs],
  ])(
    'says no again after %d ms: the words of before stay, and it is asked ever less often',
    async (sinceMs, inMs) => {
      expect(await world('needs_reauth', sinceMs, 'no')).toEqual({
        state: 'needs_reauth',
        reason: 'The words of before.',
        asksInMs: [inMs],
      });
    },
  );

  it('says yes after all: it is live by itself, and not asked any more', async () => {
    expect(await world('needs_reauth', hourMs, 'yes')).toEqual({ state: 'live', reason: null, asksInMs: [] });
  });

  it('says no of one that is suspended: that is known', async () => {
    expect(await world('suspended', hourMs, 'no')).toEqual({
      state: 'suspended',
      reason: 'The words of before.',
      asksInMs: [],
    });
  });

  it('says nothing: nothing changes', async () => {
    expect(await world('live', hourMs, 'nothing')).toEqual({
      state: 'live',
      reason: 'The words of before.',
      asksInMs: [],
    });
  });
});
