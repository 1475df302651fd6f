import type { Logger } from 'pino';
import type { Database } from '../store/connection.ts';
import type { Jobs } from '../store/jobs.ts';
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
