import { and, desc, eq } from 'drizzle-orm';
import { isNamed, readPolicy } from '../capabilities/policy.ts';
import type {
  Asked,
  ProviderAdapter,
  ProviderContext,
  ProviderTool,
  ToolTarget,
} from '../providers/provider.ts';
import type { Transaction } from '../store/connection.ts';
import { anchors, messages, publications } from '../store/schema.ts';

/** Whose authority an act beyond the anchor rests on: who last asked in its turn, where the provider must be asked. */
export async function loadAsker(
  tx: Transaction,
  action: { turnId: string | null; anchorId: string },
): Promise<Asked | undefined> {
  if (action.turnId === null) return undefined;
  const rows = await tx
    .select({
      author: messages.author,
      authority: messages.authority,
      key: anchors.key,
      place: anchors.place,
      policy: publications.policy,
    })
    .from(messages)
    .innerJoin(anchors, eq(anchors.id, action.anchorId))
    .innerJoin(publications, eq(publications.id, anchors.publicationId))
    .where(and(eq(messages.turnId, action.turnId), eq(messages.wakes, true)))
    .orderBy(desc(messages.createdAt), desc(messages.id));
  const row = rows.find(({ author }) => author.kind === 'person');
  // Who was let in without authority has none to lose: people approved what is done for them.
  if (!row?.authority) return undefined;
  const { author, key, place, policy } = row;
  // At some providers this is a mere display name: a false match spares a question, and gives nobody authority.
  const handle = author.name;
  if (isNamed(readPolicy(policy).authority.people, { id: author.id, handle })) return undefined;
  return { author, anchor: { key, place }, ...(handle !== undefined && { authorHint: { login: handle } }) };
}

/** Whether a call reaches beyond the session's own anchor. Pure. */
export function reachesOut(
  tool: ProviderTool,
  input: Readonly<Record<string, unknown>>,
  place: ToolTarget['place'],
): boolean {
  return tool.effect === 'write' && tool.isInAnchor !== undefined && !tool.isInAnchor(input, place);
}

/**
 * Asks the provider once more, just before a write beyond the anchor, whether who asked for it still has authority.
 * Answers why not, where not.
 */
export async function objectionToAsker(
  adapter: Pick<ProviderAdapter, 'mayAddress'>,
  context: ProviderContext,
  asked: Asked,
): Promise<string | undefined> {
  const judgement = await adapter.mayAddress(context, asked, { fresh: true });
  if (judgement.allowed) return undefined;
  return `Who asked for it has no authority any more: ${judgement.detail}.`;
}
