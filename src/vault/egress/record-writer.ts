import { getTableColumns, inArray, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import type { PoolClient } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { Database, Transaction } from '../../store/connection.ts';
import { takeOnOrganization } from '../../store/organization.ts';
import * as schema from '../../store/schema.ts';
import { egressRecords, sessions } from '../../store/schema.ts';
import { appendEvents, type NewEvent } from '../../store/session-events.ts';
import { sqlErrorOf } from '../../store/sql-error.ts';
import { type ChainedRecords, RecordChains, type RecordKey } from '../record-chain.ts';
import { groupRecords } from './record-groups.ts';
import type { EgressRecord, WriteRecords } from './records.ts';

/**
 * Writes records into `egress_records`, chained, and in the same transaction what they say into the logs of their
 * sessions, each organization's under its own role. The records themselves are copied in by the owner, all at once and
 * a row for many: as rows that are inserted they would cost the database more than all else that a request needs.
 */
export function databaseWriter(database: Database, key: RecordKey): WriteRecords {
  const chains = new RecordChains(key);
  return async (records) => {
    const chained = chains.add(groupRecords(records));
    const rows = Buffer.from(copyText(chained.rows));
    const telling = records.filter(({ sessionId, events }) => sessionId !== null && events !== undefined);
    const client = await database.$client.connect();
    let broken: unknown;
    try {
      if (telling.length === 0) await copyIn(client, rows);
      else {
        await drizzle(client, { schema }).transaction(async (tx) => {
          await copyIn(client, rows);
          for (const [organizationId, own] of Map.groupBy(telling, (record) => record.organizationId)) {
            await takeOnOrganization(tx, organizationId);
            await tellSessions(tx, organizationId, own);
          }
        });
      }
    } catch (error) {
      // What state the connection is in is not known: the pool makes another.
      broken = error;
      // The same records were stored by an earlier try whose answer was lost.
      const told = sqlErrorOf(error);
      if (told?.code !== uniqueViolation || told.table !== 'egress_records') throw error;
    } finally {
      client.release(broken !== undefined);
    }
    chained.keep();
  };
}

const uniqueViolation = '23505';

function copyIn(client: PoolClient, rows: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const into = client.query(copyFrom(`copy ${target} from stdin`));
    into.once('error', reject);
    into.once('finish', resolve);
    into.end(rows);
  });
}

const table = getTableColumns(egressRecords);
const columns = Object.keys(table) as (keyof ChainedRecords)[];
const target = `egress_records (${columns.map((column) => `"${table[column].name}"`).join(', ')})`;

/** The lines that `COPY` reads (Postgres' manual, "File Formats"). */
function copyText(rows: readonly ChainedRecords[]): string {
  return rows.map((row) => `${columns.map((column) => field(row[column])).join('\t')}\n`).join('');
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };
const toEscape = /[\\\t\n\r]/;

function field(value: ChainedRecords[keyof ChainedRecords]): string {
  if (value === null) return '\\N';
  if (value instanceof Date) return value.toISOString();
  const text = Array.isArray(value) ? `{${value.map(element).join(',')}}` : String(value);
  return toEscape.test(text) ? text.replace(/[\\\t\n\r]/g, (found) => escapes[found] ?? '') : text;
}

/** As it stands in an array (Postgres' manual, "Array Input and Output Syntax"). */
function element(value: string | number | null): string {
  if (typeof value !== 'string') return value === null ? 'NULL' : `${value}`;
  return `"${/["\\]/.test(value) ? value.replace(/["\\]/g, '\\$&') : value}"`;
}

async function tellSessions(
  tx: Transaction,
  organizationId: string,
  telling: readonly EgressRecord[],
): Promise<void> {
  const ids = [...new Set(telling.flatMap(({ sessionId }) => sessionId ?? []))];
  // Held until the end: a session that is deleted meanwhile would take the records with it.
  const there = await tx
    .select({ id: sessions.id })
    .from(sessions)
    .where(inArray(sessions.id, ids))
    .orderBy(sessions.id)
    .for('no key update');
  for (const { id } of there) {
    const own = telling.filter(({ sessionId }) => sessionId === id);
    for (const [turnId, ofTurn] of Map.groupBy(own, (row) => row.turnId)) {
      await appendEvents(
        tx,
        organizationId,
        id,
        turnId,
        ofTurn.flatMap(({ events }) => events ?? []),
      );
    }
    await addUsage(
      tx,
      id,
      own.flatMap(({ events }) => events ?? []),
    );
  }
}

/** Adds the tokens of model requests to what the session has used so far. */
async function addUsage(tx: Transaction, sessionId: string, events: readonly NewEvent[]): Promise<void> {
  const used = { input_tokens: 0, output_tokens: 0, cache_read_input_tokens: 0 };
  const ends = events.filter(({ type }) => type === 'span.model_request_end');
  if (ends.length === 0) return;
  for (const { payload } of ends) {
    const told = payload.model_usage as Record<keyof typeof used, number>;
    for (const name of Object.keys(used) as (keyof typeof used)[]) used[name] += told[name];
  }
  const sum = (name: keyof typeof used) =>
    sql`${name}::text, coalesce((${sessions.usage}->>${name})::bigint, 0) + ${used[name]}`;
  await tx
    .update(sessions)
    .set({
      usage: sql`${sessions.usage} || jsonb_build_object(${sql.join(
        [sum('input_tokens'), sum('output_tokens'), sum('cache_read_input_tokens')],
        sql`, `,
      )})`,
    })
    .where(sql`${sessions.id} = ${sessionId}`);
}
