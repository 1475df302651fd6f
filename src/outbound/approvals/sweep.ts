import { and, eq, lte } from 'drizzle-orm';
import type { Database } from '../../store/connection.ts';
import { withOrganization } from '../../store/organization.ts';
import { approvals } from '../../store/schema.ts';
import { expire } from './decide.ts';
import type { ApprovalDependencies } from './session-port.ts';

/**
 * Ends the requests that nobody decided over in time. It looks across organizations, so the search runs under the owner
 * role and each ending under its own organization. Answers how many.
 */
export async function expireApprovals(
  database: Database,
  dependencies: ApprovalDependencies,
  now: Date,
): Promise<number> {
  const due = await database
    .select({ id: approvals.id, organizationId: approvals.organizationId })
    .from(approvals)
    .where(and(eq(approvals.state, 'waiting'), lte(approvals.expiresAt, now)))
    .limit(200);
  for (const { id, organizationId } of due) {
    await withOrganization(database, organizationId, async (tx) => {
      const rows = await tx
        .select()
        .from(approvals)
        .where(and(eq(approvals.id, id), eq(approvals.state, 'waiting')))
        .for('update');
      if (rows[0]) await expire(tx, dependencies, rows[0], now);
    });
  }
  return due.length;
}
