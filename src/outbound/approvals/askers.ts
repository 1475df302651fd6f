import { and, asc, eq, inArray } from 'drizzle-orm';
import type { Transaction } from '../../store/connection.ts';
import { type Asker, approvals, messages } from '../../store/schema.ts';

/**
 * Whose words a turn is about. A message by which the platform told the outcome of a request stands for those who had
 * asked for that.
 */
export async function askersOf(tx: Transaction, turnId: string): Promise<Asker[]> {
  const said = await tx
    .select({ author: messages.author, place: messages.place })
    .from(messages)
    .where(and(eq(messages.turnId, turnId), eq(messages.wakes, true)))
    .orderBy(asc(messages.createdAt));
  const told = said.map(({ place }) => place.approval_id).filter((id) => id !== undefined);
  const earlier =
    told.length === 0
      ? []
      : await tx.select({ askers: approvals.askers }).from(approvals).where(inArray(approvals.id, told));
  const all = [
    ...said.filter(({ place }) => place.approval_id === undefined).map(({ author }) => author),
    ...earlier.flatMap(({ askers }) => askers),
  ];
  return [...new Map(all.map((asker) => [asker.id, asker])).values()];
}
