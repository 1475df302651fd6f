import { sql } from 'drizzle-orm';
import {
  bigint,
  bigserial,
  boolean,
  customType,
  foreignKey,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
  unique,
  uniqueIndex,
} from 'drizzle-orm/pg-core';

const bytes = customType<{ data: Buffer }>({ dataType: () => 'bytea' });
const at = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' });
const now = (name: string) => at(name).notNull().defaultNow();
const organizationId = () =>
  text('organization_id')
    .notNull()
    .references(() => organizations.id, { onDelete: 'cascade' });

/** A tenant. Everything below belongs to one, by composite foreign keys and row-level security. */
export const organizations = pgTable('organizations', {
  id: text('id').primaryKey(),
  name: text('name').notNull(),
  /** JWK to which credentials are sealed; written by the egress process, which alone derives the private half. */
  sealingPublicKey: jsonb('sealing_public_key').$type<Record<string, unknown>>(),
  createdAt: now('created_at'),
});

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

export const agents = pgTable(
  'agents',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    version: integer('version').notNull().default(1),
    createdAt: now('created_at'),
    updatedAt: now('updated_at'),
    archivedAt: at('archived_at'),
  },
  (t) => [unique().on(t.organizationId, t.id)],
);

export interface AgentModel {
  /** `claude-…` or another Anthropic model name, or `openai/<name>` for an OpenAI-compatible one. */
  id: string;
}

export const agentVersions = pgTable(
  'agent_versions',
  {
    organizationId: organizationId(),
    agentId: text('agent_id').notNull(),
    version: integer('version').notNull(),
    name: text('name').notNull(),
    description: text('description'),
    model: jsonb('model').$type<AgentModel>().notNull(),
    system: text('system'),
    /** Which agent program runs it. */
    program: text('program').notNull().default('builtin'),
    metadata: jsonb('metadata').$type<Record<string, string>>().notNull().default({}),
    createdAt: now('created_at'),
  },
  (t) => [
    primaryKey({ columns: [t.agentId, t.version] }),
    foreignKey({
      columns: [t.organizationId, t.agentId],
      foreignColumns: [agents.organizationId, agents.id],
    }).onDelete('cascade'),
  ],
);

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
    policy: jsonb('policy').$type<Record<string, unknown>>().notNull().default({}),
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

export type CredentialKind = 'slack_bot' | 'github_app' | 'linear_app' | 'static_bearer';

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
  ],
);

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

export type SessionStatus = 'idle' | 'running' | 'rescheduling' | 'terminated';

export const sessions = pgTable(
  'sessions',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    agentId: text('agent_id').notNull(),
    agentVersion: integer('agent_version').notNull(),
    publicationId: text('publication_id'),
    installationId: text('installation_id'),
    status: text('status').$type<SessionStatus>().notNull().default('idle'),
    title: text('title'),
    metadata: jsonb('metadata').$type<Record<string, string>>().notNull().default({}),
    /** The host uid that its sandbox runs under; null until the first start, or where there is one for all. */
    uid: integer('uid'),
    /** The agent program's own id of the conversation, to load it again. */
    programSessionId: text('program_session_id'),
    /** What the last sandbox enforced. */
    sandbox: jsonb('sandbox').$type<Record<string, unknown>>(),
    usage: jsonb('usage').$type<Record<string, number>>().notNull().default({}),
    leaseWorkerId: text('lease_worker_id'),
    leaseFence: bigint('lease_fence', { mode: 'number' }).notNull().default(0),
    leaseExpiresAt: at('lease_expires_at'),
    createdAt: now('created_at'),
    updatedAt: now('updated_at'),
    archivedAt: at('archived_at'),
  },
  (t) => [
    unique().on(t.organizationId, t.id),
    foreignKey({
      columns: [t.organizationId, t.agentId],
      foreignColumns: [agents.organizationId, agents.id],
    }),
    foreignKey({
      columns: [t.organizationId, t.publicationId],
      foreignColumns: [publications.organizationId, publications.id],
    }).onDelete('cascade'),
    foreignKey({
      columns: [t.organizationId, t.installationId],
      foreignColumns: [installations.organizationId, installations.id],
    }).onDelete('cascade'),
    index('sessions_leased').on(t.leaseExpiresAt).where(sql`lease_worker_id is not null`),
    uniqueIndex('sessions_uid').on(t.uid),
  ],
);

