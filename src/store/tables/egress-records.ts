import { sql } from 'drizzle-orm';
import { bigint, index, integer, pgTable, pgView, primaryKey, text } from 'drizzle-orm/pg-core';
import { at, now } from './columns.ts';

export type EgressDecision = 'allowed' | 'refused' | 'failed';

/** What every request through the egress process has, in a group of its like and in the view of single ones. */
const ofRequests = () => ({
  organizationId: text('organization_id').notNull(),
  sessionId: text('session_id'),
  installationId: text('installation_id'),
  turnId: text('turn_id'),
  method: text('method').notNull(),
  scheme: text('scheme').notNull(),
  host: text('host').notNull(),
  port: integer('port').notNull(),
  /** The credential's display name. */
  credential: text('credential'),
  decision: text('decision').$type<EgressDecision>().notNull(),
  /** Which rule decided. */
  rule: text('rule').notNull(),
  /** What a model's answer said of itself. Input counts what came from its cache too. */
  model: text('model'),
  inputTokens: integer('input_tokens'),
  outputTokens: integer('output_tokens'),
  cachedTokens: integer('cached_tokens'),
  stopReason: text('stop_reason'),
});

/**
 * Requests through the egress process: a row for those that were written together and differ only in time, path and
 * what became of them, in the order of their beginnings. No query values, no bodies, no secrets. Without a foreign key,
 * which would be looked up for each row; a trigger takes the rows of an organization that is deleted.
 */
export const egressRecords = pgTable(
  'egress_records',
  {
    /** Sorts by when the last of them began; their own identifiers are made of it (migrations/0016). */
    id: text('id').notNull(),
    ...ofRequests(),
    /** When the first of them began. */
    at: now('at'),
    /** How long after the first each began. */
    offsetsMs: integer('offsets_ms').array().notNull(),
    paths: text('paths').array().notNull(),
    statuses: integer('statuses').array().$type<(number | null)[]>().notNull(),
    bytesUp: bigint('bytes_up', { mode: 'number' }).array().notNull(),
    bytesDown: bigint('bytes_down', { mode: 'number' }).array().notNull(),
    durationsMs: integer('durations_ms').array().notNull(),
    /** Its place in a chain of one egress process for one organization, and the seal over it and all before it. */
    chain: text('chain'),
    number: bigint('number', { mode: 'number' }),
    seal: text('seal'),
  },
  (t) => [
    // Of one organization they are listed; what others have between them is not gone through.
    primaryKey({ columns: [t.organizationId, t.id] }),
    index('egress_records_session').on(t.organizationId, t.sessionId, t.id),
    // Few among very many, which is why they are looked for.
    index('egress_records_not_allowed')
      .on(t.organizationId, t.decision, t.id)
      .where(sql`decision <> 'allowed'`),
  ],
);

/** The same, a row each (migrations/0016). */
export const egressRequests = pgView('egress_requests', {
  id: text('id').notNull(),
  groupId: text('group_id').notNull(),
  ...ofRequests(),
  at: at('at').notNull(),
  path: text('path').notNull(),
  status: integer('status'),
  bytesUp: bigint('bytes_up', { mode: 'number' }).notNull(),
  bytesDown: bigint('bytes_down', { mode: 'number' }).notNull(),
  durationMs: integer('duration_ms').notNull(),
}).existing();
