import { and, inArray, sql } from 'drizzle-orm';
import type { Database, Transaction } from '../store/connection.ts';
import { installations, outbox } from '../store/schema.ts';
import { enqueueSend } from './enqueue-send.ts';

interface WaitingRow extends Record<string, unknown> {
  organization_id: string;
  anchor_id: string;
  due_at: Date | string;
}

/**
 * Makes sure that a `send` job comes for every anchor with open rows: at once, or when its oldest row is due, or when
 * the lease that somebody holds on it runs out. Anchors whose job waits already are left alone. For the start of a
 * worker and every few seconds; under the owner role, since it looks across organizations and at the job tables.
 * Answers how many anchors it found without a job.
 */
export async function sweepOutbox(database: Database): Promise<number> {
  return database.transaction(async (tx) => {
    const found = await tx.execute<WaitingRow>(sql`
      with oldest as (
        select distinct on (o.anchor_id) o.organization_id, o.anchor_id,
          greatest(
            now(),
            case when o.attempts > 0 then o.not_before end,
            case when a.lease_worker_id is not null then a.lease_expires_at end
          ) as due_at
        from outbox o join anchors a on a.id = o.anchor_id
        where o.state in ('queued', 'sending')
        order by o.anchor_id, o.position
      )
      select * from oldest
      where not exists (
        select from graphile_worker.jobs j
        where j.key = 'send:' || oldest.anchor_id and j.attempts < j.max_attempts
          and j.locked_at is null and j.run_at <= oldest.due_at
      )
      limit 500`);
    for (const row of found.rows) {
      await enqueueSend(tx, row.organization_id, row.anchor_id, new Date(row.due_at));
    }
    return found.rows.length;
  });
}

/**
 * Lets everything that waits in a publication's outbox be tried at `at`, in the caller's transaction: for when it was
 * given a new credential, once the old one is no longer remembered.
 */
export async function resumeSending(
  tx: Transaction,
  publicationId: string,
  at: Date = new Date(0),
): Promise<void> {
  const waiting = await tx
    .update(outbox)
    .set({ notBefore: at })
    .where(
      and(
        inArray(outbox.state, ['queued', 'sending']),
        sql`${outbox.installationId} in (select i.id from ${installations} i where i.publication_id = ${publicationId})`,
      ),
    )
    .returning({ organizationId: outbox.organizationId, anchorId: outbox.anchorId });
  const byAnchor = new Map(waiting.map((row) => [row.anchorId, row.organizationId]));
  for (const [anchorId, organizationId] of byAnchor) await enqueueSend(tx, organizationId, anchorId, at);
}
