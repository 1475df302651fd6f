import { sql } from 'drizzle-orm';
import type { Database, Transaction } from './connection.ts';

/**
 * Runs `work` in one transaction that sees and writes rows of this organization only: the application role and the
 * row-level policies of `migrations/0001_tenancy.sql` see to it. Commits when `work` resolves, rolls back when it
 * throws.
 */
export function withOrganization<T>(
  database: Database,
  organizationId: string,
  work: (tx: Transaction) => Promise<T>,
): Promise<T> {
  return database.transaction(async (tx) => {
    await takeOnOrganization(tx, organizationId);
    return work(tx);
  });
}

/** From here on this transaction sees and writes rows of this organization only. */
export async function takeOnOrganization(tx: Transaction, organizationId: string): Promise<void> {
  await tx.execute(
    sql`select set_config('role', 'tagalong_app', true), set_config('tagalong.organization_id', ${organizationId}, true)`,
  );
}
