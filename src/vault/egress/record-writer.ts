import { getTableColumns, inArray, type SQL, sql } from 'drizzle-orm';
import type { Database, Transaction } from '../../store/connection.ts';
import { newId } from '../../store/ids.ts';
import { withOrganization } from '../../store/organization.ts';
import { egressRequests, sessions } from '../../store/schema.ts';
import { appendEvents, type NewEvent } from '../../store/session-events.ts';
import type { EgressRecord, WriteRecords } from './records.ts';

/**
 * Writes records into `egress_requests` and what they say into the logs of their sessions, in one transaction, each
 * organization's under its own role. Each column goes as one parameter, and what neighbours have alike goes once:
 * anything else costs more than the requests that are recorded.
 */
export function databaseWriter(database: Database): WriteRecords {
  return (organizationId, records) =>
    withOrganization(database, organizationId, async (tx) => {
      await tx.execute(insertion(organizationId, records));
      await tellSessions(tx, organizationId, records);
    });
}

const table = getTableColumns(egressRequests);
type Column = keyof typeof table;
/** What each record has for itself. */
const own = ['id', 'at', 'path', 'status', 'bytesUp', 'bytesDown', 'durationMs'] as const satisfies Column[];
/** What most neighbours have alike. */
const shared = [
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
] as const satisfies (Column & keyof EgressRecord)[];
const used = ['model', 'inputTokens', 'outputTokens', 'cachedTokens', 'stopReason'] as const;
const ofHead = [...shared, ...used];

const names = (columns: readonly Column[]) => columns.map((column) => `"${table[column].name}"`).join(', ');
const into = sql.raw(`egress_requests (organization_id, ${names(ofHead)}, ${names(own)})`);
const ownNames = sql.raw(names(own));
const headNames = sql.raw(names(ofHead));

function insertion(organizationId: string, records: readonly EgressRecord[]): SQL {
  const heads: EgressRecord[] = [];
  const headOf: number[] = [];
  let last: EgressRecord | undefined;
  for (const record of records) {
    if (!last || !isAlike(record, last)) heads.push(record);
    last = record;
    headOf.push(heads.length);
  }
  const columns = {
    id: textArray(records.map(idOf)),
    at: textArray(timesOf(records)),
    path: textArray(records.map(({ path }) => path)),
    status: numberArray(records.map(({ status }) => status)),
    bytesUp: numberArray(records.map(({ bytesUp }) => bytesUp)),
    bytesDown: numberArray(records.map(({ bytesDown }) => bytesDown)),
    durationMs: numberArray(records.map(({ durationMs }) => durationMs)),
  };
  const typed = (column: Column, values: string) => sql`${values}::${sql.raw(table[column].getSQLType())}[]`;
  const headColumns = [
    ...shared.map((name) => typed(name, textArray(heads.map((head) => head[name])))),
    ...used.map((name) => typed(name, textArray(heads.map(({ usage }) => usage?.[name] ?? null)))),
  ];
  return sql`
    insert into ${into}
    select ${organizationId}, ${headNames}, ${ownNames}
    from unnest(
      ${sql.join(
        own.map((name) => typed(name, columns[name])),
        sql`, `,
      )}, ${numberArray(headOf)}::int[]
    ) as record(${ownNames}, head)
    join unnest(${sql.join(headColumns, sql`, `)}) with ordinality as head(${headNames}, number)
      on head.number = record.head
  `;
}

/** Stays the same when a batch is written again, so that nothing is recorded twice. */
function idOf(record: EgressRecord): string {
  record.id ??= newId('egr', record.at.getTime());
  return record.id;
}

function timesOf(records: readonly EgressRecord[]): string[] {
  let atMs = Number.NaN;
  let text = '';
  return records.map(({ at }) => {
    if (at.getTime() !== atMs) {
      atMs = at.getTime();
      text = at.toISOString();
    }
    return text;
  });
}

function isAlike(one: EgressRecord, other: EgressRecord): boolean {
  if (one.usage || other.usage) return false;
  for (const name of shared) if (one[name] !== other[name]) return false;
  return true;
}

/** Postgres' own form of an array (its manual, section 8.15.2). */
function textArray(values: readonly (string | number | null)[]): string {
  const plain = values.every((value) => value !== null) ? values.join('","') : undefined;
  // Nearly never is there anything to escape: then the text as a whole has as many quotes as stand between values.
  if (plain !== undefined && !plain.includes('\\') && plain.split('"').length === values.length * 2 - 1) {
    return `{"${plain}"}`;
  }
  const quoted = values.map((value) =>
    value === null ? 'NULL' : `"${String(value).replace(/["\\]/g, '\\$&')}"`,
  );
  return `{${quoted.join(',')}}`;
}

function numberArray(values: readonly (number | null)[]): string {
  return `{${values.map((value) => value ?? 'NULL').join(',')}}`;
}

async function tellSessions(
  tx: Transaction,
  organizationId: string,
  rows: readonly EgressRecord[],
): Promise<void> {
  const telling = rows.filter(({ sessionId, events }) => sessionId !== null && events !== undefined);
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