/** A place that a session listens to and answers in. `place` is the provider's own address of it. */
export const anchors = pgTable(
  'anchors',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    publicationId: text('publication_id').notNull(),
    installationId: text('installation_id').notNull(),
    sessionId: text('session_id').notNull(),
    provider: text('provider').$type<ProviderName>().notNull(),
    /** Names the place within the publication: `slack:T1:C1:1712345678.000100`. */
    key: text('key').notNull(),
    place: jsonb('place').$type<Record<string, string>>().notNull(),
    leaseWorkerId: text('lease_worker_id'),
    leaseFence: bigint('lease_fence', { mode: 'number' }).notNull().default(0),
    leaseExpiresAt: at('lease_expires_at'),
    createdAt: now('created_at'),
  },
  (t) => [
    unique().on(t.organizationId, t.id),
    unique('anchors_key').on(t.publicationId, t.key),
    foreignKey({
      columns: [t.organizationId, t.sessionId],
      foreignColumns: [sessions.organizationId, sessions.id],
    }).onDelete('cascade'),
    foreignKey({
      columns: [t.organizationId, t.installationId],
      foreignColumns: [installations.organizationId, installations.id],
    }).onDelete('cascade'),
    index('anchors_session').on(t.sessionId),
  ],
);

export interface MessageAuthor {
  id: string;
  name?: string;
  kind: 'person' | 'bot' | 'api';
}

export type TurnState = 'running' | 'completed' | 'failed' | 'interrupted' | 'cancelled';

/** One run of the agent program over the messages that waited. */
export const turns = pgTable(
  'turns',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    sessionId: text('session_id').notNull(),
    state: text('state').$type<TurnState>().notNull().default('running'),
    fence: bigint('fence', { mode: 'number' }).notNull(),
    /** The anchor of its last message: where the reply goes. Null for a session without one. */
    anchorId: text('anchor_id'),
    /** How often it was run again after an interruption. */
    attempt: integer('attempt').notNull().default(1),
    /** Set once the agent program was asked: before that, nothing was started. */
    promptedAt: at('prompted_at'),
    stopReason: text('stop_reason'),
    error: text('error'),
    startedAt: now('started_at'),
    endedAt: at('ended_at'),
  },
  (t) => [
    unique().on(t.organizationId, t.id),
    foreignKey({
      columns: [t.organizationId, t.sessionId],
      foreignColumns: [sessions.organizationId, sessions.id],
    }).onDelete('cascade'),
    index('turns_session').on(t.sessionId, t.id),
    uniqueIndex('turns_running').on(t.sessionId).where(sql`state = 'running'`),
  ],
);

export type MessageState = 'waiting' | 'claimed' | 'done';

/** What somebody said to the session. Waits until a turn claims it. */
export const messages = pgTable(
  'messages',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    sessionId: text('session_id').notNull(),
    anchorId: text('anchor_id'),
    publicationId: text('publication_id'),
    /** One per message at the provider, whatever number of deliveries told of it. */
    externalKey: text('external_key').notNull(),
    author: jsonb('author').$type<MessageAuthor>().notNull(),
    /** Whether the author may instruct the agent; text of others is context. */
    authority: boolean('authority').notNull(),
    body: text('body').notNull(),
    /** The provider's address of the message itself, for presence: `{channel, ts}`, `{comment_id}` … */
    place: jsonb('place').$type<Record<string, string>>().notNull().default({}),
    state: text('state').$type<MessageState>().notNull().default('waiting'),
    turnId: text('turn_id'),
    deliveryId: text('delivery_id'),
    createdAt: now('created_at'),
  },
  (t) => [
    unique().on(t.organizationId, t.id),
    uniqueIndex('messages_external').on(t.publicationId, t.externalKey),
    foreignKey({
      columns: [t.organizationId, t.sessionId],
      foreignColumns: [sessions.organizationId, sessions.id],
    }).onDelete('cascade'),
    foreignKey({
      columns: [t.organizationId, t.anchorId],
      foreignColumns: [anchors.organizationId, anchors.id],
    }),
    foreignKey({ columns: [t.organizationId, t.turnId], foreignColumns: [turns.organizationId, turns.id] }),
    index('messages_session').on(t.sessionId, t.state),
  ],
);

/** The append-only log of a session. `type` is one of the Managed Agents API, or starts with `tagalong.`. */
export const sessionEvents = pgTable(
  'session_events',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    sessionId: text('session_id').notNull(),
    position: bigserial('position', { mode: 'number' }).notNull(),
    turnId: text('turn_id'),
    type: text('type').notNull(),
    /** The fields of the event beyond `id`, `type` and `processed_at`. */
    payload: jsonb('payload').$type<Record<string, unknown>>().notNull(),
    processedAt: at('processed_at').defaultNow(),
  },
  (t) => [
    foreignKey({
      columns: [t.organizationId, t.sessionId],
      foreignColumns: [sessions.organizationId, sessions.id],
    }).onDelete('cascade'),
    index('session_events_session').on(t.sessionId, t.position),
  ],
);

export type ActionDecision = 'allowed' | 'refused' | 'waiting_for_approval';
export type ActionState = 'queued' | 'sent' | 'failed' | 'refused' | 'waiting';

