import { sql } from 'drizzle-orm';
import { foreignKey, index, integer, pgTable, text, unique, uniqueIndex } from 'drizzle-orm/pg-core';
import { at, now } from './columns.ts';
import { organizationId } from './organizations.ts';
import { publications } from './publications.ts';

/** What a notice is about; the names that receivers see. */
export type NoticeKind =
  | 'publication.needs_reauth'
  | 'publication.suspended'
  | 'publication.live'
  | 'publication.capabilities_requested'
  | 'notification.test';

/** What an admin is told: written with the change that it is about, open until that is over. */
export const adminNotices = pgTable(
  'admin_notices',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    kind: text('kind').$type<NoticeKind>().notNull(),
    publicationId: text('publication_id'),
    text: text('text').notNull(),
    createdAt: now('created_at'),
    /** Null while something is to be done about it. */
    resolvedAt: at('resolved_at'),
  },
  (t) => [
    unique().on(t.organizationId, t.id),
    foreignKey({
      columns: [t.organizationId, t.publicationId],
      foreignColumns: [publications.organizationId, publications.id],
    }).onDelete('cascade'),
    index('admin_notices_newest').on(t.organizationId, t.id),
    uniqueIndex('admin_notices_open').on(t.publicationId, t.kind).where(sql`resolved_at is null`),
  ],
);

/** Where notices are sent. Its address can hold a secret (Slack's do), so that it is sealed to the egress process. */
export const notificationUrls = pgTable(
  'notification_urls',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    name: text('name').notNull(),
    /** The host alone, to be shown. */
    host: text('host').notNull(),
    /** `{url, signing_secret}`. */
    sealed: text('sealed').notNull(),
    createdAt: now('created_at'),
    lastTriedAt: at('last_tried_at'),
    lastStatus: integer('last_status'),
    /** Why the last one did not arrive, in words; null when it did. */
    lastError: text('last_error'),
  },
  (t) => [unique().on(t.organizationId, t.id)],
);
