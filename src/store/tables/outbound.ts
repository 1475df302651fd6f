import { sql } from 'drizzle-orm';
import { bigserial, foreignKey, index, integer, jsonb, pgTable, text, unique } from 'drizzle-orm/pg-core';
import { at, now } from './columns.ts';
import { organizationId } from './organizations.ts';
import type { ProviderName } from './publications.ts';
import { anchors, sessions, turns } from './sessions.ts';

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
