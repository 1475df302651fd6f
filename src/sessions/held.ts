import { eq, sql } from 'drizzle-orm';
import type { Transaction } from '../store/connection.ts';
import { messages, publications, sessions } from '../store/schema.ts';

/** While a publication is one of these, nothing can be read or said in its places, and no turn starts there. */
const heldStates: ReadonlySet<string> = new Set(['needs_reauth', 'suspended']);

/** Whether what people said in the session's places waits for its publication to be live again. */
export async function holdsPlaces(tx: Transaction, sessionId: string): Promise<boolean> {
  const [found] = await tx
    .select({ state: publications.state })
    .from(sessions)
    .innerJoin(publications, eq(publications.id, sessions.publicationId))
    .where(eq(sessions.id, sessionId));
  return found !== undefined && heldStates.has(found.state);
}

/** The same of a message, as a condition. What came over the API has no place, and is not held. */
export const isHeld = sql`(${messages.anchorId} is not null and exists (
  select from ${publications} where ${publications.id} = ${messages.publicationId}
  and ${publications.state} in (${sql.join(
    [...heldStates].map((state) => sql`${state}`),
    sql`, `,
  )})))`;
