import { eq, sql } from 'drizzle-orm';
import type { Database, Transaction } from '../store/connection.ts';
import { enqueue } from '../store/jobs.ts';
import { withOrganization } from '../store/organization.ts';
import { messages, sessions, turns } from '../store/schema.ts';
import { appendEvents, type NewEvent } from './event-log.ts';
import { assertLease, type Lease } from './lease.ts';
import type { ClaimedTurn } from './turn-rows.ts';

/** How a turn ended. `message` is for the thread; `detail` for the people who run the platform. */
export type TurnEnd =
  | { kind: 'completed'; stopReason: string; text: string }
  | { kind: 'cancelled' }
  | { kind: 'failed'; message: string; detail?: string };

export interface TurnReply {
  organizationId: string;
  sessionId: string;
  turnId: string;
  anchorId: string;
  text: string;
}

/** How the end of a turn reaches the thread: through the same gate and outbox as every action. */
export interface TurnOutbound {
  /** Sends nothing when the text is empty, `NO_REPLY`, or what was last posted in that anchor in this turn. */
  reply(tx: Transaction, reply: TurnReply): Promise<void>;
  failure(tx: Transaction, failure: TurnReply): Promise<void>;
}

const stoppedText = 'Stopped.';

/**
 * Closes a turn in one transaction: its state, its messages, its last events and its reply on the outbox exist all
 * together or not at all. @throws LeaseLostError when the session is another worker's now.
 */
export async function closeTurn(
  database: Database,
  lease: Lease,
  claimed: ClaimedTurn,
  end: TurnEnd,
  outbound: TurnOutbound,
): Promise<void> {
  const { organizationId, sessionId } = lease;
  const { turn } = claimed;
  await withOrganization(database, organizationId, async (tx) => {
    await assertLease(tx, lease);
    await tx
      .update(turns)
      .set({
        state: end.kind,
        stopReason: end.kind === 'completed' ? end.stopReason : null,
        error: end.kind === 'failed' ? (end.detail ?? end.message).slice(0, 4_000) : null,
        endedAt: sql`now()`,
      })
      .where(eq(turns.id, turn.id));
    await tx.update(messages).set({ state: 'done' }).where(eq(messages.turnId, turn.id));
    await tx
      .update(sessions)
      .set({ status: 'idle', updatedAt: sql`now()` })
      .where(eq(sessions.id, sessionId));
    await appendEvents(tx, organizationId, sessionId, turn.id, closingEvents(end));
    if (turn.anchorId === null) return;
    const reply = { organizationId, sessionId, turnId: turn.id, anchorId: turn.anchorId };
    if (end.kind === 'failed') await outbound.failure(tx, { ...reply, text: end.message });
    else await outbound.reply(tx, { ...reply, text: end.kind === 'completed' ? end.text : stoppedText });
    for (const message of claimed.messages) {
      if (message.anchorId === null) continue;
      const phase = end.kind === 'failed' ? 'failed' : 'done';
      const payload = { organizationId, anchorId: message.anchorId, messageId: message.id, phase } as const;
      await enqueue(tx, 'presence', payload, { maxAttempts: 4 });
    }
  });
}

function closingEvents(end: TurnEnd): NewEvent[] {
  const idle: NewEvent = {
    type: 'session.status_idle',
    payload: {
      stop_reason: { type: end.kind === 'failed' ? 'retries_exhausted' : 'end_turn' },
      stop_details: null,
    },
  };
  if (end.kind !== 'failed') return [idle];
  const error = { type: 'unknown_error', message: end.message, retry_status: { type: 'terminal' } };
  return [{ type: 'session.error', payload: { error } }, idle];
}
