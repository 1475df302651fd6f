import { jsonb, pgTable, text, unique } from 'drizzle-orm/pg-core';
import { at, now } from './columns.ts';
import { organizationId } from './organizations.ts';

/** Where sessions run and what they may reach, as in the Managed Agents API. */
export const environments = pgTable(
  'environments',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    name: text('name').notNull(),
    description: text('description').notNull().default(''),
    /** As the API takes and shows it. What cannot be understood of it allows nothing. */
    config: jsonb('config').$type<Record<string, unknown>>().notNull(),
    metadata: jsonb('metadata').$type<Record<string, string>>().notNull().default({}),
    createdAt: now('created_at'),
    updatedAt: now('updated_at'),
    archivedAt: at('archived_at'),
  },
  (t) => [unique().on(t.organizationId, t.id)],
);
