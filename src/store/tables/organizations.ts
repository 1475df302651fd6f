import { jsonb, pgTable, text } from 'drizzle-orm/pg-core';
import { now } from './columns.ts';

/** A tenant. Everything below belongs to one, by composite foreign keys and row-level security. */
export const organizations = pgTable('organizations', {
  id: text('id').primaryKey(),
  name: text('name').notNull(),
  /** JWK to which credentials are sealed; written by the egress process, which alone derives the private half. */
  sealingPublicKey: jsonb('sealing_public_key').$type<Record<string, unknown>>(),
  createdAt: now('created_at'),
});

/** The tenant that a row belongs to; every tenant table has it and is guarded by it. */
export const organizationId = () =>
  text('organization_id')
    .notNull()
    .references(() => organizations.id, { onDelete: 'cascade' });
