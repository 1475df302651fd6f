import { getTableColumns, inArray, sql } from 'drizzle-orm';
import type { Database, Transaction } from '../../store/connection.ts';
import { withOrganization } from '../../store/organization.ts';
import { egressRequests, sessions } from '../../store/schema.ts';
import { appendEvents, type NewEvent } from '../../store/session-events.ts';
import type { RecordRow, WriteRecords } from './records.ts';

const columns = Object.entries(getTableColumns(egressRequests));
const into = sql.raw(columns.map(([, { name }]) => `"${name}"`).join(', '));
const from = sql.raw(columns.map(([key]) => `"${key}"`).join(', '));
const shape = sql.raw(columns.map(([key, column]) => `"${key}" ${column.getSQLType()}`).join(', '));

/**
 * Writes records into `egress_requests` and what they say into the logs of their sessions, in one transaction, each
 * organization's under its own role. The records go as one JSON parameter: a parameter for each value costs more than
 * the request that is recorded.
 */
export function databaseWriter(database: Database): WriteRecords {
  return (organizationId, records) => {
    const rows = toJson(records);
    return withOrganization(database, organizationId, async (tx) => {
      await tx.execute(sql`
        insert into egress_requests (${into})
        select ${from} from json_to_recordset(${rows}::json) as record(${shape})
      `);
      await tellSessions(tx, organizationId, records);
    });
  };
}

/** What most neighbours have alike. */
const alike = [
  'organizationId',
  'sessionId',
  'installationId',
  'turnId',
  'method',
  'scheme',
  'host',
  'port',
  'credential',
  'decision',
  'rule',
] as const satisfies readonly (keyof RecordRow)[];

/** As `JSON.stringify` would, at a third of the cost: what a row has from the one before it is not written anew. */
function toJson(records: readonly RecordRow[]): string {
  let before: RecordRow | undefined;
  let head = '';
  let atMs = Number.NaN;
  let at = '';
  const rows = records.map((row) => {
    const last = before;
    if (!last || alike.some((name) => row[name] !== last[name])) {
      before = row;
      head = JSON.stringify(Object.fromEntries(alike.map((name) => [name, row[name]]))).slice(0, -1);
    }
    if (row.at.getTime() !== atMs) {
      atMs = row.at.getTime();
      at = row.at.toISOString();
    }
    const { id, path, status, bytesUp, bytesDown, durationMs, usage } = row;
    const own = `"id":"${id}","at":"${at}","path":${JSON.stringify(path)},"status":${status}`;
    const sizes = `"bytesUp":${bytesUp},"bytesDown":${bytesDown},"durationMs":${durationMs}`;
    const used = usage ? JSON.stringify(usage).slice(1, -1) : '';
    return `${head},${own},${sizes}${used && `,${used}`}}`;
  });
  return `[${rows.join(',')}]`;
}

async function tellSessions(
  tx: Transaction,
  organizationId: string,
  rows: readonly RecordRow[],
): Promise<void> {
  const telling = rows.filter(({ sessionId, events }) => sessionId !== null && events.length > 0);
  if (telling.length === 0) return;
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
        ofTurn.flatMap(({ events }) => events),
      );
    }
    await addUsage(
      tx,
      id,
      own.flatMap(({ events }) => events),
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
