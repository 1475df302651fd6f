import { and, asc, eq, inArray, isNull, not, sql } from 'drizzle-orm';
import type { Database, Transaction } from '../store/connection.ts';
import { newId } from '../store/ids.ts';
import { withOrganization } from '../store/organization.ts';
import {
  actions,
  agentVersions,
  installations,
  messages,
  publications,
  sessionEvents,
  sessions,
  turns,
} from '../store/schema.ts';
import { appendEvents } from './event-log.ts';
import { holdsPlaces, isHeld } from './held.ts';
import { assertLease, type Lease } from './lease.ts';
import type { EarlierAction } from './prompt.ts';
import { type Recovery, recoverTurn } from './recovery.ts';

export type TurnRow = typeof turns.$inferSelect;
export type MessageRow = typeof messages.$inferSelect;

/** A turn that is ours to run, with all that it needs to know. */
export interface ClaimedTurn {
  turn: TurnRow;
  messages: MessageRow[];
  recovery: Recovery;
  earlierActions: EarlierAction[];
  context: SessionContext;
}

export interface SessionContext {
  session: typeof sessions.$inferSelect;
  agent: typeof agentVersions.$inferSelect;
  publication: typeof publications.$inferSelect | null;
  installation: typeof installations.$inferSelect | null;
}

/**
 * Takes what there is to do in a session: the turn that an earlier worker left running, else a new turn over all
 * messages that wait. Undefined when there is nothing, or what there is waits for the publication. The uid of its sandbox is given out here, once.
 *
 * @param firstUid the first of the host uids for sandboxes; undefined where all share one
 */
export async function claimTurn(
  tx: Transaction,
  lease: Lease,
  firstUid: number | undefined,
): Promise<ClaimedTurn | undefined> {
  await assertLease(tx, lease);
  const { sessionId, organizationId } = lease;
  const running = await tx
    .select()
    .from(turns)
    .where(and(eq(turns.sessionId, sessionId), eq(turns.state, 'running')));
  const left = running[0];
  if (left) {
    const recovery = recoverTurn(left);
    const attempt = recovery.kind === 'resume' ? recovery.attempt : left.attempt;
    const [turn] = await tx
      .update(turns)
      .set({ fence: lease.fence, attempt })
      .where(eq(turns.id, left.id))
      .returning();
    if (!turn) return undefined;
    const claimed = await tx
      .select()
      .from(messages)
      .where(eq(messages.turnId, turn.id))
      .orderBy(asc(messages.deliveryId), asc(messages.id));
    if (recovery.kind === 'resume') {
      await appendEvents(tx, organizationId, sessionId, turn.id, [
        { type: 'session.status_rescheduled', payload: {} },
        { type: 'session.status_running', payload: {} },
      ]);
    }
    return {
      turn,
      messages: claimed,
      recovery,
      earlierActions: await recordedActions(tx, turn.id),
      context: await sessionContext(tx, sessionId, firstUid),
    };
  }

  const held = await holdsPlaces(tx, sessionId);
  const waiting = await tx
    .select()
    .from(messages)
    .where(
      and(
        eq(messages.sessionId, sessionId),
        eq(messages.state, 'waiting'),
        held ? isNull(messages.anchorId) : undefined,
      ),
    )
    .orderBy(asc(messages.deliveryId), asc(messages.id))
    .for('update');
  // Context alone starts nothing, and the reply goes where somebody asked.
  const last = waiting.findLast((message) => message.wakes);
  if (!last) return undefined;
  const turnId = newId('turn');
  const [turn] = await tx
    .insert(turns)
    .values({ id: turnId, organizationId, sessionId, fence: lease.fence, anchorId: last.anchorId })
    .returning();
  if (!turn) return undefined;
  await tx
    .update(messages)
    .set({ state: 'claimed', turnId })
    .where(
      inArray(
        messages.id,
        waiting.map((message) => message.id),
      ),
    );
  await tx
    .update(sessionEvents)
    .set({ processedAt: sql`now()` })
    .where(and(eq(sessionEvents.sessionId, sessionId), isNull(sessionEvents.processedAt)));
  await tx
    .update(sessions)
    .set({ status: 'running', updatedAt: sql`now()` })
    .where(eq(sessions.id, sessionId));
  await appendEvents(tx, organizationId, sessionId, turnId, [
    { type: 'session.status_running', payload: {} },
  ]);
  return {
    turn,
    messages: waiting,
    recovery: { kind: 'start' },
    earlierActions: [],
    context: await sessionContext(tx, sessionId, firstUid),
  };
}

/** Whether messages wait in the session for which a turn shall start. */
export async function hasWaiting(
  database: Database,
  organizationId: string,
  sessionId: string,
): Promise<boolean> {
  const found = await withOrganization(database, organizationId, (tx) =>
    tx
      .select({ id: messages.id })
      .from(messages)
      .where(
        and(
          eq(messages.sessionId, sessionId),
          eq(messages.state, 'waiting'),
          eq(messages.wakes, true),
          not(isHeld),
        ),
      )
      .limit(1),
  );
  return found.length > 0;
}

async function recordedActions(tx: Transaction, turnId: string): Promise<EarlierAction[]> {
  const rows = await tx.select().from(actions).where(eq(actions.turnId, turnId)).orderBy(asc(actions.id));
  return rows.map((row) => ({
    tool: row.tool,
    state: row.state,
    summary: JSON.stringify(row.arguments).slice(0, 500),
  }));
}

async function sessionContext(
  tx: Transaction,
  sessionId: string,
  firstUid: number | undefined,
): Promise<SessionContext> {
  const rows = await tx
    .select({
      session: sessions,
      agent: agentVersions,
      publication: publications,
      installation: installations,
    })
    .from(sessions)
    .innerJoin(
      agentVersions,
      and(eq(agentVersions.agentId, sessions.agentId), eq(agentVersions.version, sessions.agentVersion)),
    )
    .leftJoin(publications, eq(publications.id, sessions.publicationId))
    .leftJoin(installations, eq(installations.id, sessions.installationId))
    .where(eq(sessions.id, sessionId));
  const context = rows[0];
  if (!context) throw new Error(`Session ${sessionId} or its agent is missing.`);
  if (context.session.uid === null && firstUid !== undefined) {
    context.session.uid = await giveUid(tx, sessionId, firstUid);
  }
  return context;
}

/** Uids are unique over all organizations, so the next one comes from a sequence, not from the rows in sight. */
async function giveUid(tx: Transaction, sessionId: string, firstUid: number): Promise<number> {
  const next = await tx.execute<{ n: number }>(sql`select nextval('session_uids')::int as n`);
  const uid = firstUid + Number(next.rows[0]?.n ?? 0);
  await tx.update(sessions).set({ uid }).where(eq(sessions.id, sessionId));
  return uid;
}

/** Committed just before the program is asked: from here on the outcome is unknown until the turn is closed. */
export async function markPrompted(
  tx: Transaction,
  lease: Lease,
  turnId: string,
  program: { programSessionId: string; sandbox: Record<string, unknown> },
): Promise<void> {
  await assertLease(tx, lease);
  await tx.update(turns).set({ promptedAt: new Date() }).where(eq(turns.id, turnId));
  await tx.update(sessions).set(program).where(eq(sessions.id, lease.sessionId));
}
