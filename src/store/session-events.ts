import { sql } from 'drizzle-orm';
import type { Transaction } from './connection.ts';
import { newId } from './ids.ts';
import { sessionEvents } from './schema.ts';

/** The channel on which readers of event streams listen; its payload is the session's id. */
export const eventsChannel = 'tagalong_events';

export interface NewEvent {
  /** Given where the caller must know it beforehand. */
  id?: string;
  /** A type of the Managed Agents API, or one of ours with the prefix `tagalong.`. */
  type: string;
  payload: Record<string, unknown>;
  /** Null while a user's message waits. */
  processedAt?: Date | null;
}

/** Appends events in this transaction and tells the readers when it commits. */
export async function appendEvents(
  tx: Transaction,
  organizationId: string,
  sessionId: string,
  turnId: string | null,
  events: readonly NewEvent[],
): Promise<void> {
  if (events.length === 0) return;
  await tx.insert(sessionEvents).values(
    events.map((event) => ({
      id: event.id ?? newId('sevt'),
      organizationId,
      sessionId,
      turnId,
      type: event.type,
      payload: event.payload,
      ...(event.processedAt === undefined ? {} : { processedAt: event.processedAt }),
    })),
  );
  await tx.execute(sql`select pg_notify(${eventsChannel}, ${sessionId})`);
}
