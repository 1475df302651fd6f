import { sql } from 'drizzle-orm';
import {
  bigint,
  bigserial,
  boolean,
  foreignKey,
  index,
  integer,
  jsonb,
  pgTable,
  text,
  unique,
  uniqueIndex,
} from 'drizzle-orm/pg-core';
import { agents } from './agents.ts';
import { at, now } from './columns.ts';
import { environments } from './environments.ts';
import { organizationId } from './organizations.ts';
import { installations, type ProviderName, publications } from './publications.ts';

export type SessionStatus = 'idle' | 'running' | 'rescheduling' | 'terminated';

/** Who can see what is said in a place: anybody, everybody of the workspace, or only who was let in. */
export type Audience = 'public' | 'workspace' | 'private';

export const sessions = pgTable(
  'sessions',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    agentId: text('agent_id').notNull(),
    agentVersion: integer('agent_version').notNull(),
    publicationId: text('publication_id'),
    installationId: text('installation_id'),
    /** What it may reach; null: what its publication says. */
    environmentId: text('environment_id'),
    status: text('status').$type<SessionStatus>().notNull().default('idle'),
    title: text('title'),
    metadata: jsonb('metadata').$type<Record<string, string>>().notNull().default({}),
    /** Whose credentials it may use, the first one's before the others'. */
    vaultIds: jsonb('vault_ids').$type<string[]>().notNull().default([]),
    /** The host uid that its sandbox runs under; null until the first start, or where there is one for all. */
    uid: integer('uid'),
    /** The agent program's own id of the conversation, to load it again. */
    programSessionId: text('program_session_id'),
    /** What the last sandbox enforced. */
    sandbox: jsonb('sandbox').$type<Record<string, unknown>>(),
    usage: jsonb('usage').$type<Record<string, number>>().notNull().default({}),
    /** When it was first given text by people without authority by something that the agent read itself. */
    outsidersReadAt: at('outsiders_read_at'),
    /** Of the least public place that it has read beside its own. Null: none. */
    readAudience: text('read_audience').$type<Audience>(),
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
    foreignKey({
      columns: [t.organizationId, t.environmentId],
      foreignColumns: [environments.organizationId, environments.id],
    }),
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

/** Somebody who asked for something or decides over it; ids are the provider's. */
export type Asker = Pick<MessageAuthor, 'id' | 'name' | 'kind'>;

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
    index('turns_anchor').on(t.anchorId, t.startedAt),
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
    /** Whether it starts a turn. What does not is context: it waits for a turn that something else starts. */
    wakes: boolean('wakes').notNull().default(true),
    /** How many agents' posts led to this one, as its writer said: 0 for what a person wrote. */
    hops: integer('hops').notNull().default(0),
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
