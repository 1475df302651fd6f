import { integer, jsonb, pgTable, text } from 'drizzle-orm/pg-core';
import { now } from './columns.ts';

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