/** One outbound call by an agent, allowed, refused, or waiting for approval. */
export const actions = pgTable(
  'actions',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    sessionId: text('session_id').notNull(),
    turnId: text('turn_id'),
    anchorId: text('anchor_id'),
    installationId: text('installation_id'),
    provider: text('provider').$type<ProviderName>().notNull(),
    /** `slack:thread.reply` … */
    capability: text('capability').notNull(),
    /** The tool called, `reply` for the turn's last message, `presence` for what the platform shows. */
    tool: text('tool').notNull(),
    arguments: jsonb('arguments').$type<Record<string, unknown>>().notNull(),
    /** SHA-256 over tool and canonical arguments: a resumed turn that calls the same gets the stored result. */
    argumentsHash: text('arguments_hash').notNull(),
    decision: text('decision').$type<ActionDecision>().notNull(),
    reason: text('reason'),
    state: text('state').$type<ActionState>().notNull(),
    /** The attempt of its turn that last asked for it: a resumed turn claims what earlier attempts asked for. */
    attempt: integer('attempt').notNull().default(1),
    result: jsonb('result').$type<Record<string, unknown>>(),
    createdAt: now('created_at'),
    settledAt: at('settled_at'),
  },
  (t) => [
    unique().on(t.organizationId, t.id),
    foreignKey({
      columns: [t.organizationId, t.sessionId],
      foreignColumns: [sessions.organizationId, sessions.id],
    }).onDelete('cascade'),
    foreignKey({ columns: [t.organizationId, t.turnId], foreignColumns: [turns.organizationId, turns.id] }),
    foreignKey({
      columns: [t.organizationId, t.anchorId],
      foreignColumns: [anchors.organizationId, anchors.id],
    }),
    index('actions_session').on(t.sessionId, t.id),
    index('actions_turn').on(t.turnId),
  ],
);

export type OutboxState = 'queued' | 'sending' | 'sent' | 'failed';

/** An allowed action on its way to the provider. Sent in order within its anchor. */
export const outbox = pgTable(
  'outbox',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    actionId: text('action_id').notNull(),
    anchorId: text('anchor_id').notNull(),
    installationId: text('installation_id').notNull(),
    position: bigserial('position', { mode: 'number' }).notNull(),
    state: text('state').$type<OutboxState>().notNull().default('queued'),
    /** What finds it again at the provider: Linear's client id, Slack's metadata, GitHub's hidden marker. */
    mark: text('mark').notNull(),
    attempts: integer('attempts').notNull().default(0),
    notBefore: now('not_before'),
    lastError: text('last_error'),
    createdAt: now('created_at'),
    sentAt: at('sent_at'),
  },
  (t) => [
    unique().on(t.organizationId, t.id),
    unique('outbox_action').on(t.actionId),
    foreignKey({
      columns: [t.organizationId, t.actionId],
      foreignColumns: [actions.organizationId, actions.id],
    }).onDelete('cascade'),
    foreignKey({
      columns: [t.organizationId, t.anchorId],
      foreignColumns: [anchors.organizationId, anchors.id],
    }).onDelete('cascade'),
    index('outbox_open').on(t.anchorId, t.position).where(sql`state in ('queued','sending')`),
  ],
);

export type EgressDecision = 'allowed' | 'refused' | 'failed';

/** Every request through the egress process. No query values, no bodies, no secrets. */
export const egressRequests = pgTable(
  'egress_requests',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    sessionId: text('session_id'),
    installationId: text('installation_id'),
    turnId: text('turn_id'),
    at: now('at'),
    method: text('method').notNull(),
    scheme: text('scheme').notNull(),
    host: text('host').notNull(),
    port: integer('port').notNull(),
    path: text('path').notNull(),
    status: integer('status'),
    bytesUp: bigint('bytes_up', { mode: 'number' }).notNull().default(0),
    bytesDown: bigint('bytes_down', { mode: 'number' }).notNull().default(0),
    durationMs: integer('duration_ms').notNull().default(0),
    /** The credential's display name. */
    credential: text('credential'),
    decision: text('decision').$type<EgressDecision>().notNull(),
    /** Which rule decided. */
    rule: text('rule').notNull(),
  },
  (t) => [index('egress_requests_session').on(t.organizationId, t.sessionId, t.id)],
);

/** Processes with the worker role, by their heartbeat. */
export const workers = pgTable('workers', {
  id: text('id').primaryKey(),
  host: text('host').notNull(),
  pid: integer('pid').notNull(),
  /** The names under which its runners lock jobs; after its death those locks are opened. */
  jobWorkerIds: jsonb('job_worker_ids').$type<string[]>().notNull().default([]),
  startedAt: now('started_at'),
  heartbeatAt: now('heartbeat_at'),
});
