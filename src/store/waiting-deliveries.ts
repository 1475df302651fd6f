import { and, asc, eq, like, type SQL } from 'drizzle-orm';
import type { Transaction } from './connection.ts';
import { enqueue } from './jobs.ts';
import { deliveries, type PublicationSetup, publications } from './schema.ts';

type PublicationRow = typeof publications.$inferSelect;

/** The reason of a delivery that is `pending` until its publication is live again; after a colon, where it was said. */
export const waitingReason = 'waiting_for_install';
const reasonAt = (anchorKey: string): string => `${waitingReason}: ${anchorKey}`;

const areWaiting = (publicationId: string, reason: SQL = like(deliveries.reason, `${waitingReason}: %`)) =>
  and(eq(deliveries.publicationId, publicationId), eq(deliveries.outcome, 'pending'), reason);

/**
 * Lets a delivery wait until its publication is live again, behind those that wait already; `isNext` is of these the
 * one whose turn has come. False where it need not wait. The publication is locked: who makes it live finds the
 * delivery waiting, or was first.
 */
export async function letWait(
  tx: Transaction,
  { id, publicationId }: Pick<typeof deliveries.$inferSelect, 'id' | 'publicationId'>,
  anchorKey: string,
  isNext: boolean,
): Promise<boolean> {
  const row = await lock(tx, publicationId);
  if (!row || !mustWait(row, isNext)) return false;
  await tx
    .update(deliveries)
    .set({ reason: reasonAt(anchorKey) })
    .where(and(eq(deliveries.id, id), eq(deliveries.outcome, 'pending')));
  if (!row.setup.waiting) await setSetup(tx, publicationId, { ...row.setup, waiting: true });
  return true;
}

/** Whether what comes for a publication waits. Pure. */
export function mustWait(
  { state, setup }: Pick<PublicationRow, 'state' | 'setup'>,
  isNext: boolean,
): boolean {
  if (state === 'unpublished') return false;
  return state !== 'live' || (setup.waiting === true && !isNext);
}

/** Whether something that was said at this place waits. */
export async function waitsAt(tx: Transaction, publicationId: string, anchorKey: string): Promise<boolean> {
  const [found] = await tx
    .select({ id: deliveries.id })
    .from(deliveries)
    .where(areWaiting(publicationId, eq(deliveries.reason, reasonAt(anchorKey))))
    .limit(1);
  return found !== undefined;
}

/** Has what waits for a publication looked at in its order from `at` on: for when it is live again. */
export async function resumeWaiting(
  tx: Transaction,
  { id: publicationId, organizationId, setup }: Pick<PublicationRow, 'id' | 'organizationId' | 'setup'>,
  at?: Date,
): Promise<void> {
  if (!setup.waiting) return;
  const options = { key: `resume:${publicationId}`, ...(at && { runAt: at }) };
  await enqueue(tx, 'resume', { organizationId, publicationId }, options);
}

/** The delivery that waits longest, while the publication is live. Undefined where none is to be looked at now. */
export async function nextWaiting(tx: Transaction, publicationId: string): Promise<string | undefined> {
  const row = await lock(tx, publicationId);
  if (row?.state !== 'live') return undefined;
  const [oldest] = await tx
    .select({ id: deliveries.id })
    .from(deliveries)
    .where(areWaiting(publicationId))
    .orderBy(asc(deliveries.id))
    .limit(1);
  if (!oldest) {
    const { waiting: _, ...setup } = row.setup;
    await setSetup(tx, publicationId, setup);
  }
  return oldest?.id;
}

/** Gives a delivery that waits a `route` job of its own, for when it cannot be settled in its turn. */
export async function routeByItself(
  tx: Transaction,
  organizationId: string,
  deliveryId: string,
): Promise<void> {
  await tx
    .update(deliveries)
    .set({ reason: null })
    .where(and(eq(deliveries.id, deliveryId), eq(deliveries.outcome, 'pending')));
  await enqueue(tx, 'route', { organizationId, deliveryId, isNext: true });
}

/** Settles what waits for a publication that will not be live again. */
export async function endWaiting(tx: Transaction, publicationId: string, now: Date): Promise<void> {
  await tx
    .update(deliveries)
    .set({ outcome: 'ignored', reason: 'not_live', settledAt: now })
    .where(areWaiting(publicationId));
}

async function lock(tx: Transaction, publicationId: string): Promise<PublicationRow | undefined> {
  const [row] = await tx.select().from(publications).where(eq(publications.id, publicationId)).for('update');
  return row;
}

async function setSetup(tx: Transaction, publicationId: string, setup: PublicationSetup): Promise<void> {
  await tx.update(publications).set({ setup }).where(eq(publications.id, publicationId));
}
