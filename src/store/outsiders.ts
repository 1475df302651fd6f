import { and, eq, isNotNull } from 'drizzle-orm';
import type { Transaction } from './connection.ts';
import { messages } from './schema.ts';

/** Whether a turn of this session was given text by people without authority: the agent remembers it. */
export async function hasReadOutsiders(tx: Transaction, sessionId: string): Promise<boolean> {
  const found = await tx
    .select({ id: messages.id })
    .from(messages)
    .where(and(eq(messages.sessionId, sessionId), eq(messages.authority, false), isNotNull(messages.turnId)))
    .limit(1);
  return found.length > 0;
}
