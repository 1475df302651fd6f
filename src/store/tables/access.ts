import { pgTable, text, unique } from 'drizzle-orm/pg-core';
import { at, now } from './columns.ts';
import { organizationId } from './organizations.ts';

export const apiKeys = pgTable(
  'api_keys',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    name: text('name').notNull(),
    /** SHA-256 of the key, hex. The key itself is shown once. */
    hash: text('hash').notNull().unique(),
    createdAt: now('created_at'),
    revokedAt: at('revoked_at'),
  },
  (t) => [unique().on(t.organizationId, t.id)],
);

/** One-time links that open the console (`kind` link) and the cookies that they become (`kind` cookie). */
export const consoleTokens = pgTable('console_tokens', {
  hash: text('hash').primaryKey(),
  organizationId: organizationId(),
  kind: text('kind').$type<'link' | 'cookie'>().notNull(),
  createdAt: now('created_at'),
  expiresAt: at('expires_at').notNull(),
  usedAt: at('used_at'),
});
