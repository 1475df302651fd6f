import { sql } from 'drizzle-orm';
import { check, foreignKey, index, pgTable, text, unique } from 'drizzle-orm/pg-core';
import { at, now } from './columns.ts';
import { organizationId } from './organizations.ts';
import { sessions } from './sessions.ts';
import { credentials, vaults } from './vaults.ts';

export type GrantSpan = 'current_turn' | 'next_turn' | 'until';

/** A session's use of one credential, or of one vault, for a turn or until a time. */
export const credentialGrants = pgTable(
  'credential_grants',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    sessionId: text('session_id').notNull(),
    /** Exactly one of the two. */
    vaultId: text('vault_id'),
    credentialId: text('credential_id'),
    span: text('span').$type<GrantSpan>().notNull(),
    /** Of `current_turn`. The next turn is the first that starts after `created_at`. */
    turnId: text('turn_id'),
    /** Of `until`. */
    expiresAt: at('expires_at'),
    /** By Postgres' clock, as the start of a turn is. */
    createdAt: now('created_at'),
  },
  (t) => [
    unique().on(t.organizationId, t.id),
    foreignKey({
      columns: [t.organizationId, t.sessionId],
      foreignColumns: [sessions.organizationId, sessions.id],
    }).onDelete('cascade'),
    foreignKey({
      columns: [t.organizationId, t.vaultId],
      foreignColumns: [vaults.organizationId, vaults.id],
    }).onDelete('cascade'),
    foreignKey({
      columns: [t.organizationId, t.credentialId],
      foreignColumns: [credentials.organizationId, credentials.id],
    }).onDelete('cascade'),
    index('credential_grants_session').on(t.sessionId, t.createdAt),
    check('credential_grants_one', sql`num_nonnulls(vault_id, credential_id) = 1`),
  ],
);
