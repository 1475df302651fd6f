import { and, count, eq, gt, inArray, sql } from 'drizzle-orm';
import type { AuthorityRules, PolicyRules } from '../../capabilities/policy.ts';
import type { Transaction } from '../../store/connection.ts';
import { messages, notices, sessions, turns } from '../../store/schema.ts';

/** A limit that was crossed, in a sentence for the thread and for admins. */
export interface Crossed {
  /** Names it among what was said. */
  key: string;
  text: string;
}

const lastHour = sql`now() - interval '1 hour'`;

/** Counts the turns that were started; they are rows, so that a restart forgets none. Undefined within the limits. */
export async function crossedLimit(
  tx: Transaction,
  limits: PolicyRules['limits'],
  where: { publicationId: string; anchorId: string | undefined },
): Promise<Crossed | undefined> {
  const { publicationId, anchorId } = where;
  if (anchorId !== undefined) {
    const here = await tx
      .select({ n: count() })
      .from(turns)
      .where(and(eq(turns.anchorId, anchorId), gt(turns.startedAt, lastHour)));
    if (Number(here[0]?.n ?? 0) >= limits.turnsPerAnchorPerHour) {
      return { key: `limit:anchor:${anchorId}`, text: sentence(limits.turnsPerAnchorPerHour, 'here') };
    }
  }
  const all = await tx
    .select({ n: count() })
    .from(turns)
    .innerJoin(sessions, eq(sessions.id, turns.sessionId))
    .where(and(eq(sessions.publicationId, publicationId), gt(turns.startedAt, lastHour)));
  if (Number(all[0]?.n ?? 0) < limits.turnsPerHour) return undefined;
  return {
    key: `limit:publication:${publicationId}`,
    text: sentence(limits.turnsPerHour, 'in all places together'),
  };
}

function sentence(turns: number, where: string): string {
  const times = turns === 1 ? 'once' : `${turns} times`;
  return `I have been set to work ${times} within an hour ${where}, which is my limit. Please tag me again later, or ask an admin to raise the limit in the publication's settings.`;
}

/** Whether a bot has had its share of answers in this anchor, or the chain of agents that led here is too long. */
export async function crossedBotLimit(
  tx: Transaction,
  rules: AuthorityRules,
  bot: { id: string; hops: number; anchorId: string | undefined },
): Promise<{ reason: 'too_many_hops' | 'limit_reached'; detail: string } | undefined> {
  if (bot.hops >= rules.maxHops) {
    return {
      reason: 'too_many_hops',
      detail: `${bot.hops} agents' posts led to this one, and ${rules.maxHops} is the limit`,
    };
  }
  if (bot.anchorId === undefined) return undefined;
  const said = await tx
    .select({ n: count() })
    .from(messages)
    .where(
      and(
        eq(messages.anchorId, bot.anchorId),
        inArray(sql`${messages.author}->>'kind'`, ['bot']),
        eq(sql`${messages.author}->>'id'`, bot.id),
        gt(messages.createdAt, lastHour),
      ),
    );
  if (Number(said[0]?.n ?? 0) < rules.botMessagesPerHour) return undefined;
  return {
    reason: 'limit_reached',
    detail: `this bot was answered ${rules.botMessagesPerHour} times here within an hour`,
  };
}

/** True the first time that something is to be said in `everyMs`, however many ask at once. */
export async function sayOnce(
  tx: Transaction,
  organizationId: string,
  key: string,
  everyMs: number,
): Promise<boolean> {
  const said = await tx
    .insert(notices)
    .values({ organizationId, key })
    .onConflictDoUpdate({
      target: [notices.organizationId, notices.key],
      set: { saidAt: sql`now()` },
      setWhere: sql`${notices.saidAt} < now() - ${everyMs} * interval '1 millisecond'`,
    })
    .returning({ key: notices.key });
  return said.length > 0;
}
