import { eq } from 'drizzle-orm';
import type { Database } from '../../store/connection.ts';
import type { Jobs } from '../../store/jobs.ts';
import { withOrganization } from '../../store/organization.ts';
import { adminNotices, notificationUrls } from '../../store/schema.ts';
import type { Notification, NotificationResult } from '../../vault/egress/notifications.ts';
import { notificationBody } from './notification.ts';

export interface NotifyDeps {
  database: Database;
  /** By the egress process, which alone opens the address. */
  notify(notification: Notification): Promise<NotificationResult>;
  clock: () => Date;
  config: { baseUrl: string };
}

/**
 * The `notify` job: posts one notice to one address, at least once. What came of it is kept with the address. It throws
 * what a later try may mend, so that the runner tries again with its backoff.
 */
export function createNotifyJob(deps: NotifyDeps): (job: Jobs['notify']) => Promise<void> {
  const { database, clock } = deps;
  return async ({ organizationId, noticeId, urlId }) => {
    const [notice] = await withOrganization(database, organizationId, (tx) =>
      tx.select().from(adminNotices).where(eq(adminNotices.id, noticeId)),
    );
    if (!notice) return;
    const body = notificationBody(notice, deps.config.baseUrl);
    const result = await deps.notify({ organizationId, urlId, id: noticeId, body });
    await withOrganization(database, organizationId, (tx) =>
      tx
        .update(notificationUrls)
        .set({
          lastTriedAt: clock(),
          lastStatus: result.status,
          lastError: result.ok ? null : result.message,
        })
        .where(eq(notificationUrls.id, urlId)),
    );
    if (!result.ok && !result.final) throw new Error(result.message);
  };
}
