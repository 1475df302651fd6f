import { sql } from 'drizzle-orm';
import { foreignKey, index, jsonb, pgTable, primaryKey, text, unique } from 'drizzle-orm/pg-core';
import { at, bytes, now } from './columns.ts';
import { organizationId } from './organizations.ts';
import type { ProviderName } from './publications.ts';
import { publications } from './publications.ts';

export type OutcomeKind = 'pending' | 'routed' | 'ignored' | 'failed';

/** One signed webhook request, whole, as it came. */
export const deliveries = pgTable(
  'deliveries',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    publicationId: text('publication_id').notNull(),
    provider: text('provider').$type<ProviderName>().notNull(),
    /** Lower-case names; only those that the provider's rules need. */
    headers: jsonb('headers').$type<Record<string, string>>().notNull(),
    /** Null after retention; its keys stay known for longer. */
    body: bytes('body'),
    receivedAt: now('received_at'),
    outcome: text('outcome').$type<OutcomeKind>().notNull().default('pending'),
    reason: text('reason'),
    sessionId: text('session_id'),
    settledAt: at('settled_at'),
  },
  (t) => [
    unique().on(t.organizationId, t.id),
    foreignKey({
      columns: [t.organizationId, t.publicationId],
      foreignColumns: [publications.organizationId, publications.id],
    }).onDelete('cascade'),
    index('deliveries_publication').on(t.organizationId, t.publicationId, t.id),
    index('deliveries_pending').on(t.id).where(sql`outcome = 'pending'`),
  ],
);

/** By what a duplicate is known: the delivery's own id and the hash of its body. Outlives the body. */
export const deliveryKeys = pgTable(
  'delivery_keys',
  {
    organizationId: organizationId(),
    publicationId: text('publication_id').notNull(),
    /** `id:<delivery id>` or `body:<SHA-256, base64url>`. */
    key: text('key').notNull(),
    deliveryId: text('delivery_id').notNull(),
    receivedAt: now('received_at'),
  },
  (t) => [primaryKey({ columns: [t.publicationId, t.key] })],
);
