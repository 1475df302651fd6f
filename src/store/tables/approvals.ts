import { sql } from 'drizzle-orm';
import { foreignKey, index, jsonb, pgTable, primaryKey, text, unique } from 'drizzle-orm/pg-core';
import { at, now } from './columns.ts';
import { organizationId } from './organizations.ts';
import { actions } from './outbound.ts';
import type { ProviderName } from './publications.ts';
import { type Asker, sessions } from './sessions.ts';

export type ApprovalState = 'waiting' | 'approved' | 'rejected' | 'expired';
export type Decision = 'approve' | 'reject';

/** The rules of one request, as the publication's policy had them when it was made. */
export interface ApprovalRules {
  /** Who may decide, by the provider's ids or names; null: everybody with authority. */
  approvers: string[] | null;
  /** How many must approve. One rejection ends it. */
  needed: number;
  /** Whether who asked may approve. */
  self: boolean;
}

/** An action that waits for people's word, bound to exactly what they are shown. */
export const approvals = pgTable(
  'approvals',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    sessionId: text('session_id').notNull(),
    actionId: text('action_id').notNull(),
    publicationId: text('publication_id').notNull(),
    provider: text('provider').$type<ProviderName>().notNull(),
    /** SHA-256 over what would be sent, where and under which identity. */
    hash: text('hash').notNull(),
    /** Whose words the turn was about. */
    askers: jsonb('askers').$type<Asker[]>().notNull(),
    rules: jsonb('rules').$type<ApprovalRules>().notNull(),
    /** What people are shown: whole, with what looks like a secret taken out. */
    shown: text('shown').notNull(),
    /** The action that asks in the thread. */
    promptActionId: text('prompt_action_id').notNull(),
    state: text('state').$type<ApprovalState>().notNull().default('waiting'),
    /** Why it ended so, in a sentence. */
    outcome: text('outcome'),
    createdAt: now('created_at'),
    expiresAt: at('expires_at').notNull(),
    decidedAt: at('decided_at'),
  },
  (t) => [
    unique().on(t.organizationId, t.id),
    unique('approvals_action').on(t.actionId),
    foreignKey({
      columns: [t.organizationId, t.actionId],
      foreignColumns: [actions.organizationId, actions.id],
    }).onDelete('cascade'),
    foreignKey({
      columns: [t.organizationId, t.sessionId],
      foreignColumns: [sessions.organizationId, sessions.id],
    }).onDelete('cascade'),
    index('approvals_session').on(t.sessionId, t.id),
    index('approvals_waiting').on(t.expiresAt).where(sql`state = 'waiting'`),
  ],
);

/** One person's word on a request: the first counts. */
export const approvalVotes = pgTable(
  'approval_votes',
  {
    organizationId: organizationId(),
    approvalId: text('approval_id').notNull(),
    /** The provider's id of the person, or `api`. */
    voterId: text('voter_id').notNull(),
    voterName: text('voter_name'),
    decision: text('decision').$type<Decision>().notNull(),
    createdAt: now('created_at'),
  },
  (t) => [
    primaryKey({ columns: [t.approvalId, t.voterId] }),
    foreignKey({
      columns: [t.organizationId, t.approvalId],
      foreignColumns: [approvals.organizationId, approvals.id],
    }).onDelete('cascade'),
  ],
);

/** What was said that shall not be said again soon: a limit that was crossed, a hint to a person. */
export const notices = pgTable(
  'notices',
  {
    organizationId: organizationId(),
    /** `<kind>:<whom or what it is about>`. */
    key: text('key').notNull(),
    /** Postgres' own clock, as it is compared with nothing else. */
    saidAt: now('said_at'),
  },
  (t) => [primaryKey({ columns: [t.organizationId, t.key] })],
);
