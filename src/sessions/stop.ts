import { sql } from 'drizzle-orm';
import type { Transaction } from '../store/connection.ts';
import { newId } from '../store/ids.ts';
import type { MessageAuthor } from '../store/schema.ts';
import { appendEvents } from './event-log.ts';

/** The channel on which the worker that runs a session's turn hears that it shall stop; the payload is its id. */
export const stopChannel = 'tagalong_stop';

/** Asks whoever runs this session's turn to end it now. Nothing happens when none runs. Answers the event's id. */
export async function requestStop(
  tx: Transaction,
  organizationId: string,
  sessionId: string,
  author: MessageAuthor,
): Promise<string> {
  const id = newId('sevt');
  await appendEvents(tx, organizationId, sessionId, null, [
    { id, type: 'user.interrupt', payload: { author } },
  ]);
  await tx.execute(sql`select pg_notify(${stopChannel}, ${sessionId})`);
  return id;
}
