import { sql } from 'drizzle-orm';
import type { Logger } from 'pino';
import type { Database } from '../store/connection.ts';
import { enqueue, type Jobs } from '../store/jobs.ts';
import { withOrganization } from '../store/organization.ts';
import { nextWaiting, routeByItself } from '../store/waiting-deliveries.ts';

export interface ResumeDependencies {
  database: Database;
  logger: Logger;
}

/**
 * The `resume` job: what waited for a publication to be live again is routed, one after the other as it came. One that
 * cannot be routed now is tried again by itself and keeps nobody waiting. It ends early where the publication is not
 * live any more: what is left waits on. Run twice, also at once, it does its work once.
 */
export function createResumeJob(
  { database, logger }: ResumeDependencies,
  route: (job: Jobs['route']) => Promise<void>,
): (job: Jobs['resume']) => Promise<void> {
  return async ({ organizationId, publicationId }) => {
    for (;;) {
      const deliveryId = await withOrganization(database, organizationId, (tx) =>
        nextWaiting(tx, publicationId),
      );
      if (deliveryId === undefined) return;
      try {
        await route({ organizationId, deliveryId, isNext: true });
      } catch (error) {
        logger.warn({ deliveryId, err: error }, 'a delivery that waited is tried again by itself');
        await withOrganization(database, organizationId, (tx) =>
          routeByItself(tx, organizationId, deliveryId),
        );
      }
    }
  };
}

interface StrandedRow extends Record<string, unknown> {
  organization_id: string;
  id: string;
}

/**
 * Gives a `resume` job to every live publication for which deliveries wait without one, under the owner role: its job may
 * have used up its tries, or a worker of an older version made it live. Answers how many it found.
 */
export async function resumeStranded(database: Database): Promise<number> {
  const found = await database.execute<StrandedRow>(sql`
    select p.organization_id, p.id from publications p
    where p.state = 'live' and p.setup ? 'waiting' and not exists (
      select from graphile_worker.jobs j where j.key = 'resume:' || p.id and j.attempts < j.max_attempts
    ) limit 500`);
  for (const { organization_id: organizationId, id: publicationId } of found.rows) {
    await withOrganization(database, organizationId, (tx) =>
      enqueue(tx, 'resume', { organizationId, publicationId }, { key: `resume:${publicationId}` }),
    );
  }
  return found.rows.length;
}
