import { and, eq, sql } from 'drizzle-orm';
import type { Database, Transaction } from '../store/connection.ts';
import { withOrganization } from '../store/organization.ts';
import { sessions } from '../store/schema.ts';

/** How long a session stays with a worker that no longer renews. Bounds how long a death goes unnoticed. */
export const leaseMs = 6_000;
export const renewEveryMs = 2_000;

export interface Lease {
  organizationId: string;
  sessionId: string;
  workerId: string;
  /** Rises with each change of hands; every write of the turn checks it. */
  fence: number;
}

/** The session belongs to another worker now: whatever this one still wanted to write is refused. */
export class LeaseLostError extends Error {
  override name = 'LeaseLostError';
  constructor(lease: Lease) {
    super(`Worker ${lease.workerId} no longer holds session ${lease.sessionId} (fence ${lease.fence}).`);
  }
}

/** Takes the session, or answers undefined when another worker holds it. */
export async function acquireLease(
  database: Database,
  organizationId: string,
  sessionId: string,
  workerId: string,
): Promise<Lease | undefined> {
  const taken = await withOrganization(database, organizationId, (tx) =>
    tx
      .update(sessions)
      .set({
        leaseWorkerId: workerId,
        leaseFence: sql`${sessions.leaseFence} + 1`,
        leaseExpiresAt: sql`now() + ${leaseMs} * interval '1 millisecond'`,
      })
      .where(
        and(
          eq(sessions.id, sessionId),
          sql`(${sessions.leaseWorkerId} is null or ${sessions.leaseExpiresAt} < now())`,
        ),
      )
      .returning({ fence: sessions.leaseFence }),
  );
  const fence = taken[0]?.fence;
  return fence === undefined ? undefined : { organizationId, sessionId, workerId, fence };
}

/** Prolongs the lease. @throws LeaseLostError when it is not ours any more. */
export async function renewLease(database: Database, lease: Lease): Promise<void> {
  const renewed = await withOrganization(database, lease.organizationId, (tx) =>
    tx
      .update(sessions)
      .set({ leaseExpiresAt: sql`now() + ${leaseMs} * interval '1 millisecond'` })
      .where(held(lease))
      .returning({ id: sessions.id }),
  );
  if (renewed.length === 0) throw new LeaseLostError(lease);
}

/** Gives the session back. Harmless when it is not ours any more. */
export async function releaseLease(database: Database, lease: Lease): Promise<void> {
  await withOrganization(database, lease.organizationId, (tx) =>
    tx.update(sessions).set({ leaseWorkerId: null, leaseExpiresAt: null }).where(held(lease)),
  );
}

/**
 * Makes the rest of this transaction valid only while the lease is ours: the row stays locked until the commit, so
 * nobody can take it in between. @throws LeaseLostError
 */
export async function assertLease(tx: Transaction, lease: Lease): Promise<void> {
  const found = await tx.select({ id: sessions.id }).from(sessions).where(held(lease)).for('update');
  if (found.length === 0) throw new LeaseLostError(lease);
}

function held(lease: Lease) {
  return and(
    eq(sessions.id, lease.sessionId),
    eq(sessions.leaseWorkerId, lease.workerId),
    eq(sessions.leaseFence, lease.fence),
  );
}
