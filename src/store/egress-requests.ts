import { and, desc, eq, gte, inArray, lt, lte, or, type SQL, sql } from 'drizzle-orm';
import type { Transaction } from './connection.ts';
import { firstIdAt, idTimeMs } from './ids.ts';
import { type EgressDecision, egressRecords, egressRequests } from './schema.ts';

export type EgressRequest = typeof egressRequests.$inferSelect;

export interface EgressRequestQuery {
  sessionId?: string | undefined;
  decision?: EgressDecision | undefined;
  /** Only those whose identifier sorts before this one. */
  before?: string | undefined;
  limit: number;
}

/** How far the beginnings within a group may be apart: as far as one has to look around a moment. */
export const maxGroupSpanMs = 60_000;

/**
 * The newest requests through the egress process that the transaction may see, newest first. Only the groups that can
 * hold them are opened: of those that end before a moment the newest `limit`, and all that lie across it.
 */
export async function newestEgressRequests(
  tx: Transaction,
  { sessionId, decision, before, limit }: EgressRequestQuery,
): Promise<EgressRequest[]> {
  const asked = and(
    sessionId === undefined ? undefined : eq(egressRecords.sessionId, sessionId),
    decision === undefined ? undefined : eq(egressRecords.decision, decision),
  );
  const groupsThat = async (condition: typeof asked, most?: number): Promise<string[]> => {
    const found = tx.select({ id: egressRecords.id }).from(egressRecords).where(and(asked, condition));
    const rows = await (most === undefined ? found : found.orderBy(desc(egressRecords.id)).limit(most));
    return rows.map(({ id }) => id);
  };
  const ids = await groupsThat(before === undefined ? undefined : lt(egressRecords.id, before), limit);
  const atMs = before === undefined ? undefined : idTimeMs(before);
  if (before !== undefined && atMs !== undefined) {
    ids.push(
      ...(await groupsThat(
        and(
          gte(egressRecords.id, before),
          lt(egressRecords.id, firstIdAt('egr', atMs + maxGroupSpanMs + 1)),
          lte(egressRecords.at, new Date(atMs)),
        ),
      )),
    );
  }
  if (ids.length === 0) return [];
  const isOlder = before === undefined ? undefined : lt(egressRequests.id, before);
  const endsAt = atMs === undefined ? undefined : new Date(atMs);
  return tx
    .select()
    .from(egressRequests)
    .where(
      and(
        inArray(egressRequests.groupId, ids),
        // An identifier costs Postgres more than all else here, so few are made.
        sql`${egressRequests.at} >= ${beginOf(tx, ids, endsAt, limit)}`,
        endsAt === undefined
          ? isOlder
          : or(lt(egressRequests.at, endsAt), and(eq(egressRequests.at, endsAt), isOlder)),
      ),
    )
    .orderBy(desc(egressRequests.id))
    .limit(limit);
}

/** A moment at or after which at least `limit` requests of these groups began, of those before `endsAt`. */
function beginOf(tx: Transaction, ids: readonly string[], endsAt: Date | undefined, limit: number): SQL {
  const offset = sql.identifier('offset_ms');
  const moment = sql<Date>`${egressRecords.at} + ${offset} * interval '1 millisecond'`;
  const newest = tx
    .select({ moment: moment.as('moment') })
    .from(egressRecords)
    .crossJoinLateral(sql`unnest(${egressRecords.offsetsMs}) as own (${offset})`)
    .where(
      and(inArray(egressRecords.id, [...ids]), endsAt === undefined ? undefined : sql`${moment} < ${endsAt}`),
    )
    .orderBy(sql`moment desc`)
    .offset(limit - 1)
    .limit(1);
  return sql`coalesce(${newest}, '-infinity')`;
}
