import { and, desc, eq, sql } from 'drizzle-orm';
import type { ToolTarget } from '../providers/provider.ts';
import type { Transaction } from '../store/connection.ts';
import { actions, anchors, type InstallationIdentity, installations, messages } from '../store/schema.ts';

/** Where an action goes and under which identity. */
export interface ActionTarget {
  installationId: string;
  identity: InstallationIdentity;
  target: ToolTarget;
}

/**
 * The anchor's place, and the last message in it that the turn had been given when the action was made: the same on
 * every try. Undefined when the anchor is gone.
 */
export async function loadTarget(
  tx: Transaction,
  action: { anchorId: string; turnId: string | null; actionId?: string },
): Promise<ActionTarget | undefined> {
  const anchorRows = await tx
    .select({
      place: anchors.place,
      installationId: anchors.installationId,
      identity: installations.identity,
    })
    .from(anchors)
    .innerJoin(installations, eq(installations.id, anchors.installationId))
    .where(eq(anchors.id, action.anchorId));
  const anchor = anchorRows[0];
  if (!anchor) return undefined;
  const { place, installationId, identity } = anchor;
  const message = action.turnId
    ? await lastMessagePlace(tx, { ...action, turnId: action.turnId })
    : undefined;
  const said = action.turnId ? await saidIn(tx, action.turnId) : undefined;
  const hops = (said?.hops ?? 0) + 1;
  const askerId = said?.askerId;
  return {
    installationId,
    identity,
    target: { place, hops, ...(message && { message }), ...(askerId !== undefined && { askerId }) },
  };
}

/** How far the words of a turn had come, and which person spoke last. */
async function saidIn(tx: Transaction, turnId: string): Promise<{ hops: number; askerId?: string }> {
  const said = await tx
    .select({ hops: messages.hops, author: messages.author, wakes: messages.wakes })
    .from(messages)
    .where(eq(messages.turnId, turnId))
    .orderBy(desc(messages.createdAt), desc(messages.id));
  const asker = said.find(({ author, wakes }) => wakes && author.kind === 'person')?.author.id;
  return {
    hops: Math.max(0, ...said.map(({ hops }) => hops)),
    ...(asker !== undefined && { askerId: asker }),
  };
}

async function lastMessagePlace(
  tx: Transaction,
  action: { anchorId: string; turnId: string; actionId?: string },
): Promise<Record<string, string> | undefined> {
  const found = await tx
    .select({ place: messages.place })
    .from(messages)
    .where(
      and(
        eq(messages.turnId, action.turnId),
        eq(messages.anchorId, action.anchorId),
        action.actionId
          ? sql`${messages.createdAt} <= (select a.created_at from ${actions} a where a.id = ${action.actionId})`
          : undefined,
      ),
    )
    .orderBy(desc(messages.createdAt), desc(messages.id))
    .limit(1);
  const place = found[0]?.place;
  return place && Object.keys(place).length > 0 ? place : undefined;
}
