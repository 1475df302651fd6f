import { foreignKey, index, integer, jsonb, pgTable, text, unique } from 'drizzle-orm/pg-core';
import { at, now } from './columns.ts';
import { organizationId } from './organizations.ts';
import { installations, publications } from './publications.ts';

export const vaults = pgTable(
  'vaults',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    displayName: text('display_name').notNull(),
    metadata: jsonb('metadata').$type<Record<string, string>>().notNull().default({}),
    createdAt: now('created_at'),
    archivedAt: at('archived_at'),
  },
  (t) => [unique().on(t.organizationId, t.id)],
);

export type CredentialKind =
  | 'slack_bot'
  /** A person's token, which is all that Slack's own MCP server takes. */
  | 'slack_user'
  | 'github_app'
  | 'linear_app'
  | 'static_bearer'
  | 'header'
  | 'basic'
  | 'query'
  | 'mcp_oauth'
  | 'environment_variable'
  /** A client id and secret: put on where codes and refresh tokens are exchanged, and nowhere else. */
  | 'slack_client'
  | 'linear_client';

/** Sealed to the egress process. `detail` holds what is not secret: hosts, ids. */
export const credentials = pgTable(
  'credentials',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    vaultId: text('vault_id'),
    installationId: text('installation_id'),
    publicationId: text('publication_id'),
    kind: text('kind').$type<CredentialKind>().notNull(),
    displayName: text('display_name').notNull(),
    sealed: text('sealed').notNull(),
    detail: jsonb('detail').$type<Record<string, unknown>>().notNull().default({}),
    /** Rises with each change; a refresh writes only over the version that it read. */
    version: integer('version').notNull().default(1),
    createdAt: now('created_at'),
    updatedAt: now('updated_at'),
    lastUsedAt: at('last_used_at'),
    archivedAt: at('archived_at'),
  },
  (t) => [
    unique().on(t.organizationId, t.id),
    foreignKey({
      columns: [t.organizationId, t.vaultId],
      foreignColumns: [vaults.organizationId, vaults.id],
    }),
    foreignKey({
      columns: [t.organizationId, t.installationId],
      foreignColumns: [installations.organizationId, installations.id],
    }).onDelete('cascade'),
    foreignKey({
      columns: [t.organizationId, t.publicationId],
      foreignColumns: [publications.organizationId, publications.id],
    }).onDelete('cascade'),
    index('credentials_publication').on(t.publicationId),
    index('credentials_vault').on(t.vaultId),
  ],
);
