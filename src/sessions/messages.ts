import type { Transaction } from '../store/connection.ts';
import { newId } from '../store/ids.ts';
import { enqueue } from '../store/jobs.ts';
import { type MessageAuthor, messages } from '../store/schema.ts';
import { appendEvents } from './event-log.ts';

export interface NewMessage {
  organizationId: string;
  sessionId: string;
  anchorId: string | null;
  publicationId: string | null;
  /** One per message at its source; a second one with the same key is not stored. */
  externalKey: string;
  author: MessageAuthor;
  authority: boolean;
  /** Whether it starts a turn; false for context, which waits for a turn that something else starts. */
  wakes?: boolean;
  hops?: number;
  body: string;
  place: Record<string, string>;
  deliveryId: string | null;
}

/**
 * Adds a message to the session's log and to what waits for its next turn, and makes sure that there is a turn to
 * come, unless it is context only. Answers its id and that of its event, or undefined when this message is there already.
 */
export async function addMessage(
  tx: Transaction,
  message: NewMessage,
): Promise<{ messageId: string; eventId: string } | undefined> {
  const id = newId('msg');
  const eventId = newId('sevt');
  const stored = await tx
    .insert(messages)
    .values({ id, ...message })
    .onConflictDoNothing({ target: [messages.publicationId, messages.externalKey] })
    .returning({ id: messages.id });
  if (stored.length === 0) return undefined;
  await appendEvents(tx, message.organizationId, message.sessionId, null, [
    {
      id: eventId,
      type: 'user.message',
      processedAt: null,
      payload: {
        content: [{ type: 'text', text: message.body }],
        message_id: id,
        author: message.author,
        authority: message.authority,
      },
    },
  ]);
  if (message.wakes !== false) await enqueueTurn(tx, message.organizationId, message.sessionId);
  return { messageId: id, eventId };
}

/**
 * A job of its own for each message: one that finds the session taken ends at once. With one job for all, those who
 * write to a busy thread would wait for each other's lock on it, and nobody could fetch it meanwhile.
 */
function enqueueTurn(tx: Transaction, organizationId: string, sessionId: string): Promise<void> {
  return enqueue(tx, 'turn', { organizationId, sessionId });
}
