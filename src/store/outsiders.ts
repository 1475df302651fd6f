import { and, eq, inArray, isNotNull, isNull, or, sql } from 'drizzle-orm';
import type { Transaction } from './connection.ts';
import { type Audience, messages, sessions } from './schema.ts';

/**
 * Whether this session was given text by people without authority: in a prompt, or by what its agent read. The agent
 * remembers it, so this holds for as long as the session does.
 */
export async function hasReadOutsiders(tx: Transaction, sessionId: string): Promise<boolean> {
  const read = await tx
    .select({ id: sessions.id })
    .from(sessions)
    .where(and(eq(sessions.id, sessionId), isNotNull(sessions.outsidersReadAt)));
  if (read.length > 0) return true;
  const found = await tx
    .select({ id: messages.id })
    .from(messages)
    .where(and(eq(messages.sessionId, sessionId), eq(messages.authority, false), isNotNull(messages.turnId)))
    .limit(1);
  return found.length > 0;
}

/** Records that the agent read such text. True the first time. */
export async function markOutsidersRead(tx: Transaction, sessionId: string): Promise<boolean> {
  const marked = await tx
    .update(sessions)
    .set({ outsidersReadAt: sql`now()` })
    .where(and(eq(sessions.id, sessionId), isNull(sessions.outsidersReadAt)))
    .returning({ id: sessions.id });
  return marked.length > 0;
}

/** From the widest to the narrowest. */
const audiences: readonly Audience[] = ['public', 'workspace', 'private'];

/** Whether fewer people can see the one than the other. Pure. */
export function isNarrower(one: Audience, other: Audience): boolean {
  return audiences.indexOf(one) > audiences.indexOf(other);
}

/** The narrowest audience of what the session has read beside its own place; undefined where it read nothing else. */
export async function readAudienceOf(tx: Transaction, sessionId: string): Promise<Audience | undefined> {
  const rows = await tx
    .select({ audience: sessions.readAudience })
    .from(sessions)
    .where(eq(sessions.id, sessionId));
  return rows[0]?.audience ?? undefined;
}

/** Records that the agent reads in another place, before it does. The narrowest of all stays. */
export async function markRead(tx: Transaction, sessionId: string, audience: Audience): Promise<void> {
  const wider = audiences.filter((each) => isNarrower(audience, each));
  await tx
    .update(sessions)
    .set({ readAudience: audience })
    .where(
      and(
        eq(sessions.id, sessionId),
        or(isNull(sessions.readAudience), inArray(sessions.readAudience, wider)),
      ),
    );
}
