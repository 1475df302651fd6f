import { sql } from 'drizzle-orm';
import { boolean, foreignKey, index, jsonb, pgTable, text, unique, uniqueIndex } from 'drizzle-orm/pg-core';
import { agents } from './agents.ts';
import { at, now } from './columns.ts';
import { organizationId } from './organizations.ts';

export type PublicationState =
  | 'pending_setup'
  | 'credentials_filled'
  | 'awaiting_install'
  | 'live'
  | 'needs_reauth'
  | 'suspended'
  | 'unpublished';
export type ProviderName = 'slack' | 'github' | 'linear';
export type Grant = 'on' | 'ask' | 'off';

/** What is known of a publication's app at the provider, and of the way there. */
export interface PublicationSetup {
  /** `manifest`: its app is made by the guided flow; absent where its credentials were given whole. */
  flow?: 'manifest';
  /** The app's name at the provider, where it shall differ from the agent's. */
  name?: string;
  /** GitHub: the organization that owns the app; absent for a person's own. */
  owner?: string;
  clientId?: string;
  appId?: string;
  /** GitHub: the app's name in addresses. */
  slug?: string;
  /** Where the app is to be found at the provider. */
  appUrl?: string;
  /** What the provider gave, or was last asked for, as in `requiredScopes`; absent where nobody knows. */
  scopes?: string[];
  /** An admin is ending it: that the provider takes the app away is no news then. */
  ending?: true;
  /** Deliveries wait for it to be live again, and what comes now waits behind them. */
  waiting?: true;
  /** ISO 8601. Since when it has been live again; absent where it never ceased to be. */
  resumedAt?: string;
}

/** More than a publication may do now, waiting for an admin's word on the difference. */
export interface PendingCapabilities {
  /** The deviations from the defaults that are wanted, all of them. */
  grants: Record<string, Grant>;
  /** ISO 8601. */
  requestedAt: string;
}

export const publications = pgTable(
  'publications',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    agentId: text('agent_id').notNull(),
    provider: text('provider').$type<ProviderName>().notNull(),
    state: text('state').$type<PublicationState>().notNull().default('pending_setup'),
    /** Why it is in this state, in words for an admin. */
    stateReason: text('state_reason'),
    /** Deviations from the provider's default grants, by capability name (without the provider prefix). */
    capabilities: jsonb('capabilities').$type<Record<string, Grant>>().notNull().default({}),
    /** Wanted grants that go further than those in force; null where none wait for approval. */
    pendingCapabilities: jsonb('pending_capabilities').$type<PendingCapabilities>(),
    policy: jsonb('policy').$type<Record<string, unknown>>().notNull().default({}),
    /** How far its app at the provider is: what is not secret of it. */
    setup: jsonb('setup').$type<PublicationSetup>().notNull().default({}),
    /** Published into the emulated workplace: vendor hosts map to it, and `/workplace` shows it. */
    emulated: boolean('emulated').notNull().default(false),
    createdAt: now('created_at'),
    updatedAt: now('updated_at'),
  },
  (t) => [
    unique().on(t.organizationId, t.id),
    foreignKey({
      columns: [t.organizationId, t.agentId],
      foreignColumns: [agents.organizationId, agents.id],
    }),
  ],
);

/** What the provider says we are in one workspace; filled by its own "who am I" call. */
export interface InstallationIdentity {
  /** Slack team id, GitHub installation id, Linear organization id. */
  workspaceId: string;
  /** GitHub: its numbers in the same account before it was uninstalled and installed anew, the newest first. */
  formerIds?: string[];
  workspaceName?: string;
  /** Slack app id, GitHub App id, Linear OAuth client id. */
  appId?: string;
  /** Slack bot user id, GitHub `<slug>[bot]` user id, Linear app user id. */
  userId?: string;
  /** Slack `bot_id`. */
  botId?: string;
  /** What people type after `@`: Slack display name, GitHub App slug, Linear app user name. */
  handle?: string;
}

export const installations = pgTable(
  'installations',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    publicationId: text('publication_id').notNull(),
    provider: text('provider').$type<ProviderName>().notNull(),
    identity: jsonb('identity').$type<InstallationIdentity>().notNull(),
    createdAt: now('created_at'),
    updatedAt: now('updated_at'),
  },
  (t) => [
    unique().on(t.organizationId, t.id),
    foreignKey({
      columns: [t.organizationId, t.publicationId],
      foreignColumns: [publications.organizationId, publications.id],
    }).onDelete('cascade'),
    uniqueIndex('installations_workspace').on(t.publicationId, sql`(identity->>'workspaceId')`),
  ],
);

/** Signing secrets of webhooks, sealed with the gateway's own key. More than one while one is replaced. */
export const webhookSecrets = pgTable(
  'webhook_secrets',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    publicationId: text('publication_id').notNull(),
    sealed: text('sealed').notNull(),
    createdAt: now('created_at'),
    /** After this time it is no longer honoured. */
    expiresAt: at('expires_at'),
  },
  (t) => [
    foreignKey({
      columns: [t.organizationId, t.publicationId],
      foreignColumns: [publications.organizationId, publications.id],
    }).onDelete('cascade'),
    index('webhook_secrets_publication').on(t.publicationId),
  ],
);

export type PublishTokenKind = 'start' | 'state' | 'handoff' | 'handoff_session';
export type PublishStep = 'create' | 'install';

/**
 * The links of the guided flow, by the hash of what is in them: `start` begins a step in a browser, `state` comes back
 * from the provider, `handoff` lets somebody without an account do the steps, `handoff_session` is that browser's cookie.
 */
export const publishTokens = pgTable(
  'publish_tokens',
  {
    hash: text('hash').primaryKey(),
    organizationId: organizationId(),
    publicationId: text('publication_id').notNull(),
    kind: text('kind').$type<PublishTokenKind>().notNull(),
    step: text('step').$type<PublishStep>(),
    /** The hash of the cookie of the browser that it belongs to. */
    browserHash: text('browser_hash'),
    createdAt: now('created_at'),
    expiresAt: at('expires_at').notNull(),
    usedAt: at('used_at'),
    revokedAt: at('revoked_at'),
  },
  (t) => [
    foreignKey({
      columns: [t.organizationId, t.publicationId],
      foreignColumns: [publications.organizationId, publications.id],
    }).onDelete('cascade'),
    index('publish_tokens_publication').on(t.publicationId, t.kind),
  ],
);
