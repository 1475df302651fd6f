import { and, eq, type SQL, sql } from 'drizzle-orm';
import type { Database, Transaction } from '../store/connection.ts';
import { withOrganization } from '../store/organization.ts';
import { anchors } from '../store/schema.ts';

/** The right to send from one anchor's outbox. Times are the database's, so that workers' clocks may differ. */
export interface AnchorLease {
  organizationId: string;
  anchorId: string;
  workerId: string;
  /** Rises with each change of hands; every write of the sender checks it. */
  fence: number;
  durationMs: number;
}

/** Another sender has the anchor now: what this one still wanted to write is refused. */
export class AnchorLeaseLostError extends Error {
  override name = 'AnchorLeaseLostError';
  constructor(lease: AnchorLease) {
    super(`Worker ${lease.workerId} no longer sends for anchor ${lease.anchorId} (fence ${lease.fence}).`);
  }
}

export type LeaseAttempt = { lease: AnchorLease } | { heldUntil: Date } | undefined;

/** Takes the anchor's lease, or says until when another holds it; undefined when there is no such anchor. */
export async function takeLease(tx: Transaction, wanted: Omit<AnchorLease, 'fence'>): Promise<LeaseAttempt> {
  // Locked before it is looked at: a holder who lets go at this moment is waited for. It looks once more for rows
  // under the same lock, so a row is seen either by it or by us.
  const rows = await tx
    .select({
      holder: anchors.leaseWorkerId,
      fence: anchors.leaseFence,
      expiresAt: anchors.leaseExpiresAt,
      live: sql<boolean>`${anchors.leaseWorkerId} is not null and ${anchors.leaseExpiresAt} > clock_timestamp()`,
    })
    .from(anchors)
    .where(eq(anchors.id, wanted.anchorId))
    .for('no key update');
  const row = rows[0];
  if (!row) return undefined;
  if (row.live && row.expiresAt) return { heldUntil: row.expiresAt };
  const lease: AnchorLease = { ...wanted, fence: row.fence + 1 };
  await tx
    .update(anchors)
    .set({ leaseWorkerId: lease.workerId, leaseFence: lease.fence, leaseExpiresAt: expiry(lease) })
    .where(eq(anchors.id, lease.anchorId));
  return { lease };
}

/**
 * Runs `work` in one transaction that is valid only while the lease is ours, and prolongs it. The row stays locked until
 * the commit, so nobody can take it in between. @throws AnchorLeaseLostError
 */
export function underLease<T>(
  database: Database,
  lease: AnchorLease,
  work: (tx: Transaction) => Promise<T>,
): Promise<T> {
  return withOrganization(database, lease.organizationId, async (tx) => {
    const held = await tx
      .update(anchors)
      .set({ leaseExpiresAt: expiry(lease) })
      .where(ours(lease))
      .returning({ id: anchors.id });
    if (held.length === 0) throw new AnchorLeaseLostError(lease);
    return work(tx);
  });
}

/** Gives the lease back; a later holder's is left alone. */
export async function releaseLease(tx: Transaction, lease: AnchorLease): Promise<void> {
  await tx.update(anchors).set({ leaseWorkerId: null, leaseExpiresAt: null }).where(ours(lease));
}

export interface KeptLease {
  /** Aborted as soon as the lease is known or must be feared to be lost. */
  lost: AbortSignal;
  stop(): void;
}

/** Renews a lease every `everyMs` until stopped. */
export function keepLease(database: Database, lease: AnchorLease, everyMs: number): KeptLease {
  const controller = new AbortController();
  let renewedAt = performance.now();
  let stopped = false;
  const lose = () => {
    clearInterval(timer);
    if (!stopped) controller.abort(new AnchorLeaseLostError(lease));
  };
  let renewing = false;
  const timer = setInterval(() => {
    if (performance.now() - renewedAt > lease.durationMs) return lose();
    if (renewing) return;
    renewing = true;
    const startedAt = performance.now();
    underLease(database, lease, async () => {})
      .then(
        () => {
          renewedAt = startedAt;
        },
        (error: unknown) => {
          if (error instanceof AnchorLeaseLostError) lose();
        },
      )
      .finally(() => {
        renewing = false;
      });
  }, everyMs);
  return {
    lost: controller.signal,
    stop: () => {
      stopped = true;
      clearInterval(timer);
    },
  };
}

function expiry(lease: AnchorLease): SQL {
  return sql`clock_timestamp() + ${lease.durationMs} * interval '1 millisecond'`;
}

function ours(lease: AnchorLease): SQL | undefined {
  return and(
    eq(anchors.id, lease.anchorId),
    eq(anchors.leaseWorkerId, lease.workerId),
    eq(anchors.leaseFence, lease.fence),
  );
}
