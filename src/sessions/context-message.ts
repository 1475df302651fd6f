import { and, count, eq } from 'drizzle-orm';
import type { Transaction } from '../store/connection.ts';
import { messages } from '../store/schema.ts';
import { type AnchoredSession, findAnchor } from './anchors.ts';
import { addMessage } from './messages.ts';
import type { MessageSignal, Routed } from './routing.ts';

/** More than this does not wait in one session: strangers can write as much as they like. */
const maxWaiting = 50;
const maxChars = 20_000;

/**
 * Keeps the words of somebody who may not instruct the agent for its next turn to know, where a session listens
 * already. Answers that session; undefined where none listens, or too much of the kind waits.
 */
export async function keepContext(
  tx: Transaction,
  { publication, delivery }: Routed,
  signal: MessageSignal,
  authority: boolean,
): Promise<AnchoredSession | undefined> {
  const anchored = await findAnchor(tx, publication.id, signal.anchor.key);
  if (!anchored) return undefined;
  const { sessionId, anchorId } = anchored;
  const waiting = await tx
    .select({ n: count() })
    .from(messages)
    .where(and(eq(messages.sessionId, sessionId), eq(messages.state, 'waiting'), eq(messages.wakes, false)));
  if (Number(waiting[0]?.n ?? 0) >= maxWaiting) return undefined;
  await addMessage(tx, {
    organizationId: publication.organizationId,
    sessionId,
    anchorId,
    publicationId: publication.id,
    externalKey: signal.externalKey,
    author: signal.author,
    authority,
    wakes: false,
    body: signal.body.slice(0, maxChars).toWellFormed(),
    place: signal.place,
    deliveryId: delivery.id,
  });
  return anchored;
}
