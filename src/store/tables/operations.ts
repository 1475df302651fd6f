import { bigint, index, integer, jsonb, pgTable, text } from 'drizzle-orm/pg-core';
import { now } from './columns.ts';

export type EgressDecision = 'allowed' | 'refused' | 'failed';

/** Every request through the egress process. No query values, no bodies, no secrets. */
export const egressRequests = pgTable(
  'egress_requests',
  {
    id: text('id').primaryKey(),
    /**
     * Without a foreign key, which would be looked up for each row; a trigger takes the rows of an organization that is
     * deleted (migrations/0015).
     */
    organizationId: text('organization_id').notNull(),
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
    /** What a model's answer said of itself. Input counts what came from its cache too. */
    model: text('model'),
    inputTokens: integer('input_tokens'),
    outputTokens: integer('output_tokens'),
    cachedTokens: integer('cached_tokens'),
    stopReason: text('stop_reason'),
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
